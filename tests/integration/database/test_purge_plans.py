"""Queries that look for a few of many rows find them by an index."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import Connection, create_engine, event, text
from sqlmodel import Session

from stafett.audit import trail as audit_trail
from stafett.bulk.registration import BatchProcessor
from stafett.database.idempotency import delete_expired_keys
from stafett.database.maintenance import leave_out_unreadable_columns
from stafett.database.session import Database, to_sqlalchemy_url
from stafett.domain.membership import Caller, Role
from stafett.exports.completion import ExportCompletion
from stafett.exports.file_removal import FileRemoval
from stafett.exports.preview import delete_expired_previews
from stafett.exports.retention import Retention, RetentionPolicy
from stafett.jobs.attention import AttentionService
from stafett.monitoring.service_metrics import ServiceMetrics
from stafett.notifications.deliveries import find_undelivered
from stafett.reconciliation import list_open_batches, list_open_exports
from stafett.storage.files import FileStorage
from stafett.testing import Tenant

ROW_COUNT = 30_000
POLICY = RetentionPolicy(files=timedelta(days=1826), staging=timedelta(days=14))
# No row is old enough to be deleted. Exports whose staging data is not cleared yet ended within the last five minutes.
INSERT_ROWS = {
    "idempotency_keys": "(org_id, operation, key, request_sha256, resource_id)"
    " SELECT :org, 'x', n::text, '', gen_random_uuid() FROM generate_series(1, :rows) n",
    "preview_results": "(id, org_id, result) SELECT gen_random_uuid(), :org, '{}' FROM generate_series(1, :rows) n",
    "exports": "(id, org_id, requested_by, parameters, period_start, period_end, status, attempt, file, audit_id,"
    " completed_at, staging_cleared_at)"
    " SELECT gen_random_uuid(), :org, :user, '{}', now(), now(), 'completed', 1, '{}', gen_random_uuid(),"
    " now() - make_interval(secs => n), CASE WHEN n > 300 THEN now() END"
    " FROM generate_series(1, :rows) n",
    "bulk_registrations": "(id, org_id, requested_by, activity, status, attempt, total, registered, completed_at)"
    " SELECT gen_random_uuid(), :org, :user, '{}', 'completed', 1, 1, 1, now() FROM generate_series(1, :rows) n",
    "deliveries": "(id, org_id, webhook_id, channel, state, settled_at)"
    " SELECT gen_random_uuid(), :org, gen_random_uuid(), 'webhook', 'delivered', now()"
    " FROM generate_series(1, :rows) n",
}


class SessionDatabase(Database):
    """The maintenance role's database, whose transactions are one given session."""

    def __init__(self, session: Session) -> None:
        event.listen(session, "do_orm_execute", leave_out_unreadable_columns)
        self._session = session

    @contextmanager
    def transaction(self, *_args: object, **_kwargs: object) -> Iterator[Session]:
        yield self._session


