"""Constraints, triggers, privileges and row-level security of the database, for every role."""

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
from stafett.database.maintenance import MaintenanceDatabase
from stafett.database.migrate import ERASURE_ROLE, migrate
from stafett.database.session import Database, to_sqlalchemy_url
from stafett.domain.errors import PermissionDeniedError, ServiceUnavailableError
from stafett.domain.export import ExportRequest
from stafett.domain.export_status import EXPORT_TRANSITIONS, ExportStatus
from stafett.domain.membership import Caller, Role
from stafett.domain.reexport_status import REEXPORT_TRANSITIONS
from stafett.exports.service import ExportService
from stafett.settings import DatabaseSettings, Settings, require_setting
from stafett.testing import ActivityFactory, Tenant, create_tenant, wait_until

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
    tables.AuditVerificationRequest,
    tables.Organisation,
    tables.User,
    tables.UserIdentity,
    tables.ApiKey,
    tables.Membership,
    tables.UserSession,
    tables.Notification,
    tables.Webhook,
    tables.WebhookSecret,
    tables.Delivery,
    tables.Erasure,
    tables.BulkBatch,
    tables.BulkItem,
)


def accept_export(export_service: ExportService, tenant: Tenant) -> tables.Export:
    caller = Caller(user_id=tenant.coordinator, org_id=tenant.org_id, role=Role.COORDINATOR)
    period = {"start": "2026-01-01", "end": "2026-12-31"}
    fields = {"org_id": tenant.org_id, "requesting_user_id": tenant.coordinator, "reporting_period": period}
    return export_service.accept(caller, ExportRequest.model_validate(fields | {"export_format": "csv"})).export


def test_tables_match_the_migrations(owner_url: str) -> None:
    engine = create_engine(to_sqlalchemy_url(owner_url))
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, SQLModel.metadata) == []
    engine.dispose()


def test_database_and_code_define_the_same_export_transitions(owner_url: str) -> None:
    with psycopg.connect(owner_url) as connection:
        stored = set(connection.execute("SELECT from_status, to_status FROM export_transitions").fetchall())
    assert stored == {
        (status.value, successor.value) for status, successors in EXPORT_TRANSITIONS.items() for successor in successors
    }


def test_database_and_code_define_the_same_reexport_transitions(owner_url: str) -> None:
    with psycopg.connect(owner_url) as connection:
        stored = set(connection.execute("SELECT from_status, to_status FROM reexport_transitions").fetchall())
    assert stored == {
        (status.value, successor.value)
        for status, successors in REEXPORT_TRANSITIONS.items()
        for successor in successors
    }


def test_every_table_with_the_job_trigger_has_transitions(owner_url: str) -> None:
    with psycopg.connect(owner_url) as connection:
        triggers = connection.execute(
            "SELECT tgrelid::regclass::text FROM pg_trigger WHERE tgfoid = 'check_job_update'::regproc"
        ).fetchall()
        tables_with_transitions = connection.execute("SELECT DISTINCT job_table FROM job_transitions").fetchall()
    assert (
        set(triggers) == set(tables_with_transitions) == {("exports",), ("report_reexports",), ("bulk_registrations",)}
    )


