"""The console as an application of its own beside the API, with pages for its errors and without bearer tokens."""

from fastapi import Depends, FastAPI
from starlette.types import ASGIApp, Receive, Scope, Send

from api.console import (
    activities,
    administration,
    api_keys,
    assets,
    audit,
    bulk,
    exports,
    mapping_drafts,
    mappings,
    members,
    mentor_import,
    mentors,
    new_batches,
    new_reports,
    new_versions,
    notifications,
    operator,
    reexports,
    reports,
    sign_in,
    start,
    webhooks,
)
from api.console.errors import register_error_pages
from api.console.security import check_request_source
from api.console.services import CONSOLE_PATH, create_console_services
from api.console.sessions import admit_unauthenticated
from stafett.database.session import Database
from stafett.settings import Settings
from stafett.version import VERSION

ROUTE_MODULES = (
    *(sign_in, assets, start),
    *(new_reports, exports, reports, new_versions, reexports, new_batches, bulk, activities, audit, operator),
    *(mentor_import, mentors, administration, members, api_keys, webhooks, notifications, mapping_drafts, mappings),
)


def create_console(settings: Settings, database: Database) -> FastAPI:
    """Create the console. The API's lifespan gives it the services that both use."""
    console = FastAPI(
        title="Stafett console",
        version=VERSION,
        openapi_url=None,
        redirect_slashes=False,
        dependencies=[Depends(check_request_source), Depends(admit_unauthenticated)],
    )
    console.state.console = create_console_services(settings, database)
    register_error_pages(console)
    for module in ROUTE_MODULES:
        console.include_router(module.router)
    return console


class ConsoleMiddleware:
    """Passes the requests for the console's paths to the console, and all others to the API."""

    def __init__(self, app: ASGIApp, console: ASGIApp) -> None:
        self._app = app
        self._console = console

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await (self._console if self._is_for_console(scope) else self._app)(scope, receive, send)

    @staticmethod
    def _is_for_console(scope: Scope) -> bool:
        return scope["type"] == "http" and (scope["path"] == "/" or f"{scope['path']}/".startswith(f"{CONSOLE_PATH}/"))
