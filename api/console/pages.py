"""Renders the console's pages from Jinja templates."""

from datetime import datetime
from http import HTTPStatus
from zoneinfo import ZoneInfo

from fastapi import Request
from fastapi.responses import HTMLResponse
from jinja2 import Environment, PackageLoader, StrictUndefined

from api.console.security import FORM_TOKEN_FIELD, create_page_headers
from api.console.sessions import ConsoleSession
from api.console.texts import text

_OSLO = ZoneInfo("Europe/Oslo")


def format_time(time: datetime) -> str:
    return time.astimezone(_OSLO).strftime("%Y-%m-%d %H:%M")


def _create_environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("api.console"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals.update(text=text, form_token_field=FORM_TOKEN_FIELD)
    environment.filters["time"] = format_time
    return environment


_ENVIRONMENT = _create_environment()


def render_page(
    request: Request,
    template: str,
    *,
    session: ConsoleSession | None = None,
    status: HTTPStatus = HTTPStatus.OK,
    **values: object,
) -> HTMLResponse:
    """Render a template. It knows the session, if the user is signed in, for the navigation and for form tokens."""
    request_id = request.scope.get("request_id", "")
    html = _ENVIRONMENT.get_template(template).render(session=session, request_id=request_id, **values)
    return HTMLResponse(html, status, headers=create_page_headers(session))
