"""Errors of the console as pages, with the request id and without detail that could quote data."""

import re
from http import HTTPStatus
from typing import Any
from urllib.parse import quote, urlencode

import structlog
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import RedirectResponse
from starlette.exceptions import HTTPException

from api.console.forms import InvalidFormError
from api.console.languages import LANGUAGE_PARAMETER
from api.console.pages import render_page
from api.console.security import CrossSiteRequestError, create_page_headers
from api.console.services import BULK_PATH, CONSOLE_PATH, LOGIN_PATH, get_console_services
from api.console.sessions import OrganisationRequiredError, SignInRequiredError, find_session, get_loaded_session
from api.problems import PROBLEMS
from api.rate_limit import TooManyRequestsError
from stafett.domain.errors import (
    AlreadyCorrectedError,
    InvalidFieldError,
    InvalidRequestError,
    PreconditionFailedError,
    ServiceUnavailableError,
    SignInRefusedError,
    StafettError,
)

_log = structlog.get_logger("stafett.api")
_RETRY_AFTER_SECONDS = "60"
_NOT_A_MEMBER = frozenset({"unknown_user", "no_membership"})
_STATUSES_WITHOUT_ROUTE = frozenset({HTTPStatus.NOT_FOUND, HTTPStatus.METHOD_NOT_ALLOWED})
_OBJECT_PAGE = re.compile(rf"{CONSOLE_PATH}/(?:admin/)?[a-z]+/[0-9a-f-]{{36}}(?=/)", re.ASCII)


def register_error_pages(app: FastAPI) -> None:
    """Render every error as a page, or lead to the page at which the user can continue."""
    app.add_exception_handler(SignInRequiredError, _redirect_to_login)
    app.add_exception_handler(OrganisationRequiredError, _redirect_to_choice)
    app.add_exception_handler(SignInRefusedError, _handle_refused_sign_in)
    app.add_exception_handler(CrossSiteRequestError, _handle_cross_site_request)
    app.add_exception_handler(PreconditionFailedError, _handle_stale_form)
    app.add_exception_handler(ServiceUnavailableError, _handle_unavailable_service)
    app.add_exception_handler(AlreadyCorrectedError, _handle_already_corrected)
    app.add_exception_handler(StafettError, _handle_domain_error)
    app.add_exception_handler(TooManyRequestsError, _handle_rate_limit)
    app.add_exception_handler(RequestValidationError, _handle_invalid_request)
    for error in (InvalidFormError, InvalidFieldError, InvalidRequestError):
        app.add_exception_handler(error, _handle_invalid_field)
    app.add_exception_handler(HTTPException, _handle_http_error)
    app.add_exception_handler(Exception, _handle_unexpected_error)


def render_error(
    request: Request,
    status: HTTPStatus,
    *,
    reason: str | None = None,
    service: str | None = None,
    back: str | None = None,
) -> Response:
    """Render what happened, whose fault it is and what to do next, with a link to the page of the object concerned.

    The page has the menu if the session was found before the error.
    """
    page = _OBJECT_PAGE.match(request.scope["path"])
    return render_page(
        request,
        "error.html",
        session=get_loaded_session(request),
        status=status,
        code=status.value,
        reason=reason,
        service=service,
        back=back or (page[0] if page and status is not HTTPStatus.NOT_FOUND else None),
    )


def redirect(request: Request, path: str) -> Response:
    """Redirect to a path of the console, whatever host the request names."""
    url = get_console_services(request).origin + path
    return RedirectResponse(url, HTTPStatus.SEE_OTHER, headers=create_page_headers(None))


async def _redirect_to_login(request: Request, _error: Any) -> Response:
    response = redirect(request, _with_return_path(request, LOGIN_PATH))
    get_console_services(request).session_cookie.delete(response)
    return response


async def _redirect_to_choice(request: Request, _error: Any) -> Response:
    return redirect(request, _with_return_path(request, f"{CONSOLE_PATH}/organisation"))


def _with_return_path(request: Request, path: str) -> str:
    """Let the page lead back to the requested one; a form that was sent cannot be repeated."""
    if request.method != "GET":
        return path
    query = f"?{request.url.query}" if request.url.query else ""
    parameters = {"next": quote(request.scope["path"]) + query}
    if LANGUAGE_PARAMETER in request.query_params:
        parameters[LANGUAGE_PARAMETER] = request.query_params[LANGUAGE_PARAMETER]
    return f"{path}?{urlencode(parameters)}"


async def _handle_refused_sign_in(request: Request, error: Any) -> Response:
    _log.warning("sign_in_refused", reason=error.reason)
    if error.reason in _NOT_A_MEMBER:
        return render_error(request, HTTPStatus.FORBIDDEN, reason="unknown_user")
    return render_error(request, HTTPStatus.BAD_REQUEST, reason="sign_in")


async def _handle_cross_site_request(request: Request, _error: Any) -> Response:
    return render_error(request, HTTPStatus.FORBIDDEN, reason="cross_site")


async def _handle_stale_form(request: Request, _error: Any) -> Response:
    return render_error(request, HTTPStatus.CONFLICT, reason="stale")


async def _handle_unavailable_service(request: Request, error: Any) -> Response:
    response = render_error(request, HTTPStatus.SERVICE_UNAVAILABLE, service=error.service)
    response.headers["Retry-After"] = _RETRY_AFTER_SECONDS
    return response


async def _handle_already_corrected(request: Request, error: Any) -> Response:
    back = f"{BULK_PATH}/{error.correction_id}"
    return render_error(request, HTTPStatus.CONFLICT, reason="already_corrected", back=back)


async def _handle_domain_error(request: Request, error: Any) -> Response:
    if type(error) not in PROBLEMS:
        raise error
    return render_error(request, PROBLEMS[type(error)].status)


async def _handle_rate_limit(request: Request, error: Any) -> Response:
    response = render_error(request, HTTPStatus.TOO_MANY_REQUESTS)
    response.headers["Retry-After"] = str(error.retry_after_seconds)
    return response


async def _handle_invalid_request(request: Request, error: Any) -> Response:
    if any(issue["loc"][0] == "path" for issue in error.errors()):  # ids are opaque, so a malformed one is unknown
        return render_error(request, HTTPStatus.NOT_FOUND)
    return render_error(request, HTTPStatus.UNPROCESSABLE_ENTITY)


async def _handle_invalid_field(request: Request, _error: Any) -> Response:
    return render_error(request, HTTPStatus.UNPROCESSABLE_ENTITY)


async def _handle_http_error(request: Request, error: Any) -> Response:
    if error.status_code in _STATUSES_WITHOUT_ROUTE:
        await find_session(request)
    response = render_error(request, HTTPStatus(error.status_code))
    response.headers.update(error.headers or {})
    return response


async def _handle_unexpected_error(request: Request, _error: Any) -> Response:
    """Render the page only: Starlette raises the error again, and ``RequestContextMiddleware`` logs it."""
    return render_error(request, HTTPStatus.INTERNAL_SERVER_ERROR)
