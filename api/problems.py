"""Errors as RFC 9457 problems. No problem contains personal data, a stack trace or SQL."""

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

from api.field_errors import INVALID_JSON_DETAIL, MAX_ERRORS, FieldError, create_field_error, issue_from_validation
from api.languages import VARY_BY_LANGUAGE, choose_language, is_translated
from api.rate_limit import TOO_MANY_REQUESTS_MESSAGE, TooManyRequestsError
from api.request_body import describe_body_limit
from stafett.bulk.request_messages import describe_issue
from stafett.column_mapper.issues import InvalidMappingError
from stafett.domain.errors import (
    AlreadyCorrectedError,
    AlreadyExistsError,
    ExportError,
    FileRemovedError,
    HandedInError,
    IdempotencyKeyReusedError,
    InvalidFieldError,
    InvalidPayloadsError,
    InvalidRequestError,
    InvalidStateError,
    LastAdminError,
    NoFileError,
    NotFinishedError,
    NotFoundError,
    OverlappingActivityError,
    PermissionDeniedError,
    PreconditionFailedError,
    PreconditionRequiredError,
    ReexportInProgressError,
    RequestIssue,
    ServiceUnavailableError,
    SnapshotGoneError,
    StafettError,
    TooManyWebhooksError,
    UnauthenticatedError,
)
from stafett.domain.export import Locale
from stafett.domain.export_status import ExportErrorCode
from stafett.domain.frozen import FrozenModel
from stafett.monitoring.logs import error_location

MEDIA_TYPE = "application/problem+json"
_RETRY_AFTER_SECONDS = 5
_ANY_ID = str(UUID(int=0))
_MAX_SEGMENTS = 10  # more than any route has: the search takes time for each
_METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")
_log = structlog.get_logger("stafett.api")


class Problem(FrozenModel):
    """The body of every error response."""

    type: str = Field(description="URN of the kind of problem: `urn:stafett:problem:` and the code.")
    title: str = Field(description="Name of the HTTP status.")
    status: int = Field(description="HTTP status of the response.")
    detail: str = Field(description="Explanation for people.")
    instance: str = Field(description="Path of the request.")
    code: str = Field(description="Stable code for programs. A code never changes its meaning.")
    retryable: bool = Field(description="Whether the same request can succeed later. See `Retry-After`.")
    trace_id: str = Field(description="Id of the request in the logs, as in `X-Request-ID`.")
    errors: tuple[FieldError, ...] = Field((), description="The invalid fields, if the problem is about fields.")
    reexport_id: UUID | None = Field(
        None,
        exclude_if=lambda value: value is None,
        description="Only with `reexport_in_progress`: the id of the running re-export.",
    )
    batch_id: UUID | None = Field(
        None,
        exclude_if=lambda value: value is None,
        description="Only with `already_corrected`: the id of the batch that corrects it.",
    )


_INVALID_JSON = FieldError(pointer="", code="json_invalid", detail=INVALID_JSON_DETAIL)


@dataclass(frozen=True)
class ProblemSpec:
    """A problem without its request: ``detail`` is the general text, which an error's own message replaces."""

    status: HTTPStatus
    code: str
    detail: str
    errors: tuple[FieldError, ...] = ()
    headers: Mapping[str, str] = field(default_factory=dict)
    reexport_id: UUID | None = None
    batch_id: UUID | None = None

    @property
    def is_retryable(self) -> bool:
        """Whether the same request can succeed later."""
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
            batch_id=self.batch_id,
        )


