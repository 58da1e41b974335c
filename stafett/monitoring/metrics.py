"""The metrics that a process counts itself. Each label has a fixed set of values: no ids, names or exception texts."""

from collections.abc import Callable
from datetime import timedelta
from enum import StrEnum
from functools import partial

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    Info,
    ProcessCollector,
    disable_created_metrics,
)

from stafett.domain.export_outputs import BundledFile, MappedRows, QueriedRows, ReportFile, StageOutputs
from stafett.domain.export_status import EXPORT_STAGES, ExportStatus
from stafett.domain.notification import Channel, DeliveryState
from stafett.version import VERSION

_STAGE_BUCKETS = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 180, 600, 1800, 3600)
_REQUEST_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
_WAIT_BUCKETS = (0.0001, 0.001, 0.005, 0.025, 0.1, 0.5, 1, 2.5, 5, 10)
_FILE_STAGES = (ExportStatus.GENERATING_FILE, ExportStatus.BUNDLING_ATTACHMENTS)
_CHECKING_STAGES = (ExportStatus.MAPPING_COLUMNS, ExportStatus.BUNDLING_ATTACHMENTS)
_ITEM_OUTCOMES = ("registered", "failed", "cancelled")
STAGES_WITH_OUTPUTS = EXPORT_STAGES[:-1]
"""The last stage, which records the outcome, has none."""

# Otherwise there would be a second series for each counter, which Prometheus does not use.
disable_created_metrics()  # type: ignore[no-untyped-call]  # the package does not annotate it


class RetryCause(StrEnum):
    """Why an attempt at an activity failed, so that Temporal makes another one."""

    POSTGRESQL = "postgresql"
    S3 = "s3"
    TEMPORAL = "temporal"
    NO_PROGRESS = "no_progress"
    RECEIVER = "receiver"
    UNEXPECTED = "unexpected"


class ConnectionPool(StrEnum):
    """The connection pools of the processes."""

    API = "api"
    WORKER = "worker"
    MAINTENANCE = "maintenance"
    SWEEP = "sweep"
    METRICS = "metrics"


class Metrics:
    """The metrics of one process, in a registry of their own."""

    def __init__(self) -> None:
        registry = self.registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        Info("stafett_build", "Version of the process.", registry=registry).info({"version": VERSION})
        self._stage_seconds = Histogram(
            "stafett_stage_duration_seconds",
            "Duration of an export's stage on a worker, from its start to its commit.",
            ["stage"],
            buckets=_STAGE_BUCKETS,
            registry=registry,
        )
        self._stage_rows = Counter(
            "stafett_stage_rows", "Rows that a stage of an export has finished.", ["stage"], registry=registry
        )
        self._file_bytes = Counter(
            "stafett_file_bytes", "Bytes of files that a stage of an export has written.", ["stage"], registry=registry
        )
        self._partial_failures = Counter(
            "stafett_partial_failures",
            "Rows and attachments that an export rejected or warned about.",
            ["stage"],
            registry=registry,
        )
        self._batch_items = Counter(
            "stafett_batch_items", "Items of batches that got an outcome.", ["outcome"], registry=registry
        )
        self._activity_retries = Counter(
            "stafett_activity_retries",
            "Attempts at activities that failed, and that Temporal tries again.",
            ["activity_type", "cause"],
            registry=registry,
        )
        self._deliveries = Counter(
            "stafett_deliveries",
            "Notifications by email and webhook: delivered, failed for now, or given up.",
            ["channel", "state"],
            registry=registry,
        )
        self._connection_wait_seconds = Histogram(
            "stafett_database_connection_wait_seconds",
            "Time until a connection was available from the pool.",
            ["pool"],
            buckets=_WAIT_BUCKETS,
            registry=registry,
        )
        self._request_seconds = Histogram(
            "stafett_http_request_duration_seconds",
            "Time from a request's head to the start of its response.",
            ["method", "route", "status"],
            buckets=_REQUEST_BUCKETS,
            registry=registry,
        )
        self.event_streams = Gauge("stafett_event_streams", "Open event streams of clients.", registry=registry)

    def initialise_worker_series(self) -> None:
        """Start what a worker counts at 0, so that the first event is an increase."""
        for stage in STAGES_WITH_OUTPUTS:
            for metric in (self._stage_seconds, self._stage_rows):
                metric.labels(stage)
        for stage in _FILE_STAGES:
            self._file_bytes.labels(stage)
        for stage in _CHECKING_STAGES:
            self._partial_failures.labels(stage)
        for outcome in _ITEM_OUTCOMES:
            self._batch_items.labels(outcome)
        for channel in Channel:
            for state in (DeliveryState.DELIVERED, DeliveryState.FAILED, DeliveryState.GIVEN_UP):
                self._deliveries.labels(channel, state)

    def record_stage(self, stage: ExportStatus, outputs: StageOutputs, duration: timedelta) -> None:
        """Record a stage whose outputs were committed."""
        self._stage_seconds.labels(stage).observe(duration.total_seconds())
        self._stage_rows.labels(stage).inc(outputs.rows)
        match outputs:
            case MappedRows():
                self._partial_failures.labels(stage).inc(outputs.partial_failure_count)
            case BundledFile(file=file, partial_failures=failures):
                self._partial_failures.labels(stage).inc(len(failures))
                self._file_bytes.labels(stage).inc(file.size_bytes)
            case ReportFile() if stage in _FILE_STAGES:  # the stage that verifies the file has the same outputs
                self._file_bytes.labels(stage).inc(outputs.size_bytes)
            case QueriedRows() | ReportFile():
                pass

    def record_batch_items(self, *, registered: int, failed: int, cancelled: int) -> None:
        for outcome, number in zip(_ITEM_OUTCOMES, (registered, failed, cancelled), strict=True):
            self._batch_items.labels(outcome).inc(number)

    def record_retry(self, activity_type: str, cause: RetryCause) -> None:
        self._activity_retries.labels(activity_type, cause).inc()

    def record_delivery(self, channel: Channel, state: DeliveryState) -> None:
        self._deliveries.labels(channel, state).inc()

    def record_request(self, method: str, route: str, status: str, seconds: float) -> None:
        self._request_seconds.labels(method, route, status).observe(seconds)

    def observe_connection_waits(self, pool: ConnectionPool) -> Callable[[float], None]:
        """Return the function that records how many seconds a thread waited for a connection of the pool."""
        return partial(Histogram.observe, self._connection_wait_seconds.labels(pool))
