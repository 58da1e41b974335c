"""The worker: every dependency of every activity is put together here, and nowhere else."""

import asyncio
import signal
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, closing
from datetime import timedelta
from functools import partial
from typing import Any

import structlog
from httpx import create_ssl_context
from temporalio.client import Client
from temporalio.service import RPCError
from temporalio.worker import Worker

from activities.activity_query import ActivityQueryActivities
from activities.attachment_bundling import AttachmentBundlingActivities
from activities.audit_checkpointing import AuditCheckpointingActivities
from activities.column_mapping import ColumnMappingActivities
from activities.export_audit import ExportAuditActivities
from activities.export_preview import ExportPreviewActivities
from activities.file_generation import FileGenerationActivities
from activities.file_storage import FileStorageActivities
from activities.interceptors import EveryActivity, stop_when_cancelled
from activities.notification import DeliveryActivities, NotificationActivities
from activities.retention import RetentionActivities
from activities.sweeping import SweepingActivities
from activities.untold import UntoldSweep
from stafett import export_audit
from stafett.activity_query import ActivityQuery
from stafett.attachment_bundler import AttachmentBundler
from stafett.audit_trail.checkpointing import checkpointing
from stafett.audit_trail.keys import signing_key
from stafett.column_mapping import ColumnMapper
from stafett.column_mappings import MappingsInUse
from stafett.database.session import Database
from stafett.domain.errors import SettingsError
from stafett.engine_setup import ensure_checkpoints, ensure_schedules, ensure_search_attributes
from stafett.export_preview import ExportPreviewing, forget_old_previews
from stafett.export_record import ExportRecord
from stafett.export_stages import ExportStages
from stafett.file_generator import FileGeneration, FileRegistration
from stafett.file_removal import FileRemoval
from stafett.file_storage import FileStorage
from stafett.notifications.deliveries import Deliveries, untold
from stafett.notifications.mailing import Mailer
from stafett.notifications.telling import Teller
from stafett.retention import Periods, Retention
from stafett.settings import Settings, require
from stafett.temporal import connect, telling_queue
from stafett.unfinished_exports import unfinished_exports
from stafett.webhooks.destinations import Destinations
from stafett.webhooks.posting import WebhookPoster
from workflows.bufdir_export import BufdirExport
from workflows.checkpointing import CheckpointAuditChains
from workflows.export_preview import PreviewExport
from workflows.retention import ApplyRetention
from workflows.sweeping import SweepJobs
from workflows.tell_of_end import TellOfEnd

WORKFLOWS = (ApplyRetention, BufdirExport, CheckpointAuditChains, PreviewExport, SweepJobs, TellOfEnd)

_HEARD_WITHIN = timedelta(milliseconds=500)
_TIME_TO_FINISH = timedelta(seconds=10)
_LETTERS_AT_ONCE, _MESSAGES_AT_ONCE, _TELLING_CONNECTIONS = 4, 32, 2
_TAKEN_FOR_DEAD = timedelta(seconds=2)  # a workflow that waited so long for its last worker goes to any other
_log = structlog.get_logger("stafett.worker")


@asynccontextmanager
async def working(client: Client, settings: Settings, queue: str | None = None) -> AsyncIterator[None]:
    """A worker at its task queue for the length of a block; PostgreSQL and S3 are asked when an activity needs them."""
    urls, threads = settings.database, settings.worker.threads
    connections = threads * 2 + _TELLING_CONNECTIONS
    with (
        closing(Database(require(urls.worker_url, "STAFETT_DATABASE__WORKER_URL"), pool_size=connections)) as database,
        closing(
            Database(require(urls.maintenance_url, "STAFETT_DATABASE__MAINTENANCE_URL"), pool_size=2)
        ) as maintenance,
        ThreadPoolExecutor(threads, "activity") as executor,
        ThreadPoolExecutor(_LETTERS_AT_ONCE, "letter") as letters,
    ):
        task_queue = queue or settings.temporal.task_queue
        worker = Worker(
            client,
            task_queue=task_queue,
            workflows=WORKFLOWS,
            activities=_activities(client, settings, database, maintenance),
            interceptors=[EveryActivity()],
            activity_executor=executor,
            max_concurrent_activities=threads,
            max_heartbeat_throttle_interval=_HEARD_WITHIN,
            default_heartbeat_throttle_interval=_HEARD_WITHIN,
            graceful_shutdown_timeout=_TIME_TO_FINISH,
            sticky_queue_schedule_to_start_timeout=_TAKEN_FOR_DEAD,
        )
        teller = Worker(
            client,
            task_queue=telling_queue(task_queue),
            activities=[DeliveryActivities(_teller(settings, database, letters)).deliver],
            interceptors=[EveryActivity()],
            max_concurrent_activities=_MESSAGES_AT_ONCE,
            graceful_shutdown_timeout=_TIME_TO_FINISH,
        )
        async with teller, worker:
            yield


