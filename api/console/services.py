"""What the console's routes use, created with the application."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Annotated
from urllib.parse import quote

from fastapi import Depends, Request

from api.console.cookies import SecretCookie
from api.console.openid import OpenIDProvider
from stafett.database.session import Database
from stafett.people.sessions import LOGIN_TIMEOUT, LoginAttempts, SessionLifetime, SessionService
from stafett.settings import Settings, TemporalSettings

CONSOLE_PATH = "/console"
EXPORTS_PATH, BULK_PATH = f"{CONSOLE_PATH}/exports", f"{CONSOLE_PATH}/bulk"
REPORTS_PATH, REEXPORTS_PATH = f"{CONSOLE_PATH}/reports", f"{CONSOLE_PATH}/reexports"
ADMIN_PATH, MENTORS_PATH = f"{CONSOLE_PATH}/admin", f"{CONSOLE_PATH}/mentors"
ACTIVITIES_PATH = f"{CONSOLE_PATH}/activities"
NOTIFICATIONS_PATH = f"{CONSOLE_PATH}/notifications"
CALLBACK_PATH, LOGIN_PATH = f"{CONSOLE_PATH}/callback", f"{CONSOLE_PATH}/login"


@dataclass(frozen=True)
class ConsoleServices:
    """The services of sign-in; those of the jobs are the API's own."""

    origin: str
    """Scheme, host and port at which browsers reach the console, without a path."""
    providers: dict[str, OpenIDProvider]
    login_attempts: LoginAttempts
    sessions: SessionService
    session_cookie: SecretCookie
    login_cookie: SecretCookie
    temporal_runs_url: str | None
    """Where Temporal's Web UI has the pages of runs, without the id of a workflow."""


def create_console_services(all_settings: Settings, database: Database) -> ConsoleServices:
    settings = all_settings.sign_in
    origin = str(settings.public_url).rstrip("/")
    lifetime = SessionLifetime(timedelta(minutes=settings.idle_minutes), timedelta(hours=settings.session_hours))
    return ConsoleServices(
        origin=origin,
        providers={
            name: OpenIDProvider(name, issuer, f"{origin}{CALLBACK_PATH}", settings.leeway_seconds)
            for name, issuer in settings.issuers.items()
        },
        login_attempts=LoginAttempts(database),
        sessions=SessionService(database, lifetime),
        session_cookie=SecretCookie("stafett", origin, lifetime.absolute),
        login_cookie=SecretCookie("stafett-login", origin, LOGIN_TIMEOUT),
        temporal_runs_url=_format_runs_url(all_settings.temporal),
    )


def _format_runs_url(settings: TemporalSettings) -> str | None:
    if settings.ui_url is None:
        return None
    return f"{str(settings.ui_url).rstrip('/')}/namespaces/{quote(settings.namespace, safe='')}/workflows"


def get_console_services(request: Request) -> ConsoleServices:
    services: ConsoleServices = request.app.state.console
    return services


ConsoleServicesDep = Annotated[ConsoleServices, Depends(get_console_services)]
