"""Wrong data is impossible: for every role, with the filters forgotten."""

import hashlib
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any, LiteralString
from uuid import uuid4

import psycopg
import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from hypothesis import HealthCheck, given
from hypothesis import settings as example_settings
from hypothesis import strategies as st
from psycopg import errors, sql
from sqlalchemy import create_engine, text
from sqlmodel import SQLModel, select

from stafett.database import tables
from stafett.database.migrate import ERASURE_ROLE, migrate
from stafett.database.session import Database, to_sqlalchemy_url
from stafett.domain.errors import PermissionDeniedError
from stafett.domain.export import ExportRequest
from stafett.domain.export_status import EXPORT_TRANSITIONS, ExportStatus
from stafett.domain.membership import Caller, Role
from stafett.domain.reexport_status import REEXPORT_TRANSITIONS
from stafett.exports.service import ExportService
from stafett.settings import DatabaseSettings, Settings, require_setting
from stafett.testing import ActivityFactory, Tenant, create_tenant

NOON = datetime(2026, 1, 5, 12, tzinfo=UTC)
TENANT_TABLES = (
    tables.PeerMentor,
    tables.Activity,
    tables.Attachment,
    tables.Export,
    tables.ExportAttempt,
    tables.ExportStageOutput,
    tables.ExportMappedPart,
    tables.ExportStageCrashes,
    tables.ExportPartialFailures,
    tables.Report,
    tables.ReportFileVersion,
    tables.Reexport,
    tables.IdempotencyKey,
    tables.AuditEvent,
    tables.Organisation,
    tables.User,
    tables.Membership,
    tables.Notification,
    tables.Webhook,
    tables.WebhookSecret,
    tables.Delivery,
    tables.Erasure,
    tables.BulkBatch,
    tables.BulkItem,
)


def accepted(jobs: ExportService, tenant: Tenant) -> tables.Export:
    caller = Caller(user_id=tenant.coordinator, org_id=tenant.org_id, role=Role.COORDINATOR)
    period = {"start": "2026-01-01", "end": "2026-12-31"}
    asked = {"org_id": tenant.org_id, "requesting_user_id": tenant.coordinator, "reporting_period": period}
    return jobs.accept(caller, ExportRequest.model_validate(asked | {"export_format": "csv"})).export


def test_the_tables_are_what_the_migrations_made(owner_url: str) -> None:
    engine = create_engine(to_sqlalchemy_url(owner_url))
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, SQLModel.metadata) == []
    engine.dispose()


def test_the_database_and_the_code_know_the_same_transitions(owner_url: str) -> None:
    with psycopg.connect(owner_url) as connection:
        known = set(connection.execute("SELECT from_status, to_status FROM export_transitions").fetchall())
    assert known == {(one.value, other.value) for one, others in EXPORT_TRANSITIONS.items() for other in others}


def test_the_database_and_the_code_know_the_same_transitions_of_re_exports(owner_url: str) -> None:
    with psycopg.connect(owner_url) as connection:
        known = set(connection.execute("SELECT from_status, to_status FROM reexport_transitions").fetchall())
    assert known == {(one.value, other.value) for one, others in REEXPORT_TRANSITIONS.items() for other in others}


