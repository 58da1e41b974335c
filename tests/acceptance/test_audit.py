"""The audit trail from outside: events, checkpoints, and detection of a forged event."""

import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import httpx
import psycopg
from temporalio.client import Client, Schedule
from temporalio.service import RPCError

from stafett.testing import ActivityFactory, ExportClient, wait_until
from tests.support.dev_stack import EXPORTS, DevStack, assert_problem


@contextmanager
def forge_event(owner_connection: psycopg.Connection, org_id: str, seq: int) -> Iterator[None]:
    """Replace an event's actor for the length of a block, which a superuser can do."""
    update = "UPDATE audit_events SET actor = %s WHERE org_id = %s AND seq = %s"
    row = owner_connection.execute(
        "SELECT actor FROM audit_events WHERE org_id = %s AND seq = %s", [org_id, seq]
    ).fetchone()
    assert row is not None
    owner_connection.execute("ALTER TABLE audit_events DISABLE TRIGGER audit_events_append_only")
    owner_connection.execute(update, ["user:forged", org_id, seq])
    try:
        yield
    finally:
        owner_connection.execute(update, [row[0], org_id, seq])
        owner_connection.execute("ALTER TABLE audit_events ENABLE ALWAYS TRIGGER audit_events_append_only")


async def test_audit_verify_reports_a_forged_event(
    dev_stack: DevStack,
    export_client: ExportClient,
    activity_factory: ActivityFactory,
    owner_connection: psycopg.Connection,
) -> None:
    activity_factory.create_activity(activity_factory.create_mentor())
    await export_client.wait_for_completion(await export_client.start_export())
    (await dev_stack.run("audit", "checkpoint")).require_success()
    lines = (await dev_stack.run("audit", "verify")).require_success().stdout.splitlines()
    assert {"nhf", "blindeforbundet", "hlf", export_client.org_id} <= {line.partition(":")[0] for line in lines}
    own_line = next(line for line in lines if line.startswith(f"{export_client.org_id}: "))
    expected = rf"{export_client.org_id}: intact\. 8 events, last seq 8; \d checkpoints?, newest \d{{4}}-.*Z"
    assert re.fullmatch(expected, own_line)

    with forge_event(owner_connection, export_client.org_id, 3):
        result = await dev_stack.run("audit", "verify")
        assert result.exit_code == 1
        assert f"Event 3 of {export_client.org_id}: it was edited; its hash does not match its fields." in result.stdout
    (await dev_stack.run("audit", "verify", "--org", export_client.org_id)).require_success()


async def test_worker_schedules_a_checkpoint_every_hour(dev_stack: DevStack) -> None:
    client = await Client.connect(
        dev_stack.stack_json["temporal_address"], namespace=dev_stack.stack_json["temporal_namespace"]
    )

    async def load_schedule() -> Schedule | None:
        with suppress(RPCError):
            return (await client.get_schedule_handle("checkpoint-audit-chains").describe()).schedule
        return None

    schedule = await wait_until(load_schedule, bool)
    assert schedule is not None
    assert [interval.every.total_seconds() for interval in schedule.spec.intervals] == [3600]


async def test_file_redirects_to_a_link_and_the_download_is_audited(
    export_client: ExportClient,
    activity_factory: ActivityFactory,
    api_client: httpx.AsyncClient,
    anonymous_client: httpx.AsyncClient,
) -> None:
    empty_id = await export_client.start_export(reporting_period={"start": "2020-01-01", "end": "2020-12-31"})
    await export_client.wait_for_completion(empty_id)
    assert_problem(await api_client.get(f"{EXPORTS}/{empty_id}/file", headers=export_client.headers), 409, "no_file")
    activity_factory.create_activity(activity_factory.create_mentor())
    job = await export_client.wait_for_completion(await export_client.start_export())
    redirect = await api_client.get(f"{EXPORTS}/{job['id']}/file", headers=export_client.headers)
    assert (redirect.status_code, redirect.headers["Cache-Control"]) == (303, "no-store")
    assert len((await anonymous_client.get(redirect.headers["Location"])).content) == job["file"]["size_bytes"]
    audit_trail = await api_client.get(f"{EXPORTS}/{job['id']}/audit", headers=export_client.headers)
    events = [event["event"] for event in audit_trail.raise_for_status().json()["items"]]
    assert events[0] == "export_requested"
    assert events[-2:] == ["link_issued", "file_downloaded"]


async def test_audit_verify_of_an_unknown_organisation_is_a_usage_error(dev_stack: DevStack) -> None:
    result = await dev_stack.run("audit", "verify", "--org", "finnes-ikke")
    assert result.exit_code == 2
    assert "there is no organisation finnes-ikke" in result.stderr
