"""The worker process; the only module that wires the dependencies of activities."""

import asyncio
import signal
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager, closing
from datetime import timedelta
from functools import partial
from typing import Any

import structlog
from httpx import create_ssl_context
from temporalio.client import Client
from temporalio.service import RPCError
from temporalio.worker import UnsandboxedWorkflowRunner, Worker, WorkerDeploymentConfig

from activities.bulk import BulkRegistrationActivities
from activities.exports import ExportOutcomeActivities, ExportStageActivities
from activities.interceptors import ActivityInterceptor, raise_if_cancelled
from activities.job_reconciliation import JobReconciler
from activities.maintenance import AuditTasks, MaintenanceActivities
from activities.notifications import DeliveryActivities, NotificationActivities
from activities.previews import PreviewActivities
from activities.reconciliation import MAX_CONCURRENT_JOBS, OpenWork, ReconciliationActivities
from activities.reexports import ReexportActivities
from stafett.audit import trail as audit_trail
from stafett.audit.checkpointing import create_checkpointer
from stafett.audit.keys import load_signing_key
from stafett.audit.scheduled_verification import create_scheduled_verification
from stafett.bulk.registration import BatchProcessor
from stafett.column_mapper.versions import MappingVersions
from stafett.database.connection_budget import (
    MAINTENANCE_CONNECTIONS,
    METRICS_CONNECTIONS,
    SWEEP_CONNECTIONS,
    count_worker_pool,
)
from stafett.database.maintenance import MaintenanceDatabase
from stafett.database.session import Database, Timeouts
from stafett.domain.errors import SettingsError
from stafett.domain.export_status import ExportStatus
from stafett.exports.bucket_reconciliation import BucketReconciliation
from stafett.exports.completion import ExportCompletion
from stafett.exports.file_removal import FileRemoval
from stafett.exports.mapped_parts import MappedPartStore
from stafett.exports.preview import PreviewBuilder, delete_expired_previews
from stafett.exports.retention import Retention, RetentionPolicy
from stafett.exports.stage_runner import StageRunner
from stafett.exports.stage_store import StageStore
from stafett.exports.stages.bundle_attachments import AttachmentBundlingStage
from stafett.exports.stages.generate_file import FileGenerationStage
from stafett.exports.stages.map_columns import ColumnMappingStage
from stafett.exports.stages.query_activities import ActivityQueryStage
from stafett.exports.stages.store_file import FileVerificationStage
from stafett.monitoring.maintenance_runs import MaintenanceRuns
from stafett.monitoring.metrics import ConnectionPool
from stafett.monitoring.server import MetricsPage, serve_pages
from stafett.monitoring.service_metrics import ServiceMetrics
from stafett.monitoring.worker_health import WorkerHealth, WorkerMonitor
from stafett.notifications.deliveries import DeliveryStore
from stafett.notifications.email import SmtpSender
from stafett.notifications.sender import DeliverySender
from stafett.people.sessions import delete_expired_sessions
from stafett.reconciliation import list_open_batches, list_open_exports, list_open_reexports, list_undelivered
from stafett.reports.comparison import VersionComparison
from stafett.reports.completion import ReexportCompletion
from stafett.reports.snapshot_copy import SnapshotCopy
from stafett.reports.steps import ReexportSteps
from stafett.settings import Settings, WorkerRole, require_setting
from stafett.storage.files import FileStorage
from stafett.storage.s3 import CANCELLATION_TIMEOUTS
from stafett.temporal.activity_threads import ActivityThreadPool
from stafett.temporal.client import connect
from stafett.temporal.deployment import create_deployment_config, start_deployment
from stafett.temporal.namespace import (
    AuditIntervals,
    ensure_search_attributes,
    get_maintenance_intervals,
    keep_namespace_ensured,
)
from stafett.temporal.query_slots import create_query_tuner
from stafett.temporal.queues import (
    cpu_queue,
    maintenance_queue,
    notification_queue,
    outcome_queue,
    preview_queue,
    query_queue,
)
from stafett.temporal.runs import list_running_jobs
from stafett.temporal.sdk_runtime import ReadMetrics
from stafett.temporal.workers import run_workers
from stafett.version import build_fingerprint
from stafett.webhooks.destinations import DestinationPolicy, resolve_host
from stafett.webhooks.sender import WebhookSender
from workflows.bufdir_export import BufdirExport
from workflows.bulk_registration import BulkRegistration
from workflows.export_preview import PreviewExport
from workflows.maintenance import (
    ApplyRetention,
    CheckpointAuditChains,
    ReconcileBucket,
    SweepJobs,
    VerifyAuditChains,
)
from workflows.notifications import SendNotifications
from workflows.report_reexport import ReportReexport

