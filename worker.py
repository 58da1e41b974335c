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

from activities.bulk import BulkRegistrationActivities
from activities.exports import (
    ActivityQueryActivities,
    AttachmentBundlingActivities,
    ColumnMappingActivities,
    ExportOutcomeActivities,
    FileGenerationActivities,
    FileStorageActivities,
)
from activities.interceptors import ActivityInterceptor, raise_if_cancelled
from activities.maintenance import CheckpointActivities, RetentionActivities
from activities.notifications import DeliveryActivities, NotificationActivities
from activities.previews import PreviewActivities
from activities.reconciliation import NotificationReconciler, ReconciliationActivities
from activities.reexports import ReexportActivities
from stafett.audit import trail as audit_trail
from stafett.audit.checkpointing import create_checkpointer
from stafett.audit.keys import load_signing_key
from stafett.bulk.registration import ProxyRegistration
from stafett.column_mapper.versions import MappingVersions
from stafett.database.session import Database
from stafett.domain.errors import SettingsError
from stafett.exports.completion import ExportCompletion
from stafett.exports.file_removal import FileRemoval
from stafett.exports.mapped_parts import MappedPartStore
from stafett.exports.preview import PreviewBuilder, delete_expired_previews
from stafett.exports.retention import Retention, RetentionPolicy
from stafett.exports.stage_runner import StageRunner
from stafett.exports.stage_store import StageStore
from stafett.exports.stages.bundle_attachments import AttachmentBundler
from stafett.exports.stages.generate_file import FileGeneration
from stafett.exports.stages.map_columns import ColumnMapper
from stafett.exports.stages.query_activities import ActivityQueryStage
from stafett.exports.stages.store_file import FileVerificationStage
from stafett.notifications.deliveries import DeliveryStore, find_undelivered
from stafett.notifications.email import SmtpSender
from stafett.notifications.sender import DeliverySender
from stafett.reconciliation import OpenBatches, OpenExports, OpenReexports
from stafett.reports.comparison import VersionComparison
from stafett.reports.completion import ReexportCompletion
from stafett.reports.snapshot_copy import SnapshotCopy
from stafett.reports.steps import ReexportSteps
from stafett.settings import Settings, WorkerRole, require_setting
from stafett.storage.files import FileStorage
from stafett.temporal.client import connect, cpu_queue, notification_queue
from stafett.temporal.namespace import ensure_schedules, ensure_search_attributes, upsert_checkpoint_schedule
from stafett.temporal.workers import run_workers
from stafett.version import build_fingerprint
from stafett.webhooks.destinations import DestinationPolicy, resolve_host
from stafett.webhooks.sender import WebhookSender
from workflows.bufdir_export import BufdirExport
from workflows.bulk_registration import BulkRegistration
from workflows.export_preview import PreviewExport
from workflows.maintenance import ApplyRetention, CheckpointAuditChains, SweepJobs
from workflows.notifications import SendNotifications
from workflows.report_reexport import ReportReexport

ActivityFunction = Callable[..., Any]
WORKFLOWS = (
    ApplyRetention,
    BufdirExport,
    BulkRegistration,
    CheckpointAuditChains,
    PreviewExport,
    ReportReexport,
    SweepJobs,
    SendNotifications,
)

_HEARTBEAT_INTERVAL = timedelta(milliseconds=500)
_GRACEFUL_SHUTDOWN = timedelta(seconds=10)
_MAX_CONCURRENT_EMAILS, _MAX_CONCURRENT_DNS_LOOKUPS, _MAX_CONCURRENT_DELIVERIES, _DELIVERY_CONNECTIONS = 4, 16, 32, 2
_STICKY_TIMEOUT = timedelta(seconds=2)  # a workflow that waited so long for its last worker goes to any other
_log = structlog.get_logger("stafett.worker")


@asynccontextmanager
async def run_queue_workers(
    client: Client, settings: Settings, queue: str | None = None, role: WorkerRole | None = None
) -> AsyncIterator[None]:
    """A worker for the length of a block; PostgreSQL and S3 are asked when an activity needs them."""
    queue, slots = queue or settings.temporal.task_queue, settings.worker
    with ExitStack() as kept:
        bench = _ActivityRegistry(settings, kept)
        computing, workers = bench.cpu_activities(), list[Worker]()
        if role != "io":
            workers.append(
                kept.enter_context(_worker_with_threads(client, cpu_queue(queue), slots.cpu_threads, computing))
            )
        if role != "cpu":
            # What computes is known here too: a run of an earlier release still waits for it at this queue.
            activities = [*bench.io_activities(), *bench.maintenance_activities(client), *computing]
            workers.append(
                kept.enter_context(_worker_with_threads(client, queue, slots.threads, activities, WORKFLOWS))
            )
            workers.append(_delivery_worker(client, queue, bench.delivery_activities()))
        async with run_workers(*workers):
            yield


