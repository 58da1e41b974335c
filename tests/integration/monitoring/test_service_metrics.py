"""Metrics of the whole service: what is open, late or broken in PostgreSQL."""

from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta

import psycopg
import pytest
from prometheus_client import CollectorRegistry

from stafett.database.maintenance import MaintenanceDatabase
from stafett.domain.bulk_status import BulkStatus
from stafett.domain.export_status import ExportStatus
from stafett.domain.job import JobKind
from stafett.domain.maintenance import MaintenanceTask
from stafett.monitoring.maintenance_runs import MaintenanceRuns
from stafett.monitoring.service_metrics import ServiceMetrics
from stafett.settings import Settings, require_setting
from stafett.testing import ActivityFactory, ExportClient, Tenant

EXPORT = {"kind": JobKind.BUFDIR_EXPORT.value, "state": ExportStatus.INITIALISED.value}


class Reader:
    """Reads single values, each from a new query."""

    def __init__(self, maintenance: MaintenanceDatabase) -> None:
        self._now = 0.0
        intervals = {MaintenanceTask.SWEEP_JOBS: timedelta(seconds=20)}
        self._registry = CollectorRegistry()
        self._registry.register(
            ServiceMetrics(maintenance, intervals=intervals, files_period=timedelta(days=1826), clock=lambda: self._now)
        )

    def read(self, name: str, **labels: str) -> float:
        self._now += 3600
        return self.read_cached(name, **labels)

    def read_cached(self, name: str, **labels: str) -> float:
        value = self._registry.get_sample_value(name, labels)
        assert value is not None, name
        return value


@pytest.fixture
def maintenance(settings: Settings) -> Iterator[MaintenanceDatabase]:
    url = require_setting(settings.database.maintenance_url, "maintenance")
    with closing(MaintenanceDatabase(url, pool_size=1)) as database:
        yield database


@pytest.fixture
def reader(maintenance: MaintenanceDatabase) -> Reader:
    return Reader(maintenance)


async def test_open_export_is_counted_with_its_age_and_stalls(
    reader: Reader, export_client: ExportClient, activity_factory: ActivityFactory, owner_url: str
) -> None:
    """No worker runs, so that the export stays in its first state."""
    activity_factory.create_activity(activity_factory.create_mentor())
    jobs, stalled = reader.read("stafett_jobs_open", **EXPORT), reader.read("stafett_jobs_stalled", **EXPORT)
    export_id = await export_client.start_export()
    assert reader.read("stafett_jobs_open", **EXPORT) == jobs + 1
    assert reader.read("stafett_jobs_stalled", **EXPORT) == stalled
    with psycopg.connect(owner_url) as connection:
        connection.execute("SET session_replication_role = replica")  # without the triggers, which set both columns
        connection.execute(
            "UPDATE exports SET created_at = now() - interval '40 years', updated_at = now() - interval '6 minutes'"
            " WHERE id = %s",
            [export_id],
        )
    assert reader.read("stafett_jobs_stalled", **EXPORT) == stalled + 1
    assert reader.read("stafett_jobs_oldest_age_seconds", **EXPORT) > timedelta(days=40 * 365).total_seconds()
    with psycopg.connect(owner_url) as connection:
        connection.execute("SET session_replication_role = replica")
        connection.execute("DELETE FROM exports WHERE id = %s", [export_id])


def test_state_without_jobs_has_the_value_zero(reader: Reader, owner_url: str) -> None:
    with psycopg.connect(owner_url) as connection:
        rows = connection.execute("SELECT status, count(*) FROM bulk_registrations GROUP BY status").fetchall()
    counts = {status: count for status, count in rows if not BulkStatus(status).is_final}  # other tests leave some
    for status in BulkStatus:
        if not status.is_final:
            labels = {"kind": JobKind.BULK_REGISTRATION.value, "state": status.value}
            assert reader.read("stafett_jobs_open", **labels) == counts.get(status, 0)
            assert (reader.read("stafett_jobs_oldest_age_seconds", **labels) > 0) == (status in counts)


