"""Application factory: wires settings, services, middleware and routes of the HTTP API."""

import asyncio
import gc
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, nullcontext, suppress
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from types import FrameType

import uvicorn
from anyio.to_thread import current_default_thread_limiter
from fastapi import APIRouter, FastAPI
from fastapi.telemetry import TelemetryConfig
from fastapi_offline import FastAPIOffline
from starlette.types import Lifespan
from temporalio.client import Client

from api import problems
from api.auth import CredentialVerifier, TokenVerifier
from api.authenticator import ACCESS_THREADS, VERIFYING_THREADS, Authenticator
from api.concurrency import ConcurrencyLimiter, ThreadShares
from api.console.app import ConsoleMiddleware, create_console
from api.cors import CodecCORSMiddleware
from api.dependencies import GuardedRoute, Services, UtcClock
from api.dispatcher import JobDispatcher
from api.http_protocol import create_http_protocol
from api.job_feeds import JobFeeds
from api.long_requests import LongRequestProcess, follow_first_process
from api.middleware import RequestContextMiddleware
from api.openapi import install_openapi
from api.rate_limit import RateLimiter
from api.readiness import Probes
from api.refusals import limit_repetitions
from api.routes import (
    activities,
    bufdir_exports,
    bulk_registrations,
    codec,
    column_mappings,
    directory,
    health,
    notifications,
    organisations,
    peer_mentors,
    report_reexports,
    reports,
    webhook_messages,
    webhooks,
)
from stafett.audit import trail as audit_trail
from stafett.audit.events import OrganisationAuditTrail
from stafett.audit.names import AuditNames
from stafett.audit.steps import JobHistory
from stafett.bulk.activities import ActivityService
from stafett.bulk.commands import BulkCommands
from stafett.bulk.service import BulkService
from stafett.column_mapper.versions import MappingService
from stafett.database.job_changes import JobNotifier
from stafett.database.session import Database, Timeouts
from stafett.exports.activity_outcomes import ActivityOutcomes
from stafett.exports.commands import ExportCommands
from stafett.exports.deviations import DeviationFiles
from stafett.exports.downloads import ExportDownloads
from stafett.exports.figures import FigureService
from stafett.exports.file_removal import FileRemoval
from stafett.exports.recent_previews import RecentPreviews
from stafett.exports.service import ExportAuditTrail, ExportService
from stafett.jobs.attention import AttentionService
from stafett.jobs.titles import JobTitles
from stafett.monitoring.metrics import ConnectionPool, Metrics
from stafett.monitoring.server import MetricsPage, serve_pages
from stafett.notifications.inbox import Inbox
from stafett.people.api_keys import ApiKeyService
from stafett.people.members import MemberService
from stafett.people.mentor_import import MentorImport
from stafett.people.mentors import MentorService
from stafett.people.organisations import OrganisationService
from stafett.reports.commands import ReexportCommands
from stafett.reports.history import ReportHistory
from stafett.reports.reexports import ReexportService
from stafett.reports.result_file import ResultFile
from stafett.reports.row_changes import VersionChanges
from stafett.settings import Settings, require_setting
from stafett.storage.files import FileStorage
from stafett.storage.s3 import INTERACTIVE_TIMEOUTS
from stafett.temporal.client import connect
from stafett.temporal.codec import codec_from_settings
from stafett.temporal.sdk_runtime import ReadMetrics
from stafett.version import VERSION
from stafett.webhooks.destinations import DestinationPolicy
from stafett.webhooks.service import WebhookService

