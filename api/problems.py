"""Errors as RFC 9457 problems: one table, one shape, no personal data, no stack trace, no SQL."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from http import HTTPStatus
from typing import Any
from urllib.parse import quote
from uuid import UUID

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import Field
from starlette.exceptions import HTTPException
from starlette.routing import Match

from api.rate_limit import TooManyRequestsError
from stafett.column_mapper.issues import InvalidMappingError
from stafett.domain.errors import (
    ExportError,
    FileRemovedError,
    IdempotencyKeyReusedError,
    InvalidFieldError,
    InvalidPayloadsError,
    InvalidRequestError,
    InvalidStateError,
    NoFileError,
    NotFinishedError,
    NotFoundError,
    PermissionDeniedError,
    PreconditionFailedError,
    PreconditionRequiredError,
    ReexportInProgressError,
    ServiceUnavailableError,
    SnapshotGoneError,
    StafettError,
    TooManyWebhooksError,
    UnauthenticatedError,
)
from stafett.domain.frozen import FrozenModel
from stafett.domain.json_pointer import pointer_from_error
from stafett.telemetry import error_location

MEDIA_TYPE = "application/problem+json"
_RETRY_AFTER_SECONDS = 5
_METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")
_UNPROCESSABLE, _INTERNAL_ERROR = HTTPStatus.UNPROCESSABLE_ENTITY, HTTPStatus.INTERNAL_SERVER_ERROR
_log = structlog.get_logger("stafett.api")

PROBLEMS: dict[type[StafettError], tuple[HTTPStatus, str]] = {
    UnauthenticatedError: (HTTPStatus.UNAUTHORIZED, "unauthenticated"),
    PermissionDeniedError: (HTTPStatus.FORBIDDEN, "permission_denied"),
    NotFoundError: (HTTPStatus.NOT_FOUND, "not_found"),
    NotFinishedError: (HTTPStatus.CONFLICT, "not_finished"),
    NoFileError: (HTTPStatus.CONFLICT, "no_file"),
    FileRemovedError: (HTTPStatus.GONE, "file_removed"),
    SnapshotGoneError: (HTTPStatus.GONE, "snapshot_gone"),
    PreconditionFailedError: (HTTPStatus.PRECONDITION_FAILED, "precondition_failed"),
    PreconditionRequiredError: (HTTPStatus.PRECONDITION_REQUIRED, "precondition_required"),
    InvalidStateError: (HTTPStatus.CONFLICT, "wrong_state"),
    ReexportInProgressError: (HTTPStatus.CONFLICT, "reexport_in_progress"),
    InvalidMappingError: (_UNPROCESSABLE, "invalid_mapping"),
    InvalidPayloadsError: (_UNPROCESSABLE, "invalid_payloads"),
    IdempotencyKeyReusedError: (_UNPROCESSABLE, "idempotency_key_reused"),
    TooManyWebhooksError: (HTTPStatus.CONFLICT, "too_many_webhooks"),
    ServiceUnavailableError: (HTTPStatus.SERVICE_UNAVAILABLE, "service_unavailable"),
}
HTTP_CODES = {
    HTTPStatus.NOT_FOUND: "not_found",
    HTTPStatus.METHOD_NOT_ALLOWED: "method_not_allowed",
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: "body_too_large",
    HTTPStatus.UNSUPPORTED_MEDIA_TYPE: "unsupported_media_type",
}


class FieldError(FrozenModel):
    """One field that is wrong, and where it stands in the body."""

    pointer: str
    code: str
    detail: str


class Problem(FrozenModel):
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
    reexport_id: UUID | None = Field(
        None, exclude_if=lambda value: value is None, description="Of `reexport_in_progress`: the one that runs."
    )


_INVALID_JSON = FieldError(pointer="", code="json_invalid", detail="The body is no JSON in UTF-8.")


@dataclass(frozen=True)
class ProblemSpec:
    """What is to be said no to, and why."""

    status: HTTPStatus
    code: str
    detail: str
    errors: tuple[FieldError, ...] = ()
    headers: Mapping[str, str] = field(default_factory=dict)
    reexport_id: UUID | None = None

    @property
    def is_retryable(self) -> bool:
        """The same request may be answered otherwise before long."""
        return self.status in {HTTPStatus.SERVICE_UNAVAILABLE, HTTPStatus.TOO_MANY_REQUESTS}

    def to_problem(self, path: str, trace_id: str) -> Problem:
        return Problem(
            type=f"urn:stafett:problem:{self.code}",
            title=self.status.phrase,
            status=self.status,
            detail=self.detail,
            instance=quote(path),
            code=self.code,
            retryable=self.is_retryable,
            trace_id=trace_id,
            errors=self.errors,
            reexport_id=self.reexport_id,
        )


INVALID_REQUEST = ProblemSpec(_UNPROCESSABLE, "invalid_request", "The request is not valid.")


def problem_spec_for(error_type: type[StafettError], detail: str) -> ProblemSpec:
    """What is answered to an error that we expected."""
    status, code = PROBLEMS.get(error_type, (_INTERNAL_ERROR, "internal"))
    return ProblemSpec(status, code, detail)


def render_problem(request: Request, spec: ProblemSpec) -> JSONResponse:
    """The one way in which this gateway says no."""
    headers = dict(spec.headers)
    problem = spec.to_problem(request.scope["path"], trace_id=request.scope.get("request_id", ""))
    if spec.status is HTTPStatus.UNAUTHORIZED:
        headers["WWW-Authenticate"] = "Bearer"
    if spec.is_retryable:
        headers.setdefault("Retry-After", str(_RETRY_AFTER_SECONDS))
    return JSONResponse(problem.model_dump(mode="json"), spec.status, headers=headers, media_type=MEDIA_TYPE)


def internal_error(request: Request, error: Exception) -> JSONResponse:
    """What nobody foresaw: the log is told what kind it is and whence it came, and nobody what it says."""
    _log.error("request_failed", error=type(error).__name__, at=error_location(error), path=request.scope["path"])
    return render_problem(request, ProblemSpec(_INTERNAL_ERROR, "internal", "Something went wrong on our side."))


def register_exception_handlers(app: FastAPI) -> None:
    """Have every error of this application answered in the same way; surprises are ``EveryRequest``'s."""
    app.add_exception_handler(StafettError, _domain_error)
    app.add_exception_handler(ExportError, _export_error)
    app.add_exception_handler(InvalidMappingError, _invalid_mapping)
    app.add_exception_handler(InvalidFieldError, _invalid_field)
    app.add_exception_handler(ReexportInProgressError, _reexport_in_progress)
    app.add_exception_handler(InvalidRequestError, _invalid_request)
    app.add_exception_handler(TooManyRequestsError, _rate_limited)
    app.add_exception_handler(RequestValidationError, _validation_error)
    app.add_exception_handler(HTTPException, _http_error)


