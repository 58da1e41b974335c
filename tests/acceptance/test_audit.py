"""The audit trail from outside: shown, signed, verified, and found out when somebody changes it."""

import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import httpx
import psycopg
from temporalio.client import Client, Schedule
from temporalio.service import RPCError

from stafett.testing import ActivityFactory, ExportClient, wait_until
from tests.acceptance.dev_stack import EXPORTS, DevStack, assert_problem


@contextmanager
def forged(owner: psycopg.Connection, org_id: str, seq: int) -> Iterator[None]:
    """Another actor, for the length of a block: what a superuser can do, and undo."""
    update = "UPDATE audit_events SET actor = %s WHERE org_id = %s AND seq = %s"
    row = owner.execute("SELECT actor FROM audit_events WHERE org_id = %s AND seq = %s", [org_id, seq]).fetchone()
    assert row is not None
    owner.execute("ALTER TABLE audit_events DISABLE TRIGGER audit_events_never_change")
    owner.execute(update, ["user:nobody", org_id, seq])
    try:
        yield
    finally:
        owner.execute(update, [row[0], org_id, seq])
        owner.execute("ALTER TABLE audit_events ENABLE ALWAYS TRIGGER audit_events_never_change")


async def test_the_trail_of_a_whole_stack_is_verified_and_a_forged_event_is_named(
    dev: DevStack, button: ExportClient, diary: ActivityFactory, owner: psycopg.Connection
) -> None:
    diary.create_activity(diary.create_mentor())
    await button.wait_for_completion(await button.start_export())
    (await dev.run("audit", "checkpoint")).done()
    lines = (await dev.run("audit", "verify")).done().out.splitlines()
    assert {"nhf", "blindeforbundet", "hlf", button.org_id} <= {line.partition(":")[0] for line in lines}
    own = next(line for line in lines if line.startswith(f"{button.org_id}: "))
    whole = rf"{button.org_id}: whole\. 8 events, the last is 8; \d checkpoints?, the newest of \d{{4}}-.*Z"
    assert re.fullmatch(whole, own)

    with forged(owner, button.org_id, 3):
        found = await dev.run("audit", "verify")
        assert found.code == 1
        assert f"Event 3 of {button.org_id}: it was edited, for its hash is not that of its fields." in found.out
    (await dev.run("audit", "verify", "--org", button.org_id)).done()


async def test_a_worker_sees_to_it_that_chains_are_signed_at_intervals(dev: DevStack) -> None:
    client = await Client.connect(dev.facts["temporal_address"], namespace=dev.facts["temporal_namespace"])

    async def described() -> Schedule | None:
        with suppress(RPCError):
            return (await client.get_schedule_handle("checkpoint-audit-chains").describe()).schedule
        return None

    schedule = await wait_until(described, bool)
    assert schedule is not None
    assert [interval.every.total_seconds() for interval in schedule.spec.intervals] == [3600]


async def test_the_file_is_one_redirection_away_and_the_way_there_is_in_the_trail(
    button: ExportClient, diary: ActivityFactory, gateway: httpx.AsyncClient, anybody: httpx.AsyncClient
) -> None:
    waiting = await button.start_export(reporting_period={"start": "2020-01-01", "end": "2020-12-31"})
    await button.wait_for_completion(waiting)
    assert_problem(await gateway.get(f"{EXPORTS}/{waiting}/file", headers=button.headers), 409, "no_file")
    diary.create_activity(diary.create_mentor())
    job = await button.wait_for_completion(await button.start_export())
    sent = await gateway.get(f"{EXPORTS}/{job['id']}/file", headers=button.headers)
    assert (sent.status_code, sent.headers["Cache-Control"]) == (303, "no-store")
    assert len((await anybody.get(sent.headers["Location"])).content) == job["file"]["size_bytes"]
    trail = await gateway.get(f"{EXPORTS}/{job['id']}/audit", headers=button.headers)
    kinds = [event["event"] for event in trail.raise_for_status().json()["items"]]
    assert kinds[0] == "export_requested"
    assert kinds[-2:] == ["link_issued", "file_downloaded"]


async def test_an_unknown_organisation_is_no_finding(dev: DevStack) -> None:
    refused = await dev.run("audit", "verify", "--org", "finnes-ikke")
    assert refused.code == 2
    assert "there is no organisation finnes-ikke" in refused.err