ActivityFunction = Callable[..., Any]
WORKFLOWS = (
    ApplyRetention,
    BufdirExport,
    BulkRegistration,
    CheckpointAuditChains,
    VerifyAuditChains,
    PreviewExport,
    ReconcileBucket,
    ReportReexport,
    SweepJobs,
    SendNotifications,
)

_HEARTBEAT_INTERVAL = timedelta(milliseconds=500)
_BACKGROUND_THREADS = 8
_MAX_CALL_TIME = timedelta(minutes=5)  # longer than the timeouts of an email, a DNS lookup and a page of a sweep
_GRACEFUL_SHUTDOWN = timedelta(seconds=10)
_MAX_CONCURRENT_EMAILS, _MAX_CONCURRENT_DNS_LOOKUPS, _MAX_CONCURRENT_DELIVERIES = 4, 16, 32
_MAX_CONCURRENT_MAINTENANCE = 4  # retention, checkpoints and a sweep of the schedules, and one that an operator started
_STICKY_TIMEOUT = timedelta(seconds=2)  # after this, a workflow task goes from its last worker to any other worker
_log = structlog.get_logger("stafett.worker")


@asynccontextmanager
async def run_queue_workers(
    client: Client,
    settings: Settings,
    queue: str | None = None,
    role: WorkerRole | None = None,
    monitor: WorkerMonitor | None = None,
) -> AsyncIterator[None]:
    """Run the workers during a block; they connect to PostgreSQL and S3 when an activity needs them."""
    queue, slots, monitor = queue or settings.temporal.task_queue, settings.worker, monitor or WorkerMonitor()
    deployment = create_deployment_config(settings.temporal)
    with ExitStack() as stack:
        registry, workers = _ActivityRegistry(settings, stack, monitor), list[Worker]()

        def add_worker(
            queue: str, slot_count: int, activities: Sequence[ActivityFunction], **options: Any
        ) -> ActivityThreadPool:
            pool = stack.enter_context(monitor.threads.open_pool(slot_count, queue))
            interceptor = ActivityInterceptor(pool, monitor.metrics.record_retry)
            options |= {"deployment_config": deployment}
            workers.append(_worker_with_threads(client, queue, pool, activities, interceptor, **options))
            return pool

        cpu_pool: ActivityThreadPool | None = None
        if role != "io":
            cpu_pool = add_worker(cpu_queue(queue), slots.cpu_threads, registry.cpu_activities())
        if role != "cpu":
            add_worker(queue, slots.threads, registry.io_activities(), workflows=WORKFLOWS)
            query_tuner = create_query_tuner(slots.query_threads, cpu_pool)
            add_worker(query_queue(queue), slots.query_threads, registry.query_activities(), tuner=query_tuner)
            add_worker(outcome_queue(queue), slots.outcome_threads, registry.outcome_activities())
            add_worker(preview_queue(queue), slots.preview_threads, registry.preview_activities())
            maintenance = registry.maintenance_activities(client)
            add_worker(maintenance_queue(queue), _MAX_CONCURRENT_MAINTENANCE, maintenance)
            interceptor = ActivityInterceptor(record_retry=monitor.metrics.record_retry)
            delivery_activities = registry.delivery_activities()
            workers.append(_delivery_worker(client, queue, delivery_activities, interceptor, deployment))
        async with run_workers(*workers), start_deployment(client, deployment):
            yield


def _worker_with_threads(
    client: Client,
    queue: str,
    pool: ActivityThreadPool,
    activities: Sequence[ActivityFunction],
    interceptor: ActivityInterceptor,
    **options: Any,
) -> Worker:
    """Create a worker of one task queue with its own thread pool; without a ``tuner``, a slot for each thread."""
    return Worker(
        client,
        task_queue=queue,
        workflow_runner=UnsandboxedWorkflowRunner(),
        activities=activities,
        interceptors=[interceptor],
        activity_executor=pool,
        max_heartbeat_throttle_interval=_HEARTBEAT_INTERVAL,
        default_heartbeat_throttle_interval=_HEARTBEAT_INTERVAL,
        graceful_shutdown_timeout=_GRACEFUL_SHUTDOWN,
        sticky_queue_schedule_to_start_timeout=_STICKY_TIMEOUT,
        max_concurrent_activities=None if "tuner" in options else pool.size,
        **options,
    )


