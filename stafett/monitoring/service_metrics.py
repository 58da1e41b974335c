"""Metrics of the whole service that only PostgreSQL knows: open jobs, the outbox, maintenance and connections.

Every worker with the maintenance role reports the same values, so that none depends on the sweep that it watches.
"""

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import timedelta
from threading import Lock
from typing import Any, NamedTuple

import structlog
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from sqlalchemy import text

from stafett.database.session import Database
from stafett.domain.bulk_status import BulkStatus
from stafett.domain.export_status import ExportStatus
from stafett.domain.job import JobKind
from stafett.domain.maintenance import MaintenanceTask
from stafett.domain.notification import Channel
from stafett.domain.reexport_status import ReexportStatus
from stafett.monitoring.logs import error_location

STALLED_AFTER = timedelta(minutes=5)
"""An open job whose row has not changed for so long counts as stalled, whether it waits or hangs."""

_MAX_AGE_SECONDS = 5.0  # several scrapers share one query
_UNCLEARED_AFTER = timedelta(minutes=10)  # a run of retention clears staging five to ten minutes after an export
_STATUS_TYPES: Mapping[JobKind, type[ExportStatus | ReexportStatus | BulkStatus]] = {
    JobKind.BUFDIR_EXPORT: ExportStatus,
    JobKind.REPORT_REEXPORT: ReexportStatus,
    JobKind.BULK_REGISTRATION: BulkStatus,
}
JOB_STATES: Sequence[tuple[JobKind, str]] = tuple(
    (kind, status) for kind, statuses in _STATUS_TYPES.items() for status in statuses if not status.is_final
)
"""The kinds of jobs with the states in which they are unfinished."""

# Each part reads a partial index of what is open or due, so that the query does not grow with what has ended.
_QUERY = text("""
SELECT 'job' AS subject, 'BufdirExport' AS kind, status AS state, count(*) AS number,
       extract(epoch FROM now() - min(created_at)) AS age,
       count(*) FILTER (WHERE updated_at < now() - CAST(:stalled_after AS interval)) AS stalled
FROM exports WHERE status NOT IN ('completed', 'completed_empty', 'failed', 'cancelled') GROUP BY status
UNION ALL
SELECT 'job', 'ReportReexport', status, count(*), extract(epoch FROM now() - min(created_at)),
       count(*) FILTER (WHERE updated_at < now() - CAST(:stalled_after AS interval))
FROM report_reexports WHERE status NOT IN ('completed', 'failed', 'cancelled') GROUP BY status
UNION ALL
SELECT 'job', 'BulkRegistration', status, count(*), extract(epoch FROM now() - min(created_at)),
       count(*) FILTER (WHERE updated_at < now() - CAST(:stalled_after AS interval))
FROM bulk_registrations WHERE completed_at IS NULL GROUP BY status
UNION ALL
SELECT 'delivery', channel, NULL, count(*), extract(epoch FROM now() - min(created_at)), 0
FROM deliveries WHERE state IN ('pending', 'failed') GROUP BY channel
UNION ALL
SELECT 'maintenance', task, NULL, errors, extract(epoch FROM now() - finished_at), 0 FROM maintenance_runs
UNION ALL
SELECT 'retention', NULL, NULL, 0, extract(epoch FROM now() - CAST(:uncleared_after AS interval) - completed_at), 0
FROM (SELECT completed_at FROM exports
      WHERE staging_cleared_at IS NULL AND removal_started_at IS NULL AND completed_at IS NOT NULL
      ORDER BY completed_at, id LIMIT 1) AS uncleared
UNION ALL
SELECT 'retention', NULL, NULL, 0, extract(epoch FROM now() - CAST(:files_period AS interval) - completed_at), 0
FROM (SELECT completed_at FROM exports
      WHERE files_removed_at IS NULL AND status = 'completed'
          AND completed_at < now() - CAST(:files_period AS interval)
      ORDER BY completed_at, id LIMIT 1) AS expired
UNION ALL
SELECT 'broken_chains', NULL, NULL, count(*), 0, 0 FROM audit_verifications WHERE broken_seq IS NOT NULL
UNION ALL
SELECT 'connections', NULL, NULL, sum(numbackends), current_setting('max_connections')::int, 0 FROM pg_stat_database
""")
_log = structlog.get_logger("stafett.monitoring")


class ServiceFigure(NamedTuple):
    """A row of the query."""

    subject: str
    kind: str | None
    state: str | None
    number: int
    age: float
    stalled: int


