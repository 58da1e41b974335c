"""The gateway's own description, read as any client would."""

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
    """One operation of the description."""

    id: str
    method: str
    path: str
    described: Json

    @property
    def names(self) -> tuple[str, ...]:
        """What its path names."""
        return tuple(re.findall(r"{(\w+)}", self.path))

    @property
    def is_guarded(self) -> bool:
        return bool(self.described.get("security"))


@cache
def document() -> Json:
    """As it goes over the wire."""
    read: Json = json.loads(json.dumps(create_app_with_routes().openapi()))
    return read


def operations() -> Iterator[Operation]:
    for path, item in document()["paths"].items():
        for method in _METHODS:
            if method in item:
                yield Operation(item[method]["operationId"], method.upper(), path, item[method])
