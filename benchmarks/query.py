"""Reading a year of activities: COPY into Polars, a server-side cursor, ORM objects."""

from datetime import UTC, datetime

import polars as pl
from sqlmodel import col, select

from benchmarks.measurement import Table, side_by_side
from stafett.cli.dev_stack import settings_from_addresses
from stafett.database.session import Database
from stafett.database.tables import Activity
from stafett.devstack.options import StackAddresses
from stafett.exports.stages.query_activities import ROWS_PER_PART, OrganisationPeriod, stream_activity_frames
from stafett.seed.insertion import SeedRequest, insert_seed_data
from stafett.storage.files import FileStorage

YEAR: OrganisationPeriod = ("nhf", datetime(2026, 1, 1, tzinfo=UTC), datetime(2027, 1, 1, tzinfo=UTC))
_COLUMNS = "id, activity_type, starts_at, ends_at, participants, new_participants, place, in_person, in_norway, note"
_BY_CURSOR = (
    f"SELECT {_COLUMNS} FROM activities WHERE org_id = %s AND starts_at BETWEEN %s AND %s ORDER BY starts_at, id"  # noqa: S608 - our own names
)


def run(addresses: StackAddresses, rows: int) -> list[Table]:
    insert_seed_data(
        SeedRequest(org_id="nhf", year=2026, activities=rows),
        addresses.postgres_url,
        FileStorage(settings_from_addresses(addresses).s3),
    )
    database = Database(addresses.worker_database_url)
    contenders = {
        "COPY into Polars, with mentors and attachments joined": lambda: _by_copy(database),
        "server-side cursor, rows into Polars": lambda: _by_cursor(database),
        "SQLModel objects": lambda: _by_objects(database),
    }
    measured = side_by_side(contenders, rounds=3)
    database.close()
    return [Table(f"Reading {rows:,} activities", measured)]


def _by_copy(database: Database) -> int:
    with database.snapshot("nhf") as connection:
        return sum(frame.height for frame in stream_activity_frames(connection, YEAR, ROWS_PER_PART))


def _by_cursor(database: Database) -> int:
    with database.snapshot("nhf") as connection, connection.cursor("peer") as cursor:
        cursor.itersize = ROWS_PER_PART
        cursor.execute(_BY_CURSOR.encode(), YEAR)
        total = 0
        while rows := cursor.fetchmany(ROWS_PER_PART):
            total += pl.DataFrame(rows, orient="row", infer_schema_length=None).height
        return total


def _by_objects(database: Database) -> int:
    with database.transaction("nhf") as session:
        query = select(Activity).where(Activity.org_id == "nhf").order_by(col(Activity.starts_at), col(Activity.id))
        return len(session.exec(query).all())