class ServiceMetrics(Collector):
    """Reads the values when the metrics are collected, at most once in five seconds."""

    def __init__(
        self,
        maintenance: Database,
        *,
        intervals: Mapping[MaintenanceTask, timedelta],
        files_period: timedelta,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._database = maintenance
        self._intervals = intervals
        self._params = {
            "stalled_after": STALLED_AFTER,
            "uncleared_after": _UNCLEARED_AFTER,
            "files_period": files_period,
        }
        self._clock = clock
        self._lock = Lock()
        self._figures: Sequence[ServiceFigure] | None = None
        self._loaded_at = float("-inf")

    def describe(self) -> Iterable[Metric]:
        """Describe nothing, so that registering the collector runs no query."""
        return ()

    def collect(self) -> Iterable[Metric]:
        with self._lock:
            if self._clock() - self._loaded_at >= _MAX_AGE_SECONDS:
                self._figures, self._loaded_at = self._load(), self._clock()
            figures = self._figures
        yield _gauge("stafett_service_metrics_up", "Whether PostgreSQL answered the query.", int(figures is not None))
        if figures is not None:
            yield from _build_job_metrics(_select(figures, "job"))
            yield from _build_delivery_metrics(_select(figures, "delivery"))
            yield from self._build_maintenance_metrics(_select(figures, "maintenance"))
            yield from _build_other_metrics(figures)

    def _load(self) -> Sequence[ServiceFigure] | None:
        """Return None if the query fails: outdated values would hide it."""
        try:
            with self._database.transaction() as session:
                return [ServiceFigure(*row) for row in session.execute(_QUERY, self._params)]
        except Exception as error:  # noqa: BLE001 - the other metrics of the process are served all the same
            _log.warning("service_metrics_failed", error=type(error).__name__, location=error_location(error))
            return None

    def _build_maintenance_metrics(self, runs: Sequence[ServiceFigure]) -> Iterable[Metric]:
        age = _family("stafett_maintenance_age_seconds", "Time since a scheduled task last finished.", "task")
        errors = _family("stafett_maintenance_errors", "Parts of a scheduled task's last run that failed.", "task")
        interval = _family("stafett_maintenance_interval_seconds", "Interval of a scheduled task.", "task")
        for run in runs:
            age.add_metric([str(run.kind)], float(run.age))
            errors.add_metric([str(run.kind)], run.number)
        for task, duration in self._intervals.items():
            interval.add_metric([task], duration.total_seconds())
        return age, errors, interval


def _build_job_metrics(jobs: Sequence[ServiceFigure]) -> Iterable[Metric]:
    """Report each state, also without jobs, so that a state that becomes empty has the value 0."""
    found = {(job.kind, job.state): job for job in jobs}
    number = _family("stafett_jobs_open", "Unfinished jobs.", "kind", "state")
    age = _family("stafett_jobs_oldest_age_seconds", "Age of the oldest unfinished job.", "kind", "state")
    stalled = _family("stafett_jobs_stalled", "Unfinished jobs without a change for five minutes.", "kind", "state")
    for kind, state in JOB_STATES:
        job = found.get((kind, state))
        number.add_metric([kind, state], job.number if job else 0)
        age.add_metric([kind, state], float(job.age) if job else 0)
        stalled.add_metric([kind, state], job.stalled if job else 0)
    return number, age, stalled


def _build_delivery_metrics(deliveries: Sequence[ServiceFigure]) -> Iterable[Metric]:
    found = {delivery.kind: delivery for delivery in deliveries}
    number = _family("stafett_outbox_deliveries", "Notifications that are neither delivered nor given up.", "channel")
    age = _family("stafett_outbox_oldest_age_seconds", "Age of the oldest of them.", "channel")
    for channel in Channel:
        delivery = found.get(channel)
        number.add_metric([channel], delivery.number if delivery else 0)
        age.add_metric([channel], float(delivery.age) if delivery else 0)
    return number, age


def _build_other_metrics(figures: Sequence[ServiceFigure]) -> Iterable[Metric]:
    lag = max((float(figure.age) for figure in _select(figures, "retention")), default=0.0)
    (broken,), (connections,) = _select(figures, "broken_chains"), _select(figures, "connections")
    return (
        _gauge("stafett_retention_lag_seconds", "How long the oldest data that is due has not been deleted.", lag),
        _gauge("stafett_audit_chains_broken", "Audit chains whose last verification failed.", broken.number),
        _gauge("stafett_postgresql_connections", "Connections to the PostgreSQL server.", connections.number),
        _gauge("stafett_postgresql_connections_max", "Connections that the server allows.", connections.age),
    )


def _select(figures: Iterable[ServiceFigure], subject: str) -> list[ServiceFigure]:
    return [figure for figure in figures if figure.subject == subject]


def _family(name: str, documentation: str, *labels: str) -> GaugeMetricFamily:
    return GaugeMetricFamily(name, documentation, labels=labels)


def _gauge(name: str, documentation: str, value: Any) -> GaugeMetricFamily:
    return GaugeMetricFamily(name, documentation, value=max(0.0, float(value)))
