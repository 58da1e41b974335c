"""Cancelling, trying again and deleting, on the real stack."""

import asyncio
import gc
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, suppress
from uuid import UUID, uuid4

import httpx
import psycopg
import pytest
from temporalio.api.common.v1 import WorkflowExecution
from temporalio.api.workflowservice.v1 import DeleteWorkflowExecutionRequest
from temporalio.client import Client, WorkflowExecutionStatus
from temporalio.service import RPCError

from stafett.domain.export_status import ExportStatus
from stafett.domain.membership import Role
from stafett.storage.files import FileStorage
from stafett.testing import ActivityFactory, ExportClient, Tenant, create_operator, wait_until

Bearer = Callable[..., dict[str, str]]
Working = Callable[[], AbstractAsyncContextManager[None]]
EXPORTS = "/api/v1/bufdir-exports"
RUN_ENDS = {WorkflowExecutionStatus.CANCELED, WorkflowExecutionStatus.COMPLETED}


def place(org_id: str, export_id: str) -> str:
    return f"exports/{org_id}/{export_id}/"


def events_of(owner_url: str, export_id: str) -> list[str]:
    with psycopg.connect(owner_url) as connection:
        query = "SELECT event FROM audit_events WHERE subject_id = %s ORDER BY seq"
        return [event for (event,) in connection.execute(query, [export_id]).fetchall()]


async def cancelled(button: ExportClient, export_id: str) -> httpx.Response:
    return await button.http_client.put(f"{EXPORTS}/{export_id}/cancel", headers=button.headers)


async def retried(button: ExportClient, export_id: str, key: str | None = None) -> httpx.Response:
    headers = button.headers | ({"Idempotency-Key": key} if key else {})
    return await button.http_client.post(f"{EXPORTS}/{export_id}/retry", headers=headers)


async def run_closed(temporal: Client, export_id: str) -> WorkflowExecutionStatus | None:
    async def status() -> WorkflowExecutionStatus | None:
        return (await temporal.get_workflow_handle(f"bufdir-export/{export_id}").describe()).status

    return await wait_until(status, RUN_ENDS.__contains__)


async def test_a_cancelled_export_leaves_its_trail_and_nothing_else(
    button: ExportClient,
    diary: ActivityFactory,
    working: Working,
    storage: FileStorage,
    owner_url: str,
    temporal: Client,
) -> None:
    diary.create_activity(diary.create_mentor())
    export_id = await button.start_export()
    answer = await cancelled(button, export_id)
    assert (answer.status_code, answer.json()["status"]) == (202, "cancelling")
    assert (await cancelled(button, export_id)).status_code == 202
    async with working():
        job = await button.wait_for_completion(export_id)
        assert await run_closed(temporal, export_id) is WorkflowExecutionStatus.CANCELED
    assert (job["status"], job["file"], job["download_url"]) == ("cancelled", None, None)
    assert [attempt["outcome"] for attempt in job["attempts"]] == ["cancelled"]
    assert storage.list_keys(place(button.org_id, export_id)) == []
    assert events_of(owner_url, export_id) == ["export_requested", "cancel_requested", "export_cancelled"]
    assert (await cancelled(button, export_id)).status_code == 409


async def test_a_stage_at_work_stops_within_seconds_and_takes_its_objects_along(
    button: ExportClient, owner_url: str, working: Working, storage: FileStorage
) -> None:
    many(owner_url, button.org_id, 150_000)
    async with working():
        export_id = await button.start_export(export_format="xlsx")

        async def has_staged() -> bool:
            return bool(await asyncio.to_thread(storage.list_keys, place(button.org_id, export_id)))

        await wait_until(has_staged, bool)
        assert (await cancelled(button, export_id)).status_code == 202
        job = await button.wait_for_completion(export_id)
    assert job["status"] == "cancelled"
    assert storage.list_keys(place(button.org_id, export_id)) == []


async def test_a_query_that_waits_is_not_waited_for(
    button: ExportClient, diary: ActivityFactory, working: Working, owner_url: str
) -> None:
    diary.create_activity(diary.create_mentor())
    export_id = await button.start_export()
    with psycopg.connect(owner_url) as connection:
        connection.execute("LOCK TABLE activities IN ACCESS EXCLUSIVE MODE")
        async with working():
            is_at_work = await wait_until(
                lambda: button.get_export(export_id), lambda job: job["status"] != "initialised"
            )
            assert is_at_work["status"] == "querying_activities"
            await cancelled(button, export_id)
            assert (await button.wait_for_completion(export_id))["status"] == "cancelled"


