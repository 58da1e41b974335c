"""Protection of the console against other sites: where a request comes from, form tokens and response headers."""

import hmac
from collections.abc import AsyncIterator, Mapping
from http import HTTPStatus
from typing import Annotated, NamedTuple
from urllib.parse import urlsplit

from fastapi import Depends, Request
from starlette.datastructures import FormData, UploadFile
from starlette.exceptions import HTTPException

from api.console.services import get_console_services
from api.console.sessions import ConsoleSession, SignedInSession
from api.problems import MAX_BODY_BYTES
from stafett.domain.errors import StafettError

FORM_TOKEN_FIELD = "form_token"  # noqa: S105 - the name of the field
_SAFE_METHODS = frozenset({"GET", "HEAD"})
_FORM_CONTENT_TYPE, _UPLOAD_CONTENT_TYPE = "application/x-www-form-urlencoded", "multipart/form-data"
_MAX_FORM_BYTES = 512 * 1024
"""Enough for the ids of all peer mentors of the largest batch."""
_MAX_FORM_FIELDS = 1000


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


class UploadedForm(NamedTuple):
    """The fields of a form and its file, None if the user has chosen none."""

    fields: Mapping[str, str]
    file: UploadFile | None


async def read_form_data(request: Request, session: SignedInSession) -> FormData:
    """Read a form that a page of this session contains, with all values of fields that it repeats."""
    return await _parse_form(request, session, _FORM_CONTENT_TYPE)


async def read_form(form: Annotated[FormData, Depends(read_form_data)]) -> Mapping[str, str]:
    """Read the fields of a form; of a repeated field, the last value."""
    return _to_fields(form)


async def read_upload(request: Request, session: SignedInSession) -> AsyncIterator[UploadedForm]:
    """Read a form with a file, which is closed after the response."""
    form = await _parse_form(request, session, _UPLOAD_CONTENT_TYPE, max_files=1, max_field_bytes=MAX_BODY_BYTES)
    file = form.get("file")
    try:
        yield UploadedForm(_to_fields(form), file if isinstance(file, UploadFile) and file.size else None)
    finally:
        await form.close()


async def _parse_form(
    request: Request,
    session: SignedInSession,
    content_type: str,
    *,
    max_files: int = 0,
    max_field_bytes: int = _MAX_FORM_BYTES,
) -> FormData:
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != content_type:
        raise HTTPException(HTTPStatus.UNSUPPORTED_MEDIA_TYPE)
    try:
        form = await request.form(max_files=max_files, max_fields=_MAX_FORM_FIELDS, max_part_size=max_field_bytes)
    except HTTPException as error:
        if "maximum size" in error.detail:  # Starlette's words for a field that is too large, which has no type
            raise HTTPException(HTTPStatus.REQUEST_ENTITY_TOO_LARGE) from None
        raise
    if not hmac.compare_digest(_to_fields(form).get(FORM_TOKEN_FIELD, "").encode(), session.form_token.encode()):
        await form.close()
        raise CrossSiteRequestError
    return form


def _to_fields(form: FormData) -> Mapping[str, str]:
    return {name: value for name, value in form.items() if isinstance(value, str)}


SessionFormData = Annotated[FormData, Depends(read_form_data)]
SessionUpload = Annotated[UploadedForm, Depends(read_upload)]
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
        "script-src 'self'",
        "connect-src 'self'",
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