_EXIT_STARTUP_FAILED = 3  # the exit code of uvicorn's own command line
ROUTE_MODULES = (
    bufdir_exports,
    bulk_registrations,
    activities,
    directory,
    organisations,
    peer_mentors,
    column_mappings,
    reports,
    report_reexports,
    notifications,
    webhooks,
    codec,
)
_THREAD_SWITCH_SECONDS = 0.0005  # Python's 5 ms would delay each system call of a request while a thread computes
# Python's (700, 10, 10) would collect all objects dozens of times while a batch of 10,000 items is validated, and each
# collection blocks all threads.
_COLLECTION_THRESHOLDS = (20_000, 20, 20)
# Only requests, and no exception texts: the logs and the operation spans of FastAPI would have them.
_TELEMETRY: TelemetryConfig = {
    "metrics": False,
    "logs": False,
    "operation_spans": False,
    "auto_configure": False,
    "exclude": lambda scope: scope["path"] in {"/healthz", "/readyz"},
}
_BACKLOG = 512  # asyncio accepts this many connections before it serves the next request
_utc_now = partial(datetime.now, UTC)


def create_app(
    settings: Settings,
    clock: UtcClock = _utc_now,
    long_requests: LongRequestProcess | None = None,
    metrics: Metrics | None = None,
) -> FastAPI:
    """Create the API. It starts without its dependencies: ``/readyz`` reports which of them are unavailable."""
    metrics = metrics or Metrics()
    database = Database(
        require_setting(settings.database.api_url, "STAFETT_DATABASE__API_URL"),
        pool_size=settings.database.pool_size,
        timeouts=Timeouts.INTERACTIVE,
        transaction_pooling=settings.database.transaction_pooling,
    )
    database.observe_wait = metrics.observe_connection_waits(ConnectionPool.API)
    verifier = CredentialVerifier(
        TokenVerifier(settings.auth), database, subject_is_user_id=settings.auth.subject_is_user_id
    )
    console = create_console(settings, database) if settings.sign_in.public_url is not None else None

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        temporal = await connect(settings.temporal, lazy=True)
        services = _create_services(settings, database, temporal, verifier, clock)
        services = app.state.services = replace(services, long_requests=long_requests)
        app.state.loop = asyncio.get_running_loop()
        if console is not None:
            console.state.services = services
        # One connection per thread, so that no request thread can block on the pool: also for the threads that verify
        # tokens and load the access of callers, and one for the health check.
        threads = settings.database.pool_size - VERIFYING_THREADS - ACCESS_THREADS - 1
        current_default_thread_limiter().total_tokens = max(1, threads)
        second_process = long_requests.run() if long_requests else nullcontext()
        async with services.dispatcher.run(), services.job_notifier.run(), second_process:
            yield
        database.close()

    app = create_app_with_routes(lifespan)
    if settings.api.web_ui_origin is not None:
        app.add_middleware(CodecCORSMiddleware, origin=settings.api.web_ui_origin)
    if console is not None:
        app.add_middleware(ConsoleMiddleware, console=console)
    app.add_middleware(RequestContextMiddleware, metrics=metrics)
    return app


def create_app_with_routes(lifespan: Lifespan[FastAPI] | None = None) -> FastAPI:
    """Create the application with routes and OpenAPI document only; ``lifespan`` adds the services."""
    app = FastAPIOffline(
        title="Stafett",
        version=VERSION,
        summary="Bufdir reporting for Norwegian peer-support organisations.",
        lifespan=lifespan,
        redoc_url=None,
        redirect_slashes=False,  # a redirect would lead to the host that the request names
        static_url="/docs/static",
        strict_content_type=False,
        telemetry=_TELEMETRY,
        separate_input_output_schemas=False,
    )
    problems.register_exception_handlers(app)
    install_openapi(
        app,
        [route for module in ROUTE_MODULES for route in module.router.routes if isinstance(route, GuardedRoute)],
    )
    v1 = APIRouter(prefix="/api/v1")
    for module in ROUTE_MODULES:
        v1.include_router(module.router)
    app.include_router(v1)
    app.include_router(health.router)
    app.webhooks.include_router(webhook_messages.router)
    return app