async def test_nobody_is_alarmed_by_a_cancel(
    button: ExportClient, diary: ActivityFactory, working: Working, caplog: pytest.LogCaptureFixture
) -> None:
    """Our signal and the engine's request come together, and meet the activity's end in every way they can."""
    diary.create_activity(diary.create_mentor())
    async with working():
        for _ in range(6):
            exports = [await button.start_export() for _ in range(4)]
            await asyncio.gather(*(cancelled(button, export_id) for export_id in exports))
            await asyncio.gather(*map(button.wait_for_completion, exports))
    gc.collect()
    assert "never retrieved" not in caplog.text


@pytest.mark.parametrize("by", ["signal", "engine"])
async def test_an_operator_cancels_without_our_api(
    by: str, button: ExportClient, diary: ActivityFactory, working: Working, temporal: Client, owner_url: str
) -> None:
    diary.create_activity(diary.create_mentor())
    export_id = await button.start_export()
    run = temporal.get_workflow_handle(f"bufdir-export/{export_id}")

    async def is_known() -> bool:
        return [one async for one in temporal.list_workflows(f"WorkflowId = 'bufdir-export/{export_id}'")] != []

    await wait_until(is_known, bool)
    await (run.signal("cancel", "because") if by == "signal" else run.cancel())
    async with working():
        assert (await button.wait_for_completion(export_id))["status"] == "cancelled"
        end = await run_closed(temporal, export_id)
    assert end is (WorkflowExecutionStatus.COMPLETED if by == "signal" else WorkflowExecutionStatus.CANCELED)
    assert events_of(owner_url, export_id)[-2:] == ["cancel_requested", "export_cancelled"]


async def test_a_cancelled_export_starts_anew_when_it_is_tried_again(
    button: ExportClient, diary: ActivityFactory, working: Working
) -> None:
    diary.create_activity(diary.create_mentor())
    export_id = await button.start_export()
    await cancelled(button, export_id)
    async with working():
        await button.wait_for_completion(export_id)
        answer = await retried(button, export_id)
        assert (answer.status_code, answer.json()["status"]) == (202, "initialised")
        job = await button.wait_for_completion(export_id)
    assert (job["status"], job["row_count"]) == ("completed", 1)
    second = job["attempts"][1]
    assert (second["number"], second["resumed_from"], second["stages_reused"]) == (2, None, [])


async def test_finished_stages_of_a_failed_export_are_not_done_again(
    button: ExportClient, diary: ActivityFactory, working: Working, owner_url: str
) -> None:
    diary.create_activity(diary.create_mentor())
    async with working():
        before = await button.wait_for_completion(await button.start_export())
        export_id = await failed_while(button, owner_url, "export_completed")
        undo(owner_url)
        diary.create_activity(diary.create_mentor())  # a snapshot is not taken anew
        assert (await retried(button, export_id)).status_code == 202
        job = await button.wait_for_completion(export_id)
    assert (job["status"], job["row_count"]) == ("completed", 1)
    assert job["attempts"][1]["stages_reused"] == [
        "querying_activities",
        "mapping_columns",
        "generating_file",
        "storing_file",
    ]
    assert job["attempts"][1]["resumed_from"] == "recording_audit"
    assert job["file"] == before["file"]


async def test_two_retries_at_once_are_one(
    button: ExportClient, diary: ActivityFactory, working: Working, owner_url: str
) -> None:
    diary.create_activity(diary.create_mentor())
    async with working():
        export_id = await failed_while(button, owner_url, "export_completed")
        undo(owner_url)
        answers = await asyncio.gather(*(retried(button, export_id) for _ in range(8)))
        job = await button.wait_for_completion(export_id)
    assert sorted(answer.status_code for answer in answers) == [202] + [409] * 7
    assert (job["status"], len(job["attempts"])) == ("completed", 2)


