"""Requests with a hostile value in one parameter or one field, for every place that the OpenAPI document names."""

import base64
import json
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple
from urllib.parse import quote

from stafett.domain.json_pointer import PathSegment, format_pointer
from tests.support.openapi_document import Json, Operation, load_document

_DIGITS = "9" * 5000
_UUID = "00000000-0000-4000-8000-000000000000"


def _encode_token(text: str) -> str:
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


_TEXTS: Mapping[str, str] = {
    "NUL": "a\0b",
    "lone surrogate": "a\ud800b",
    "terminal controls": "\x1b]0;x\x07\x1b[2J\x9b31m\u202e",
    "empty": "",
    "first instant": "0001-01-01T00:00:00+23:59",
    "last instant": "9999-12-31T23:59:59.999999-23:59",
    "upper-case scheme": "HTTPS://EXAMPLE.ORG/HOOK",
    "scheme without host": "HTTPS://",
}
_QUERY_VALUES: Mapping[str, str] = {
    **_TEXTS,
    "30 KB": "x" * 30_000,
    "5,000 digits": _DIGITS,
    "token past a bigint": _encode_token(f"[{2**63}]"),
    "token of the last bigint": _encode_token(f"[{2**63 - 1}]"),
    "token past an integer": _encode_token(f"[{2**31}]"),
    "token of infinity": _encode_token("[1e999]"),
    "token of brackets": _encode_token("[" * 100),
    "token of NUL": _encode_token(r'["\u0000"]'),
    "token of the first instant": _encode_token(f'["0001-01-01T00:00:00+23:59", "{_UUID}"]'),
    "token of the last instant": _encode_token(f'["9999-12-31T23:59:59-23:59", "{_UUID}"]'),
}
_HEADER_VALUES: Mapping[str, bytes] = {
    "Latin-1": b"\xff\xfe\x80",
    "UTF-8": "æ\u202e".encode(),
    "30 KB": b"9" * 30_000,
    "tag of 5,000 digits": f'"{_DIGITS}-1"'.encode(),
    "tag of 18 digits": b'"999999999999999999-1"',
}
_JSON_VALUES: Mapping[str, str] = {
    **{description: json.dumps(text) for description, text in _TEXTS.items()},
    "1 MB": json.dumps("x" * 2**20),
    "key with NUL": json.dumps({_TEXTS["NUL"]: 1}),
    "key with a lone surrogate": json.dumps({_TEXTS["lone surrogate"]: 1}),
    "list with a lone surrogate": json.dumps([_TEXTS["lone surrogate"]]),
    "integer of 5,000 digits": _DIGITS,
    "integer past a bigint": str(2**63),
    "infinity": "1e999",
    "NaN": "NaN",
}
_WHOLE_BODIES: Mapping[str, bytes] = {
    "not UTF-8": b'{"a": "\xff"}',
    "UTF-16": '{"a": 1}'.encode("utf-16"),
    "text": b'"x"',
    "integer of 5,000 digits": _DIGITS.encode(),
    "empty": b"",
}
_PLACEHOLDER = "@@hostile value@@"  # replaced in the JSON text, because no Python value is written as these are


class HostileRequest(NamedTuple):
    """One request: what is hostile in it, and what to send."""

    description: str
    query: bytes = b""
    headers: Mapping[str, bytes] = MappingProxyType({})
    content: bytes | None = None


def iterate_parameter_requests(operation: Operation, body: object) -> Iterator[HostileRequest]:
    """Yield requests with a hostile query parameter or header; ``body`` is a valid one, or None."""
    content = None if body is None else json.dumps(body).encode()
    for parameter in operation.spec.get("parameters", ()):
        name, location = parameter["name"], parameter["in"]
        if location == "query":
            for description, text in _QUERY_VALUES.items():
                query = f"{name}={quote(text.encode(errors='surrogatepass'))}".encode()
                yield HostileRequest(f"{name}: {description}", query=query, content=content)
        elif location == "header":
            for description, value in _HEADER_VALUES.items():
                yield HostileRequest(f"{name}: {description}", headers={name: value}, content=content)


def iterate_body_requests(operation: Operation, body: object) -> Iterator[HostileRequest]:
    """Yield requests with a hostile value in each field of the valid body, and in each field that it leaves out."""
    schema = operation.spec["requestBody"]["content"]["application/json"]["schema"]
    for path in sorted({*_iterate_schema_paths(schema), *_iterate_document_paths(body)}, key=str):
        template = json.dumps(_set_value(body, path, _PLACEHOLDER))
        for description, text in _JSON_VALUES.items():
            content = template.replace(json.dumps(_PLACEHOLDER), text).encode()
            yield HostileRequest(f"{format_pointer(*path)}: {description}", content=content)
    for description, text in _TEXTS.items():
        content = json.dumps({**_as_object(body), text: text}).encode()
        yield HostileRequest(f"unknown field: {description}", content=content)
    for description, content in _WHOLE_BODIES.items():
        yield HostileRequest(f"body: {description}", content=content)


def _iterate_schema_paths(schema: Json, path: tuple[PathSegment, ...] = ()) -> Iterator[tuple[PathSegment, ...]]:
    """Yield the location of every field of the schema; a list's field is that of its first element."""
    if "$ref" in schema:
        target: Any = load_document()
        for key in schema["$ref"].removeprefix("#/").split("/"):
            target = target[key]
        schema = target
    if path:
        yield path
    for name, field in schema.get("properties", {}).items():
        yield from _iterate_schema_paths(field, (*path, name))
    names = schema.get("propertyNames", {}).get("enum", [])
    if isinstance(schema.get("additionalProperties"), dict):
        for name in names or ["any"]:
            yield from _iterate_schema_paths(schema["additionalProperties"], (*path, name))
    if "items" in schema:
        yield from _iterate_schema_paths(schema["items"], (*path, 0))
    for alternative in schema.get("anyOf", ()):
        yield from ((*path, *rest) for rest in _iterate_schema_paths(alternative) if rest)


def _iterate_document_paths(value: object, path: tuple[PathSegment, ...] = ()) -> Iterator[tuple[PathSegment, ...]]:
    """Yield every location of the valid body, for documents that have no schema in the OpenAPI document."""
    if path:
        yield path
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for segment, nested in items:
        yield from _iterate_document_paths(nested, (*path, segment))


def _set_value(body: object, path: tuple[PathSegment, ...], value: object) -> object:
    """Return a copy of the body with this value, and with objects and lists on the way to it."""
    if not path:
        return value
    first, *rest = path
    if isinstance(first, int):
        items = body if isinstance(body, list) and body else [None]
        return [_set_value(items[0], tuple(rest), value), *items[1:]]
    fields = _as_object(body)
    return {**fields, first: _set_value(fields.get(first), tuple(rest), value)}


def _as_object(body: object) -> dict[str, Any]:
    return body if isinstance(body, dict) else {}
