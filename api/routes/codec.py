"""``/codec``: Temporal's remote codec protocol, with which operators read payloads in its Web UI and CLI."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import structlog
from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse
from google.protobuf.json_format import MessageToDict, ParseDict, ParseError
from pydantic_core import from_json
from temporalio.api.common.v1 import Payload, Payloads

from api.concurrency import run_in_threadpool
from api.dependencies import CurrentCaller, GuardedRoute, ServicesDep, require
from api.openapi import raises
from api.request_body import JsonLimits, read_json_body
from stafett.domain.errors import InvalidPayloadsError, InvalidRequestError
from stafett.domain.membership import Caller, Permission
from stafett.temporal.codec import PayloadDecryptionError

router = APIRouter(prefix="/codec", tags=["Codec"], route_class=GuardedRoute)

_MAX_BODY_BYTES = 4 * 1024 * 1024
_MAX_PAYLOADS = 1000
_JSON_LIMITS = JsonLimits(depth=20, keys_per_object=200, values=100_000)
_INVALID_PAYLOADS_MESSAGE = "The body must be a JSON object with at most 1000 Temporal payloads."
_log = structlog.get_logger("stafett.api")

_PAYLOAD_SCHEMA = {
    "type": "object",
    "properties": {
        "metadata": {
            "type": ["object", "null"],
            "additionalProperties": {"type": "string", "format": "byte"},
            "description": "Metadata of the payload; values are base64.",
        },
        "data": {"type": ["string", "null"], "format": "byte", "description": "The payload's bytes in base64."},
    },
}
_EXAMPLE_PAYLOAD = {"metadata": {"encoding": "anNvbi9wbGFpbg=="}, "data": "Im5oZiI="}
_BODY_SCHEMA = {
    "type": "object",
    "examples": [{"payloads": [_EXAMPLE_PAYLOAD]}],
    "required": ["payloads"],
    "properties": {
        "payloads": {
            "type": "array",
            "items": _PAYLOAD_SCHEMA,
            "maxItems": _MAX_PAYLOADS,
            "description": "Payloads as Temporal sends them.",
        }
    },
}
_OPENAPI_EXTRA = {
    "requestBody": {"required": True, "content": {"application/json": {"schema": _BODY_SCHEMA}}},
    **raises(InvalidPayloadsError),
    "responses": {
        "200": {
            "description": "The payloads, in the same order",
            "content": {"application/json": {"schema": _BODY_SCHEMA}},
        }
    },
}

CodecFunction = Callable[[Sequence[Payload]], Awaitable[list[Payload]]]


@router.post(
    "/decode",
    operation_id="decode_payloads",
    summary="Decode payloads",
    description=(
        "Decrypt payloads for Temporal's Web UI and CLI (remote codec protocol). Unencrypted payloads are returned "
        "unchanged. Each request is logged with the operator's id."
    ),
    dependencies=[require(Permission.DECODE_PAYLOADS)],
    openapi_extra=_OPENAPI_EXTRA,
)
async def decode_payloads(caller: CurrentCaller, services: ServicesDep, request: Request) -> JSONResponse:
    return await _apply_codec(caller, request, services.codec.decode)


@router.post(
    "/encode",
    operation_id="encode_payloads",
    summary="Encode payloads",
    description=(
        "Encrypt payloads, for example of a signal that an operator sends. If encryption is not configured, the "
        "payloads are returned unchanged."
    ),
    dependencies=[require(Permission.DECODE_PAYLOADS)],
    openapi_extra=_OPENAPI_EXTRA,
)
async def encode_payloads(caller: CurrentCaller, services: ServicesDep, request: Request) -> JSONResponse:
    return await _apply_codec(caller, request, services.codec.encode)


async def _apply_codec(caller: Caller, request: Request, codec_function: CodecFunction) -> JSONResponse:
    payloads = await run_in_threadpool(_parse_payloads, await read_json_body(request, max_bytes=_MAX_BODY_BYTES))
    try:
        transformed = await codec_function(payloads)
    except PayloadDecryptionError as error:
        raise InvalidPayloadsError(str(error)) from None
    _log.info(
        "payloads_decoded",
        operation=codec_function.__name__,
        user_id=str(caller.user_id),
        payloads=len(transformed),
    )
    return JSONResponse(
        {"payloads": [MessageToDict(payload) for payload in transformed]}, headers={"Cache-Control": "no-store"}
    )


def _parse_payloads(body: bytes) -> Sequence[Payload]:
    try:
        _JSON_LIMITS.check(body)
        document = from_json(body)  # unlike the standard library's, it rejects text that UTF-8 cannot encode
        if len(_get_payload_list(document)) > _MAX_PAYLOADS:
            raise InvalidPayloadsError(_INVALID_PAYLOADS_MESSAGE)
        return ParseDict(document, Payloads(), ignore_unknown_fields=True).payloads
    except (ValueError, ParseError, RecursionError, InvalidRequestError):
        raise InvalidPayloadsError(_INVALID_PAYLOADS_MESSAGE) from None


def _get_payload_list(document: Any) -> list[Any]:
    match document:
        case {"payloads": [*payloads]} if all(isinstance(payload, dict) for payload in payloads):
            return payloads
        case _:
            raise InvalidPayloadsError(_INVALID_PAYLOADS_MESSAGE)
