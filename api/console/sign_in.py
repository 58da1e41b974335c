"""Signing in and out, the choice of an organisation, and the list of the user's own sessions."""

import re
from http import HTTPStatus
from typing import Annotated
from urllib.parse import unquote
from uuid import UUID

import structlog
from fastapi import APIRouter, Query, Request, Response

from api.concurrency import run_in_threadpool
from api.console.errors import redirect
from api.console.languages import get_remembered_language
from api.console.openid import to_error_code
from api.console.pages import render_page
from api.console.security import SessionForm, create_page_headers
from api.console.services import CALLBACK_PATH, CONSOLE_PATH, LOGIN_PATH, ConsoleServicesDep
from api.console.sessions import SignedInSession
from stafett.domain.errors import NotFoundError, PermissionDeniedError, SignInRefusedError
from stafett.people.sessions import MAX_RETURN_PATH_LENGTH, create_secret

router = APIRouter()
_RETURN_PATH = re.compile(r"/console(?:[/?][!-\[\]-~]*)?", re.ASCII)  # visible ASCII without a backslash
_OPERATOR_CHOICE = ""
_log = structlog.get_logger("stafett.api")

ReturnPath = Annotated[str, Query(alias="next")]


def to_return_path(path: str) -> str:
    """Return the path if it is one of the console's, and otherwise the console's start: no other site may be named."""
    is_valid = _RETURN_PATH.fullmatch(path) is not None and len(path) <= MAX_RETURN_PATH_LENGTH
    leaves_console = not {".", ".."}.isdisjoint(unquote(path.partition("?")[0]).split("/"))
    return path if is_valid and not leaves_console else CONSOLE_PATH


@router.get("/")
async def lead_to_console(request: Request) -> Response:
    return redirect(request, CONSOLE_PATH)


@router.get(LOGIN_PATH)
async def show_login(
    request: Request,
    console: ConsoleServicesDep,
    *,
    return_path: ReturnPath = CONSOLE_PATH,
    signed_out: Annotated[bool, Query()] = False,
) -> Response:
    providers = list(console.providers.values())
    return_path = to_return_path(return_path)
    return render_page(request, "login.html", providers=providers, return_path=return_path, signed_out=signed_out)


@router.get(f"{LOGIN_PATH}/{{provider_name}}")
async def start_login(
    request: Request, console: ConsoleServicesDep, provider_name: str, return_path: ReturnPath = CONSOLE_PATH
) -> Response:
    """Send the browser to the provider."""
    provider = console.providers.get(provider_name)
    if provider is None:
        raise NotFoundError("There is no such provider.")
    browser_secret = console.login_cookie.read(request) or create_secret()
    start = console.login_attempts.start
    state, attempt = await run_in_threadpool(start, provider.name, browser_secret, to_return_path(return_path))
    url = await provider.run(provider.create_authorization_url, state, attempt)
    response = Response(status_code=HTTPStatus.SEE_OTHER, headers={"Location": url} | create_page_headers(None))
    console.login_cookie.set(response, browser_secret)
    return response


@router.get(CALLBACK_PATH)
async def complete_login(request: Request, console: ConsoleServicesDep) -> Response:
    """Verify the provider's response and open a session. Every sign-in gets a new secret, whatever cookie was there."""
    parameters = _read_response(request)
    state, browser_secret = parameters.get("state"), console.login_cookie.read(request)
    if state is None or browser_secret is None:
        raise SignInRefusedError("no_login_attempt")
    attempt = await run_in_threadpool(console.login_attempts.take, state, browser_secret)
    provider, code = console.providers.get(attempt.provider), parameters.get("code")
    if provider is None:
        raise SignInRefusedError("no_login_attempt")
    if "error" in parameters or code is None:
        _log.warning("sign_in_failed_at_provider", provider=provider.name, error=to_error_code(parameters.get("error")))
        raise SignInRefusedError("provider_error")
    sign_in = await provider.run(provider.verify_response, attempt, code, parameters.get("iss"))
    browser, replaced = request.headers.get("user-agent", ""), console.session_cookie.read(request)
    language = get_remembered_language(request)
    secret = await run_in_threadpool(console.sessions.open, sign_in, browser, replaced, language)
    response = redirect(request, attempt.return_path)
    console.session_cookie.set(response, secret)
    return response


def _read_response(request: Request) -> dict[str, str]:
    """Read the parameters of the provider's response, of which none may be given twice."""
    items = request.query_params.multi_items()
    parameters = dict(items)
    if len(parameters) != len(items):
        raise SignInRefusedError("ambiguous_response")
    return parameters


@router.post(f"{CONSOLE_PATH}/logout")
async def log_out(
    request: Request, session: SignedInSession, _form: SessionForm, console: ConsoleServicesDep
) -> Response:
    """End the session here, and send the browser to the provider to end its session there."""
    await run_in_threadpool(console.sessions.close, session.secret)
    signed_out_path = f"{LOGIN_PATH}?signed_out=true"
    response = redirect(request, signed_out_path)
    if session.row.logout_url is not None:
        response.headers["Location"] = session.provider.create_logout_url(
            session.row.logout_url, session.row.id_token, console.origin + signed_out_path
        )
    console.session_cookie.delete(response)
    return response


@router.get(f"{CONSOLE_PATH}/organisation")
async def show_choices(
    request: Request, session: SignedInSession, console: ConsoleServicesDep, return_path: ReturnPath = CONSOLE_PATH
) -> Response:
    choices = await run_in_threadpool(console.sessions.list_choices, session.user_id, session.provider.organisations)
    return render_page(
        request, "organisation.html", session=session, choices=choices, return_path=to_return_path(return_path)
    )


@router.post(f"{CONSOLE_PATH}/organisation")
async def choose_organisation(
    request: Request, session: SignedInSession, form: SessionForm, console: ConsoleServicesDep
) -> Response:
    org_id = form.get("organisation", _OPERATOR_CHOICE) or None
    await run_in_threadpool(console.sessions.choose, session.row, org_id, session.provider.organisations)
    return redirect(request, to_return_path(form.get("next", CONSOLE_PATH)))


@router.get(f"{CONSOLE_PATH}/sessions")
async def show_sessions(request: Request, session: SignedInSession, console: ConsoleServicesDep) -> Response:
    rows = await run_in_threadpool(console.sessions.list, session.user_id)
    return render_page(request, "sessions.html", session=session, rows=rows)


@router.post(f"{CONSOLE_PATH}/sessions")
async def revoke_sessions(
    request: Request, session: SignedInSession, form: SessionForm, console: ConsoleServicesDep
) -> Response:
    """End the session that the form names, or without a name all but this one."""
    revoked = form.get("session")
    if revoked is None:
        await run_in_threadpool(console.sessions.revoke_others, session.user_id, session.row.id)
    else:
        await run_in_threadpool(console.sessions.revoke, session.user_id, _parse_id(revoked))
    return redirect(request, f"{CONSOLE_PATH}/sessions")


def _parse_id(value: str) -> UUID:
    try:
        return UUID(value)
    except ValueError:
        raise PermissionDeniedError("The session is not one of yours.") from None
