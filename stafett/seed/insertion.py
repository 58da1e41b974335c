"""Insertion of a year of generated activities; the same request gives the same rows on every machine."""

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
from stafett.seed.activities import generate_activities
from stafett.seed.attachments import generate_attachments, upload_attachments
from stafett.seed.organisations import coordinator_email, dev_user_id
from stafett.seed.peer_mentors import distribute_activities, generate_peer_mentors
from stafett.seed.seeded_random import SeededRandom
from stafett.seed.table_copy import copy_rows, drop_constraints_while_loading
from stafett.seed.timetable import Timetable
from stafett.storage.files import FileStorage

SeedProgressCallback = Callable[[int, int], None]

_MIN_MENTORS, _ACTIVITIES_PER_MENTOR = 60, 50


class SeedError(StafettError):
    """A seed request that cannot be fulfilled."""


class SeedRequest(FrozenModel):
    """The rows to add. All fields enter the random seed, so that a different request adds different rows."""

    org_id: OrgId
    year: int = Field(ge=1900, le=2199)
    activities: int = Field(ge=0, le=10_000_000)
    attachments: int = Field(0, ge=0, description="number of activities with an attachment")
    mentors: int | None = Field(None, ge=1, le=1_000_000)
    seed: int = 0

    @property
    def mentor_count(self) -> int:
        return self.mentors or max(_MIN_MENTORS, self.activities // _ACTIVITIES_PER_MENTOR)

    @property
    def rng(self) -> SeededRandom:
        counts = f"{self.activities}/{self.attachments}/{self.mentor_count}"
        return SeededRandom(f"stafett/{self.org_id}/{self.year}/{self.seed}/{counts}")


class SeedResult(FrozenModel):
    """The numbers of inserted rows; zero if the request was already seeded."""

    mentors: int = 0
    activities: int = 0
    attachments: int = 0
    already_seeded: bool = False


class _SeedPlan:
    """The mentors, attachments and timetable that are generated from a request before the insertion."""

    def __init__(self, request: SeedRequest) -> None:
        self.rng = request.rng
        self.timetable = Timetable(self.rng, request.org_id, request.year)
        _validate_feasible(request, self.timetable.max_per_mentor)
        mentors = generate_peer_mentors(self.rng, request.org_id, request.mentor_count)
        self.mentors = distribute_activities(mentors, request.activities, self.timetable.max_per_mentor)
        self.attachments = generate_attachments(self.rng, request.org_id, request.attachments, request.activities)
        self.first_mentor_id: str = self.mentors["id"][0]


class _SeedProgress:
    """A counter that reports each advance to a callback."""

    def __init__(self, total: int, report_progress: SeedProgressCallback) -> None:
        self._done, self._total, self._report_progress = 0, total, report_progress

    def advance(self, count: int = 1) -> None:
        self._done += count
        self._report_progress(self._done, self._total)


def insert_seed_data(
    request: SeedRequest,
    owner_url: str,
    storage: FileStorage,
    report_progress: SeedProgressCallback = lambda _done, _total: None,
) -> SeedResult:
    """Insert all rows or none, as the owner of the tables. Rows of an earlier run are not changed."""
    plan = _SeedPlan(request)
    try:
        with psycopg.connect(owner_url, connect_timeout=5) as connection:
            # COPY FROM is refused under row-level security, and only the owning role is sure to bypass it.
            connection.execute(SQL("SET LOCAL ROLE {}").format(Identifier(OWNER_ROLE)))
            _require_organisation(connection, request.org_id)
            if _is_already_seeded(connection, plan.first_mentor_id):
                return SeedResult(already_seeded=True)
            return _insert_rows(connection, request, plan, storage, report_progress)
    except psycopg.OperationalError as error:
        raise ServiceUnavailableError("PostgreSQL") from error


def _insert_rows(
    connection: Connection,
    request: SeedRequest,
    plan: _SeedPlan,
    storage: FileStorage,
    report_progress: SeedProgressCallback,
) -> SeedResult:
    progress = _SeedProgress(request.activities + len(plan.attachments), report_progress)
    # Files are uploaded first: no row refers to a missing object, and no table is locked during the upload.
    attachments = upload_attachments(storage, plan.attachments, progress.advance)
    coordinator = _find_coordinator(connection, request.org_id)
    with drop_constraints_while_loading(connection, request.activities):
        copy_rows(connection, "peer_mentors", plan.mentors.select("id", "org_id", "display_name", "active"))
        for batch in generate_activities(plan.rng, plan.timetable, plan.mentors, coordinator):
            copy_rows(connection, "activities", batch)
            progress.advance(len(batch))
    copy_rows(connection, "attachments", attachments)
    connection.execute("ANALYZE peer_mentors, activities, attachments")
    return SeedResult(mentors=len(plan.mentors), activities=request.activities, attachments=len(attachments))


def _validate_feasible(request: SeedRequest, max_per_mentor: int) -> None:
    if request.attachments > request.activities:
        raise SeedError(f"{request.activities} activities cannot carry {request.attachments} attachments.")
    if request.activities > request.mentor_count * max_per_mentor:
        needed = -(-request.activities // max_per_mentor)
        raise SeedError(
            f"{request.mentor_count} peer mentors cannot have {request.activities} activities in {request.year}"
            f" without overlaps; at least {needed} are needed."
        )


def _require_organisation(connection: Connection, org_id: str) -> None:
    if connection.execute("SELECT FROM organisations WHERE id = %s", [org_id]).fetchone() is None:
        raise SeedError(f"There is no organisation {org_id}.")


def _is_already_seeded(connection: Connection, first_mentor_id: str) -> bool:
    """Check for rows of the same request. Of two concurrent runs, the second waits for the first to commit."""
    connection.execute("SELECT pg_advisory_xact_lock(hashtextextended('seed:' || %s, 0))", [first_mentor_id])
    return connection.execute("SELECT FROM peer_mentors WHERE id = %s", [first_mentor_id]).fetchone() is not None


def _find_coordinator(connection: Connection, org_id: str) -> UUID | None:
    cursor = connection.execute("SELECT id FROM users WHERE id = %s", [dev_user_id(coordinator_email(org_id))])
    row: tuple[UUID] | None = cursor.fetchone()
    return row[0] if row else None
