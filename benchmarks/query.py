"""Reading a year of activities: COPY into Polars, a server-side cursor, ORM objects."""

from datetime import UTC, datetime

import polars as pl
from sqlmodel import col, select

from benchmarks.measurement import ComparisonTable, measure_implementations
from stafett.cli.dev_stack import settings_from_addresses
from stafett.database.session import Database
from stafett.database.tables import Activity
from stafett.devstack.options import StackAddresses
from stafett.exports.stages.query_activities import ROWS_PER_PART, OrganisationPeriod, stream_activity_frames
from stafett.seed.insertion import SeedRequest, insert_seed_data
from stafett.storage.files import FileStorage

PERIOD: OrganisationPeriod = ("nhf", datetime(2026, 1, 1, tzinfo=UTC), datetime(2027, 1, 1, tzinfo=UTC))
_COLUMNS = "id, activity_type, starts_at, ends_at, participants, new_participants, place, in_person, in_norway, note"
_CURSOR_QUERY = (
    f"SELECT {_COLUMNS} FROM activities WHERE org_id = %s AND starts_at BETWEEN %s AND %s ORDER BY starts_at, id"  # noqa: S608 - constant column names
)


def run(addresses: StackAddresses, rows: int, rounds: int) -> list[ComparisonTable]:
    insert_seed_data(
        SeedRequest(org_id="nhf", year=2026, activities=rows),
        addresses.postgres_url,
        FileStorage(settings_from_addresses(addresses).s3),
    )
    database = Database(addresses.worker_database_url)
    implementations = {
        "COPY into Polars, with mentors and attachments joined": lambda: _read_with_copy(database),
        "server-side cursor, rows into Polars": lambda: _read_with_cursor(database),
        "SQLModel objects": lambda: _read_with_orm(database),
    }
    measurements = measure_implementations(implementations, rounds=rounds)
    database.close()
    return [ComparisonTable(f"Reading {rows:,} activities from PostgreSQL", "read-activities", measurements)]


def _read_with_copy(database: Database) -> int:
    with database.snapshot("nhf") as connection:
        return sum(frame.height for frame in stream_activity_frames(connection, PERIOD, ROWS_PER_PART))


def _read_with_cursor(database: Database) -> int:
    with database.snapshot("nhf") as connection, connection.cursor("peer") as cursor:
        cursor.itersize = ROWS_PER_PART
        cursor.execute(_CURSOR_QUERY.encode(), PERIOD)
        total = 0
        while rows := cursor.fetchmany(ROWS_PER_PART):
            total += pl.DataFrame(rows, orient="row", infer_schema_length=None).height
        return total


def _read_with_orm(database: Database) -> int:
    with database.transaction("nhf") as session:
        query = select(Activity).where(Activity.org_id == "nhf").order_by(col(Activity.starts_at), col(Activity.id))
        return len(session.exec(query).all())
