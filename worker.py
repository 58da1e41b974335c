"""The worker: every dependency of every activity is put together here, and nowhere else."""

import asyncio
import signal
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, asynccontextmanager, closing, contextmanager
from datetime import timedelta
from functools import partial
from typing import Any

import structlog
from httpx import create_ssl_context
from temporalio.client import Client
from temporalio.service import RPCError
from temporalio.worker import Worker

from activities.bulk import ProxyRegistrationActivities
from activities.exports import (
    ActivityQueryActivities,
    AttachmentBundlingActivities,
    ColumnMappingActivities,
    ExportAuditActivities,
    FileGenerationActivities,
    FileStorageActivities,
)
from activities.interceptors import EveryActivity, stop_when_cancelled
from activities.maintenance import AuditCheckpointingActivities, RetentionActivities
from activities.notifications import DeliveryActivities, NotificationActivities
from activities.previews import ExportPreviewActivities
from activities.reconciliation import SweepingActivities, UntoldSweep
from activities.reexports import ReportReexportActivities
from stafett.audit import trail as audit_trail
from stafett.audit.checkpointing import checkpointing
from stafett.audit.keys import signing_key
from stafett.bulk.registration import ProxyRegistration
from stafett.column_mapper.versions import MappingsInUse
from stafett.database.session import Database
from stafett.domain.errors import SettingsError
from stafett.exports.completion import ExportEndings
from stafett.exports.file_removal import FileRemoval
from stafett.exports.mapped_parts import MappedParts
from stafett.exports.preview import ExportPreviewing, forget_old_previews
from stafett.exports.retention import Periods, Retention
from stafett.exports.stage_runner import ExportStages
from stafett.exports.stage_store import ExportRecord
from stafett.exports.stages.bundle_attachments import AttachmentBundler
from stafett.exports.stages.generate_file import FileGeneration
from stafett.exports.stages.map_columns import ColumnMapper
from stafett.exports.stages.query_activities import ActivityQuery
from stafett.exports.stages.store_file import FileRegistration
from stafett.notifications.deliveries import Deliveries, untold
from stafett.notifications.email import Mailer
from stafett.notifications.sender import Teller
from stafett.reconciliation import UnfinishedBatches, UnfinishedExports, UnfinishedReexports
from stafett.reports.comparison import VersionComparison
from stafett.reports.completion import ReexportEndings
from stafett.reports.snapshot_copy import SnapshotRepetition
from stafett.reports.steps import ReexportStages
from stafett.settings import Settings, WorkerShare, require
from stafett.storage.files import FileStorage
from stafett.temporal.client import connect, cpu_queue, telling_queue
from stafett.temporal.namespace import ensure_checkpoints, ensure_schedules, ensure_search_attributes
from stafett.temporal.workers import at_work
from stafett.version import edition
from stafett.webhooks.destinations import Destinations, resolved
from stafett.webhooks.sender import WebhookPoster
from workflows.bufdir_export import BufdirExport
from workflows.bulk_registration import BulkRegistration
from workflows.export_preview import PreviewExport
from workflows.maintenance import ApplyRetention, CheckpointAuditChains, SweepJobs
from workflows.notifications import TellOfEnd
from workflows.report_reexport import ReportReexport

Activity = Callable[..., Any]
WORKFLOWS = (
    ApplyRetention,
    BufdirExport,
    BulkRegistration,
    CheckpointAuditChains,
    PreviewExport,
    ReportReexport,
    SweepJobs,
    TellOfEnd,
)

_HEARD_WITHIN = timedelta(milliseconds=500)
_TIME_TO_FINISH = timedelta(seconds=10)
_LETTERS_AT_ONCE, _LOOKUPS_AT_ONCE, _MESSAGES_AT_ONCE, _TELLING_CONNECTIONS = 4, 16, 32, 2
_TAKEN_FOR_DEAD = timedelta(seconds=2)  # a workflow that waited so long for its last worker goes to any other
_log = structlog.get_logger("stafett.worker")