def test_migrating_twice_and_from_two_machines_at_once_is_migrating_once(settings: Settings) -> None:
    owner_url, name = require_setting(settings.database.owner_url, "owner"), f"m{uuid4().hex[:12]}"
    with psycopg.connect(owner_url, autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    fresh = DatabaseSettings.model_validate({"owner_url": owner_url.rpartition("/")[0] + f"/{name}"})
    with ThreadPoolExecutor(4) as machines:
        revisions = set(machines.map(lambda _: migrate(fresh), range(4)))
    assert len(revisions) == 1
    with psycopg.connect(owner_url, autocommit=True) as connection:
        connection.execute(sql.SQL("DROP DATABASE {}").format(sql.Identifier(name)))


MAY_READ = {
    "api": {"organisations", "users", "memberships", "peer_mentors", "activities", "exports", "export_attempts"}
    | {"export_partial_failures", "idempotency_keys", "audit_events", "column_mappings", "preview_results"}
    | {"reports", "report_files", "report_reexports", "notifications", "webhooks", "deliveries"}
    | {"bulk_registrations", "bulk_items"},
    "worker": {
        "organisations",
        "memberships",
        "peer_mentors",
        "activities",
        "attachments",
        "exports",
        "column_mappings",
    }
    | {"export_attempts", "export_stage_outputs", "export_stage_tries", "export_partial_failures", "audit_events"}
    | {"export_mapped_parts"}
    | {"reports", "report_files", "report_reexports", "notifications", "webhooks", "webhook_secrets", "deliveries"}
    | {"bulk_registrations", "bulk_items"},
    "maintenance": {"exports", "export_attempts", "audit_events", "preview_results", "notifications", "deliveries"}
    | {
        "export_stage_outputs",
        "report_reexports",
        "bulk_registrations",
    },  # and organisations' ids, and of items how they stand
    "erasure": {"erasures", "peer_mentors", "attachments", "exports", "export_stage_outputs", "users", "memberships"}
    | {"deliveries"},  # and of activities what somebody wrote, of notifications whose they are
}


@pytest.fixture(params=sorted(MAY_READ))
def role(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def as_role(role: str, settings: Settings) -> Iterator[Database]:
    is_taken_on = f"stafett_{role}" == ERASURE_ROLE
    url = settings.database.owner_url if is_taken_on else getattr(settings.database, f"{role}_url")
    database = Database(require_setting(url, role), pool_size=1, role=ERASURE_ROLE if is_taken_on else None)
    yield database
    database.close()


def test_a_role_reads_what_it_needs_and_nothing_else(role: str, owner_url: str) -> None:
    with psycopg.connect(owner_url) as connection:
        readable = connection.execute(
            "SELECT table_name FROM information_schema.role_table_grants"
            " WHERE grantee = %s AND privilege_type = 'SELECT'",
            [f"stafett_{role}"],
        ).fetchall()
    assert {name for (name,) in readable} == MAY_READ[role]


def test_whoever_forgets_the_filter_sees_nothing_of_others(
    role: str, as_role: Database, tenant: Tenant, diary: ActivityFactory, jobs: ExportService, owner_url: str
) -> None:
    """Over one pooled connection, so that what one transaction was bound to must not last into the next."""
    diary.create_activity(diary.create_mentor())
    accepted(jobs, tenant)
    other = create_tenant(owner_url)
    everybodys = (
        {"exports", "bulk_registrations", "audit_events", "notifications", "deliveries", "report_reexports"}
        if role == "maintenance"
        else set()
    )
    readable = [table for table in TENANT_TABLES if table.__tablename__ in MAY_READ[role] - everybodys]
    for table in readable:
        with as_role.transaction(tenant.org_id, user_id=tenant.coordinator) as session:
            own = session.exec(select(table)).all()
        with as_role.transaction() as session:
            assert session.exec(select(table)).all() == []
        with as_role.transaction(other.org_id, user_id=other.coordinator) as session:
            seen = session.exec(select(table)).all()
        assert not {repr(row) for row in own} & {repr(row) for row in seen}


def test_no_function_that_acts_for_the_owner_is_led_astray_by_a_temporary_table(
    as_role: Database, owner_url: str
) -> None:
    with as_role.transaction() as session, pytest.raises(Exception, match="permission denied"):
        session.execute(text("CREATE TEMPORARY TABLE export_transitions (from_status varchar, to_status varchar)"))
    with psycopg.connect(owner_url) as connection:
        paths = connection.execute(
            "SELECT proname, proconfig FROM pg_proc WHERE prosecdef AND pronamespace = 'public'::regnamespace"
        ).fetchall()
    assert {name for name, _ in paths} == {
        *("append_audit_event", "guard_bulk_update", "guard_export_update", "guard_reexport_update", "recipient_of")
    }
    assert all(config == ["search_path=pg_catalog, public, pg_temp"] for _, config in paths)


def test_an_attempt_belongs_to_an_export_of_its_own_organisation(
    jobs: ExportService, tenant: Tenant, api_database: Database, owner_url: str
) -> None:
    export, other = accepted(jobs, tenant), create_tenant(owner_url)
    attempt = text("INSERT INTO export_attempts (export_id, number, org_id) VALUES (:export, 2, :org)")
    with api_database.transaction(other.org_id) as session, pytest.raises(Exception, match="foreign key"):
        session.execute(attempt, {"export": export.id, "org": other.org_id})


@pytest.mark.parametrize("wrong", [{"status": "completed_empty"}, {"status": "failed"}, {"attempt": 2}], ids=str)
def test_an_export_begins_at_the_beginning(
    wrong: dict[str, Any], jobs: ExportService, tenant: Tenant, owner_url: str
) -> None:
    export = accepted(jobs, tenant)
    columns = ("org_id", "requested_by", "parameters", "period_start", "period_end", "status", "attempt", "audit_id")
    values = [wrong.get(name, getattr(export, name)) for name in columns]
    values[2] = json.dumps(export.parameters)
    statement = sql.SQL("INSERT INTO exports (id, {}) VALUES (gen_random_uuid(), {})").format(
        sql.SQL(", ").join(map(sql.Identifier, columns)), sql.SQL(", ").join([sql.Placeholder()] * len(columns))
    )
    with psycopg.connect(owner_url) as connection, pytest.raises(errors.CheckViolation, match="begins initialised"):
        connection.execute(statement, values)


def test_nothing_can_be_written_for_another_organisation(
    api_database: Database, tenant: Tenant, owner_url: str
) -> None:
    other = create_tenant(owner_url)
    with api_database.transaction(other.org_id) as session, pytest.raises(Exception, match="row-level security"):
        session.execute(
            text(
                "INSERT INTO idempotency_keys (org_id, operation, key, request_sha256, resource_id)"
                " VALUES (:org, 'x', 'y', 'z', gen_random_uuid())"
            ),
            {"org": tenant.org_id},
        )


def test_the_login_roles_cannot_leave_their_organisation(owner_url: str) -> None:
    with psycopg.connect(owner_url) as connection:
        rows = connection.execute(
            "SELECT rolname, rolsuper, rolbypassrls FROM pg_roles WHERE rolname IN"
            " ('stafett_api', 'stafett_worker', 'stafett_maintenance', 'stafett_erasure')"
        ).fetchall()
        nobody = connection.execute(
            "SELECT rolcanlogin FROM pg_roles WHERE rolname IN ('stafett_owner', 'stafett_erasure')"
        ).fetchall()
    assert sorted(rows) == [
        ("stafett_api", False, False),
        ("stafett_erasure", False, False),
        ("stafett_maintenance", False, False),
        ("stafett_worker", False, False),
    ]
    assert nobody == [(False,), (False,)]


def test_a_mentor_never_does_two_things_at_once(diary: ActivityFactory) -> None:
    mentor = diary.create_mentor()
    diary.create_activity(mentor, starts_at=NOON)
    with pytest.raises(errors.ExclusionViolation):
        diary.create_activity(mentor, starts_at=NOON + timedelta(minutes=59))
    diary.create_activity(mentor, starts_at=NOON + timedelta(minutes=60))
    diary.create_activity(diary.create_mentor(), starts_at=NOON)


@pytest.mark.parametrize(
    "wrong",
    [
        {"ends_at": NOON},
        {"ends_at": NOON - timedelta(minutes=1)},
        {"ends_at": NOON + timedelta(days=15)},
        {"participants": -1, "new_participants": -1},
        {"participants": 1, "new_participants": 2},
        {"activity_type": "kaffe"},
    ],
    ids=str,
)
def test_an_activity_that_cannot_be_is_refused(diary: ActivityFactory, wrong: dict[str, Any]) -> None:
    mentor = diary.create_mentor()
    with pytest.raises(errors.CheckViolation):
        diary.create_activity(mentor, starts_at=NOON, **wrong)


def test_an_activity_belongs_to_a_mentor_of_its_own_organisation(diary: ActivityFactory, owner_url: str) -> None:
    stranger = ActivityFactory(owner_url, create_tenant(owner_url).org_id)
    with pytest.raises(errors.ForeignKeyViolation):
        diary.create_activity(stranger.create_mentor())


def test_an_export_takes_no_step_that_is_not_in_the_table(jobs: ExportService, tenant: Tenant, owner_url: str) -> None:
    export = accepted(jobs, tenant)
    with psycopg.connect(owner_url) as connection:
        connection.execute("UPDATE exports SET status = 'storing_file' WHERE id = %s", [export.id])
        with pytest.raises(errors.CheckViolation, match="does not go from storing_file to querying_activities"):
            connection.execute("UPDATE exports SET status = 'querying_activities' WHERE id = %s", [export.id])


def test_what_an_export_was_asked_for_never_changes(jobs: ExportService, tenant: Tenant, owner_url: str) -> None:
    export = accepted(jobs, tenant)
    with psycopg.connect(owner_url) as connection, pytest.raises(errors.CheckViolation, match="never changes"):
        connection.execute("UPDATE exports SET parameters = '{}' WHERE id = %s", [export.id])


def test_an_export_is_refused_to_somebody_else_even_below_the_gateway(jobs: ExportService, tenant: Tenant) -> None:
    caller = Caller(user_id=tenant.users[Role.AUDITOR], org_id=tenant.org_id, role=Role.AUDITOR)
    asked = ExportRequest.model_validate(
        {
            "org_id": tenant.org_id,
            "requesting_user_id": caller.user_id,
            "reporting_period": {"start": "2026-01-01", "end": "2026-12-31"},
            "export_format": "csv",
        }
    )
    with pytest.raises(PermissionDeniedError):
        jobs.accept(caller, asked)


@pytest.mark.parametrize(
    "tampering",
    ["UPDATE audit_events SET actor = 'nobody'", "DELETE FROM audit_events", "TRUNCATE audit_events"],
)
def test_the_trail_cannot_be_changed_not_even_by_its_owner(
    tampering: LiteralString, jobs: ExportService, tenant: Tenant, owner_url: str
) -> None:
    accepted(jobs, tenant)
    with psycopg.connect(owner_url) as connection, pytest.raises(errors.InsufficientPrivilege, match="append-only"):
        connection.execute(tampering)


@pytest.mark.parametrize(
    "tampering",
    [
        "INSERT INTO audit_events SELECT * FROM audit_events",
        "UPDATE audit_events SET actor = 'nobody'",
        "DELETE FROM audit_events",
        "TRUNCATE audit_events",
        "ALTER TABLE audit_events DISABLE TRIGGER audit_events_never_change",
        "SET session_replication_role = replica",
    ],
)
def test_nobody_writes_into_the_trail_but_through_its_function(
    tampering: str, as_role: Database, tenant: Tenant
) -> None:
    with (
        as_role.transaction(tenant.org_id) as session,
        pytest.raises(Exception, match=r"permission denied|must be owner"),
    ):
        session.execute(text(tampering))


def test_erasing_changes_no_more_than_what_tells_who_somebody_was(owner_url: str) -> None:
    with psycopg.connect(owner_url) as connection:
        columns = connection.execute(
            "SELECT table_name, column_name FROM information_schema.role_column_grants"
            " WHERE grantee = 'stafett_erasure' AND privilege_type = 'UPDATE' AND table_name <> 'erasures'"
        ).fetchall()
        rows = connection.execute(
            "SELECT table_name FROM information_schema.role_table_grants"
            " WHERE grantee = 'stafett_erasure' AND privilege_type IN ('INSERT', 'DELETE', 'TRUNCATE')"
        ).fetchall()
    assert set(columns) == {
        *(("peer_mentors", "display_name"), ("peer_mentors", "active"), ("activities", "note")),
        *(("users", "email"), ("users", "display_name"), ("users", "is_operator"), ("exports", "files_removed_at")),
        ("bulk_items", "overrides"),
        *(("deliveries", "state"), ("deliveries", "last_error"), ("deliveries", "settled_at")),
    }
    forgotten = ("attachments", "erasures", "export_mapped_parts", "memberships", "preview_results")
    assert sorted(rows) == [(name,) for name in forgotten]


def test_maintenance_knows_of_an_organisation_that_it_is_there_and_no_more(settings: Settings, tenant: Tenant) -> None:
    maintenance = Database(require_setting(settings.database.maintenance_url, "maintenance"), pool_size=1)
    with maintenance.transaction() as session:
        assert tenant.org_id in session.scalars(text("SELECT id FROM organisations")).all()
        with pytest.raises(Exception, match="permission denied"):
            session.execute(text("SELECT name FROM organisations"))
    maintenance.close()


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53) + 1, 2**53 - 1)
    | st.text(st.characters(codec="utf-8", min_codepoint=1)),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("abcXYZ_09", min_size=1), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.text("abcXYZ_09", min_size=1), VALUES, max_size=4))