def test_concurrent_and_repeated_migrations_apply_each_revision_once(settings: Settings) -> None:
    owner_url, name = require_setting(settings.database.owner_url, "owner"), f"m{uuid4().hex[:12]}"
    with psycopg.connect(owner_url, autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    new_database = DatabaseSettings.model_validate({"owner_url": owner_url.rpartition("/")[0] + f"/{name}"})
    with ThreadPoolExecutor(4) as processes:
        revisions = set(processes.map(lambda _: migrate(new_database), range(4)))
    assert len(revisions) == 1
    with psycopg.connect(owner_url, autocommit=True) as connection:
        connection.execute(sql.SQL("DROP DATABASE {}").format(sql.Identifier(name)))


READABLE_TABLES = {
    "api": {
        "handed_in_versions",
        "job_revisions",
        "organisations",
        "users",
        "memberships",
        "peer_mentors",
        "activities",
        "exports",
        "export_attempts",
    }
    | {"export_partial_failures", "idempotency_keys", "audit_events", "column_mappings", "preview_results"}
    | {"reports", "report_files", "report_reexports", "notifications", "webhooks", "deliveries"}
    | {"bulk_registrations", "bulk_items", "login_attempts", "user_sessions", "api_keys", "audit_verifications"}
    | {"audit_verification_requests"},
    "worker": {
        "handed_in_versions",
        "organisations",
        "memberships",
        "peer_mentors",
        "activities",
        "attachments",
        "exports",
        "column_mappings",
    }
    | {"export_attempts", "export_stage_outputs", "export_stage_crashes", "export_partial_failures", "audit_events"}
    | {"export_mapped_parts"}
    | {"reports", "report_files", "report_reexports", "notifications", "webhooks", "webhook_secrets", "deliveries"}
    | {"bulk_registrations", "bulk_items"},
    "maintenance": {
        "handed_in_versions",
        "exports",
        "export_attempts",
        "audit_events",
        "preview_results",
        "notifications",
        "deliveries",
    }
    | {
        "export_stage_outputs",
        "unknown_exports",
        "audit_verifications",
        "audit_verification_requests",
        "maintenance_runs",
    },  # and single columns of other tables, such as the ids of organisations
    "erasure": {
        "handed_in_versions",
        "erasures",
        "peer_mentors",
        "attachments",
        "exports",
        "export_stage_outputs",
        "users",
        "memberships",
    }
    | {"deliveries"},  # and single columns of other tables, such as the notes of activities
}


@pytest.fixture(params=sorted(READABLE_TABLES))
def role(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def role_database(role: str, settings: Settings) -> Iterator[Database]:
    uses_set_role = f"stafett_{role}" == ERASURE_ROLE
    url = settings.database.owner_url if uses_set_role else getattr(settings.database, f"{role}_url")
    database = Database(require_setting(url, role), pool_size=1, role=ERASURE_ROLE if uses_set_role else None)
    yield database
    database.close()


def test_role_can_read_only_the_listed_tables(role: str, owner_url: str) -> None:
    with psycopg.connect(owner_url) as connection:
        readable = connection.execute(
            "SELECT table_name FROM information_schema.role_table_grants"
            " WHERE grantee = %s AND privilege_type = 'SELECT'",
            [f"stafett_{role}"],
        ).fetchall()
    assert {name for (name,) in readable} == READABLE_TABLES[role]


def test_query_without_filter_returns_no_rows_of_other_organisations(
    role: str,
    role_database: Database,
    tenant: Tenant,
    activity_factory: ActivityFactory,
    export_service: ExportService,
    owner_url: str,
) -> None:
    """One pooled connection serves all transactions: the organisation of one must not be visible in the next."""
    activity_factory.create_activity(activity_factory.create_mentor())
    accept_export(export_service, tenant)
    other = create_tenant(owner_url)
    shared = (
        {"exports", "audit_events", "notifications", "deliveries"}
        | {"audit_verifications", "audit_verification_requests"}
        if role == "maintenance"
        else set()
    )
    readable = [table for table in TENANT_TABLES if table.__tablename__ in READABLE_TABLES[role] - shared]
    for table in readable:
        with role_database.transaction(tenant.org_id, user_id=tenant.coordinator) as session:
            own = session.exec(select(table)).all()
        with role_database.transaction() as session:
            assert session.exec(select(table)).all() == []
        with role_database.transaction(other.org_id, user_id=other.coordinator) as session:
            visible = session.exec(select(table)).all()
        assert not {repr(row) for row in own} & {repr(row) for row in visible}


def test_security_definer_functions_ignore_temporary_tables(role_database: Database, owner_url: str) -> None:
    with role_database.transaction() as session, pytest.raises(Exception, match="permission denied"):
        session.execute(text("CREATE TEMPORARY TABLE export_transitions (from_status varchar, to_status varchar)"))
    with psycopg.connect(owner_url) as connection:
        paths = connection.execute(
            "SELECT proname, proconfig FROM pg_proc WHERE prosecdef AND pronamespace = 'public'::regnamespace"
        ).fetchall()
    assert {name for name, _ in paths} == {
        "append_audit_event",
        "check_job_update",
        "ensure_user",
        "end_sessions_of_member",
        "find_api_key",
        "get_delivery_recipient",
        "lock_exports_of_version",
        "lock_mentors_of_chunk",
        "protect_handed_in_file",
        "resolve_user_identity",
    }
    assert all(config == ["search_path=pg_catalog, public, pg_temp"] for _, config in paths)


def test_attempt_must_belong_to_an_export_of_its_organisation(
    export_service: ExportService, tenant: Tenant, api_database: Database, owner_url: str
) -> None:
    export, other = accept_export(export_service, tenant), create_tenant(owner_url)
    attempt = text("INSERT INTO export_attempts (export_id, number, org_id) VALUES (:export, 2, :org)")
    with api_database.transaction(other.org_id) as session, pytest.raises(Exception, match="foreign key"):
        session.execute(attempt, {"export": export.id, "org": other.org_id})


@pytest.mark.parametrize("fields", [{"status": "completed_empty"}, {"status": "failed"}, {"attempt": 2}], ids=str)
def test_new_export_must_start_as_initialised(
    fields: dict[str, Any], export_service: ExportService, tenant: Tenant, owner_url: str
) -> None:
    export = accept_export(export_service, tenant)
    columns = ("org_id", "requested_by", "parameters", "period_start", "period_end", "status", "attempt", "audit_id")
    values = [fields.get(name, getattr(export, name)) for name in columns]
    values[2] = json.dumps(export.parameters)
    statement = sql.SQL("INSERT INTO exports (id, {}) VALUES (gen_random_uuid(), {})").format(
        sql.SQL(", ").join(map(sql.Identifier, columns)), sql.SQL(", ").join([sql.Placeholder()] * len(columns))
    )
    with psycopg.connect(owner_url) as connection, pytest.raises(errors.CheckViolation, match="starts as initialised"):
        connection.execute(statement, values)


def test_row_of_another_organisation_cannot_be_written(api_database: Database, tenant: Tenant, owner_url: str) -> None:
    other = create_tenant(owner_url)
    with api_database.transaction(other.org_id) as session, pytest.raises(Exception, match="row-level security"):
        session.execute(
            text(
                "INSERT INTO idempotency_keys (org_id, operation, key, request_sha256, resource_id)"
                " VALUES (:org, 'x', 'y', 'z', gen_random_uuid())"
            ),
            {"org": tenant.org_id},
        )


def test_roles_cannot_bypass_row_level_security(owner_url: str) -> None:
    with psycopg.connect(owner_url) as connection:
        rows = connection.execute(
            "SELECT rolname, rolsuper, rolbypassrls FROM pg_roles WHERE rolname IN"
            " ('stafett_api', 'stafett_worker', 'stafett_maintenance', 'stafett_erasure')"
        ).fetchall()
        without_login = connection.execute(
            "SELECT rolcanlogin FROM pg_roles WHERE rolname IN ('stafett_owner', 'stafett_erasure')"
        ).fetchall()
    assert sorted(rows) == [
        ("stafett_api", False, False),
        ("stafett_erasure", False, False),
        ("stafett_maintenance", False, False),
        ("stafett_worker", False, False),
    ]
    assert without_login == [(False,), (False,)]


def test_overlapping_activities_of_a_mentor_are_rejected(activity_factory: ActivityFactory) -> None:
    mentor = activity_factory.create_mentor()
    activity_factory.create_activity(mentor, starts_at=NOON)
    with pytest.raises(errors.ExclusionViolation):
        activity_factory.create_activity(mentor, starts_at=NOON + timedelta(minutes=59))
    activity_factory.create_activity(mentor, starts_at=NOON + timedelta(minutes=60))
    activity_factory.create_activity(activity_factory.create_mentor(), starts_at=NOON)


@pytest.mark.parametrize(
    "fields",
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
def test_inconsistent_activity_is_rejected(activity_factory: ActivityFactory, fields: dict[str, Any]) -> None:
    mentor = activity_factory.create_mentor()
    with pytest.raises(errors.CheckViolation):
        activity_factory.create_activity(mentor, starts_at=NOON, **fields)


def test_activity_must_belong_to_a_mentor_of_its_organisation(
    activity_factory: ActivityFactory, owner_url: str
) -> None:
    other_factory = ActivityFactory(owner_url, create_tenant(owner_url).org_id)
    with pytest.raises(errors.ForeignKeyViolation):
        activity_factory.create_activity(other_factory.create_mentor())


def test_export_transition_outside_the_table_is_rejected(
    export_service: ExportService, tenant: Tenant, owner_url: str
) -> None:
    export = accept_export(export_service, tenant)
    with psycopg.connect(owner_url) as connection:
        connection.execute("UPDATE exports SET status = 'storing_file' WHERE id = %s", [export.id])
        with pytest.raises(errors.CheckViolation, match="cannot change from storing_file to querying_activities"):
            connection.execute("UPDATE exports SET status = 'querying_activities' WHERE id = %s", [export.id])


def test_parameters_of_an_export_are_immutable(export_service: ExportService, tenant: Tenant, owner_url: str) -> None:
    export = accept_export(export_service, tenant)
    with psycopg.connect(owner_url) as connection, pytest.raises(errors.CheckViolation, match="immutable"):
        connection.execute("UPDATE exports SET parameters = '{}' WHERE id = %s", [export.id])


def test_export_service_rejects_an_export_by_an_auditor(export_service: ExportService, tenant: Tenant) -> None:
    caller = Caller(user_id=tenant.users[Role.AUDITOR], org_id=tenant.org_id, role=Role.AUDITOR)
    request = ExportRequest.model_validate(
        {
            "org_id": tenant.org_id,
            "requesting_user_id": caller.user_id,
            "reporting_period": {"start": "2026-01-01", "end": "2026-12-31"},
            "export_format": "csv",
        }
    )
    with pytest.raises(PermissionDeniedError):
        export_service.accept(caller, request)


@pytest.mark.parametrize(
    "statement",
    ["UPDATE audit_events SET actor = 'forged'", "DELETE FROM audit_events", "TRUNCATE audit_events"],
)
def test_audit_trail_cannot_be_changed_even_by_its_owner(
    statement: LiteralString, export_service: ExportService, tenant: Tenant, owner_url: str
) -> None:
    accept_export(export_service, tenant)
    with psycopg.connect(owner_url) as connection, pytest.raises(errors.InsufficientPrivilege, match="append-only"):
        connection.execute(statement)


@pytest.mark.parametrize(
    "statement",
    [
        "INSERT INTO audit_events SELECT * FROM audit_events",
        "UPDATE audit_events SET actor = 'forged'",
        "DELETE FROM audit_events",
        "TRUNCATE audit_events",
        "ALTER TABLE audit_events DISABLE TRIGGER audit_events_append_only",
        "SET session_replication_role = replica",
    ],
)
def test_role_cannot_bypass_the_audit_trail_function(statement: str, role_database: Database, tenant: Tenant) -> None:
    with (
        role_database.transaction(tenant.org_id) as session,
        pytest.raises(Exception, match=r"permission denied|must be owner"),
    ):
        session.execute(text(statement))


def test_erasure_role_can_change_only_the_listed_columns_and_tables(owner_url: str) -> None:
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
        *(("users", "email"), ("users", "display_name"), ("users", "is_operator")),
        *(("api_keys", "name"), ("api_keys", "revoked_at")),
        *(("exports", "removal_started_at"), ("exports", "files_removed_at")),
        ("bulk_items", "overrides"),
        *(("bulk_registrations", "activity"), ("report_reexports", "request"), ("report_files", "reason")),
        ("webhooks", "description"),
        *(("deliveries", "state"), ("deliveries", "last_error"), ("deliveries", "settled_at")),
    }
    deletable = ("attachments", "erasures", "export_mapped_parts", "idempotency_keys", "memberships", "preview_results")
    assert sorted(rows) == [(name,) for name in (*deletable, "user_identities", "user_sessions")]


def test_maintenance_role_can_read_only_the_ids_of_organisations(settings: Settings, tenant: Tenant) -> None:
    maintenance = MaintenanceDatabase(require_setting(settings.database.maintenance_url, "maintenance"), pool_size=1)
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
def test_canonical_json_is_identical_in_sql_and_python(owner_url: str, detail: dict[str, Any]) -> None:
    with psycopg.connect(owner_url) as connection:
        row = connection.execute("SELECT canonical_json(%s::jsonb)", [json.dumps(detail)]).fetchone()
    assert row == (json.dumps(detail, sort_keys=True, separators=(",", ":"), ensure_ascii=False),)


def test_audit_event_contains_the_hash_of_the_previous_event(
    export_service: ExportService, tenant: Tenant, owner_url: str
) -> None:
    for _ in range(3):
        accept_export(export_service, tenant)
    with psycopg.connect(owner_url) as connection, connection.cursor(row_factory=psycopg.rows.dict_row) as cursor:
        events = cursor.execute("SELECT * FROM audit_events WHERE org_id = %s ORDER BY seq", [tenant.org_id]).fetchall()
    previous = "0" * 64
    for event in events:
        hashed = {name: value for name, value in event.items() if name != "hash"}
        hashed["at"] = event["at"].astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        canonical = json.dumps(hashed, sort_keys=True, separators=(",", ":"), ensure_ascii=False, default=str)
        assert event["previous_hash"] == previous
        assert event["hash"] == (previous := hashlib.sha256(canonical.encode()).hexdigest())
    assert [event["status"] for event in events] == [ExportStatus.INITIALISED] * 3


def test_idle_connection_closed_by_the_server_is_not_reused(worker_database: Database, owner_url: str) -> None:
    def fetch_backend_pid() -> int:
        with worker_database.transaction() as session:
            return int(session.execute(text("SELECT pg_backend_pid()")).scalar_one())

    first_pid = fetch_backend_pid()
    assert fetch_backend_pid() == first_pid
    with psycopg.connect(owner_url, autocommit=True) as owner:
        owner.execute("SELECT pg_terminate_backend(%s, 5000)", [first_pid])
    assert fetch_backend_pid() != first_pid


async def test_session_that_the_server_ended_is_reported_as_unavailable(
    worker_database: Database, owner_url: str
) -> None:
    async def pause_in_transaction() -> None:
        with worker_database.transaction() as session:
            pid = session.scalar(text("SELECT pg_backend_pid()"))
            session.execute(text("SET LOCAL idle_in_transaction_session_timeout = '1ms'"))

            async def find_backend() -> object:
                with psycopg.connect(owner_url) as connection:
                    return connection.execute("SELECT FROM pg_stat_activity WHERE pid = %s", [pid]).fetchone()

            await wait_until(find_backend, lambda backend: backend is None)
            session.execute(text("SELECT 1"))

    with pytest.raises(ServiceUnavailableError):
        await pause_in_transaction()
