"""The API's OpenAPI document, read as a client reads it."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

from api.app import create_app_with_routes

Json = dict[str, Any]
_METHODS = ("get", "put", "post", "patch", "delete")


@dataclass(frozen=True)
class Operation:
    """An operation of the OpenAPI document."""

    id: str
    method: str
    path: str
    spec: Json

    @property
    def path_parameters(self) -> tuple[str, ...]:
        return tuple(re.findall(r"{(\w+)}", self.path))

    @property
    def is_guarded(self) -> bool:
        return bool(self.spec.get("security"))


@cache
def load_document() -> Json:
    """Build the document, with a round trip through JSON as on the wire."""
    document: Json = json.loads(json.dumps(create_app_with_routes().openapi()))
    return document


def iterate_operations() -> Iterator[Operation]:
    for path, item in load_document()["paths"].items():
        for method in _METHODS:
            if method in item:
                yield Operation(item[method]["operationId"], method.upper(), path, item[method])