@example_settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_every_detail_has_the_same_canonical_form_in_sql_and_in_python(owner_url: str, detail: dict[str, Any]) -> None:
    with psycopg.connect(owner_url) as connection:
        row = connection.execute("SELECT canonical_json(%s::jsonb)", [json.dumps(detail)]).fetchone()
    assert row == (json.dumps(detail, sort_keys=True, separators=(",", ":"), ensure_ascii=False),)


def test_each_event_carries_the_hash_of_the_one_before(jobs: ExportService, tenant: Tenant, owner_url: str) -> None:
    for _ in range(3):
        accepted(jobs, tenant)
    with psycopg.connect(owner_url) as connection, connection.cursor(row_factory=psycopg.rows.dict_row) as cursor:
        events = cursor.execute("SELECT * FROM audit_events WHERE org_id = %s ORDER BY seq", [tenant.org_id]).fetchall()
    previous = "0" * 64
    for event in events:
        said = {name: value for name, value in event.items() if name != "hash"}
        said["at"] = event["at"].astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        text_of = json.dumps(said, sort_keys=True, separators=(",", ":"), ensure_ascii=False, default=str)
        assert event["previous_hash"] == previous
        assert event["hash"] == (previous := hashlib.sha256(text_of.encode()).hexdigest())
    assert [event["status"] for event in events] == [ExportStatus.INITIALISED] * 3


def test_a_connection_that_was_closed_while_nobody_used_it_is_not_handed_out(
    worker_database: Database, owner_url: str
) -> None:
    def whose() -> int:
        with worker_database.transaction() as session:
            return int(session.execute(text("SELECT pg_backend_pid()")).scalar_one())

    first = whose()
    assert whose() == first
    with psycopg.connect(owner_url, autocommit=True) as owner:
        owner.execute("SELECT pg_terminate_backend(%s, 5000)", [first])
    assert whose() != first