@asynccontextmanager
async def working(
    client: Client, settings: Settings, queue: str | None = None, only: WorkerShare | None = None
) -> AsyncIterator[None]:
    """A worker for the length of a block; PostgreSQL and S3 are asked when an activity needs them."""
    queue, slots = queue or settings.temporal.task_queue, settings.worker
    with ExitStack() as kept:
        bench = _Bench(settings, kept)
        computing, workers = bench.computing(), list[Worker]()
        if only != "light":
            workers.append(kept.enter_context(_staffed(client, cpu_queue(queue), slots.cpu_threads, computing)))
        if only != "cpu":
            # What computes is known here too: a run of an earlier release still waits for it at this queue.
            activities = [*bench.light(), *bench.keeping(client), *computing]
            workers.append(kept.enter_context(_staffed(client, queue, slots.threads, activities, WORKFLOWS)))
            workers.append(_telling(client, queue, bench.telling()))
        async with at_work(*workers):
            yield


@contextmanager
def _staffed(
    client: Client, queue: str, places: int, activities: Sequence[Activity], workflows: Sequence[type] = ()
) -> Iterator[Worker]:
    """A worker at one queue, with threads of its own."""
    with ThreadPoolExecutor(places, queue) as threads:
        yield Worker(
            client,
            task_queue=queue,
            workflows=workflows,
            activities=activities,
            interceptors=[EveryActivity()],
            activity_executor=threads,
            max_concurrent_activities=places,
            max_heartbeat_throttle_interval=_HEARD_WITHIN,
            default_heartbeat_throttle_interval=_HEARD_WITHIN,
            graceful_shutdown_timeout=_TIME_TO_FINISH,
            sticky_queue_schedule_to_start_timeout=_TAKEN_FOR_DEAD,
        )


def _telling(client: Client, queue: str, activities: Sequence[Activity]) -> Worker:
    """At a queue of its own: receivers that hang hold nothing up but one another."""
    return Worker(
        client,
        task_queue=telling_queue(queue),
        activities=activities,
        interceptors=[EveryActivity()],
        max_concurrent_activities=_MESSAGES_AT_ONCE,
        graceful_shutdown_timeout=_TIME_TO_FINISH,
    )


