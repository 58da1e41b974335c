"""The batch of ``stafett demo``: items of inactive mentors fail, and are retried when the mentors are active again."""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import psycopg

from stafett.cli.bulk import BULK_RESOURCE, list_active_mentor_ids
from stafett.cli.client import ApiClient, Json, connect
from stafett.cli.watch import watch_job
from stafett.devstack.stack_file import load_stack_file
from stafett.domain.errors import StafettError

MENTOR_COUNT, INACTIVE_MENTOR_COUNT = 50, 4
_NIGHT_TIME = "30T23:30:00+01:00"  # at night, when no seeded mentor has another activity


class DemoResult(NamedTuple):
    """One row of the result table; `size` is in bytes."""

    job: str
    status: str
    rows: int
    size: int
    seconds: float
    file: str


def run_bulk_demo(data_dir: Path, org: str, year: int, output: Path) -> list[DemoResult]:
    """Run a batch of which some items must fail, and retry them."""
    api, started = connect(data_dir, None, org), time.monotonic()
    mentors = list_active_mentor_ids(api, org, MENTOR_COUNT)
    _set_mentors_active(data_dir, mentors[:INACTIVE_MENTOR_COUNT], active=False)
    job = _wait_for_outcome(
        api,
        api.post(f"/{BULK_RESOURCE}", _build_batch_request(org, year, mentors)),
        "completed_with_failures",
        INACTIVE_MENTOR_COUNT,
    )
    file = output / f"failed-{org}.csv"
    file.write_bytes(api.get_bytes(f"/{BULK_RESOURCE}/{job['id']}/failed.csv"))
    first_result = _result_from_job("bulk registration", job, file.stat().st_size, started, file.name)
    _set_mentors_active(data_dir, mentors[:INACTIVE_MENTOR_COUNT], active=True)
    started = time.monotonic()
    job = _wait_for_outcome(api, api.post(f"/{BULK_RESOURCE}/{job['id']}/retry", {}), "completed", 0)
    return [first_result, _result_from_job("bulk retry of failed items", job, 0, started, "")]


def _build_batch_request(org: str, year: int, mentor_ids: Sequence[str]) -> Json:
    activity = {
        "activity_type": "likepersonskurs",
        "starts_at": f"{year}-12-{_NIGHT_TIME}",
        "duration_minutes": 90,
        "participants": 50,
        "new_participants": 5,
        "place": "Oslo",
        "in_person": True,
        "in_norway": True,
    }
    items = [{"mentor_id": mentor} for mentor in mentor_ids]
    return {"org_id": org, "label": "Likepersonskurs", "activity": activity, "items": items}


def _wait_for_outcome(api: ApiClient, job: Json, expected_status: str, expected_failures: int) -> Json:
    job = watch_job(api, f"/{BULK_RESOURCE}/{job['id']}", quiet=False)
    if (job["status"], job["counts"]["failed"]) != (expected_status, expected_failures):
        raise StafettError(f"The batch ended with status {job['status']} and {job['counts']['failed']} failed items.")
    return job


def _result_from_job(name: str, job: Json, size: int, started_at: float, file: str) -> DemoResult:
    return DemoResult(name, job["status"], job["counts"]["registered"], size, time.monotonic() - started_at, file)


def _set_mentors_active(data_dir: Path, mentor_ids: Sequence[str], *, active: bool) -> None:
    """Change the mentors' status in the database, as a sync with the organisation's register would."""
    with psycopg.connect(load_stack_file(data_dir).database_url) as connection:
        connection.execute("UPDATE peer_mentors SET active = %s WHERE id = ANY(%s::uuid[])", [active, list(mentor_ids)])