def _create_services(
    settings: Settings, database: Database, temporal: Client, verifier: CredentialVerifier, clock: UtcClock
) -> Services:
    storage, history = FileStorage(settings.s3, INTERACTIVE_TIMEOUTS), JobHistory(database)
    exports = ExportService(database)
    listen_url = settings.database.listen_url or settings.database.api_url
    notifier = JobNotifier(require_setting(listen_url, "STAFETT_DATABASE__API_URL"))
    return Services(
        database=database,
        temporal=temporal,
        task_queue=settings.temporal.task_queue,
        authenticator=Authenticator(
            verifier,
            RateLimiter(settings.api.rate_limit),
            ThreadShares(settings.api.concurrency.threads_per_user),
            database,
        ),
        concurrency=ConcurrencyLimiter(settings.api.concurrency),
        exports=exports,
        export_commands=ExportCommands(database),
        reports=ReportHistory(database),
        file_removal=FileRemoval(database, storage, actor=audit_trail.API_ACTOR),
        downloads=ExportDownloads(database, storage),
        deviations=DeviationFiles(database, storage),
        version_changes=VersionChanges(database, storage),
        export_audit_trail=ExportAuditTrail(database),
        audit_trail=OrganisationAuditTrail(database),
        figures=FigureService(database),
        recent_previews=RecentPreviews(database),
        activity_outcomes=ActivityOutcomes(database),
        attention=AttentionService(database),
        audit_names=AuditNames(database),
        job_titles=JobTitles(database),
        reexports=ReexportService(database),
        reexport_commands=ReexportCommands(database, ResultFile(storage)),
        mappings=MappingService(database),
        organisations=OrganisationService(database),
        members=MemberService(database),
        api_keys=ApiKeyService(database),
        mentors=MentorService(database),
        mentor_import=MentorImport(database),
        batches=BulkService(database),
        batch_commands=BulkCommands(database),
        activities=ActivityService(database),
        inbox=Inbox(database),
        webhooks=WebhookService(database),
        destinations=DestinationPolicy(allow_private_networks=settings.webhooks.allow_private_networks),
        dispatcher=JobDispatcher(temporal, settings.temporal.task_queue, exports.record_unavailable),
        job_notifier=notifier,
        job_feeds=JobFeeds(notifier, history),
        job_history=history,
        probes=Probes.from_clients(database, temporal, storage),
        clock=clock,
        codec=codec_from_settings(settings.temporal),
    )


class _Server(uvicorn.Server):
    """A server that ends `Prefer: wait` requests and event streams on shutdown, before uvicorn waits for them."""

    def __init__(self, app: FastAPI, config: uvicorn.Config) -> None:
        super().__init__(config)
        self._app = app

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        with suppress(AttributeError, RuntimeError):  # the lifespan has not started, or has ended
            self._app.state.loop.call_soon_threadsafe(self._app.state.services.job_notifier.close)
        super().handle_exit(sig, frame)


def serve(
    settings: Settings, listener: socket.socket | None = None, read_sdk_metrics: ReadMetrics | None = None
) -> None:
    """Serve the API and its metrics until SIGINT or SIGTERM, or as the second process until the first one ends."""
    metrics = Metrics()
    long_requests = None if listener else LongRequestProcess(settings.api.concurrency.threads_per_user)
    app = create_app(settings, long_requests=long_requests, metrics=metrics)
    limit_repetitions("uvicorn.error", "asyncio")
    sys.setswitchinterval(_THREAD_SWITCH_SECONDS)
    gc.freeze()  # a collection then skips the code and the routes, which never become garbage
    gc.set_threshold(*_COLLECTION_THRESHOLDS)
    config = uvicorn.Config(
        app,
        http=create_http_protocol(settings.api.connections),
        backlog=_BACKLOG,
        host=settings.api.host,
        port=settings.api.port,
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=5,
    )
    server = _Server(app, config)
    if listener is not None:
        follow_first_process(partial(os.kill, os.getpid(), signal.SIGTERM))
    with serve_pages(settings.metrics, {"/metrics": MetricsPage(metrics.registry, read_sdk_metrics)}):
        server.run([listener] if listener else None)
    if not server.started:
        sys.exit(_EXIT_STARTUP_FAILED)
