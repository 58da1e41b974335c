"""The demonstration's batch: fifty mentors, four of whom are on leave; when they are back, theirs are tried again."""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import psycopg

from stafett.cli.bulk import RESOURCE, mentors_of
from stafett.cli.client import Api, Json, connect
from stafett.cli.watch import watch_job
from stafett.devstack.stack_file import read_stack
from stafett.domain.errors import StafettError

MENTORS, ON_LEAVE = 50, 4
_AT_NIGHT = "30T23:30:00+01:00"  # when nobody of the seeded ones is at work


class Ran(NamedTuple):
    """One row of the table of what ran."""

    job: str
    status: str
    rows: int
    size: int
    seconds: float
    file: str


def bulk(data_dir: Path, org: str, year: int, output: Path) -> list[Ran]:
    """A batch of which some must fail, and then their retry."""
    api, started = connect(data_dir, None, org), time.monotonic()
    mentors = mentors_of(api, org, MENTORS)
    _turn(data_dir, mentors[:ON_LEAVE], active=False)
    job = _ended(api, api.post(f"/{RESOURCE}", _submission(org, year, mentors)), "completed_with_failures", ON_LEAVE)
    file = output / f"failed-{org}.csv"
    file.write_bytes(api.content(f"/{RESOURCE}/{job['id']}/failed.csv"))
    first = _ran("bulk registration", job, file.stat().st_size, started, file.name)
    _turn(data_dir, mentors[:ON_LEAVE], active=True)
    started = time.monotonic()
    job = _ended(api, api.post(f"/{RESOURCE}/{job['id']}/retry", {}), "completed", 0)
    return [first, _ran("its failed items again", job, 0, started, "")]


def _submission(org: str, year: int, mentors: Sequence[str]) -> Json:
    activity = {
        "activity_type": "likepersonskurs",
        "starts_at": f"{year}-12-{_AT_NIGHT}",
        "duration_minutes": 90,
        "participants": 50,
        "new_participants": 5,
        "place": "Oslo",
        "in_person": True,
        "in_norway": True,
    }
    items = [{"mentor_id": mentor} for mentor in mentors]
    return {"org_id": org, "label": "Likepersonskurs", "activity": activity, "items": items}


def _ended(api: Api, job: Json, status: str, failed: int) -> Json:
    job = watch_job(api, f"/{RESOURCE}/{job['id']}", quiet=False)
    if (job["status"], job["counts"]["failed"]) != (status, failed):
        raise StafettError(f"The batch ended {job['status']}, with {job['counts']['failed']} failures.")
    return job


def _ran(name: str, job: Json, size: int, started: float, file: str) -> Ran:
    return Ran(name, job["status"], job["counts"]["registered"], size, time.monotonic() - started, file)


def _turn(data_dir: Path, mentors: Sequence[str], *, active: bool) -> None:
    """On leave and back again: what the system that looks after the mentors would tell us."""
    with psycopg.connect(read_stack(data_dir).database_url) as connection:
        connection.execute("UPDATE peer_mentors SET active = %s WHERE id = ANY(%s::uuid[])", [active, list(mentors)])
