"""No statement shows another organisation's rows, whoever forgot its filter: for every table that there is."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import psycopg
import pytest
from sqlalchemy import text

from stafett.database.session import Database
from stafett.settings import Settings, require_setting
from stafett.testing import ActivityFactory, Tenant, create_tenant
from tests.gateway.things import Things

_OF_NOBODY = frozenset({"alembic_version", "bulk_transitions", "export_transitions", "reexport_transitions"})
"""Tables without anything of an organisation; whoever adds one says so here."""

_WHOSE = {"organisations": "id", "users": "id"}
"""By which column it is told whose a row is, where that is not ``org_id``."""

_TABLES = """
    SELECT relname, relrowsecurity AND relforcerowsecurity, EXISTS (
        SELECT FROM pg_attribute WHERE attrelid = pg_class.oid AND attname = 'org_id' AND NOT attisdropped
    )
    FROM pg_class WHERE relkind IN ('r', 'p') AND relnamespace = 'public'::regnamespace ORDER BY relname
"""
_READABLE = """
    SELECT attname FROM pg_attribute
    WHERE attrelid = CAST(:table AS regclass) AND attnum > 0 AND NOT attisdropped
      AND has_column_privilege(attrelid, attname, 'SELECT')
"""


class Table(NamedTuple):
    """A table as the catalogue has it."""

    name: str
    is_guarded: bool
    names_its_organisation: bool

    @property
    def whose(self) -> str:
        return _WHOSE.get(self.name, "org_id")


@pytest.fixture
def tables(owner_url: str) -> Sequence[Table]:
    """All that can hold something of an organisation."""
    with psycopg.connect(owner_url) as connection:
        found = [Table(*row) for row in connection.execute(_TABLES).fetchall()]
    return [table for table in found if table.name not in _OF_NOBODY]


@pytest.fixture(params=["api", "worker"])
def role(request: pytest.FixtureRequest, settings: Settings) -> Iterator[Database]:
    """One connection, used again and again: what one transaction was bound to must not last into the next."""
    url = getattr(settings.database, f"{request.param}_url")
    database = Database(require_setting(url, str(request.param)), pool_size=1)
    yield database
    database.close()


@pytest.fixture
def neighbour(owner_url: str, api_database: Database, worker_database: Database) -> Tenant:
    """Another organisation, with something of everything that can easily be had."""
    neighbour = create_tenant(owner_url)
    diary = ActivityFactory(owner_url, neighbour.org_id)
    diary.create_activity(diary.create_mentor())
    for maker in Things(owner_url, neighbour, api_database, worker_database).makers.values():
        maker()
    return neighbour


def columns(role: Database, table: Table) -> Sequence[str]:
    with role.transaction() as session:
        return session.scalars(text(_READABLE), {"table": table.name}).all()


def seen(role: Database, table: Table, tenant: Tenant | None) -> set[str]:
    """Whose rows a statement without any filter shows."""
    org_id, user_id = (tenant.org_id, tenant.coordinator) if tenant else (None, None)
    with role.transaction(org_id, user_id=user_id) as session:
        return set(session.scalars(text(f"SELECT DISTINCT {table.whose}::text FROM {table.name}")))  # noqa: S608 - names out of the catalogue


def test_every_table_of_an_organisation_is_guarded_even_against_its_owner(tables: Sequence[Table]) -> None:
    assert [table.name for table in tables if not table.is_guarded] == []
    assert [table.name for table in tables if not table.names_its_organisation and table.name not in _WHOSE] == []


def test_a_statement_without_a_filter_shows_ones_own_organisation_alone(
    role: Database, tables: Sequence[Table], tenant: Tenant, neighbour: Tenant
) -> None:
    readable = [table for table in tables if table.whose in columns(role, table)]
    theirs, ours = ({each.org_id, *map(str, each.users.values())} for each in (neighbour, tenant))
    shown = set[str]()
    for table in readable:
        everything = seen(role, table, neighbour)
        assert everything <= theirs, table.name
        assert seen(role, table, tenant) <= ours, table.name
        assert seen(role, table, None) == set(), table.name
        shown |= {table.name} if everything else set()
    assert {"exports", "audit_events", "activities", "reports", "notifications", "webhooks"} <= shown


def test_the_guard_is_in_the_plan_of_every_statement(role: Database, tables: Sequence[Table], tenant: Tenant) -> None:
    """Of tables that hold nothing yet, too."""
    for table in tables:
        if readable := columns(role, table):
            with role.transaction(tenant.org_id, user_id=tenant.coordinator) as session:
                statement = f"EXPLAIN (COSTS OFF) SELECT {', '.join(readable)} FROM {table.name}"  # noqa: S608 - the same
                plan = session.scalars(text(statement)).all()
            assert "app." in "\n".join(plan), table.name
