"""Request bodies: limits on size and structure that are checked before a body is parsed."""

import json
import re
from collections import Counter
from collections.abc import Callable, Container
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

import fastapi.concurrency
from fastapi import Request
from starlette.exceptions import HTTPException
from starlette.types import Receive, Scope

from api.concurrency import run_in_threadpool
from stafett.domain.errors import InvalidRequestError, RequestIssue

LARGE_BODY_BYTES = 64 * 1024
"""A larger body is parsed in a thread."""

_OPENING, _CLOSING = b"{[", b"}]"
_TOKEN = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"?|[{}\[\],:]', re.DOTALL)


@dataclass(frozen=True)
class JsonLimits:
    """Maximum structure of a JSON body: its levels, the keys of one object, and the values in all."""

    depth: int = 20
    keys_per_object: int = 200
    values: int = 2000

    def check(self, body: bytes) -> None:
        """Raise ``InvalidRequestError`` for a body beyond the limits, at the first token that exceeds them."""
        if self._is_certainly_within(body):
            return
        values, keys = 1, list[int]()  # keys of the objects that enclose the current position
        for match in _TOKEN.finditer(body):
            token = match[0]
            if token == b",":
                values += 1
            elif token == b":" and keys:
                keys[-1] += 1
                if keys[-1] > self.keys_per_object:
                    detail = f"An object has at most {self.keys_per_object} keys."
                    raise _limit_error("too_many_keys", detail, self.keys_per_object)
            elif token in (b"{", b"["):
                values += 1
                keys.append(0)
                if len(keys) > self.depth:
                    detail = f"JSON of this request has at most {self.depth} levels."
                    raise _limit_error("too_deep", detail, self.depth)
            elif token in (b"}", b"]") and keys:
                keys.pop()
            if values > self.values:
                detail = f"JSON of this request has at most {self.values} values."
                raise _limit_error("too_many_values", detail, self.values)

    def _is_certainly_within(self, body: bytes) -> bool:
        """Return whether the body is within the limits even if each of its commas and colons is structural."""
        opening = body.count(b"{") + body.count(b"[")
        return (
            opening <= self.depth
            and body.count(b":") <= self.keys_per_object
            and body.count(b",") + opening < self.values
        )


def describe_body_limit(max_bytes: int) -> str:
    return f"The request body is larger than {max_bytes / 1024**2:g} MiB ({max_bytes:,} bytes)."


def has_large_body(request: Request) -> bool:
    """Return whether the request declares a large body, or one whose length is not known."""
    length = request.headers.get("content-length", "0")
    return "transfer-encoding" in request.headers or (length.isdecimal() and int(length) > LARGE_BODY_BYTES)


def _limit_error(code: str, detail: str, limit: int) -> InvalidRequestError:
    return InvalidRequestError([RequestIssue("", code, detail, limit)])


def _parse_json(body: bytes) -> Any:
    """Parse JSON in UTF-8; for bytes, ``json.loads`` would guess among UTF-8, UTF-16 and UTF-32."""
    return json.loads(body.decode("utf-8-sig"))


class BoundedRequest(Request):
    """A request whose large body is counted while it is read, and parsed in a thread."""

    def __init__(self, scope: Scope, receive: Receive, on_large_body: Callable[[], object]) -> None:
        super().__init__(scope, receive)
        self._on_large_body = on_large_body

    async def body(self) -> bytes:
        if not hasattr(self, "_body"):
            chunks, size, is_large = list[bytes](), 0, False
            async for chunk in self.stream():
                chunks.append(chunk)
                size += len(chunk)
                if size > LARGE_BODY_BYTES and not is_large:
                    is_large = True
                    self._on_large_body()
            self._body = b"".join(chunks)
        return self._body

    async def json(self) -> Any:
        body = await self.body()
        if len(body) <= LARGE_BODY_BYTES:
            return _parse_json(body)
        return await fastapi.concurrency.run_in_threadpool(_parse_json, body)  # the caller may hold the user's share

    def check_query(self, known_names: Container[str] | None) -> None:
        """Raise ``InvalidRequestError`` for an unknown parameter, or a repeated one: no parameter is a list.

        Without names, unknown parameters are ignored. Lists have names: a mistyped filter would list everything.
        """
        if not self.scope["query_string"]:
            return
        counts = Counter(name for name, _ in self.query_params.multi_items())
        issues = [
            RequestIssue(f"query:{name}", "extra_forbidden", "Unknown parameter.")
            for name in counts
            if known_names is not None and name not in known_names
        ]
        issues += [
            RequestIssue(f"query:{name}", "repeated", "Give the parameter once.")
            for name, count in counts.items()
            if count > 1
        ]
        if issues:
            raise InvalidRequestError(issues)

    async def check_json(self, limits: JsonLimits) -> None:
        """Read the body and check its structure before it is parsed."""
        body = await self.body()
        if len(body) <= LARGE_BODY_BYTES:
            limits.check(body)
        else:
            await run_in_threadpool(limits.check, body)


async def read_json_body(request: Request, *, max_bytes: int) -> bytes:
    """Return the unparsed JSON body, for parsers that are stricter than FastAPI's; ``max_bytes`` is its limit."""
    require_json_content_type(request)
    body = await request.body()
    if len(body) > max_bytes:
        raise HTTPException(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, describe_body_limit(max_bytes))
    return body


def require_json_content_type(request: Request) -> None:
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
        raise HTTPException(HTTPStatus.UNSUPPORTED_MEDIA_TYPE)
