"""Protection of the console against other sites: where a request comes from, form tokens and response headers."""

import hmac
from collections.abc import Mapping
from http import HTTPStatus
from typing import Annotated
from urllib.parse import urlsplit

from fastapi import Depends, Request
from starlette.exceptions import HTTPException

from api.console.services import get_console_services
from api.console.sessions import ConsoleSession, SignedInSession
from stafett.domain.errors import StafettError

FORM_TOKEN_FIELD = "form_token"  # noqa: S105 - the name of the field
_SAFE_METHODS = frozenset({"GET", "HEAD"})
_FORM_CONTENT_TYPE = "application/x-www-form-urlencoded"
_MAX_FORM_BYTES = 64 * 1024
_MAX_FORM_FIELDS = 100


class CrossSiteRequestError(StafettError):
    """A request that changes state was not sent by a page of this session."""


async def check_request_source(request: Request) -> None:
    """Refuse requests to another host name, and requests of other sites that would change state.

    Every browser sends ``Origin`` with a form, and current ones ``Sec-Fetch-Site``. Each that is there must be right.
    """
    origin = get_console_services(request).origin
    if request.headers.get("host", "").lower() != urlsplit(origin).netloc:
        raise HTTPException(HTTPStatus.MISDIRECTED_REQUEST)
    if request.method in _SAFE_METHODS:
        return
    sources = {request.headers.get("origin", origin) == origin}
    sources.add(request.headers.get("sec-fetch-site", "same-origin") == "same-origin")
    if sources != {True} or not {"origin", "sec-fetch-site"} & set(request.headers.keys()):
        raise CrossSiteRequestError


async def read_form(request: Request, session: SignedInSession) -> Mapping[str, str]:
    """Read the fields of a form that a page of this session contains; of a repeated field, the last value."""
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != _FORM_CONTENT_TYPE:
        raise HTTPException(HTTPStatus.UNSUPPORTED_MEDIA_TYPE)
    form = await request.form(max_files=0, max_fields=_MAX_FORM_FIELDS, max_part_size=_MAX_FORM_BYTES)
    fields = {name: value for name, value in form.items() if isinstance(value, str)}
    if not hmac.compare_digest(fields.get(FORM_TOKEN_FIELD, "").encode(), session.form_token.encode()):
        raise CrossSiteRequestError
    return fields


SessionForm = Annotated[Mapping[str, str], Depends(read_form)]


def create_page_headers(session: ConsoleSession | None) -> dict[str, str]:
    """Return the headers of every page. Signing out redirects to the provider, which needs ``form-action``."""
    form_action = "'self'"
    if session is not None and session.row.logout_url is not None:
        logout_url = urlsplit(session.row.logout_url)
        form_action += f" {logout_url.scheme}://{logout_url.netloc}"
    directives = (
        "default-src 'none'",
        "style-src 'self'",
        "img-src 'self'",
        f"form-action {form_action}",
        "base-uri 'none'",
        "frame-ancestors 'none'",
    )
    return {
        "Content-Security-Policy": "; ".join(directives),
        "Cache-Control": "no-store",
        "Cross-Origin-Opener-Policy": "same-origin",
        "Referrer-Policy": "same-origin",  # with no-referrer, browsers would send `Origin: null` with forms
    }