INVALID_REQUEST = ProblemSpec(HTTPStatus.UNPROCESSABLE_ENTITY, "invalid_request", "The request is not valid.")
INTERNAL_ERROR = ProblemSpec(HTTPStatus.INTERNAL_SERVER_ERROR, "internal", "An unexpected error occurred.")
TOO_MANY_REQUESTS = ProblemSpec(HTTPStatus.TOO_MANY_REQUESTS, "too_many_requests", TOO_MANY_REQUESTS_MESSAGE)
MAX_BODY_BYTES = 8 * 1024 * 1024
BODY_TOO_LARGE = ProblemSpec(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "body_too_large", describe_body_limit(MAX_BODY_BYTES))
AMBIGUOUS_BODY_LENGTH = ProblemSpec(
    HTTPStatus.BAD_REQUEST, "bad_request", "A request has either Content-Length or Transfer-Encoding, not both."
)
UNSUPPORTED_CONTENT_ENCODING = ProblemSpec(
    HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
    "unsupported_media_type",
    "The body has a Content-Encoding; send it without compression.",
    headers={"Accept-Encoding": "identity"},
)
METHOD_NOT_ALLOWED = ProblemSpec(
    HTTPStatus.METHOD_NOT_ALLOWED, "method_not_allowed", "The path does not support this method."
)
UNSUPPORTED_MEDIA_TYPE = ProblemSpec(
    HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
    "unsupported_media_type",
    "The body has no supported Content-Type. Send application/json; batches and imports may be text/csv.",
)
PROBLEMS: dict[type[StafettError], ProblemSpec] = {
    UnauthenticatedError: ProblemSpec(HTTPStatus.UNAUTHORIZED, "unauthenticated", "Missing or invalid bearer token."),
    PermissionDeniedError: ProblemSpec(
        HTTPStatus.FORBIDDEN, "permission_denied", "The caller is not allowed to do this."
    ),
    NotFoundError: ProblemSpec(HTTPStatus.NOT_FOUND, "not_found", "The resource does not exist."),
    NotFinishedError: ProblemSpec(HTTPStatus.CONFLICT, "not_finished", "The job has not finished."),
    NoFileError: ProblemSpec(HTTPStatus.CONFLICT, "no_file", "The job finished without a file."),
    FileRemovedError: ProblemSpec(HTTPStatus.GONE, "file_removed", "The file has been removed from storage."),
    SnapshotGoneError: ProblemSpec(
        HTTPStatus.GONE, "snapshot_gone", "The snapshot of this version is no longer stored."
    ),
    PreconditionFailedError: ProblemSpec(
        HTTPStatus.PRECONDITION_FAILED, "precondition_failed", "The resource was edited since the given entity tag."
    ),
    PreconditionRequiredError: ProblemSpec(
        HTTPStatus.PRECONDITION_REQUIRED, "precondition_required", "The If-Match header is required."
    ),
    InvalidStateError: ProblemSpec(
        HTTPStatus.CONFLICT, "wrong_state", "The job's status does not allow this operation."
    ),
    HandedInError: ProblemSpec(
        HTTPStatus.CONFLICT, "handed_in", "The file was handed in to Bufdir; its removal needs a confirmation."
    ),
    OverlappingActivityError: ProblemSpec(
        HTTPStatus.CONFLICT, "overlapping_activity", "The peer mentor has another activity at that time."
    ),
    ReexportInProgressError: ProblemSpec(
        HTTPStatus.CONFLICT, "reexport_in_progress", "A different re-export of this report is running."
    ),
    AlreadyCorrectedError: ProblemSpec(
        HTTPStatus.CONFLICT, "already_corrected", "Another batch corrects this batch already."
    ),
    InvalidMappingError: ProblemSpec(
        HTTPStatus.UNPROCESSABLE_ENTITY, "invalid_mapping", "The mapping document is not valid."
    ),
    InvalidPayloadsError: ProblemSpec(
        HTTPStatus.UNPROCESSABLE_ENTITY, "invalid_payloads", "The body is not a set of payloads that can be decoded."
    ),
    IdempotencyKeyReusedError: ProblemSpec(
        HTTPStatus.UNPROCESSABLE_ENTITY,
        "idempotency_key_reused",
        "The idempotency key was used with a different request body.",
    ),
    LastAdminError: ProblemSpec(HTTPStatus.CONFLICT, "last_admin", "An organisation keeps at least one administrator."),
    AlreadyExistsError: ProblemSpec(HTTPStatus.CONFLICT, "already_exists", "The resource exists already."),
    TooManyWebhooksError: ProblemSpec(
        HTTPStatus.CONFLICT, "too_many_webhooks", "The organisation has the maximum number of webhooks."
    ),
    ServiceUnavailableError: ProblemSpec(
        HTTPStatus.SERVICE_UNAVAILABLE, "service_unavailable", "A required service is unavailable."
    ),
}
EXPORT_PROBLEMS: dict[ExportErrorCode, ProblemSpec] = {
    code: ProblemSpec(HTTPStatus.CONFLICT, code, detail)
    for code, detail in {
        ExportErrorCode.COLUMN_MAPPING_UNAVAILABLE: "The organisation's column mapping cannot be used.",
        ExportErrorCode.QUERY_FAILED: "The activities could not be queried.",
    }.items()
}
_OMITTED_ERRORS: Mapping[Locale, str] = {
    "nb": "{number} feil til er ikke listet opp.",
    "nn": "{number} feil til er ikkje lista opp.",
    "en": "{number} more errors are not listed.",
}
_TRANSLATED_DETAILS: Mapping[type[StafettError], Mapping[Locale, str]] = {
    InvalidRequestError: {"nb": "Forespørselen er ikke gyldig.", "nn": "Førespurnaden er ikkje gyldig."},
    IdempotencyKeyReusedError: {
        "nb": "Denne idempotensnøkkelen er brukt for en annen forespørsel.",
        "nn": "Denne idempotensnøkkelen er brukt for ein annan førespurnad.",
    },
}
"""Details of problems of routes that have messages in the client's language."""

