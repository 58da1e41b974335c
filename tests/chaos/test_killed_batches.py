"""A process is killed during a batch of 10,000 items; every item is registered once and the batch completes."""

from uuid import UUID

import httpx
import pytest

from stafett.domain.bulk_status import BulkStatus
from stafett.testing import Json, wait_until
from tests.chaos.fault_injection import Coordinator
from tests.support.bulk import ACTIVITY, BATCHES, build_batch, create_mentors, fetch_registered_mentors, fetch_rows
from tests.support.dev_stack import DevStack, kill, repeat_while_unavailable

ITEM_COUNT = 10_000
_UNAVAILABLE: Json = {"status": "unavailable", "counts": {"registered": 0}}


async def get_batch(dev_stack: DevStack, coordinator: Coordinator, batch_id: str) -> Json:
    """Load the batch; its status is `unavailable` while the API does not respond."""
    try:
        async with dev_stack.api_client() as api_client:
            response = await api_client.get(f"{BATCHES}/{batch_id}", headers=coordinator.headers)
    except httpx.TransportError:
        return _UNAVAILABLE
    if response.is_server_error:
        return _UNAVAILABLE
    job: Json = response.raise_for_status().json()
    return job


@pytest.mark.parametrize(
    "name", ["worker", "api", *(pytest.param(name, marks=pytest.mark.soak) for name in ("postgres", "temporal"))]
)
async def test_batch_completes_after_one_process_is_killed(
    dev_stack: DevStack, coordinator: Coordinator, name: str
) -> None:
    mentors = create_mentors(dev_stack.database_url, "nhf", ITEM_COUNT)
    batch = build_batch("nhf", mentors, activity=ACTIVITY | {"starts_at": "2027-03-02T10:00:00Z"})
    async with dev_stack.api_client() as api_client:
        created = await repeat_while_unavailable(
            lambda: api_client.post(BATCHES, json=batch, headers=coordinator.headers)
        )
    assert created.status_code == 202, created.text
    batch_id = created.json()["id"]

    async def count_registered() -> int:
        ((count,),) = fetch_rows(
            dev_stack.database_url, "SELECT registered FROM bulk_registrations WHERE id = %s", UUID(batch_id)
        )
        return int(count)

    async def get_job() -> Json:
        return await get_batch(dev_stack, coordinator, batch_id)

    assert 0 < await wait_until(count_registered, bool) < ITEM_COUNT
    pids = dev_stack.stack_json["pids"][name]
    for pid in pids if isinstance(pids, list) else [pids]:
        kill(pid)
    finished = await wait_until(
        get_job, lambda job: job["status"] in set(BulkStatus) and BulkStatus(job["status"]).is_final
    )
    assert (finished["status"], finished["counts"]["registered"]) == ("completed", ITEM_COUNT)
    assert sorted(fetch_registered_mentors(dev_stack.database_url, batch_id)) == sorted(mentors)
    items = fetch_rows(
        dev_stack.database_url, "SELECT status, count(*) FROM bulk_items WHERE batch_id = %s GROUP BY 1", UUID(batch_id)
    )
    assert items == [("registered", ITEM_COUNT)]
