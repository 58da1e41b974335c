"""What can be asked of a thing next: links of the description, from whatever answers with it to all that names it."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

Json = dict[str, Any]
_NAMES_ONE = re.compile(r"/{(\w+)}")


def link(document: Json) -> None:
    """A resource that is made or listed at a path is named at the paths below it."""
    for path, operations in document["paths"].items():
        for operation, method in ((operations[method], method) for method in ("post", "get") if method in operations):
            place = "$response.body#/id" if method == "post" else "$response.body#/items/0/id"
            links = dict(_links(document["paths"], path, place))
            for status, answer in operation["responses"].items():
                if links and status in {"200", "201", "202"}:
                    answer["links"] = links


def _links(paths: Mapping[str, Json], path: str, place: str) -> Iterator[tuple[str, Json]]:
    for other, operations in paths.items():
        named = _NAMES_ONE.match(other.removeprefix(path)) if other.startswith(f"{path}/") else None
        if named is not None:
            for operation in operations.values():
                said = {"operationId": operation["operationId"], "parameters": {named[1]: place}}
                yield operation["operationId"], said
