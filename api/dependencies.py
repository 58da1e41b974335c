"""What handlers are given."""

from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from datetime import datetime
from http import HTTPStatus
from typing import Annotated, Any

from fastapi import Depends, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.routing import APIRoute
from fastapi.security import HTTPBearer
from starlette.exceptions import HTTPException
from temporalio.client import Client

from api.auth import TokenVerifier, identify
from api.readiness import Probes
from api.starting import JobStarter
from stafett.column_mappings import ColumnMappings
from stafett.database.session import Database
from stafett.domain.errors import UnauthenticatedError
from stafett.domain.membership import Caller
from stafett.export_control import ExportControl
from stafett.export_downloads import ExportDownloads
from stafett.export_jobs import ExportJobs
from stafett.export_trail import ExportTrail
from stafett.file_removal import FileRemoval
from stafett.notifications.inbox import Inbox
from stafett.payload_codec import SealingCodec
from stafett.report_history import ReportHistory
from stafett.webhooks.destinations import Destinations
from stafett.webhooks.registry import Webhooks

Clock = Callable[[], datetime]
_bearer = HTTPBearer(auto_error=False, bearerFormat="JWT", description="A token of the configured issuer.")


@dataclass(frozen=True)
class Services:
    """Everything a request may need, put together in the application's lifespan."""

    database: Database
    temporal: Client
    task_queue: str
    verifier: TokenVerifier
    jobs: ExportJobs
    control: ExportControl
    reports: ReportHistory
    removal: FileRemoval
    downloads: ExportDownloads
    trail: ExportTrail
    mappings: ColumnMappings
    inbox: Inbox
    webhooks: Webhooks
    destinations: Destinations
    starter: JobStarter
    probes: Probes
    clock: Clock
    codec: SealingCodec


def services_of(request: Request) -> Services:
    services: Services = request.app.state.services
    return services


Given = Annotated[Services, Depends(services_of)]


class AuthenticatedRoute(APIRoute):
    """Who asks is settled before anything of what they ask is read."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle, takes_json = super().get_route_handler(), self.body_field is not None

        async def authenticated(request: Request) -> Response:
            credentials = await _bearer(request)
            if credentials is None:
                raise UnauthenticatedError("A valid bearer token is needed.")
            request.state.caller = await run_in_threadpool(_caller, services_of(request), credentials.credentials)
            if takes_json:
                _require_json(request)
            return await handle(request)

        return authenticated


def _caller(given: Services, token: str) -> Caller:
    return identify(given.database, given.verifier.verify(token))


async def json_of(request: Request, *, most: int) -> bytes:
    """The body as it was sent, for what is read more strictly than FastAPI would."""
    _require_json(request)
    body = await request.body()
    if len(body) > most:
        raise HTTPException(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
    return body


def _require_json(request: Request) -> None:
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
        raise HTTPException(HTTPStatus.UNSUPPORTED_MEDIA_TYPE)


def caller_of(request: Request, _documented: Annotated[object, Depends(_bearer)]) -> Caller:
    caller: Caller = request.state.caller
    return caller


CallerOf = Annotated[Caller, Depends(caller_of)]