_ADVICE: Mapping[type[StafettError], Sequence[str]] = {
    HandedInError: ["To confirm it, repeat the request with the query parameter confirm=handed_in."],
}
"""What a client can do, for errors that know no HTTP."""

HTTP_PROBLEMS = {
    spec.status: spec for spec in (PROBLEMS[NotFoundError], METHOD_NOT_ALLOWED, BODY_TOO_LARGE, UNSUPPORTED_MEDIA_TYPE)
}
"""Problems that Starlette and FastAPI raise as ``HTTPException``."""


def render_problem(request: Request, spec: ProblemSpec) -> JSONResponse:
    """Render a problem response with the headers that its status requires."""
    headers = dict(spec.headers)
    problem = spec.to_problem(request.scope["path"], trace_id=request.scope.get("request_id", ""))
    if spec.status is HTTPStatus.UNAUTHORIZED:
        headers["WWW-Authenticate"] = "Bearer"
    if spec.is_retryable:
        headers.setdefault("Retry-After", str(_RETRY_AFTER_SECONDS))
    return JSONResponse(problem.model_dump(mode="json"), spec.status, headers=headers, media_type=MEDIA_TYPE)


def render_internal_error(request: Request, error: Exception) -> JSONResponse:
    """Log an unexpected error by its class and location, never by its message, and answer 500."""
    _log.error("request_failed", error=type(error).__name__, location=error_location(error), path=request.scope["path"])
    return render_problem(request, INTERNAL_ERROR)


def register_exception_handlers(app: FastAPI) -> None:
    """Render every expected error as a problem; ``RequestContextMiddleware`` handles unexpected ones."""
    app.add_exception_handler(StafettError, _handle_domain_error)
    app.add_exception_handler(ExportError, _handle_export_error)
    app.add_exception_handler(InvalidMappingError, _handle_invalid_mapping)
    app.add_exception_handler(InvalidFieldError, _handle_invalid_field)
    app.add_exception_handler(ReexportInProgressError, _handle_reexport_in_progress)
    app.add_exception_handler(AlreadyCorrectedError, _handle_already_corrected)
    app.add_exception_handler(InvalidRequestError, _handle_invalid_request)
    app.add_exception_handler(TooManyRequestsError, _handle_rate_limit)
    app.add_exception_handler(RequestValidationError, _handle_validation_error)
    app.add_exception_handler(HTTPException, _handle_http_error)


def _render_field_errors(
    request: Request, spec: ProblemSpec, errors: Sequence[FieldError], omitted: int = 0, language: Locale = "en"
) -> JSONResponse:
    """Render at most ``MAX_ERRORS`` errors; the problem's detail has the number of the others."""
    omitted += max(0, len(errors) - MAX_ERRORS)
    detail = f"{spec.detail} {_OMITTED_ERRORS[language].format(number=omitted)}" if omitted else spec.detail
    return render_problem(request, replace(spec, detail=detail, errors=tuple(errors[:MAX_ERRORS])))


def _render_issues(request: Request, issues: Sequence[RequestIssue], omitted: int = 0) -> JSONResponse:
    """Render issues with a request in the client's language, if the route has messages in it.

    Issues with lines of a file always are.
    """
    spec, language = INVALID_REQUEST, choose_language(request)
    has_language, is_file = is_translated(request), any(issue.pointer.startswith("line:") for issue in issues)
    if has_language or is_file:
        spec = replace(spec, headers=VARY_BY_LANGUAGE)
    errors = [
        create_field_error(
            issue.pointer, issue.code, describe_issue(issue, language) if has_language or is_file else issue.detail
        )
        for issue in issues[:MAX_ERRORS]
    ]
    omitted += len(issues) - len(errors)
    if not has_language:
        return _render_field_errors(request, spec, errors, omitted)
    spec = replace(spec, detail=_TRANSLATED_DETAILS[InvalidRequestError].get(language, spec.detail))
    return _render_field_errors(request, spec, errors, omitted, language)