async def test_a_key_stands_for_one_retry(
    button: ExportClient, diary: ActivityFactory, working: Working, owner_url: str
) -> None:
    diary.create_activity(diary.create_mentor())
    async with working():
        export_id = await failed_while(button, owner_url, "export_completed")
        undo(owner_url)
        answers = await asyncio.gather(*(retried(button, export_id, "again") for _ in range(8)))
        assert {answer.status_code for answer in answers} == {202}
        job = await button.wait_for_completion(export_id)
        assert (await retried(button, export_id, "again")).status_code == 202
        assert (await retried(button, export_id, "once more")).status_code == 409
    assert (job["status"], len(job["attempts"])) == ("completed", 2)


async def test_deleting_takes_the_files_and_leaves_the_trail(
    button: ExportClient,
    diary: ActivityFactory,
    working: Working,
    storage: FileStorage,
    owner_url: str,
    tenant: Tenant,
    bearer: Bearer,
) -> None:
    diary.create_activity(diary.create_mentor())
    admin = bearer(tenant.users[Role.ADMIN], role="admin")
    export_id = await button.start_export()
    delete = f"{EXPORTS}/{export_id}"
    assert (await button.http_client.delete(delete, headers=admin)).status_code == 409
    async with working():
        job = await button.wait_for_completion(export_id)
    assert (await button.http_client.delete(delete, headers=button.headers)).status_code == 403
    assert (await button.http_client.delete(delete, headers=admin)).status_code == 204
    assert (await button.http_client.delete(delete, headers=admin)).status_code == 404
    assert (await button.http_client.get(delete, headers=button.headers)).status_code == 404
    assert (await button.http_client.get(EXPORTS, headers=button.headers)).json()["items"] == []
    assert storage.list_keys(place(button.org_id, export_id)) == []
    async with httpx.AsyncClient() as stranger:
        assert (await stranger.get(job["download_url"])).status_code == 404
    assert events_of(owner_url, export_id)[-2:] == ["export_deleted", "files_removed"]


@pytest.mark.parametrize("verb", ["DELETE", "POST"])
async def test_what_was_deleted_in_the_very_moment_is_neither_deleted_nor_tried_again(
    verb: str, button: ExportClient, working: Working, owner_url: str, tenant: Tenant, bearer: Bearer
) -> None:
    admin = bearer(tenant.users[Role.ADMIN], role="admin")
    export_id = await button.start_export(fail_on_empty=True)
    async with working():
        assert (await button.wait_for_completion(export_id))["status"] == "failed"
    with psycopg.connect(owner_url) as holder, psycopg.connect(owner_url, autocommit=True) as watcher:
        holder.execute("SELECT FROM exports WHERE id = %s FOR UPDATE", [export_id])

        async def waiting() -> int:
            query = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND usename = 'stafett_api'"
            return int((watcher.execute(query).fetchone() or (0,))[0])

        first = asyncio.create_task(button.http_client.delete(f"{EXPORTS}/{export_id}", headers=admin))
        await wait_until(waiting, lambda count: count == 1)
        path = f"{EXPORTS}/{export_id}" + ("/retry" if verb == "POST" else "")
        second = asyncio.create_task(button.http_client.request(verb, path, headers=admin))
        await wait_until(waiting, lambda count: count == 2)
        holder.rollback()
        assert [(await answer).status_code for answer in (first, second)] == [204, 404]
    assert events_of(owner_url, export_id)[-2:] == ["export_deleted", "files_removed"]
    assert events_of(owner_url, export_id).count("export_deleted") == 1


@pytest.mark.parametrize("verb", ["cancel", "retry", "delete"])
async def test_only_who_may_steer_a_job_steers_it(
    verb: str, button: ExportClient, tenant: Tenant, bearer: Bearer, owner_url: str
) -> None:
    export_id = await button.start_export()
    method, path = {"cancel": ("PUT", "/cancel"), "retry": ("POST", "/retry"), "delete": ("DELETE", "")}[verb]

    async def status_for(headers: dict[str, str]) -> int:
        return (await button.http_client.request(method, f"{EXPORTS}/{export_id}{path}", headers=headers)).status_code

    other = colleague(owner_url, tenant)
    assert await status_for(bearer(other)) == 403
    assert await status_for(bearer(tenant.users[Role.AUDITOR], role="auditor")) == 403
    expected = {"cancel": 202, "retry": 409, "delete": 409}[verb]
    assert await status_for(bearer(tenant.users[Role.ADMIN], role="admin")) == expected
    operator = create_operator(owner_url)
    assert await status_for(bearer(operator, None, "operator")) == (403 if verb == "delete" else expected)
    unknown = await button.http_client.request(method, f"{EXPORTS}/{uuid4()}{path}", headers=button.headers)
    assert unknown.status_code == 404


