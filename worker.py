"""The worker: every dependency of every activity is put together here, and nowhere else."""

import asyncio
import signal
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager, closing, contextmanager
from datetime import timedelta
from functools import partial
from typing import Any

import structlog
from temporalio.client import Client
from temporalio.service import RPCError
from temporalio.worker import Worker

from activities.activity_query import ActivityQueryActivities
from activities.attachment_bundling import AttachmentBundlingActivities
from activities.column_mapping import ColumnMappingActivities
from activities.export_audit import ExportAuditActivities
from activities.export_preview import ExportPreviewActivities
from activities.file_generation import FileGenerationActivities
from activities.file_storage import FileStorageActivities
from activities.interceptors import EveryActivity, stop_when_cancelled
from activities.sweeping import SweepingActivities
from stafett import export_audit
from stafett.activity_query import ActivityQuery
from stafett.attachment_bundler import AttachmentBundler
from stafett.column_mapping import ColumnMapper
from stafett.column_mappings import MappingsInUse
from stafett.database.session import Database
from stafett.domain.errors import SettingsError
from stafett.engine_setup import ensure_search_attributes, ensure_sweeper
from stafett.export_preview import ExportPreviewing, forget_old_previews
from stafett.export_record import ExportRecord
from stafett.export_stages import ExportStages
from stafett.file_generator import FileGeneration, FileRegistration
from stafett.file_storage import FileStorage
from stafett.settings import Settings, WorkerSettings, WorkerShare, require
from stafett.temporal import connect, cpu_queue
from stafett.unfinished_exports import unfinished_exports
from workflows.bufdir_export import BufdirExport
from workflows.export_preview import PreviewExport
from workflows.sweeping import SweepJobs

Activity = Callable[..., Any]
WORKFLOWS = (BufdirExport, PreviewExport, SweepJobs)

_HEARD_WITHIN = timedelta(milliseconds=500)
_TIME_TO_FINISH = timedelta(seconds=10)
_TAKEN_FOR_DEAD = timedelta(seconds=2)  # a workflow that waited so long for its last worker goes to any other
_log = structlog.get_logger("stafett.worker")


@asynccontextmanager
async def working(
    client: Client, settings: Settings, queue: str | None = None, only: WorkerShare | None = None
) -> AsyncIterator[None]:
    """A worker for the length of a block; PostgreSQL and S3 are asked when an activity needs them."""
    queue, slots = queue or settings.temporal.task_queue, settings.worker
    with ExitStack() as kept:
        database = kept.enter_context(closing(_database(settings, slots)))
        computing, workers = _computing(settings, database), list[Worker]()
        if only != "light":
            workers.append(kept.enter_context(_staffed(client, cpu_queue(queue), slots.cpu_threads, computing)))
        if only != "cpu":
            # What computes is known here too: a run of an earlier release still waits for it at this queue.
            activities = _light(client, settings, database, kept) + computing
            workers.append(kept.enter_context(_staffed(client, queue, slots.threads, activities, WORKFLOWS)))
        async with AsyncExitStack() as shift:
            for worker in workers:
                await shift.enter_async_context(worker)
            try:
                yield
            finally:
                await asyncio.gather(*(worker.shutdown() for worker in workers))


@contextmanager
def _staffed(
    client: Client, queue: str, threads: int, activities: Sequence[Activity], workflows: Sequence[type] = ()
) -> Iterator[Worker]:
    """A worker at one queue, with threads of its own."""
    with ThreadPoolExecutor(threads, queue) as executor:
        yield Worker(
            client,
            task_queue=queue,
            workflows=workflows,
            activities=activities,
            interceptors=[EveryActivity()],
            activity_executor=executor,
            max_concurrent_activities=threads,
            max_heartbeat_throttle_interval=_HEARD_WITHIN,
            default_heartbeat_throttle_interval=_HEARD_WITHIN,
            graceful_shutdown_timeout=_TIME_TO_FINISH,
            sticky_queue_schedule_to_start_timeout=_TAKEN_FOR_DEAD,
        )


def _database(settings: Settings, slots: WorkerSettings) -> Database:
    """An activity may hold two connections."""
    url = require(settings.database.worker_url, "STAFETT_DATABASE__WORKER_URL")
    return Database(url, pool_size=2 * (slots.threads + slots.cpu_threads))


def _computing(settings: Settings, database: Database) -> list[Activity]:
    """Those that keep a core busy, each for as long as there are rows."""
    storage, record, mappings = FileStorage(settings.s3), ExportRecord(database), MappingsInUse(database)
    stages = ExportStages(record, storage, go_on=stop_when_cancelled)
    return [
        ColumnMappingActivities(stages, ColumnMapper(record, storage, mappings)).map_columns,
        FileGenerationActivities(stages, FileGeneration(record, storage, mappings)).generate_file,
        AttachmentBundlingActivities(stages, AttachmentBundler(record, storage, mappings)).bundle_attachments,
    ]


def _light(client: Client, settings: Settings, database: Database, kept: ExitStack) -> list[Activity]:
    """Those that are short, or wait for PostgreSQL and S3 most of the time, or for which somebody waits."""
    storage, record, mappings = FileStorage(settings.s3), ExportRecord(database), MappingsInUse(database)
    stages = ExportStages(record, storage, go_on=stop_when_cancelled)
    ending = ExportAuditActivities(record)
    url = require(settings.database.maintenance_url, "STAFETT_DATABASE__MAINTENANCE_URL")
    maintenance = kept.enter_context(closing(Database(url, pool_size=2)))
    sweeping = SweepingActivities(
        client,
        settings.temporal.task_queue,
        partial(unfinished_exports, maintenance),
        ExportRecord(maintenance, actor=export_audit.SWEEPER),
        partial(forget_old_previews, maintenance),
    )
    return [
        ActivityQueryActivities(stages, ActivityQuery(database, mappings)).query_activities,
        FileStorageActivities(stages, FileRegistration(record, storage)).store_file,
        ExportPreviewActivities(ExportPreviewing(database, mappings, go_on=stop_when_cancelled)).preview_export,
        ending.record_completion,
        ending.record_empty,
        ending.record_failure,
        ending.read_end,
        sweeping.sweep_jobs,
    ]


async def serve(settings: Settings, queue: str | None = None, only: WorkerShare | None = None) -> None:
    """Work until SIGINT or SIGTERM; what is running then goes on elsewhere, or here after the next start."""
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopping.set)
    for variable in ("WORKER_URL",) if only == "cpu" else ("WORKER_URL", "MAINTENANCE_URL"):
        require(getattr(settings.database, variable.lower()), f"STAFETT_DATABASE__{variable}")
    client = await connect(settings.temporal)
    try:
        await ensure_search_attributes(client)
    except RPCError as error:
        raise SettingsError(
            f"Temporal does not let us into {client.namespace}: {error.status.name.lower()}."
        ) from error
    async with working(client, settings, queue, only):
        if only != "cpu":
            await ensure_sweeper(client, settings.temporal.task_queue)
        _log.info("worker_ready", task_queue=queue or settings.temporal.task_queue, only=only)
        await stopping.wait()
    _log.info("worker_stopped")