def _delivery_worker(
    client: Client,
    queue: str,
    activities: Sequence[ActivityFunction],
    interceptor: ActivityInterceptor,
    deployment: WorkerDeploymentConfig | None,
) -> Worker:
    """Create the worker of the notification queue, so that slow receivers only delay other deliveries."""
    return Worker(
        client,
        task_queue=notification_queue(queue),
        activities=activities,
        interceptors=[interceptor],
        max_concurrent_activities=_MAX_CONCURRENT_DELIVERIES,
        graceful_shutdown_timeout=_GRACEFUL_SHUTDOWN,
        deployment_config=deployment,
    )


class _ActivityRegistry:
    """Creates the activities and the dependencies that they share."""

    def __init__(self, settings: Settings, exit_stack: ExitStack, monitor: WorkerMonitor) -> None:
        url = require_setting(settings.database.worker_url, "STAFETT_DATABASE__WORKER_URL")
        self._settings, self._exit_stack = settings, exit_stack
        self._threads, self._metrics = monitor.threads, monitor.metrics
        self._notify_by_email = settings.mail.host is not None
        pooling = settings.database.transaction_pooling
        self._database = Database(url, pool_size=count_worker_pool(settings), transaction_pooling=pooling)
        exit_stack.enter_context(closing(self._database))
        self._database.observe_wait = self._metrics.observe_connection_waits(ConnectionPool.WORKER)
        self._deliveries = DeliveryStore(self._database, record_state=self._metrics.record_delivery)
        self._storage, self._mappings = FileStorage(settings.s3), MappingVersions(self._database)
        self._stage_store = StageStore(self._database)
        self._mapped_parts = MappedPartStore(self._database, build_fingerprint=build_fingerprint())
        self._completion = ExportCompletion(self._database, notify_by_email=self._notify_by_email)
        self._cancellation_storage = FileStorage(settings.s3, CANCELLATION_TIMEOUTS)
        self._stage_runner = StageRunner(
            self._stage_store,
            self._storage,
            raise_if_cancelled=raise_if_cancelled,
            record_stage=self._metrics.record_stage,
        )

    def cpu_activities(self) -> list[ActivityFunction]:
        """Return the CPU-bound activities, whose duration grows with the number of rows."""
        stages = self._stage_activities()
        return [
            stages.map_columns,
            stages.generate_file,
            stages.bundle_attachments,
            self._reexport_activities().store_reexport_result,
        ]

    def io_activities(self) -> list[ActivityFunction]:
        """Return the activities that do work, and mostly wait for PostgreSQL and S3."""
        stages, reexports, bulk = self._stage_activities(), self._reexport_activities(), self._bulk_activities()
        return [
            stages.store_file,
            bulk.start_batch,
            bulk.register_chunks,
            bulk.fail_chunks,
            reexports.load_original_parameters,
            reexports.insert_child_export,
        ]

    def query_activities(self) -> list[ActivityFunction]:
        """Return the first stage of an export, whose number of rows is not known before."""
        return [self._stage_activities().query_activities]

    def outcome_activities(self) -> list[ActivityFunction]:
        """Return the activities that end a job or a delivery."""
        outcomes = ExportOutcomeActivities(self._stage_runner, self._completion, self._cancellation_storage)
        notifications = NotificationActivities(self._deliveries)
        reexports, bulk = self._reexport_activities(), self._bulk_activities()
        return [
            outcomes.record_completion,
            outcomes.record_empty_completion,
            outcomes.record_failure,
            outcomes.record_cancellation,
            outcomes.read_outcome,
            bulk.finish_batch,
            bulk.cancel_batch,
            bulk.read_batch_outcome,
            notifications.find_deliveries,
            notifications.give_up_delivery,
            reexports.enqueue_reexport_notifications,
            reexports.record_reexport_completion,
            reexports.record_reexport_failure,
            reexports.record_reexport_cancellation,
            reexports.read_reexport_outcome,
        ]

    def preview_activities(self) -> list[ActivityFunction]:
        """Return the activity that builds a preview, for which a caller is waiting."""
        preview_builder = PreviewBuilder(
            self._database,
            self._mappings,
            raise_if_cancelled=raise_if_cancelled,
            max_memory_bytes=self._settings.worker.mapping_memory_bytes,
        )
        return [PreviewActivities(preview_builder).preview_export]

    def _bulk_activities(self) -> BulkRegistrationActivities:
        return BulkRegistrationActivities(
            BatchProcessor(
                self._database,
                notify_by_email=self._notify_by_email,
                record_outcomes=lambda outcomes: self._metrics.record_batch_items(**outcomes._asdict()),
            )
        )

    def _stage_activities(self) -> ExportStageActivities:
        query = ActivityQueryStage(self._database, self._mappings)
        dependencies = self._storage, self._mappings
        max_memory_bytes = self._settings.worker.mapping_memory_bytes
        return ExportStageActivities(
            self._stage_runner,
            {
                ExportStatus.QUERYING_ACTIVITIES: SnapshotCopy(self._database, query),
                ExportStatus.MAPPING_COLUMNS: ColumnMappingStage(
                    *dependencies, self._mapped_parts, max_memory_bytes=max_memory_bytes
                ),
                ExportStatus.GENERATING_FILE: FileGenerationStage(*dependencies),
                ExportStatus.BUNDLING_ATTACHMENTS: AttachmentBundlingStage(*dependencies),
                ExportStatus.STORING_FILE: FileVerificationStage(self._storage),
            },
        )

    def _reexport_activities(self) -> ReexportActivities:
        comparison = VersionComparison(self._database, self._storage, raise_if_cancelled=raise_if_cancelled)
        removal = FileRemoval(self._database, self._cancellation_storage, actor=audit_trail.WORKER_ACTOR)
        return ReexportActivities(
            ReexportSteps(self._database, comparison, removal.remove, notify_by_email=self._notify_by_email),
            ReexportCompletion(self._database, removal.remove, notify_by_email=self._notify_by_email),
        )

    def maintenance_activities(self, client: Client) -> list[ActivityFunction]:
        """Return the scheduled activities, which use the maintenance role and cover all organisations."""
        settings = self._settings
        maintenance = self._open_maintenance_database(
            Timeouts.WORKER, ConnectionPool.MAINTENANCE, size=MAINTENANCE_CONNECTIONS
        )
        self._register_service_metrics()
        policy = RetentionPolicy(
            timedelta(days=settings.retention.files_days), timedelta(days=settings.retention.staging_days)
        )
        removal = FileRemoval(maintenance, self._storage, actor=audit_trail.RETENTION_ACTOR)
        retention = Retention(maintenance, self._storage, removal, policy, raise_if_cancelled=raise_if_cancelled)
        bucket = BucketReconciliation(maintenance, self._storage, raise_if_cancelled=raise_if_cancelled)
        audit = AuditTasks(
            create_checkpointer(settings, maintenance), create_scheduled_verification(settings, maintenance)
        )
        delete_sessions, record_run = partial(delete_expired_sessions, maintenance), MaintenanceRuns(maintenance).record
        scheduled = MaintenanceActivities(retention, bucket, audit, delete_sessions, record_run)
        return [
            self._sweep(client).sweep_jobs,
            scheduled.apply_retention,
            scheduled.reconcile_bucket,
            scheduled.checkpoint_chains,
            scheduled.verify_chains,
        ]

    def _sweep(self, client: Client) -> ReconciliationActivities:
        """Create the sweep, with threads and connections of its own."""
        database = self._open_maintenance_database(
            Timeouts.RECONCILIATION, ConnectionPool.SWEEP, size=SWEEP_CONNECTIONS
        )
        executor = self._open_pool(MAX_CONCURRENT_JOBS, "sweep")
        queue, actor = self._settings.temporal.task_queue, audit_trail.SWEEPER_ACTOR
        notify: dict[str, Any] = {"actor": actor, "notify_by_email": self._notify_by_email}
        removal = FileRemoval(database, self._storage, actor=actor)
        return ReconciliationActivities(
            partial(list_running_jobs, client),
            JobReconciler(client, queue, executor),
            OpenWork(
                [
                    partial(list_open_exports, database, ExportCompletion(database, **notify)),
                    partial(list_open_reexports, database, ReexportCompletion(database, removal.remove, **notify)),
                    partial(list_open_batches, database, BatchProcessor(database, **notify)),
                ],
                partial(list_undelivered, database),
            ),
            partial(delete_expired_previews, database),
            MaintenanceRuns(database).record,
        )

    def _register_service_metrics(self) -> None:
        """Report the metrics that PostgreSQL knows, with a connection of their own."""
        settings = self._settings
        service_metrics = ServiceMetrics(
            self._open_maintenance_database(Timeouts.INTERACTIVE, ConnectionPool.METRICS, size=METRICS_CONNECTIONS),
            intervals=get_maintenance_intervals(_build_audit_intervals(settings)),
            files_period=timedelta(days=settings.retention.files_days),
        )
        self._metrics.registry.register(service_metrics)

    def _open_pool(self, size: int, name: str) -> ActivityThreadPool:
        """Open a thread pool for short calls, which have timeouts of their own."""
        return self._exit_stack.enter_context(self._threads.open_pool(size, name, max_task_time=_MAX_CALL_TIME))

    def _open_maintenance_database(self, timeouts: Timeouts, pool: ConnectionPool, *, size: int) -> Database:
        url = require_setting(self._settings.database.maintenance_url, "STAFETT_DATABASE__MAINTENANCE_URL")
        pooling = self._settings.database.transaction_pooling
        database = MaintenanceDatabase(url, pool_size=size, timeouts=timeouts, transaction_pooling=pooling)
        self._exit_stack.enter_context(closing(database))
        database.observe_wait = self._metrics.observe_connection_waits(pool)
        return database

    def delivery_activities(self) -> list[ActivityFunction]:
        """Return the activity that delivers one message; emails and DNS lookups have their own thread pools."""
        tls, settings = create_ssl_context(), self._settings
        email_threads = self._open_pool(_MAX_CONCURRENT_EMAILS, "email")
        dns_threads = self._open_pool(_MAX_CONCURRENT_DNS_LOOKUPS, "dns-lookup")
        smtp_sender = SmtpSender(settings.mail, tls) if settings.mail.host else None
        resolve = partial(resolve_host, executor=dns_threads)
        webhook_sender = WebhookSender(DestinationPolicy(settings.webhooks.allow_private_networks, resolve), tls)
        sender = DeliverySender(self._deliveries, webhook_sender, smtp_sender, email_threads)
        return [DeliveryActivities(sender).deliver]


