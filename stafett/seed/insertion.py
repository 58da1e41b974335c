"""``stafett seed``: a year of an organisation's activities, the same from the same seed on every machine."""

from collections.abc import Callable
from uuid import UUID

import psycopg
from psycopg import Connection
from psycopg.sql import SQL, Identifier
from pydantic import Field

from stafett.database.migrate import OWNER_ROLE
from stafett.domain.errors import ServiceUnavailableError, StafettError
from stafett.domain.export import OrgId
from stafett.domain.frozen import FrozenModel
from stafett.seed.activities import draw_activities
from stafett.seed.attachments import draw_attachments, upload
from stafett.seed.organisations import coordinator_of, dev_user_id
from stafett.seed.peer_mentors import draw_peer_mentors, share_out
from stafett.seed.seeded_random import Chance
from stafett.seed.table_copy import checked_as_a_whole, copy_rows
from stafett.seed.timetable import Timetable
from stafett.storage.files import FileStorage

Progress = Callable[[int, int], None]

_FEWEST_MENTORS, _ACTIVITIES_OF_A_MENTOR = 60, 50


class SeedError(StafettError):
    """What was asked for cannot be seeded."""


class Seeding(FrozenModel):
    """What to add; all of it together is the seed, so that any other request adds other rows."""

    org_id: OrgId
    year: int = Field(ge=1900, le=2199)
    activities: int = Field(ge=0, le=10_000_000)
    attachments: int = Field(0, ge=0, description="how many of the activities carry one")
    mentors: int | None = Field(None, ge=1, le=1_000_000)
    seed: int = 0

    @property
    def mentor_count(self) -> int:
        return self.mentors or max(_FEWEST_MENTORS, self.activities // _ACTIVITIES_OF_A_MENTOR)

    @property
    def chance(self) -> Chance:
        counts = f"{self.activities}/{self.attachments}/{self.mentor_count}"
        return Chance(f"stafett/{self.org_id}/{self.year}/{self.seed}/{counts}")


class SeedReport(FrozenModel):
    """What was added; nothing, if all of it was there."""

    mentors: int = 0
    activities: int = 0
    attachments: int = 0
    already_there: bool = False


class _Plan:
    """A request with everything drawn that is needed more than once."""

    def __init__(self, seeding: Seeding) -> None:
        self.chance = seeding.chance
        self.timetable = Timetable(self.chance, seeding.org_id, seeding.year)
        _refuse_impossible(seeding, self.timetable.most_each)
        drawn = draw_peer_mentors(self.chance, seeding.org_id, seeding.mentor_count)
        self.mentors = share_out(drawn, seeding.activities, self.timetable.most_each)
        self.attachments = draw_attachments(self.chance, seeding.org_id, seeding.attachments, seeding.activities)
        self.first_mentor: str = self.mentors["id"][0]


class _Tally:
    """Counts what is done, and tells."""

    def __init__(self, total: int, progress: Progress) -> None:
        self._done, self._total, self._progress = 0, total, progress

    def add(self, done: int = 1) -> None:
        self._done += done
        self._progress(self._done, self._total)


def seed(
    seeding: Seeding, owner_url: str, storage: FileStorage, progress: Progress = lambda _done, _total: None
) -> SeedReport:
    """Add all of it or nothing, as the owner of the tables; rows that are there already are left as they are."""
    plan = _Plan(seeding)
    try:
        with psycopg.connect(owner_url, connect_timeout=5) as connection:
            # COPY FROM is refused under row-level security, and only the owning role is sure to bypass it.
            connection.execute(SQL("SET LOCAL ROLE {}").format(Identifier(OWNER_ROLE)))
            _require_organisation(connection, seeding.org_id)
            if _is_there(connection, plan.first_mentor):
                return SeedReport(already_there=True)
            return _add(connection, seeding, plan, storage, progress)
    except psycopg.OperationalError as error:
        raise ServiceUnavailableError("PostgreSQL") from error


def _add(connection: Connection, seeding: Seeding, plan: _Plan, storage: FileStorage, progress: Progress) -> SeedReport:
    tally = _Tally(seeding.activities + len(plan.attachments), progress)
    # First the files: a row never points at nothing, and no table is held while the network works.
    attachments = upload(storage, plan.attachments, tally.add)
    coordinator = _coordinator(connection, seeding.org_id)
    with checked_as_a_whole(connection, seeding.activities):
        copy_rows(connection, "peer_mentors", plan.mentors.select("id", "org_id", "display_name", "active"))
        for batch in draw_activities(plan.chance, plan.timetable, plan.mentors, coordinator):
            copy_rows(connection, "activities", batch)
            tally.add(len(batch))
    copy_rows(connection, "attachments", attachments)
    connection.execute("ANALYZE peer_mentors, activities, attachments")
    return SeedReport(mentors=len(plan.mentors), activities=seeding.activities, attachments=len(attachments))


def _refuse_impossible(seeding: Seeding, most_each: int) -> None:
    if seeding.attachments > seeding.activities:
        raise SeedError(f"{seeding.activities} activities cannot carry {seeding.attachments} attachments.")
    if seeding.activities > seeding.mentor_count * most_each:
        needed = -(-seeding.activities // most_each)
        raise SeedError(
            f"{seeding.mentor_count} peer mentors cannot hold {seeding.activities} activities in {seeding.year}"
            f" without overlaps; at least {needed} are needed."
        )


def _require_organisation(connection: Connection, org_id: str) -> None:
    if connection.execute("SELECT FROM organisations WHERE id = %s", [org_id]).fetchone() is None:
        raise SeedError(f"There is no organisation {org_id}.")


def _is_there(connection: Connection, first_mentor: str) -> bool:
    """Whether this very seeding was done before; of two at once, the second waits and then finds it done."""
    connection.execute("SELECT pg_advisory_xact_lock(hashtextextended('seed:' || %s, 0))", [first_mentor])
    return connection.execute("SELECT FROM peer_mentors WHERE id = %s", [first_mentor]).fetchone() is not None


def _coordinator(connection: Connection, org_id: str) -> UUID | None:
    found = connection.execute("SELECT id FROM users WHERE id = %s", [dev_user_id(coordinator_of(org_id))])
    row: tuple[UUID] | None = found.fetchone()
    return row[0] if row else None
