"""Row-level security: a query without a filter returns no rows of other organisations, for every table."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import psycopg
import pytest
from sqlalchemy import text

from stafett.database.session import Database
from stafett.settings import Settings, require_setting
from stafett.testing import ActivityFactory, Tenant, create_tenant
from tests.support.api_fixtures import ApiFixtures

_SHARED_TABLES = frozenset(
    {"alembic_version", "bulk_transitions", "export_transitions", "reexport_transitions"}
    | {"unknown_exports", "maintenance_runs"}
)
"""Tables without data of an organisation. A new table without an organisation must be added here."""

_OWNER_COLUMNS = {"organisations": "id", "users": "id", "user_identities": "user_id", "user_sessions": "user_id"}
"""The column that identifies the owner of a row, where it is not ``org_id``."""

_OWNERLESS_TABLES = {"login_attempts"}
"""Tables whose rows have no owner yet: they are found by the hash of a secret only."""

_TABLES_QUERY = """
    SELECT relname, relrowsecurity AND relforcerowsecurity, EXISTS (
        SELECT FROM pg_attribute WHERE attrelid = pg_class.oid AND attname = 'org_id' AND NOT attisdropped
    )
    FROM pg_class WHERE relkind IN ('r', 'p') AND relnamespace = 'public'::regnamespace ORDER BY relname
"""
_READABLE_COLUMNS_QUERY = """
    SELECT attname FROM pg_attribute
    WHERE attrelid = CAST(:table AS regclass) AND attnum > 0 AND NOT attisdropped
      AND has_column_privilege(attrelid, attname, 'SELECT')
"""


class Table(NamedTuple):
    """A table of the PostgreSQL catalogue."""

    name: str
    forces_row_security: bool
    has_org_id: bool

    @property
    def owner_column(self) -> str:
        return _OWNER_COLUMNS.get(self.name, "org_id")


@pytest.fixture
def tables(owner_url: str) -> Sequence[Table]:
    """All tables that can contain data of an organisation."""
    with psycopg.connect(owner_url) as connection:
        all_tables = [Table(*row) for row in connection.execute(_TABLES_QUERY).fetchall()]
    return [table for table in all_tables if table.name not in _SHARED_TABLES]


@pytest.fixture(params=["api", "worker"])
def role(request: pytest.FixtureRequest, settings: Settings) -> Iterator[Database]:
    """A pool of one connection: the organisation of one transaction must not be visible in the next."""
    url = getattr(settings.database, f"{request.param}_url")
    database = Database(require_setting(url, str(request.param)), pool_size=1)
    yield database
    database.close()


@pytest.fixture
def neighbour(owner_url: str, api_database: Database, worker_database: Database) -> Tenant:
    """Another organisation, with rows in as many tables as the factories fill."""
    neighbour = create_tenant(owner_url)
    activity_factory = ActivityFactory(owner_url, neighbour.org_id)
    activity_factory.create_activity(activity_factory.create_mentor())
    for factory in ApiFixtures(owner_url, neighbour, api_database, worker_database).factories.values():
        factory()
    return neighbour


def list_members(owner_url: str, tenant: Tenant) -> Sequence[str]:
    with psycopg.connect(owner_url) as connection:
        members = connection.execute("SELECT user_id::text FROM memberships WHERE org_id = %s", [tenant.org_id])
        return [user_id for (user_id,) in members]


def list_readable_columns(role: Database, table: Table) -> Sequence[str]:
    with role.transaction() as session:
        return session.scalars(text(_READABLE_COLUMNS_QUERY), {"table": table.name}).all()


def list_visible_owners(role: Database, table: Table, tenant: Tenant | None) -> set[str]:
    """List the owners of the rows that a query without a filter returns."""
    org_id, user_id = (tenant.org_id, tenant.coordinator) if tenant else (None, None)
    with role.transaction(org_id, user_id=user_id) as session:
        return set(session.scalars(text(f"SELECT DISTINCT {table.owner_column}::text FROM {table.name}")))  # noqa: S608 - names from the catalogue


def test_every_organisation_table_forces_row_level_security(tables: Sequence[Table]) -> None:
    assert [table.name for table in tables if not table.forces_row_security] == []
    owned = [table for table in tables if table.name not in _OWNERLESS_TABLES]
    assert [table.name for table in owned if not table.has_org_id and table.name not in _OWNER_COLUMNS] == []


def test_query_without_filter_returns_only_rows_of_its_organisation(
    role: Database, tables: Sequence[Table], tenant: Tenant, neighbour: Tenant, owner_url: str
) -> None:
    readable = [table for table in tables if table.owner_column in list_readable_columns(role, table)]
    neighbour_ids, tenant_ids = (
        {organisation.org_id, *list_members(owner_url, organisation)} for organisation in (neighbour, tenant)
    )
    filled = set[str]()
    for table in readable:
        owners = list_visible_owners(role, table, neighbour)
        assert owners <= neighbour_ids, table.name
        assert list_visible_owners(role, table, tenant) <= tenant_ids, table.name
        assert list_visible_owners(role, table, None) == set(), table.name
        filled |= {table.name} if owners else set()
    assert {"exports", "audit_events", "activities", "reports", "notifications", "webhooks"} <= filled


def test_every_query_plan_contains_the_security_filter(role: Database, tables: Sequence[Table], tenant: Tenant) -> None:
    """The plan shows the filter for empty tables, too."""
    for table in tables:
        if readable := list_readable_columns(role, table):
            with role.transaction(tenant.org_id, user_id=tenant.coordinator) as session:
                statement = f"EXPLAIN (COSTS OFF) SELECT {', '.join(readable)} FROM {table.name}"  # noqa: S608 - names from the catalogue
                plan = session.scalars(text(statement)).all()
            assert "app." in "\n".join(plan), table.name