def get_audit_intervals(settings: Settings) -> AuditIntervals:
    """Return the intervals of the audit trail's schedules; log that signing is disabled if there is no signing key."""
    intervals = _build_audit_intervals(settings)
    if intervals.checkpoint is None:
        _log.warning("audit_signing_disabled", missing="STAFETT_AUDIT__SIGNING_KEY")
    return intervals


def _build_audit_intervals(settings: Settings) -> AuditIntervals:
    signs = load_signing_key(settings.audit) is not None
    return AuditIntervals(
        verification=timedelta(hours=settings.audit.verification_hours),
        checkpoint=timedelta(minutes=settings.audit.checkpoint_minutes) if signs else None,
    )


async def serve(
    settings: Settings,
    queue: str | None = None,
    role: WorkerRole | None = None,
    read_sdk_metrics: ReadMetrics | None = None,
) -> None:
    """Run the worker until SIGINT or SIGTERM; Temporal then retries its running activities on another worker.

    A process whose threads hang ends too, with an exit code that makes its supervisor restart it.
    """
    stopping, monitor = asyncio.Event(), WorkerMonitor()
    threads, registry = monitor.threads, monitor.metrics.registry
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
            f"Temporal denies access to the namespace {client.namespace}: {error.status.name.lower()}."
        ) from error
    health = WorkerHealth(loop, threads, read_sdk_metrics)
    with (
        serve_pages(settings.metrics, {"/metrics": MetricsPage(registry, read_sdk_metrics), **health.pages}),
        threads.open_pool(_BACKGROUND_THREADS, "background", max_task_time=_MAX_CALL_TIME) as background,
    ):
        loop.set_default_executor(background)
        async with run_queue_workers(client, settings, queue, role, monitor), AsyncExitStack() as stack:
            if role != "cpu":
                task_queue, intervals = settings.temporal.task_queue, get_audit_intervals(settings)
                await stack.enter_async_context(keep_namespace_ensured(client, task_queue, intervals))
            health.is_ready = True
            _log.info("worker_ready", task_queue=queue or settings.temporal.task_queue, role=role)
            await threads.wait_until_exhausted_or(stopping)
            health.is_ready = False
    threads.exit_if_threads_hang()
    _log.info("worker_stopped")
