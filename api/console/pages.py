"""Renders the console's pages from Jinja templates, in the language of the browser."""

import re
from collections.abc import Callable
from datetime import timedelta
from http import HTTPStatus

from fastapi import Request
from fastapi.responses import HTMLResponse

from api.console.languages import (
    LANGUAGE_COOKIE,
    LANGUAGE_PARAMETER,
    choose_language,
    get_environment,
    list_languages,
)
from api.console.security import FORM_TOKEN_FIELD, create_page_headers
from api.console.services import CONSOLE_PATH, get_console_services
from api.console.sessions import ActiveSession, ConsoleSession
from stafett.domain.membership import Permission

_CONTROL_CHARACTERS = re.compile(r"[\x00-\x08\x0b\x0e-\x1f]")
"""Characters that a user can send, but that HTML does not admit."""

_LANGUAGE_MAX_AGE = int(timedelta(days=365).total_seconds())


def render_page(
    request: Request,
    template: str,
    *,
    session: ConsoleSession | None = None,
    status: HTTPStatus = HTTPStatus.OK,
    address: str | None = None,
    **values: object,
) -> HTMLResponse:
    """Render a template. It knows the session, if the user is signed in, for the menu and for form tokens.

    A page that answers a form names the ``address`` at which the browser can get it in another language.
    """
    language, path = choose_language(request), request.scope["path"]
    if address is None:
        address = path if request.method in {"GET", "HEAD"} else CONSOLE_PATH
    context = {
        "session": session,
        "request_id": request.scope.get("request_id", ""),
        "language": language,
        "languages": list_languages(request, address),
        "current_path": path,
        "form_token_field": FORM_TOKEN_FIELD,
        "allows": _create_permission_check(session),
    }
    html = get_environment(language).get_template(template).render(context | values)
    response = HTMLResponse(_CONTROL_CHARACTERS.sub("", html), status, headers=create_page_headers(session))
    if request.query_params.get(LANGUAGE_PARAMETER) == language:
        is_secure = get_console_services(request).origin.startswith("https:")
        response.set_cookie(
            LANGUAGE_COOKIE, language, _LANGUAGE_MAX_AGE, secure=is_secure, httponly=True, samesite="lax"
        )
    return response


def _create_permission_check(session: ConsoleSession | None) -> Callable[[str], bool]:
    """Return a function that decides for templates whether to offer something. The services decide what is allowed."""

    def allows(permission: str) -> bool:
        return isinstance(session, ActiveSession) and session.caller.has_permission(Permission(permission))

    return allows
