"""Frequent queries read few rows of large tables: no sequential scan, and no index from end to end."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import NamedTuple

import pytest
from sqlalchemy import Connection, create_engine, text
from sqlmodel import Session

from api.callers import AccessQuery, JobKey, load_access
from stafett.audit.events import AuditTrailFilter, OrganisationAuditTrail
from stafett.audit.steps import JobHistory
from stafett.bulk.activities import ActivityFilter, ActivityService
from stafett.bulk.service import BatchFilter, BulkService, ItemFilter
from stafett.cli.dev_stack import settings_from_addresses
from stafett.database.connection import DeadlineConnection
from stafett.database.job_changes import SELECT_CHANGES
from stafett.devstack.stack import RunningServers
from stafett.domain.bulk_status import BulkStatus
from stafett.domain.export_status import ExportStatus
from stafett.domain.job import JobKind
from stafett.domain.membership import Caller, Role
from stafett.domain.notification import JobOutcome, NotificationJob
from stafett.domain.reexport_status import ReexportStatus
from stafett.exports.service import ExportFilter, ExportService
from stafett.exports.stages.query_activities import stream_activity_frames
from stafett.notifications.deliveries import DeliveryStore
from stafett.notifications.inbox import Inbox, NotificationFilter
from stafett.people.mentors import MentorFilter, MentorService
from stafett.people.sessions import SessionLifetime, SessionService
from stafett.reports.history import ReportFilter, ReportHistory
from stafett.reports.reexports import ReexportFilter, ReexportService
from stafett.settings import require_setting
from tests.support.large_tables import ORG, ROWS, TABLES, USER, OpenTransaction, count_reads, fill_tables, row_id

FEW_ROWS = 250
OLDEST = ROWS  # of the organisation
MEMBER = Caller(user_id=USER, org_id=ORG, role=Role.ADMIN)
OPERATOR = Caller(user_id=USER, org_id=None, role=Role.OPERATOR)
SESSIONS = SessionLifetime(timedelta(hours=1), timedelta(hours=1))
OLD = datetime.now(UTC) - timedelta(minutes=ROWS - 100)
SET_CONTEXT = text(
    "SELECT set_config('app.org_id', :org_id, true), set_config('app.user_id', :user_id, true),"
    " set_config('app.operator', :operator, true)"
)
Run = Callable[[OpenTransaction], object]


class Query(NamedTuple):
    """A query of a caller."""

    run: Run
    caller: Caller = MEMBER


def list_exports(caller: Caller, **filters: object) -> Run:
    return lambda database: ExportService(database).list(caller, ExportFilter.model_validate(filters))


def list_batches(caller: Caller, **filters: object) -> Run:
    return lambda database: BulkService(database).list(caller, BatchFilter.model_validate(filters))


def list_reexports(caller: Caller, **filters: object) -> Run:
    return lambda database: ReexportService(database).list(caller, ReexportFilter.model_validate(filters))


def list_reports(**filters: object) -> Run:
    return lambda database: ReportHistory(database).list(MEMBER, ReportFilter.model_validate(filters))


def list_activities(**filters: object) -> Run:
    return lambda database: ActivityService(database).list(MEMBER, ActivityFilter.model_validate(filters))


def list_mentors(**filters: object) -> Run:
    return lambda database: MentorService(database).list(MEMBER, MentorFilter.model_validate(filters))


def list_events(**filters: object) -> Run:
    return lambda database: OrganisationAuditTrail(database).list_events(MEMBER, AuditTrailFilter(**filters))


def list_notifications(**filters: object) -> Run:
    return lambda database: Inbox(database).list(MEMBER, NotificationFilter.model_validate(filters))


def read_hours(database: OpenTransaction) -> object:
    """Read the rows of an export. Of a long period, the planner rather scans the mentors than look up each of them."""
    return list(stream_activity_frames(database.driver_connection, (ORG, OLD - timedelta(hours=3), OLD), 50_000))


def find_deliveries(database: OpenTransaction) -> object:
    job = NotificationJob(org_id=ORG, subject_id=row_id("exports", OLDEST))
    deliveries = DeliveryStore(database).find_pending(job)
    assert len(deliveries) == 1
    return deliveries


def poll_job(kind: JobKind, table: str) -> Run:
    key = JobKey(kind, row_id(table, OLDEST))
    return lambda database: load_access(database, [AccessQuery(USER, ORG, row_id("api_keys", 3), key)])


def look_for_progress(database: OpenTransaction) -> object:
    ids = [row_id(table, 3) for table in ("exports", "bulk_registrations", "report_reexports")]
    rows = database.driver_connection.execute(SELECT_CHANGES, [ids]).fetchall()
    assert len(rows) == len(ids)
    return rows


QUERIES = {
    "exports": Query(list_exports(MEMBER)),
    "exports by status": Query(list_exports(MEMBER, status=ExportStatus.FAILED)),
    "exports created before": Query(list_exports(MEMBER, created_before=OLD)),
    "exports of all": Query(list_exports(OPERATOR), OPERATOR),
    "failed exports of all": Query(list_exports(OPERATOR, status=ExportStatus.FAILED), OPERATOR),
    "batches": Query(list_batches(MEMBER)),
    "batches by status": Query(list_batches(MEMBER, status=BulkStatus.FAILED)),
    "failed batches of all": Query(list_batches(OPERATOR, status=BulkStatus.FAILED), OPERATOR),
    "items": Query(
        lambda database: BulkService(database).list_items(MEMBER, row_id("bulk_registrations", OLDEST), ItemFilter())
    ),
    "reexports": Query(list_reexports(MEMBER)),
    "reexports by status": Query(list_reexports(MEMBER, status=ReexportStatus.FAILED)),
    "reexports of a report": Query(list_reexports(MEMBER, report_id=row_id("reports", OLDEST))),
    "failed reexports of all": Query(list_reexports(OPERATOR, status=ReexportStatus.FAILED), OPERATOR),
    "reports": Query(list_reports()),
    "report of an export": Query(list_reports(export_id=row_id("exports", OLDEST))),
    "activities": Query(list_activities()),
    "activities of a period": Query(list_activities(period_end=OLD.isoformat())),
    "activities of a batch": Query(list_activities(batch_id=row_id("bulk_registrations", OLDEST))),
    "activities of a mentor": Query(list_activities(mentor_id=row_id("peer_mentors", OLDEST))),
    "activities by prefix": Query(list_activities(id_prefix=row_id("activities", OLDEST).hex[:12])),
    "activities of an export": Query(read_hours),
    "mentors": Query(list_mentors()),
    "audit events": Query(list_events()),
    "audit events of a job": Query(list_events(subject_id=row_id("exports", OLDEST))),
    "audit events by name": Query(list_events(event="rare")),
    "audit events by actor": Query(list_events(actor="user:rare")),
    "audit events until a time": Query(list_events(at_or_before=OLD)),
    "names of audit events": Query(lambda database: OrganisationAuditTrail(database).list_event_names(MEMBER)),
    "steps of a job": Query(lambda database: JobHistory(database).steps_after(ORG, row_id("exports", OLDEST), 0)),
    "notifications": Query(list_notifications()),
    "notifications by outcome": Query(list_notifications(status=JobOutcome.FAILED)),
    "deliveries of a job": Query(find_deliveries),
    "session": Query(lambda database: SessionService(database, SESSIONS).is_open("30000")),
    "sessions of a user": Query(lambda database: SessionService(database, SESSIONS).list(USER)),
    "poll of an export": Query(poll_job(JobKind.BUFDIR_EXPORT, "exports")),
    "poll of a re-export": Query(poll_job(JobKind.REPORT_REEXPORT, "report_reexports")),
    "poll of a batch": Query(poll_job(JobKind.BULK_REGISTRATION, "bulk_registrations")),
    "progress of jobs": Query(look_for_progress, OPERATOR),
}


@pytest.fixture(scope="module")
def connection(stack: RunningServers) -> Iterator[Connection]:
    """A connection whose transaction fills the tables and is rolled back, so that no other test sees the rows."""
    url = require_setting(settings_from_addresses(stack.addresses).database.owner_url, "owner")
    engine = create_engine("postgresql+psycopg://", creator=partial(DeadlineConnection.connect, url))
    with engine.connect() as connection, connection.begin() as transaction:
        fill_tables(connection)
        yield connection
        transaction.rollback()
    engine.dispose()


@contextmanager
def act_as(connection: Connection, caller: Caller) -> Iterator[OpenTransaction]:
    """Act as the API's role for a caller; what the block does is rolled back."""
    savepoint = connection.begin_nested()
    try:
        connection.execute(text("SET LOCAL ROLE stafett_api"))
        context = {"org_id": caller.org_id or "", "user_id": str(caller.user_id)}
        connection.execute(SET_CONTEXT, context | {"operator": "on" if caller.is_operator else ""})
        with Session(connection, join_transaction_mode="create_savepoint") as session:
            yield OpenTransaction(session)
    finally:
        savepoint.rollback()


@pytest.mark.parametrize("query", QUERIES.values(), ids=QUERIES.keys())
def test_query_reads_few_rows_of_large_tables(query: Query, connection: Connection) -> None:
    with act_as(connection, query.caller) as database:
        before = count_reads(connection)
        query.run(database)
        after = count_reads(connection)
    assert [table for table in TABLES if after[table].scans > before[table].scans] == []
    rows = {table: after[table].rows - before[table].rows for table in TABLES}
    assert any(rows.values())
    assert {table: count for table, count in rows.items() if count > FEW_ROWS} == {}