class _Bench:
    """What activities share, and the activities themselves."""

    def __init__(self, settings: Settings, kept: ExitStack) -> None:
        url, slots = require(settings.database.worker_url, "STAFETT_DATABASE__WORKER_URL"), settings.worker
        connections = 2 * (slots.threads + slots.cpu_threads) + _TELLING_CONNECTIONS
        self._settings, self._kept = settings, kept
        self._by_mail = settings.mail.host is not None
        self._database = kept.enter_context(closing(Database(url, pool_size=connections)))
        self._storage, self._mappings = FileStorage(settings.s3), MappingsInUse(self._database)
        self._record = ExportRecord(self._database)
        self._parts = MappedParts(self._database, edition=edition())
        self._endings = ExportEndings(self._database, by_mail=self._by_mail)
        self._stages = ExportStages(self._record, self._storage, go_on=stop_when_cancelled)

    def computing(self) -> list[Activity]:
        """Those that keep a core busy, each for as long as there are rows."""
        given, stages = (self._record, self._storage, self._mappings), self._stages
        return [
            ColumnMappingActivities(stages, ColumnMapper(*given, self._parts)).map_columns,
            FileGenerationActivities(stages, FileGeneration(*given)).generate_file,
            AttachmentBundlingActivities(stages, AttachmentBundler(*given)).bundle_attachments,
            self._reexporting().store_reexport_result,
        ]

    def light(self) -> list[Activity]:
        """Those that are short, or wait for PostgreSQL and S3 most of the time, or for which somebody waits."""
        query = SnapshotRepetition(self._database, ActivityQuery(self._database, self._mappings))
        previewing = ExportPreviewing(self._database, self._mappings, go_on=stop_when_cancelled)
        ending = ExportAuditActivities(self._stages, self._endings, self._storage)
        notifying, reexporting = NotificationActivities(Deliveries(self._database)), self._reexporting()
        bulk = ProxyRegistrationActivities(ProxyRegistration(self._database, by_mail=self._by_mail))
        return [
            ActivityQueryActivities(self._stages, query).query_activities,
            FileStorageActivities(self._stages, FileRegistration(self._record, self._storage)).store_file,
            ExportPreviewActivities(previewing).preview_export,
            ending.record_completion,
            ending.record_empty,
            ending.record_failure,
            ending.record_cancellation,
            ending.read_end,
            bulk.begin_batch,
            bulk.register_stretch,
            bulk.give_up_stretch,
            bulk.finish_batch,
            bulk.cancel_batch,
            bulk.read_batch,
            notifying.find_deliveries,
            notifying.give_up_delivery,
            reexporting.load_history,
            reexporting.build_export_params,
            reexporting.notify_reexport_complete,
            reexporting.record_reexport_completion,
            reexporting.record_reexport_failure,
            reexporting.record_reexport_cancellation,
            reexporting.read_reexport_end,
        ]

    def _reexporting(self) -> ReportReexportActivities:
        compare = VersionComparison(self._database, self._storage, go_on=stop_when_cancelled)
        removal = FileRemoval(self._database, self._storage, actor=audit_trail.WORKER_ACTOR)
        return ReportReexportActivities(
            ReexportStages(self._database, compare, by_mail=self._by_mail),
            ReexportEndings(self._database, removal.remove, by_mail=self._by_mail),
        )

    def keeping(self, client: Client) -> list[Activity]:
        """What schedules start, for every organisation: the maintenance role's."""
        settings = self._settings
        url = require(settings.database.maintenance_url, "STAFETT_DATABASE__MAINTENANCE_URL")
        maintenance = self._kept.enter_context(closing(Database(url, pool_size=2)))
        queue, outbox = settings.temporal.task_queue, Deliveries(maintenance)
        endings = ExportEndings(maintenance, actor=audit_trail.SWEEPER_ACTOR, by_mail=self._by_mail)
        stray = FileRemoval(maintenance, self._storage, actor=audit_trail.SWEEPER_ACTOR)
        reexports = ReexportEndings(maintenance, stray.remove, actor=audit_trail.SWEEPER_ACTOR, by_mail=self._by_mail)
        batches = ProxyRegistration(maintenance, actor=audit_trail.SWEEPER_ACTOR, by_mail=self._by_mail)
        sweeping = SweepingActivities(
            client,
            queue,
            [
                UnfinishedExports(maintenance, endings),
                UnfinishedReexports(maintenance, reexports),
                UnfinishedBatches(maintenance, batches),
            ],
            partial(forget_old_previews, maintenance),
            UntoldSweep(client, queue, partial(untold, maintenance), outbox),
        )
        days = settings.retention
        periods = Periods(timedelta(days=days.files_days), timedelta(days=days.staging_days))
        removal = FileRemoval(maintenance, self._storage, actor=audit_trail.RETENTION_ACTOR)
        retention = Retention(maintenance, self._storage, removal, periods, go_on=stop_when_cancelled)
        return [
            sweeping.sweep_jobs,
            RetentionActivities(retention).apply_retention,
            AuditCheckpointingActivities(checkpointing(settings, maintenance)).checkpoint_chains,
        ]

    def telling(self) -> list[Activity]:
        """One message each; letters and the names of hosts have threads of their own."""
        tls, settings = create_ssl_context(), self._settings
        letters = self._kept.enter_context(ThreadPoolExecutor(_LETTERS_AT_ONCE, "letter"))
        mailer = Mailer(settings.mail, tls) if settings.mail.host else None
        lookups = self._kept.enter_context(ThreadPoolExecutor(_LOOKUPS_AT_ONCE, "lookup"))
        resolve = partial(resolved, threads=lookups)
        poster = WebhookPoster(Destinations(settings.webhooks.allow_private, resolve), tls)
        return [DeliveryActivities(Teller(Deliveries(self._database), poster, mailer, letters)).deliver]


async def see_to_checkpoints(client: Client, settings: Settings) -> None:
    """Have the audit chains signed at intervals, or say that nobody does."""
    if signing_key(settings.audit) is None:
        _log.warning("audit_chains_not_signed", missing="STAFETT_AUDIT__SIGNING_KEY")
        return
    every = timedelta(minutes=settings.audit.checkpoint_minutes)
    await ensure_checkpoints(client, settings.temporal.task_queue, every)


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
            await ensure_schedules(client, settings.temporal.task_queue)
            await see_to_checkpoints(client, settings)
        _log.info("worker_ready", task_queue=queue or settings.temporal.task_queue, only=only)
        await stopping.wait()
    _log.info("worker_stopped")