def test_several_scrapes_within_seconds_share_a_query(reader: Reader, maintenance: MaintenanceDatabase) -> None:
    MaintenanceRuns(maintenance).record(MaintenanceTask.RECONCILE_BUCKET, errors=1)
    labels = {"task": MaintenanceTask.RECONCILE_BUCKET.value}
    assert reader.read("stafett_maintenance_errors", **labels) == 1
    MaintenanceRuns(maintenance).record(MaintenanceTask.RECONCILE_BUCKET, errors=0)
    assert reader.read_cached("stafett_maintenance_errors", **labels) == 1
    assert reader.read("stafett_maintenance_errors", **labels) == 0


def test_task_that_has_finished_has_a_small_age(
    reader: Reader, maintenance: MaintenanceDatabase, owner_url: str
) -> None:
    labels = {"task": MaintenanceTask.VERIFY_AUDIT_CHAINS.value}
    with psycopg.connect(owner_url) as connection:
        connection.execute(
            "UPDATE maintenance_runs SET finished_at = now() - interval '30 days' WHERE task = %s", [labels["task"]]
        )
    assert reader.read("stafett_maintenance_age_seconds", **labels) > timedelta(days=29).total_seconds()
    MaintenanceRuns(maintenance).record(MaintenanceTask.VERIFY_AUDIT_CHAINS, errors=0)
    assert reader.read("stafett_maintenance_age_seconds", **labels) < timedelta(days=1).total_seconds()


def test_undelivered_message_broken_chain_and_late_retention_are_reported(
    reader: Reader, tenant: Tenant, owner_url: str
) -> None:
    deliveries = reader.read("stafett_outbox_deliveries", channel="webhook")
    broken = reader.read("stafett_audit_chains_broken")
    with psycopg.connect(owner_url) as connection:
        connection.execute("SET session_replication_role = replica")  # without foreign keys
        connection.execute(
            "INSERT INTO deliveries (id, org_id, webhook_id, channel, created_at)"
            " VALUES (gen_random_uuid(), %s, gen_random_uuid(), 'webhook', now() - interval '40 years')",
            [tenant.org_id],
        )
        connection.execute("INSERT INTO audit_verifications VALUES (%s, now(), 3, 2, 'changed')", [tenant.org_id])
        connection.execute(
            "INSERT INTO exports (id, org_id, requested_by, parameters, period_start, period_end, status, attempt,"
            " audit_id, completed_at) VALUES (gen_random_uuid(), %s, %s, '{}', now(), now(), 'completed_empty', 1,"
            " gen_random_uuid(), now() - interval '40 years')",
            [tenant.org_id, tenant.coordinator],
        )
    try:
        forty_years = timedelta(days=40 * 365).total_seconds()
        assert reader.read("stafett_outbox_deliveries", channel="webhook") == deliveries + 1
        assert reader.read("stafett_outbox_oldest_age_seconds", channel="webhook") > forty_years
        assert reader.read("stafett_audit_chains_broken") == broken + 1
        assert reader.read("stafett_retention_lag_seconds") > forty_years - 3600
    finally:
        with psycopg.connect(owner_url) as connection:
            for table in ("deliveries", "audit_verifications", "exports"):
                connection.execute(f"DELETE FROM {table} WHERE org_id = %s".encode(), [tenant.org_id])  # noqa: S608 - the tables above


def test_connections_are_below_the_limit_of_the_server(reader: Reader) -> None:
    assert 0 < reader.read("stafett_postgresql_connections") < reader.read("stafett_postgresql_connections_max")


def test_unavailable_database_is_reported_without_outdated_values() -> None:
    with closing(MaintenanceDatabase("postgresql://stafett:x@127.0.0.1:1/stafett", pool_size=1)) as database:
        registry = CollectorRegistry()
        registry.register(ServiceMetrics(database, intervals={}, files_period=timedelta(days=1)))
        samples = {sample.name: sample.value for family in registry.collect() for sample in family.samples}
    assert samples == {"stafett_service_metrics_up": 0}
