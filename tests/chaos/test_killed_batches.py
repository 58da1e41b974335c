"""Whatever dies in the middle of ten thousand items: every item once, exact counts, and the batch ends."""

from uuid import UUID

import httpx
import pytest

from stafett.domain.bulk_status import BulkStatus
from stafett.testing import Json, wait_until
from tests.acceptance.dev_stack import DevStack, kill
from tests.bulk import ACTIVITY, BATCHES, activities_of, body, many_mentors, rows
from tests.chaos.endurance import Coordinator

MANY = 10_000
_NOT_NOW: Json = {"status": "out of reach", "counts": {"registered": 0}}


async def looked_at(dev: DevStack, coordinator: Coordinator, batch_id: str) -> Json:
    """The batch, or that nobody answers for the moment."""
    try:
        async with dev.gateway() as gateway:
            answer = await gateway.get(f"{BATCHES}/{batch_id}", headers=coordinator.headers)
    except httpx.TransportError:
        return _NOT_NOW
    if answer.is_server_error:
        return _NOT_NOW
    job: Json = answer.raise_for_status().json()
    return job


@pytest.mark.parametrize("name", ["worker", "api", "postgres", pytest.param("temporal", marks=pytest.mark.soak)])
async def test_ten_thousand_items_outlive_the_death_of_one_server(
    dev: DevStack, coordinator: Coordinator, name: str
) -> None:
    mentors = many_mentors(dev.database_url, "nhf", MANY)
    asked = body("nhf", mentors, activity=ACTIVITY | {"starts_at": "2027-03-02T10:00:00Z"})
    async with dev.gateway() as gateway:
        accepted = await gateway.post(BATCHES, json=asked, headers=coordinator.headers)
    assert accepted.status_code == 202, accepted.text
    batch_id = accepted.json()["id"]

    async def registered() -> int:
        ((count,),) = rows(dev.database_url, "SELECT registered FROM bulk_registrations WHERE id = %s", UUID(batch_id))
        return int(count)

    async def look() -> Json:
        return await looked_at(dev, coordinator, batch_id)

    assert 0 < await wait_until(registered, bool) < MANY
    pids = dev.facts["pids"][name]
    for pid in pids if isinstance(pids, list) else [pids]:
        kill(pid)
    ended = await wait_until(
        look, lambda job: job["status"] in set(BulkStatus) and BulkStatus(job["status"]).is_final, timeout_seconds=60
    )
    assert (ended["status"], ended["counts"]["registered"]) == ("completed", MANY)
    assert sorted(activities_of(dev.database_url, batch_id)) == sorted(mentors)
    items = rows(
        dev.database_url, "SELECT status, count(*) FROM bulk_items WHERE batch_id = %s GROUP BY 1", UUID(batch_id)
    )
    assert items == [("registered", MANY)]