class PlanRecorder:
    """Records the scans of every statement that a connection executes."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._scans: list[dict[str, Any]] = []
        event.listen(connection, "before_cursor_execute", self._explain)

    def _explain(self, connection: Connection, _cursor: Any, statement: str, parameters: Any, *_args: object) -> None:
        if statement.startswith("EXPLAIN"):
            return
        plan = connection.exec_driver_sql(f"EXPLAIN (FORMAT JSON) {statement}", parameters).scalar_one()
        self._scans += _find_scans(json.loads(plan) if isinstance(plan, str) else plan)

    def list_scans(self, table: str) -> list[dict[str, Any]]:
        """List the scans of a table and of its indexes; a bitmap index scan names the index only."""
        return [
            scan
            for scan in self._scans
            if scan.get("Relation Name") == table or scan.get("Index Name", "").startswith(f"{table}_")
        ]


def _find_scans(node: Any) -> Iterator[dict[str, Any]]:
    match node:
        case list():
            for child in node:
                yield from _find_scans(child)
        case dict():
            if "Scan" in (node_type := node.get("Node Type", "")) and node_type != "Bitmap Heap Scan":
                yield node
            for child in (node.get("Plan"), node.get("Plans")):
                yield from _find_scans(child)
        case _:
            pass


@pytest.fixture
def connection(owner_url: str) -> Iterator[Connection]:
    """A connection whose transaction is rolled back, so that other tests never see its rows."""
    engine = create_engine(to_sqlalchemy_url(owner_url))
    with engine.connect() as connection, connection.begin() as transaction:
        yield connection
        transaction.rollback()
    engine.dispose()


@pytest.mark.parametrize(
    ("table", "column", "expected_indexes"),
    [
        ("idempotency_keys", "created_at", {"idempotency_keys_by_age"}),
        ("preview_results", "created_at", {"preview_results_by_age"}),
        (
            "exports",
            "completed_at",
            {"exports_with_files_to_remove", "exports_with_removal_to_finish", "exports_staging_to_clear"},
        ),
    ],
)
def test_purge_reads_only_the_old_part_of_an_index(
    table: str, column: str, expected_indexes: set[str], connection: Connection, tenant: Tenant, storage: FileStorage
) -> None:
    session = _insert_rows(connection, table, tenant)
    database, recorder = SessionDatabase(session), PlanRecorder(connection)
    match table:
        case "idempotency_keys":
            delete_expired_keys(session)
        case "preview_results":
            delete_expired_previews(database)
        case _:
            removal = FileRemoval(database, storage, actor=audit_trail.RETENTION_ACTOR)
            Retention(database, storage, removal, POLICY, raise_if_cancelled=lambda: None).apply()
    scans = recorder.list_scans(table)
    assert {scan.get("Index Name") for scan in scans} == expected_indexes
    unbounded = [scan for scan in scans if column not in scan.get("Index Cond", "")]
    assert [scan["Index Name"] for scan in unbounded if scan["Index Name"] != "exports_with_removal_to_finish"] == []


@pytest.mark.parametrize(
    ("table", "index"),
    [
        ("exports", "exports_unfinished"),
        ("bulk_registrations", "bulk_registrations_unfinished"),
        ("deliveries", "deliveries_open"),
    ],
)
def test_sweep_reads_only_the_index_of_open_rows(
    table: str, index: str, connection: Connection, tenant: Tenant
) -> None:
    database = SessionDatabase(_insert_rows(connection, table, tenant))
    recorder = PlanRecorder(connection)
    match table:
        case "exports":
            list(list_open_exports(database, ExportCompletion(database)))
        case "bulk_registrations":
            list(list_open_batches(database, BatchProcessor(database)))
        case _:
            find_undelivered(database)
    scans = recorder.list_scans(table)
    assert {scan.get("Index Name") for scan in scans} == {index}


@pytest.mark.parametrize(
    ("table", "indexes"),
    [
        ("exports", {"exports_unfinished", "exports_staging_to_clear", "exports_with_files_to_remove"}),
        ("bulk_registrations", {"bulk_registrations_unfinished"}),
        ("deliveries", {"deliveries_open"}),
    ],
)
def test_service_metrics_read_only_the_indexes_of_what_is_open_or_due(
    table: str, indexes: set[str], connection: Connection, tenant: Tenant
) -> None:
    database = SessionDatabase(_insert_rows(connection, table, tenant))
    recorder = PlanRecorder(connection)
    metrics = ServiceMetrics(database, intervals={}, files_period=POLICY.files)
    assert [family.samples[0].value for family in metrics.collect() if family.name == "stafett_service_metrics_up"] == [
        1
    ]
    assert {scan.get("Index Name") for scan in recorder.list_scans(table)} == indexes


@pytest.mark.parametrize("table", ["exports", "bulk_registrations"])
def test_attention_reads_only_the_index_of_jobs_that_need_it(
    table: str, connection: Connection, tenant: Tenant
) -> None:
    database = SessionDatabase(_insert_rows(connection, table, tenant))
    connection.execute(text("SET LOCAL ROLE stafett_api"))
    recorder = PlanRecorder(connection)
    caller = Caller(user_id=tenant.coordinator, org_id=tenant.org_id, role=Role.COORDINATOR)
    AttentionService(database).list(caller, max_lines=10)
    names = {scan.get("Index Name") for scan in recorder.list_scans(table)}
    assert f"{table}_needing_attention" in names
    others = {"exports_pkey", "exports_of_org", "bulk_registrations_corrections"}  # of reports' files, and corrections
    assert names <= {f"{table}_needing_attention", *others}


def _insert_rows(connection: Connection, table: str, tenant: Tenant) -> Session:
    """Replace all rows, without triggers and foreign keys, and continue as the maintenance role.

    Rows of other tests would be purged too, and their objects with them.
    """
    connection.execute(text("SET LOCAL session_replication_role = replica"))
    connection.execute(text(f"DELETE FROM {table}"))  # noqa: S608 - the tables of this module
    connection.execute(
        text(f"INSERT INTO {table} {INSERT_ROWS[table]}"),
        {"org": tenant.org_id, "user": tenant.coordinator, "rows": ROW_COUNT},
    )
    connection.execute(text(f"ANALYZE {table}"))
    connection.execute(text("SET LOCAL ROLE stafett_maintenance"))
    return Session(connection)