@contextmanager
def _worker_with_threads(
    client: Client,
    queue: str,
    thread_count: int,
    activities: Sequence[ActivityFunction],
    workflows: Sequence[type] = (),
) -> Iterator[Worker]:
    """A worker at one queue, with threads of its own."""
    with ThreadPoolExecutor(thread_count, queue) as threads:
        yield Worker(
            client,
            task_queue=queue,
            workflows=workflows,
            activities=activities,
            interceptors=[ActivityInterceptor()],
            activity_executor=threads,
            max_concurrent_activities=thread_count,
            max_heartbeat_throttle_interval=_HEARTBEAT_INTERVAL,
            default_heartbeat_throttle_interval=_HEARTBEAT_INTERVAL,
            graceful_shutdown_timeout=_GRACEFUL_SHUTDOWN,
            sticky_queue_schedule_to_start_timeout=_STICKY_TIMEOUT,
        )


def _delivery_worker(client: Client, queue: str, activities: Sequence[ActivityFunction]) -> Worker:
    """At a queue of its own: receivers that hang hold nothing up but one another."""
    return Worker(
        client,
        task_queue=notification_queue(queue),
        activities=activities,
        interceptors=[ActivityInterceptor()],
        max_concurrent_activities=_MAX_CONCURRENT_DELIVERIES,
        graceful_shutdown_timeout=_GRACEFUL_SHUTDOWN,
    )


