"""Errors as RFC 9457 problems: one table, one shape, no personal data, no stack trace, no SQL."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any
from urllib.parse import quote

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.routing import Match

from api.rate_limit import TooManyRequestsError
from stafett.column_mapper.faults import InvalidMappingError
from stafett.domain.errors import (
    ExportError,
    FileRemovedError,
    ForbiddenDestinationError,
    InvalidPayloadsError,
    KeyReusedError,
    NoFileError,
    NotFinishedError,
    NotFoundError,
    PermissionDeniedError,
    PreconditionFailedError,
    PreconditionRequiredError,
    ServiceAwayError,
    StafettError,
    TooManyWebhooksError,
    UnauthenticatedError,
    WrongStateError,
)
from stafett.domain.frozen import Frozen
from stafett.json_pointer import pointer_of_fault
from stafett.telemetry import whence

MEDIA_TYPE = "application/problem+json"
_RETRY_AFTER_SECONDS = 5
_METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")
_INVALID, _SURPRISE = HTTPStatus.UNPROCESSABLE_ENTITY, HTTPStatus.INTERNAL_SERVER_ERROR
_TOO_MANY = HTTPStatus.TOO_MANY_REQUESTS
_log = structlog.get_logger("stafett.api")

_ANSWERS: dict[type[StafettError], tuple[HTTPStatus, str]] = {
    UnauthenticatedError: (HTTPStatus.UNAUTHORIZED, "unauthenticated"),
    PermissionDeniedError: (HTTPStatus.FORBIDDEN, "permission_denied"),
    NotFoundError: (HTTPStatus.NOT_FOUND, "not_found"),
    NotFinishedError: (HTTPStatus.CONFLICT, "not_finished"),
    NoFileError: (HTTPStatus.CONFLICT, "no_file"),
    FileRemovedError: (HTTPStatus.GONE, "file_removed"),
    PreconditionFailedError: (HTTPStatus.PRECONDITION_FAILED, "precondition_failed"),
    PreconditionRequiredError: (HTTPStatus.PRECONDITION_REQUIRED, "precondition_required"),
    WrongStateError: (HTTPStatus.CONFLICT, "wrong_state"),
    InvalidPayloadsError: (_INVALID, "invalid_payloads"),
    KeyReusedError: (_INVALID, "idempotency_key_reused"),
    TooManyWebhooksError: (HTTPStatus.CONFLICT, "too_many_webhooks"),
    ServiceAwayError: (HTTPStatus.SERVICE_UNAVAILABLE, "service_unavailable"),
}
_CODES = {
    HTTPStatus.NOT_FOUND: "not_found",
    HTTPStatus.METHOD_NOT_ALLOWED: "method_not_allowed",
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: "body_too_large",
    HTTPStatus.UNSUPPORTED_MEDIA_TYPE: "unsupported_media_type",
}


class FieldError(Frozen):
    """One field that is wrong, and where it stands in the body."""

    pointer: str
    code: str
    detail: str


class Problem(Frozen):
    """What every error looks like."""

    type: str
    title: str
    status: int
    detail: str
    instance: str
    code: str
    retryable: bool
    trace_id: str
    errors: tuple[FieldError, ...] = ()


@dataclass(frozen=True)
class Refusal:
    """What is to be said no to, and why."""

    status: HTTPStatus
    code: str
    detail: str
    errors: tuple[FieldError, ...] = ()
    headers: Mapping[str, str] = field(default_factory=dict)


def answer(request: Request, refusal: Refusal) -> JSONResponse:
    """The one way in which this gateway says no."""
    is_away, headers = refusal.status is HTTPStatus.SERVICE_UNAVAILABLE, dict(refusal.headers)
    is_passing = is_away or refusal.status is _TOO_MANY
    problem = Problem(
        type=f"urn:stafett:problem:{refusal.code}",
        title=refusal.status.phrase,
        status=refusal.status,
        detail=refusal.detail,
        instance=quote(request.scope["path"]),
        code=refusal.code,
        retryable=is_passing,
        trace_id=request.scope.get("request_id", ""),
        errors=refusal.errors,
    )
    if refusal.status is HTTPStatus.UNAUTHORIZED:
        headers["WWW-Authenticate"] = "Bearer"
    if is_away:
        headers["Retry-After"] = str(_RETRY_AFTER_SECONDS)
    return JSONResponse(problem.model_dump(mode="json"), refusal.status, headers=headers, media_type=MEDIA_TYPE)


def surprise(request: Request, error: Exception) -> JSONResponse:
    """What nobody foresaw: the log is told what kind it is and whence it came, and nobody what it says."""
    _log.error("request_failed", error=type(error).__name__, at=whence(error), path=request.scope["path"])
    return answer(request, Refusal(_SURPRISE, "internal", "Something went wrong on our side."))


def install(app: FastAPI) -> None:
    """Have every error of this application answered in the same way; surprises are ``EveryRequest``'s."""

    @app.exception_handler(StafettError)
    async def ours(request: Request, error: StafettError) -> JSONResponse:
        status, code = _ANSWERS.get(type(error), (_SURPRISE, "internal"))
        if status is _SURPRISE:
            return surprise(request, error)
        return answer(request, Refusal(status, code, str(error)))

    @app.exception_handler(TooManyRequestsError)
    async def too_often(request: Request, error: TooManyRequestsError) -> JSONResponse:
        headers = {"Retry-After": str(error.seconds)}
        return answer(request, Refusal(_TOO_MANY, "too_many_requests", str(error), headers=headers))

    @app.exception_handler(ExportError)
    async def of_an_export(request: Request, error: ExportError) -> JSONResponse:
        return answer(request, Refusal(HTTPStatus.CONFLICT, error.code, str(error)))

    @app.exception_handler(InvalidMappingError)
    async def unsound(request: Request, error: InvalidMappingError) -> JSONResponse:
        faults = tuple(FieldError(**fault.model_dump()) for fault in error.faults)
        return answer(request, Refusal(_INVALID, "invalid_mapping", "The mapping document is not sound.", faults))

    @app.exception_handler(ForbiddenDestinationError)
    async def forbidden_destination(request: Request, error: ForbiddenDestinationError) -> JSONResponse:
        fault = FieldError(pointer="/url", code=error.code, detail=str(error))
        return answer(request, Refusal(_INVALID, "invalid_request", "The request is not valid.", errors=(fault,)))

    @app.exception_handler(RequestValidationError)
    async def invalid(request: Request, error: RequestValidationError) -> JSONResponse:
        faults = tuple(_field_error(fault, error.body) for fault in error.errors())
        return answer(request, Refusal(_INVALID, "invalid_request", "The request is not valid.", errors=faults))

    @app.exception_handler(HTTPException)
    async def of_the_framework(request: Request, error: HTTPException) -> JSONResponse:
        status = HTTPStatus(error.status_code)
        code = _CODES.get(status, "bad_request")
        detail, headers = status.description or status.phrase, dict(error.headers or {})
        if status is HTTPStatus.METHOD_NOT_ALLOWED:
            headers["Allow"] = ", ".join(sorted(_allowed(request)))
        return answer(request, Refusal(status, code, detail, headers=headers))


def _allowed(request: Request) -> set[str]:
    """Every method of the path, whichever route it belongs to."""
    asked = ({**request.scope, "method": method} for method in _METHODS)
    return {scope["method"] for scope in asked for route in request.app.routes if route.matches(scope)[0] is Match.FULL}


def _field_error(fault: dict[str, Any], body: object) -> FieldError:
    """Where and what, never the value itself."""
    return FieldError(
        pointer=_pointer(fault["loc"], fault["type"], body),
        code=fault["type"],
        detail=fault["msg"].removeprefix("Value error, "),
    )


def _pointer(place: Sequence[str | int], kind: str, body: object) -> str:
    source, *path = place
    if kind == "json_invalid":
        return ""  # the body as a whole
    if source != "body":
        return f"{source}:{'/'.join(str(step) for step in path[:1])}"
    return pointer_of_fault(path, kind, body)