def colleague(owner_url: str, tenant: Tenant) -> UUID:
    """A coordinator of the same organisation, whose export it is not."""
    user_id = uuid4()
    with psycopg.connect(owner_url) as connection:
        connection.execute("INSERT INTO users VALUES (%s, %s, 'Kollega', false)", [user_id, f"{user_id}@example.org"])
        connection.execute("INSERT INTO memberships VALUES (%s, %s, 'coordinator')", [user_id, tenant.org_id])
    return user_id


def many(owner_url: str, org_id: str, rows: int) -> None:
    """A mentor a row: nobody does two things at once."""
    with psycopg.connect(owner_url) as connection:
        connection.execute(
            "INSERT INTO peer_mentors SELECT gen_random_uuid(), %s, 'Åse Ødegård' FROM generate_series(1, 10)", [org_id]
        )
        connection.execute(
            "INSERT INTO activities (id, org_id, mentor_id, activity_type, starts_at, ends_at, participants,"
            " new_participants, place, in_person, in_norway)"
            " SELECT gen_random_uuid(), %s, m.id, 'samtalegruppe', s.at, s.at + interval '1 minute', 5, 1, 'Tromsø',"
            " true, true FROM (SELECT id FROM peer_mentors WHERE org_id = %s) m,"
            " (SELECT '2026-01-01Z'::timestamptz + n * interval '30 minutes' AS at FROM generate_series(1, %s) n) s",
            [org_id, org_id, rows // 10],
        )


REFUSE = """
CREATE OR REPLACE FUNCTION refuse_an_event() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.event = TG_ARGV[0] AND NEW.org_id = TG_ARGV[1] THEN
        RAISE EXCEPTION 'played' USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END $$
"""


async def failed_while(button: ExportClient, owner_url: str, event: str) -> str:
    """An export whose audit cannot be written, until somebody mends it."""
    with psycopg.connect(owner_url) as connection:
        connection.execute(REFUSE)
        connection.execute(
            "CREATE OR REPLACE TRIGGER played BEFORE INSERT ON audit_events FOR EACH ROW"
            f" EXECUTE FUNCTION refuse_an_event('{event}', '{button.org_id}')".encode()
        )
    export_id = await button.start_export()
    job = await button.wait_for_completion(export_id)
    assert (job["status"], job["error"]["code"]) == (ExportStatus.FAILED, "audit_service_unavailable")
    assert (job["download_url"], job["error"]["retryable"]) == (None, True)
    return export_id


def undo(owner_url: str) -> None:
    with psycopg.connect(owner_url) as connection:
        connection.execute("DROP TRIGGER played ON audit_events")


async def test_a_failed_export_that_temporal_has_forgotten_is_tried_again_from_what_stands(
    button: ExportClient, diary: ActivityFactory, working: Working, owner_url: str, temporal: Client
) -> None:
    diary.create_activity(diary.create_mentor())
    async with working():
        export_id = await failed_while(button, owner_url, "export_completed")
        undo(owner_url)
        run = WorkflowExecution(workflow_id=f"bufdir-export/{export_id}")
        handle = temporal.get_workflow_handle(run.workflow_id)
        await wait_until(handle.describe, lambda described: described.close_time is not None)
        forgotten = DeleteWorkflowExecutionRequest(namespace=temporal.namespace, workflow_execution=run)
        await temporal.workflow_service.delete_workflow_execution(forgotten)

        async def is_forgotten() -> bool:
            with suppress(RPCError):
                return not (await handle.describe()).run_id
            return True

        await wait_until(is_forgotten, bool, timeout_seconds=120)  # the engine takes its time to forget
        assert (await retried(button, export_id)).status_code == 202
        job = await button.wait_for_completion(export_id)
    assert (job["status"], job["attempts"][1]["resumed_from"]) == ("completed", "recording_audit")