class _ActivityRegistry:
    """What activities share, and the activities themselves."""

    def __init__(self, settings: Settings, exit_stack: ExitStack) -> None:
        url, slots = require_setting(settings.database.worker_url, "STAFETT_DATABASE__WORKER_URL"), settings.worker
        connections = 2 * (slots.threads + slots.cpu_threads) + _DELIVERY_CONNECTIONS
        self._settings, self._exit_stack = settings, exit_stack
        self._by_email = settings.mail.host is not None
        self._database = exit_stack.enter_context(closing(Database(url, pool_size=connections)))
        self._storage, self._mappings = FileStorage(settings.s3), MappingVersions(self._database)
        self._stage_store = StageStore(self._database)
        self._mapped_parts = MappedPartStore(self._database, build_fingerprint=build_fingerprint())
        self._completion = ExportCompletion(self._database, by_email=self._by_email)
        self._stage_runner = StageRunner(self._stage_store, self._storage, raise_if_cancelled=raise_if_cancelled)

    def cpu_activities(self) -> list[ActivityFunction]:
        """Those that keep a core busy, each for as long as there are rows."""
        given, stages = (self._stage_store, self._storage, self._mappings), self._stage_runner
        return [
            ColumnMappingActivities(stages, ColumnMapper(*given, self._mapped_parts)).map_columns,
            FileGenerationActivities(stages, FileGeneration(*given)).generate_file,
            AttachmentBundlingActivities(stages, AttachmentBundler(*given)).bundle_attachments,
            self._reexport_activities().store_reexport_result,
        ]

    def io_activities(self) -> list[ActivityFunction]:
        """Those that are short, or wait for PostgreSQL and S3 most of the time, or for which somebody waits."""
        query = SnapshotCopy(self._database, ActivityQueryStage(self._database, self._mappings))
        previewing = PreviewBuilder(self._database, self._mappings, raise_if_cancelled=raise_if_cancelled)
        ending = ExportOutcomeActivities(self._stage_runner, self._completion, self._storage)
        notifying, reexporting = NotificationActivities(DeliveryStore(self._database)), self._reexport_activities()
        bulk = BulkRegistrationActivities(ProxyRegistration(self._database, by_email=self._by_email))
        return [
            ActivityQueryActivities(self._stage_runner, query).query_activities,
            FileStorageActivities(
                self._stage_runner, FileVerificationStage(self._stage_store, self._storage)
            ).store_file,
            PreviewActivities(previewing).preview_export,
            ending.record_completion,
            ending.record_empty_completion,
            ending.record_failure,
            ending.record_cancellation,
            ending.read_outcome,
            bulk.start_batch,
            bulk.register_chunks,
            bulk.fail_chunks,
            bulk.finish_batch,
            bulk.cancel_batch,
            bulk.read_batch_outcome,
            notifying.find_deliveries,
            notifying.give_up_delivery,
            reexporting.load_history,
            reexporting.build_export_params,
            reexporting.notify_reexport_complete,
            reexporting.record_reexport_completion,
            reexporting.record_reexport_failure,
            reexporting.record_reexport_cancellation,
            reexporting.read_reexport_outcome,
        ]

    def _reexport_activities(self) -> ReexportActivities:
        compare = VersionComparison(self._database, self._storage, raise_if_cancelled=raise_if_cancelled)
        removal = FileRemoval(self._database, self._storage, actor=audit_trail.WORKER_ACTOR)
        return ReexportActivities(
            ReexportSteps(self._database, compare, by_email=self._by_email),
            ReexportCompletion(self._database, removal.remove, by_email=self._by_email),
        )

    def maintenance_activities(self, client: Client) -> list[ActivityFunction]:
        """What schedules start, for every organisation: the maintenance role's."""
        settings = self._settings
        url = require_setting(settings.database.maintenance_url, "STAFETT_DATABASE__MAINTENANCE_URL")
        maintenance = self._exit_stack.enter_context(closing(Database(url, pool_size=2)))
        queue, outbox = settings.temporal.task_queue, DeliveryStore(maintenance)
        endings = ExportCompletion(maintenance, actor=audit_trail.SWEEPER_ACTOR, by_email=self._by_email)
        stray = FileRemoval(maintenance, self._storage, actor=audit_trail.SWEEPER_ACTOR)
        reexports = ReexportCompletion(
            maintenance, stray.remove, actor=audit_trail.SWEEPER_ACTOR, by_email=self._by_email
        )
        batches = ProxyRegistration(maintenance, actor=audit_trail.SWEEPER_ACTOR, by_email=self._by_email)
        sweeping = ReconciliationActivities(
            client,
            queue,
            [
                OpenExports(maintenance, endings),
                OpenReexports(maintenance, reexports),
                OpenBatches(maintenance, batches),
            ],
            partial(delete_expired_previews, maintenance),
            NotificationReconciler(client, queue, partial(find_undelivered, maintenance), outbox),
        )
        days = settings.retention
        periods = RetentionPolicy(timedelta(days=days.files_days), timedelta(days=days.staging_days))
        removal = FileRemoval(maintenance, self._storage, actor=audit_trail.RETENTION_ACTOR)
        retention = Retention(maintenance, self._storage, removal, periods, raise_if_cancelled=raise_if_cancelled)
        return [
            sweeping.sweep_jobs,
            RetentionActivities(retention).apply_retention,
            CheckpointActivities(create_checkpointer(settings, maintenance)).checkpoint_chains,
        ]

    def delivery_activities(self) -> list[ActivityFunction]:
        """One message each; letters and the names of hosts have threads of their own."""
        tls, settings = create_ssl_context(), self._settings
        letters = self._exit_stack.enter_context(ThreadPoolExecutor(_MAX_CONCURRENT_EMAILS, "letter"))
        mailer = SmtpSender(settings.mail, tls) if settings.mail.host else None
        lookups = self._exit_stack.enter_context(ThreadPoolExecutor(_MAX_CONCURRENT_DNS_LOOKUPS, "lookup"))
        resolve = partial(resolve_host, executor=lookups)
        poster = WebhookSender(DestinationPolicy(settings.webhooks.allow_private_networks, resolve), tls)
        return [DeliveryActivities(DeliverySender(DeliveryStore(self._database), poster, mailer, letters)).deliver]


async def ensure_checkpoint_schedule(client: Client, settings: Settings) -> None:
    """Have the audit chains signed at intervals, or say that nobody does."""
    if load_signing_key(settings.audit) is None:
        _log.warning("audit_signing_disabled", missing="STAFETT_AUDIT__SIGNING_KEY")
        return
    every = timedelta(minutes=settings.audit.checkpoint_minutes)
    await upsert_checkpoint_schedule(client, settings.temporal.task_queue, every)


async def serve(settings: Settings, queue: str | None = None, role: WorkerRole | None = None) -> None:
    """Work until SIGINT or SIGTERM; what is running then goes on elsewhere, or here after the next start."""
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopping.set)
    for variable in ("WORKER_URL",) if role == "cpu" else ("WORKER_URL", "MAINTENANCE_URL"):
        require_setting(getattr(settings.database, variable.lower()), f"STAFETT_DATABASE__{variable}")
    client = await connect(settings.temporal)
    try:
        await ensure_search_attributes(client)
    except RPCError as error:
        raise SettingsError(
            f"Temporal does not let us into {client.namespace}: {error.status.name.lower()}."
        ) from error
    async with run_queue_workers(client, settings, queue, role):
        if role != "cpu":
            await ensure_schedules(client, settings.temporal.task_queue)
            await ensure_checkpoint_schedule(client, settings)
        _log.info("worker_ready", task_queue=queue or settings.temporal.task_queue, only=role)
        await stopping.wait()
    _log.info("worker_stopped")