async def _domain_error(request: Request, error: Any) -> JSONResponse:
    if type(error) not in PROBLEMS:
        return internal_error(request, error)
    return render_problem(request, problem_spec_for(type(error), str(error)))


async def _export_error(request: Request, error: Any) -> JSONResponse:
    return render_problem(request, ProblemSpec(HTTPStatus.CONFLICT, error.code, str(error)))


async def _invalid_mapping(request: Request, error: Any) -> JSONResponse:
    faults = tuple(FieldError(**fault.model_dump()) for fault in error.faults)
    refusal = problem_spec_for(InvalidMappingError, "The mapping document is not sound.")
    return render_problem(request, replace(refusal, errors=faults))


async def _invalid_request(request: Request, error: Any) -> JSONResponse:
    faults = tuple(FieldError(**fault._asdict()) for fault in error.faults)
    return render_problem(request, replace(INVALID_REQUEST, errors=faults))


async def _invalid_field(request: Request, error: Any) -> JSONResponse:
    fault = FieldError(pointer=f"/{error.field}", code=error.code, detail=str(error))
    return render_problem(request, replace(INVALID_REQUEST, errors=(fault,)))


async def _reexport_in_progress(request: Request, error: Any) -> JSONResponse:
    refusal = problem_spec_for(ReexportInProgressError, str(error))
    return render_problem(request, replace(refusal, reexport_id=error.running))


async def _rate_limited(request: Request, error: Any) -> JSONResponse:
    headers = {"Retry-After": str(error.seconds)}
    return render_problem(
        request, ProblemSpec(HTTPStatus.TOO_MANY_REQUESTS, "too_many_requests", str(error), headers=headers)
    )


async def _validation_error(request: Request, error: Any) -> JSONResponse:
    if any(fault["loc"][0] == "path" for fault in error.errors()):  # ids are opaque: what is none of ours is nothing
        return render_problem(request, problem_spec_for(NotFoundError, "There is no such thing."))
    faults = tuple(_field_error(fault, error.body) for fault in error.errors())
    return render_problem(request, replace(INVALID_REQUEST, errors=faults))


async def _http_error(request: Request, error: Any) -> JSONResponse:
    status = HTTPStatus(error.status_code)
    if status is HTTPStatus.BAD_REQUEST:  # a body that FastAPI could not even decode
        return render_problem(request, replace(INVALID_REQUEST, errors=(_INVALID_JSON,)))
    code = HTTP_CODES.get(status, "bad_request")
    detail, headers = status.description or status.phrase, dict(error.headers or {})
    if status is HTTPStatus.METHOD_NOT_ALLOWED:
        headers["Allow"] = ", ".join(sorted(_allowed_methods(request)))
    return render_problem(request, ProblemSpec(status, code, detail, headers=headers))


def _allowed_methods(request: Request) -> set[str]:
    """Every method of the path, whichever route it belongs to."""
    asked = ({**request.scope, "method": method} for method in _METHODS)
    return {scope["method"] for scope in asked for route in request.app.routes if route.matches(scope)[0] is Match.FULL}


def _field_error(error: dict[str, Any], body: object) -> FieldError:
    """Where and what, never the value itself."""
    return FieldError(
        pointer=_pointer_from_location(error["loc"], error["type"], body),
        code=error["type"],
        detail=error["msg"].removeprefix("Value error, "),
    )


def _pointer_from_location(location: Sequence[str | int], error_type: str, body: object) -> str:
    source, *path = location
    if error_type == "json_invalid":
        return ""  # the body as a whole
    if source != "body":
        return f"{source}:{'/'.join(str(step) for step in path[:1])}"
    return pointer_from_error(path, error_type, body)