async def _handle_domain_error(request: Request, error: Any) -> JSONResponse:
    if type(error) not in PROBLEMS:
        return render_internal_error(request, error)
    spec = replace(PROBLEMS[type(error)], detail=" ".join([str(error), *_ADVICE.get(type(error), ())]))
    if type(error) in _TRANSLATED_DETAILS and is_translated(request):
        detail = _TRANSLATED_DETAILS[type(error)].get(choose_language(request), spec.detail)
        spec = replace(spec, detail=detail, headers=VARY_BY_LANGUAGE)
    return render_problem(request, spec)


async def _handle_export_error(request: Request, error: Any) -> JSONResponse:
    return render_problem(request, ProblemSpec(HTTPStatus.CONFLICT, error.code, str(error)))


async def _handle_invalid_mapping(request: Request, error: Any) -> JSONResponse:
    errors = [create_field_error(**issue.model_dump()) for issue in error.issues]
    return _render_field_errors(request, PROBLEMS[InvalidMappingError], errors)


async def _handle_invalid_request(request: Request, error: Any) -> JSONResponse:
    return _render_issues(request, error.issues)


async def _handle_invalid_field(request: Request, error: Any) -> JSONResponse:
    field_error = FieldError(pointer=f"/{error.field}", code=error.code, detail=str(error))
    return render_problem(request, replace(INVALID_REQUEST, errors=(field_error,)))


async def _handle_reexport_in_progress(request: Request, error: Any) -> JSONResponse:
    spec = PROBLEMS[ReexportInProgressError]
    return render_problem(request, replace(spec, detail=str(error), reexport_id=error.running_id))


async def _handle_already_corrected(request: Request, error: Any) -> JSONResponse:
    spec = PROBLEMS[AlreadyCorrectedError]
    return render_problem(request, replace(spec, detail=str(error), batch_id=error.correction_id))


async def _handle_rate_limit(request: Request, error: Any) -> JSONResponse:
    headers = {"Retry-After": str(error.retry_after_seconds)}
    return render_problem(request, replace(TOO_MANY_REQUESTS, detail=str(error), headers=headers))


async def _handle_validation_error(request: Request, error: Any) -> JSONResponse:
    issues = error.errors()
    if any(issue["loc"][0] == "path" for issue in issues):  # ids are opaque, so a malformed one is unknown
        return render_problem(request, PROBLEMS[NotFoundError])
    omitted = max(0, len(issues) - MAX_ERRORS) + getattr(error, "omitted", 0)
    described = [issue_from_validation(issue, error.body) for issue in issues[:MAX_ERRORS]]
    return _render_issues(request, described, omitted)


async def _handle_http_error(request: Request, error: Any) -> JSONResponse:
    status = HTTPStatus(error.status_code)
    if status is HTTPStatus.BAD_REQUEST:  # a body that FastAPI could not decode
        return render_problem(request, replace(INVALID_REQUEST, errors=(_INVALID_JSON,)))
    spec = HTTP_PROBLEMS.get(status) or ProblemSpec(status, "bad_request", status.description or status.phrase)
    if status is HTTPStatus.REQUEST_ENTITY_TOO_LARGE and error.detail != status.phrase:
        spec = replace(spec, detail=error.detail)  # the limit of a route
    headers = dict(error.headers or {})
    if status is HTTPStatus.NOT_FOUND and _lacks_id(request):
        spec = replace(spec, detail=f"{spec.detail} Its path has something else where an id belongs, which is a UUID.")
    if status is HTTPStatus.METHOD_NOT_ALLOWED:
        headers["Allow"] = ", ".join(sorted(_find_allowed_methods(request)))
    return render_problem(request, replace(spec, headers=headers))


def _find_allowed_methods(request: Request) -> set[str]:
    """Collect the methods of every route of the path; Starlette's own ``Allow`` has those of one route only."""
    scopes = ({**request.scope, "method": method} for method in _METHODS)
    return {
        scope["method"] for scope in scopes for route in request.app.routes if route.matches(scope)[0] is Match.FULL
    }


def _lacks_id(request: Request) -> bool:
    """Return whether the path of an unknown resource would match a route if one of its segments were an id."""
    segments = request.scope["path"].split("/")
    if len(segments) > _MAX_SEGMENTS:
        return False
    paths = ("/".join([*segments[:index], _ANY_ID, *segments[index + 1 :]]) for index in range(len(segments)))
    scopes = [{**request.scope, "path": path} for path in paths]
    return any(route.matches(scope)[0] is not Match.NONE for scope in scopes for route in request.app.routes)
