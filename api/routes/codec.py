"""``/codec``: Temporal's remote codec protocol, so that operators can read payloads in its Web UI and on its CLI."""

import json
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import structlog
from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse
from google.protobuf.json_format import MessageToDict, ParseDict, ParseError
from temporalio.api.common.v1 import Payload, Payloads

from api.dependencies import CallerOf, Given, GuardedRoute, allowed, json_of
from api.openapi import raises
from stafett.domain.errors import InvalidPayloadsError
from stafett.domain.membership import Caller, Permission
from stafett.temporal.codec import PayloadDecryptionError

router = APIRouter(prefix="/codec", tags=["Codec"], route_class=GuardedRoute)

_MOST_BYTES = 4 * 1024 * 1024
_MOST_PAYLOADS = 1000
_NO_PAYLOADS = "A JSON object with at most 1000 payloads is expected, as Temporal writes them."
_log = structlog.get_logger("stafett.api")

_PAYLOAD = {
    "type": "object",
    "properties": {
        "metadata": {"type": ["object", "null"], "additionalProperties": {"type": "string", "format": "byte"}},
        "data": {"type": ["string", "null"], "format": "byte"},
    },
}
_READABLE = {"metadata": {"encoding": "anNvbi9wbGFpbg=="}, "data": "Im5oZiI="}
_BODY = {
    "type": "object",
    "examples": [{"payloads": [_READABLE]}],
    "required": ["payloads"],
    "properties": {"payloads": {"type": "array", "items": _PAYLOAD, "maxItems": _MOST_PAYLOADS}},
}
_DESCRIBED = {
    "requestBody": {"required": True, "content": {"application/json": {"schema": _BODY}}},
    **raises(InvalidPayloadsError),
    "responses": {"200": {"description": "As many", "content": {"application/json": {"schema": _BODY}}}},
}

Step = Callable[[Sequence[Payload]], Awaitable[list[Payload]]]


@router.post(
    "/decode",
    operation_id="decode_payloads",
    dependencies=[allowed(Permission.DECODE_PAYLOADS)],
    openapi_extra=_DESCRIBED,
)
async def decode(caller: CallerOf, given: Given, request: Request) -> JSONResponse:
    """Open payloads that are sealed; give back the others as they are."""
    return await _answer(caller, request, given.codec.decode)


@router.post(
    "/encode",
    operation_id="encode_payloads",
    dependencies=[allowed(Permission.DECODE_PAYLOADS)],
    openapi_extra=_DESCRIBED,
)
async def encode(caller: CallerOf, given: Given, request: Request) -> JSONResponse:
    """Seal payloads, for a signal that an operator sends; without keys they stay as they are."""
    return await _answer(caller, request, given.codec.encode)


async def _answer(caller: Caller, request: Request, step: Step) -> JSONResponse:
    payloads = _read(await json_of(request, most=_MOST_BYTES))
    try:
        done = await step(payloads)
    except PayloadDecryptionError as error:
        raise InvalidPayloadsError(str(error)) from None
    _log.info("payloads_read", step=step.__name__, user_id=str(caller.user_id), payloads=len(done))
    return JSONResponse(
        {"payloads": [MessageToDict(payload) for payload in done]}, headers={"Cache-Control": "no-store"}
    )


def _read(body: bytes) -> Sequence[Payload]:
    try:
        said = json.loads(body)
        if len(_listed(said)) > _MOST_PAYLOADS:
            raise InvalidPayloadsError(_NO_PAYLOADS)
        return ParseDict(said, Payloads(), ignore_unknown_fields=True).payloads
    except (ValueError, ParseError, RecursionError):
        raise InvalidPayloadsError(_NO_PAYLOADS) from None


def _listed(said: Any) -> list[Any]:
    match said:
        case {"payloads": [*payloads]} if all(isinstance(payload, dict) for payload in payloads):
            return payloads
        case _:
            raise InvalidPayloadsError(_NO_PAYLOADS)