def _teller(settings: Settings, database: Database, letters: ThreadPoolExecutor) -> Teller:
    tls = create_ssl_context()
    destinations = Destinations(allow_private=settings.webhooks.allow_private)
    mailer = Mailer(settings.mail, tls) if settings.mail.host else None
    return Teller(Deliveries(database), WebhookPoster(destinations, tls), mailer, letters)


def _activities(
    client: Client, settings: Settings, database: Database, maintenance: Database
) -> list[Callable[..., Any]]:
    by_mail = settings.mail.host is not None
    storage, record, mappings = (
        FileStorage(settings.s3),
        ExportRecord(database, by_mail=by_mail),
        MappingsInUse(database),
    )
    stages = ExportStages(record, storage, go_on=stop_when_cancelled)
    ending = ExportAuditActivities(stages, record, storage)
    notifying, outbox = NotificationActivities(Deliveries(database)), Deliveries(maintenance)
    sweeping = SweepingActivities(
        client,
        settings.temporal.task_queue,
        partial(unfinished_exports, maintenance),
        ExportRecord(maintenance, actor=export_audit.SWEEPER, by_mail=by_mail),
        partial(forget_old_previews, maintenance),
        UntoldSweep(client, settings.temporal.task_queue, partial(untold, maintenance), outbox),
    )
    kept = Periods(timedelta(days=settings.retention.files_days), timedelta(days=settings.retention.staging_days))
    removal = FileRemoval(maintenance, storage, actor=export_audit.RETENTION)
    retention = Retention(maintenance, storage, removal, kept, go_on=stop_when_cancelled)
    return [
        ActivityQueryActivities(stages, ActivityQuery(database, mappings)).query_activities,
        ColumnMappingActivities(stages, ColumnMapper(record, storage, mappings)).map_columns,
        FileGenerationActivities(stages, FileGeneration(record, storage, mappings)).generate_file,
        AttachmentBundlingActivities(stages, AttachmentBundler(record, storage, mappings)).bundle_attachments,
        FileStorageActivities(stages, FileRegistration(record, storage)).store_file,
        ExportPreviewActivities(ExportPreviewing(database, mappings, go_on=stop_when_cancelled)).preview_export,
        ending.record_completion,
        ending.record_empty,
        ending.record_failure,
        ending.record_cancellation,
        ending.read_end,
        notifying.find_deliveries,
        notifying.give_up_delivery,
        sweeping.sweep_jobs,
        RetentionActivities(retention).apply_retention,
        AuditCheckpointingActivities(checkpointing(settings, maintenance)).checkpoint_chains,
    ]


async def see_to_checkpoints(client: Client, settings: Settings) -> None:
    """Have the audit chains signed at intervals, or say that nobody does."""
    if signing_key(settings.audit) is None:
        _log.warning("audit_chains_not_signed", missing="STAFETT_AUDIT__SIGNING_KEY")
        return
    every = timedelta(minutes=settings.audit.checkpoint_minutes)
    await ensure_checkpoints(client, settings.temporal.task_queue, every)


async def serve(settings: Settings, queue: str | None = None) -> None:
    """Work until SIGINT or SIGTERM; what is running then goes on elsewhere, or here after the next start."""
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopping.set)
    for variable in ("WORKER_URL", "MAINTENANCE_URL"):
        require(getattr(settings.database, variable.lower()), f"STAFETT_DATABASE__{variable}")
    client = await connect(settings.temporal)
    try:
        await ensure_search_attributes(client)
    except RPCError as error:
        raise SettingsError(
            f"Temporal does not let us into {client.namespace}: {error.status.name.lower()}."
        ) from error
    async with working(client, settings, queue):
        await ensure_schedules(client, settings.temporal.task_queue)
        await see_to_checkpoints(client, settings)
        _log.info("worker_ready", task_queue=queue or settings.temporal.task_queue)
        await stopping.wait()
    _log.info("worker_stopped")
