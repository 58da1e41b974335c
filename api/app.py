"""The gateway: every dependency of every handler is put together here, and nowhere else."""

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from functools import partial
from types import FrameType

import uvicorn
from anyio.to_thread import current_default_thread_limiter
from fastapi import APIRouter, FastAPI
from fastapi_offline import FastAPIOffline
from starlette.types import Lifespan
from temporalio.client import Client

from api import problems
from api.auth import TokenVerifier
from api.cors import CodecForTheWebUi
from api.dependencies import Clock, GuardedRoute, Services
from api.dispatcher import JobStarter
from api.middleware import EveryRequest
from api.openapi import describe
from api.rate_limit import RateLimit
from api.readiness import Probes
from api.routes import (
    activities,
    bufdir_exports,
    bulk_registrations,
    codec,
    column_mappings,
    directory,
    health,
    notifications,
    report_reexports,
    reports,
    webhooks,
)
from stafett.audit import trail as audit_trail
from stafett.audit.steps import JobHistory
from stafett.bulk.commands import BulkCommands
from stafett.bulk.service import BulkService
from stafett.column_mapper.versions import MappingService
from stafett.database.job_changes import JobNotifier
from stafett.database.session import Database, Timeouts
from stafett.directory import ActivityService, OrganisationService, PeerMentorService
from stafett.exports.commands import ExportCommands
from stafett.exports.downloads import ExportDownloads
from stafett.exports.file_removal import FileRemoval
from stafett.exports.service import ExportAuditTrail, ExportService
from stafett.notifications.inbox import Inbox
from stafett.reports.commands import ReexportCommands
from stafett.reports.history import ReportHistory
from stafett.reports.reexports import ReexportService
from stafett.reports.result_file import ResultFile
from stafett.settings import Settings, require
from stafett.storage.files import FileStorage
from stafett.temporal.client import connect
from stafett.temporal.codec import codec_from_settings
from stafett.version import VERSION
from stafett.webhooks.destinations import DestinationPolicy
from stafett.webhooks.service import WebhookService

_STARTUP_FAILURE = 3  # as uvicorn's own program ends then
RESOURCES = (
    bufdir_exports,
    bulk_registrations,
    activities,
    directory,
    column_mappings,
    reports,
    report_reexports,
    notifications,
    webhooks,
    codec,
)
_UTC_NOW = partial(datetime.now, UTC)


def create_app(settings: Settings, clock: Clock = _UTC_NOW) -> FastAPI:
    """The application; it comes up whatever is away, and says so under ``/readyz``."""
    database = Database(
        require(settings.database.api_url, "STAFETT_DATABASE__API_URL"),
        pool_size=settings.database.pool_size,
        timeouts=Timeouts.INTERACTIVE,
    )
    verifier = TokenVerifier(settings.auth)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        temporal = await connect(settings.temporal, lazy=True)
        services = app.state.services = _services(settings, database, temporal, verifier, clock)
        app.state.loop = asyncio.get_running_loop()
        # Who has a thread has a connection: nobody waits for one by chance, as threads would.
        current_default_thread_limiter().total_tokens = settings.database.pool_size
        async with services.starter.at_work(), services.changes.run():
            yield
        database.close()

    app = described_routes(lifespan)
    if settings.api.web_ui_origin is not None:
        app.add_middleware(CodecForTheWebUi, origin=settings.api.web_ui_origin)
    app.add_middleware(EveryRequest)
    return app


def described_routes(lifespan: Lifespan[FastAPI] | None = None) -> FastAPI:
    """Every operation and its description, with nothing behind them yet."""
    app = FastAPIOffline(
        title="Stafett",
        version=VERSION,
        summary="Bufdir reporting for Norwegian peer-support organisations.",
        lifespan=lifespan,
        redoc_url=None,
        static_url="/docs/static",
        strict_content_type=False,
        separate_input_output_schemas=False,
    )
    problems.install(app)
    describe(
        app, [route for resource in RESOURCES for route in resource.router.routes if isinstance(route, GuardedRoute)]
    )
    v1 = APIRouter(prefix="/api/v1")
    for resource in RESOURCES:
        v1.include_router(resource.router)
    app.include_router(v1)
    app.include_router(health.router)
    return app


def _services(
    settings: Settings, database: Database, temporal: Client, verifier: TokenVerifier, clock: Clock
) -> Services:
    storage = FileStorage(settings.s3)
    return Services(
        database=database,
        temporal=temporal,
        task_queue=settings.temporal.task_queue,
        verifier=verifier,
        jobs=ExportService(database),
        control=ExportCommands(database),
        reports=ReportHistory(database),
        removal=FileRemoval(database, storage, actor=audit_trail.API_ACTOR),
        downloads=ExportDownloads(database, storage),
        trail=ExportAuditTrail(database),
        reexports=ReexportService(database),
        reexport_control=ReexportCommands(database, ResultFile(storage)),
        mappings=MappingService(database),
        organisations=OrganisationService(database),
        mentors=PeerMentorService(database),
        batches=BulkService(database),
        batch_control=BulkCommands(database),
        activities=ActivityService(database),
        inbox=Inbox(database),
        webhooks=WebhookService(database),
        destinations=DestinationPolicy(allow_private_networks=settings.webhooks.allow_private),
        starter=JobStarter(temporal, settings.temporal.task_queue),
        changes=JobNotifier(require(settings.database.api_url, "STAFETT_DATABASE__API_URL")),
        story=JobHistory(database),
        rate_limit=RateLimit(settings.api.rate_limit),
        probes=Probes.of(database, temporal, storage),
        clock=clock,
        codec=codec_from_settings(settings.temporal),
    )


class _Server(uvicorn.Server):
    """Whoever waits for a job, or watches one, is let go when the server is told to stop."""

    def __init__(self, app: FastAPI, config: uvicorn.Config) -> None:
        super().__init__(config)
        self._app = app

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        with suppress(AttributeError, RuntimeError):  # before the lifespan has begun, or after it
            self._app.state.loop.call_soon_threadsafe(self._app.state.services.changes.close)
        super().handle_exit(sig, frame)


def serve(settings: Settings) -> None:
    """Answer until SIGINT or SIGTERM."""
    app = create_app(settings)
    config = uvicorn.Config(
        app,
        host=settings.api.host,
        port=settings.api.port,
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=5,
    )
    server = _Server(app, config)
    server.run()
    if not server.started:
        sys.exit(_STARTUP_FAILURE)
