"""What roles of other programs and our own roles cannot do: connect, lock the audit chain, read texts about people."""

import json
from collections.abc import Iterator, Sequence
from typing import Any, LiteralString
from urllib.parse import urlsplit
from uuid import uuid4

import psycopg
import pytest
from psycopg import errors, sql
from pydantic import ValidationError
from sqlalchemy import text
from sqlmodel import Session

from stafett.audit.trail import AuditEntry
from stafett.database.migrate import ERASURE_ROLE
from stafett.database.session import Database
from stafett.settings import Settings, require_setting
from stafett.testing import Tenant
from tests.support.audit import verify_audit_chain


@pytest.fixture(params=["api", "worker", "maintenance", "erasure"])
def role_database(request: pytest.FixtureRequest, settings: Settings) -> Iterator[Database]:
    uses_set_role = f"stafett_{request.param}" == ERASURE_ROLE
    url = settings.database.owner_url if uses_set_role else getattr(settings.database, f"{request.param}_url")
    database = Database(require_setting(url, request.param), pool_size=1, role=ERASURE_ROLE if uses_set_role else None)
    yield database
    database.close()


FREE_TEXTS = (
    ("activities", ("note", "place")),
    ("bulk_registrations", ("label", "activity")),
    ("bulk_items", ("client_ref", "mentor_ref", "overrides")),
    ("report_reexports", ("label", "request")),
    ("report_files", ("reason", "submitted_reference")),
    ("webhooks", ("description",)),
    ("column_mappings", ("document",)),
    ("peer_mentors", ("display_name",)),
)


@pytest.mark.parametrize(("table", "columns"), FREE_TEXTS, ids=lambda value: value if isinstance(value, str) else "")
def test_maintenance_role_reads_no_text_that_users_write(table: str, columns: Sequence[str], owner_url: str) -> None:
    query = "SELECT has_column_privilege('stafett_maintenance', %s, %s, 'SELECT')"
    with psycopg.connect(owner_url) as connection:
        readable = [column for column in columns if connection.execute(query, [table, column]).fetchone() == (True,)]
    assert readable == []


def test_api_corrects_activities_and_changes_neither_their_mentor_nor_their_origin(owner_url: str) -> None:
    query = (
        "SELECT column_name FROM information_schema.column_privileges"
        " WHERE grantee = 'stafett_api' AND table_name = 'activities' AND privilege_type = 'UPDATE'"
    )
    with psycopg.connect(owner_url) as owner:
        updatable = {name for (name,) in owner.execute(query)}
        deletable = owner.execute("SELECT has_table_privilege('stafett_api', 'activities', 'DELETE')").fetchone()
    assert updatable >= {"starts_at", "ends_at", "note", "deleted_at"}
    assert updatable & {"id", "org_id", "mentor_id", "registered_by", "batch_id", "created_at"} == set()
    assert deletable == (False,)


@pytest.fixture
def stranger_url(owner_url: str) -> Iterator[str]:
    """Log in with a role that is not ours, as another program on the same server would."""
    name = f"stranger_{uuid4().hex[:12]}"
    create = sql.SQL("CREATE ROLE {} LOGIN PASSWORD 'stranger'").format(sql.Identifier(name))
    with psycopg.connect(owner_url, autocommit=True) as owner:
        owner.execute(create)
        yield (
            urlsplit(owner_url)
            ._replace(netloc=f"{name}:stranger@{urlsplit(owner_url).netloc.partition('@')[2]}")
            .geturl()
        )
        owner.execute(sql.SQL("DROP OWNED BY {}; DROP ROLE {}").format(sql.Identifier(name), sql.Identifier(name)))


def test_role_of_another_program_cannot_connect(stranger_url: str) -> None:
    with pytest.raises(psycopg.OperationalError, match="permission denied for database"):
        psycopg.connect(stranger_url)


@pytest.mark.parametrize(
    "call", ["pg_notify('job_changed', 'x')", "pg_advisory_lock(1)", "pg_try_advisory_xact_lock(1)"]
)
def test_functions_for_locks_and_notifications_are_not_public(
    call: LiteralString, stranger_url: str, owner_url: str
) -> None:
    """Even a role that an administrator lets connect can neither notify the API nor hold a lock."""
    name = str(urlsplit(stranger_url).username)
    with psycopg.connect(owner_url, autocommit=True) as owner:
        owner.execute(sql.SQL("GRANT CONNECT ON DATABASE stafett TO {}").format(sql.Identifier(name)))
    with psycopg.connect(stranger_url) as stranger, pytest.raises(errors.InsufficientPrivilege):
        stranger.execute(f"SELECT {call}")


def test_no_role_can_lock_the_chain_without_appending(role_database: Database, tenant: Tenant) -> None:
    with (
        role_database.transaction(tenant.org_id) as session,
        pytest.raises(Exception, match="permission denied for table audit_chain_locks"),
    ):
        session.execute(text("SELECT FROM audit_chain_locks FOR UPDATE"))


def test_advisory_lock_does_not_stop_the_audit_trail(api_database: Database, tenant: Tenant, owner_url: str) -> None:
    """Any client that may connect could hold it, as long as it wants."""
    with psycopg.connect(owner_url) as blocking:
        blocking.execute("SELECT pg_advisory_lock(hashtextextended('audit:' || %s, 0))", [tenant.org_id])
        with api_database.transaction(tenant.org_id) as session:
            append_test_event(session, tenant.org_id, {})


def append_test_event(session: Session, org_id: str, detail: dict[str, Any] | str) -> None:
    json_text = detail if isinstance(detail, str) else json.dumps(detail)
    session.execute(
        text(
            "SELECT append_audit_event(gen_random_uuid(), :org_id, 'system:test', 'tested', 'export',"
            " gen_random_uuid(), NULL, CAST(:detail AS jsonb))"
        ),
        {"org_id": org_id, "detail": json_text},
    )


@pytest.mark.parametrize(
    "number", ["1.0", "-0.0", "0.5", "1.50", "1e21", "9007199254740992", "-9007199254740992", "1e-7"]
)
def test_number_with_two_json_forms_is_rejected_in_audit_details(
    number: str, api_database: Database, tenant: Tenant
) -> None:
    with api_database.transaction(tenant.org_id) as session, pytest.raises(Exception, match="numbers in audit details"):
        append_test_event(session, tenant.org_id, f'{{"number": [{{"inner": {number}}}]}}')
    with pytest.raises(ValidationError):
        AuditEntry(
            org_id=tenant.org_id, actor="x", event="x", subject_id=uuid4(), detail={"number": json.loads(number)}
        )


def test_accepted_number_has_the_same_hash_in_sql_and_python(
    settings: Settings, api_database: Database, tenant: Tenant
) -> None:
    for number in ("1e2", "-0", "9007199254740991", "-9007199254740991", "true", "null", '"1.0"'):
        with api_database.transaction(tenant.org_id) as session:
            append_test_event(session, tenant.org_id, f'{{"number": {number}}}')
    assert verify_audit_chain(settings, tenant.org_id).broken is None
