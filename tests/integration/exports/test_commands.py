"""Cancelling, retrying and deleting exports on the real stack."""

import asyncio
import gc
from contextlib import suppress
from uuid import uuid4

import httpx
import psycopg
import pytest
from temporalio.api.common.v1 import WorkflowExecution
from temporalio.api.workflowservice.v1 import DeleteWorkflowExecutionRequest
from temporalio.client import Client, WorkflowExecutionStatus
from temporalio.service import RPCError

from api.app import create_app
from stafett.domain.membership import Role
from stafett.settings import Settings
from stafett.storage.files import FileStorage
from stafett.testing import ActivityFactory, ExportClient, Tenant, create_operator, wait_until
from tests.support.exports import (
    EXPORTS,
    create_colleague,
    drop_trigger,
    export_prefix,
    fail_export_at_event,
    fetch_events,
    retry_export,
)
from tests.support.fixture_types import Bearer, RunWorker
from tests.support.hanging_server import TIMEOUTS, HangingServer

RUN_ENDS = {WorkflowExecutionStatus.CANCELED, WorkflowExecutionStatus.COMPLETED}


async def cancel_export(export_client: ExportClient, export_id: str) -> httpx.Response:
    return await export_client.http_client.put(f"{EXPORTS}/{export_id}/cancel", headers=export_client.headers)


async def wait_until_run_closed(temporal: Client, export_id: str) -> WorkflowExecutionStatus | None:
    async def status() -> WorkflowExecutionStatus | None:
        return (await temporal.get_workflow_handle(f"bufdir-export/{export_id}").describe()).status

    return await wait_until(status, RUN_ENDS.__contains__)


async def test_cancelled_export_leaves_only_its_audit_events(
    export_client: ExportClient,
    activity_factory: ActivityFactory,
    run_worker: RunWorker,
    storage: FileStorage,
    owner_url: str,
    temporal: Client,
) -> None:
    activity_factory.create_activity(activity_factory.create_mentor())
    export_id = await export_client.start_export()
    response = await cancel_export(export_client, export_id)
    assert (response.status_code, response.json()["status"]) == (202, "cancelling")
    assert (await cancel_export(export_client, export_id)).status_code == 202
    async with run_worker():
        job = await export_client.wait_for_completion(export_id)
        assert await wait_until_run_closed(temporal, export_id) is WorkflowExecutionStatus.CANCELED
    assert (job["status"], job["file"], job["download_url"]) == ("cancelled", None, None)
    assert [attempt["outcome"] for attempt in job["attempts"]] == ["cancelled"]
    assert storage.list_keys(export_prefix(export_client.org_id, export_id)) == []
    assert fetch_events(owner_url, export_id) == ["export_requested", "cancel_requested", "export_cancelled"]
    assert (await cancel_export(export_client, export_id)).status_code == 409


async def test_cancelling_a_running_stage_stops_it_and_deletes_its_objects(
    export_client: ExportClient, owner_url: str, run_worker: RunWorker, storage: FileStorage
) -> None:
    insert_activities(owner_url, export_client.org_id, 150_000)
    async with run_worker():
        export_id = await export_client.start_export(export_format="xlsx")

        async def has_staged() -> bool:
            return bool(await asyncio.to_thread(storage.list_keys, export_prefix(export_client.org_id, export_id)))

        await wait_until(has_staged, bool)
        assert (await cancel_export(export_client, export_id)).status_code == 202
        job = await export_client.wait_for_completion(export_id)
    assert job["status"] == "cancelled"
    assert storage.list_keys(export_prefix(export_client.org_id, export_id)) == []


async def test_cancelling_does_not_wait_for_a_blocked_query(
    export_client: ExportClient, activity_factory: ActivityFactory, run_worker: RunWorker, owner_url: str
) -> None:
    activity_factory.create_activity(activity_factory.create_mentor())
    export_id = await export_client.start_export()
    with psycopg.connect(owner_url) as connection:
        connection.execute("LOCK TABLE activities IN ACCESS EXCLUSIVE MODE")
        async with run_worker():
            running = await wait_until(
                lambda: export_client.get_export(export_id), lambda job: job["status"] != "initialised"
            )
            assert running["status"] == "querying_activities"
            await cancel_export(export_client, export_id)
            assert (await export_client.wait_for_completion(export_id))["status"] == "cancelled"


async def test_cancelling_logs_no_unretrieved_exceptions(
    export_client: ExportClient,
    activity_factory: ActivityFactory,
    run_worker: RunWorker,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The API's signal and Temporal's cancel request race with each other and with the end of the activity."""
    activity_factory.create_activity(activity_factory.create_mentor())
    async with run_worker():
        for _ in range(6):
            exports = [await export_client.start_export() for _ in range(4)]
            await asyncio.gather(*(cancel_export(export_client, export_id) for export_id in exports))
            await asyncio.gather(*map(export_client.wait_for_completion, exports))
    gc.collect()
    assert "never retrieved" not in caplog.text


@pytest.mark.parametrize("channel", ["signal", "cancel_request"])
async def test_cancelling_through_temporal_cancels_the_export(
    channel: str,
    export_client: ExportClient,
    activity_factory: ActivityFactory,
    run_worker: RunWorker,
    temporal: Client,
    owner_url: str,
) -> None:
    activity_factory.create_activity(activity_factory.create_mentor())
    export_id = await export_client.start_export()
    handle = temporal.get_workflow_handle(f"bufdir-export/{export_id}")

    async def is_listed() -> bool:
        return [run async for run in temporal.list_workflows(f"WorkflowId = 'bufdir-export/{export_id}'")] != []

    await wait_until(is_listed, bool)
    await (handle.signal("cancel", "because") if channel == "signal" else handle.cancel())
    async with run_worker():
        assert (await export_client.wait_for_completion(export_id))["status"] == "cancelled"
        run_status = await wait_until_run_closed(temporal, export_id)
    assert run_status is (
        WorkflowExecutionStatus.COMPLETED if channel == "signal" else WorkflowExecutionStatus.CANCELED
    )
    assert fetch_events(owner_url, export_id)[-2:] == ["cancel_requested", "export_cancelled"]


async def test_retry_of_a_cancelled_export_reuses_no_stage(
    export_client: ExportClient, activity_factory: ActivityFactory, run_worker: RunWorker
) -> None:
    activity_factory.create_activity(activity_factory.create_mentor())
    export_id = await export_client.start_export()
    await cancel_export(export_client, export_id)
    async with run_worker():
        await export_client.wait_for_completion(export_id)
        response = await retry_export(export_client, export_id)
        assert (response.status_code, response.json()["status"]) == (202, "initialised")
        job = await export_client.wait_for_completion(export_id)
    assert (job["status"], job["row_count"]) == ("completed", 1)
    second = job["attempts"][1]
    assert (second["number"], second["resumed_from"], second["stages_reused"]) == (2, None, [])


async def test_retry_of_a_failed_export_reuses_its_finished_stages(
    export_client: ExportClient, activity_factory: ActivityFactory, run_worker: RunWorker, owner_url: str
) -> None:
    activity_factory.create_activity(activity_factory.create_mentor())
    async with run_worker():
        before = await export_client.wait_for_completion(await export_client.start_export())
        export_id = await fail_export_at_event(export_client, owner_url, "export_completed")
        drop_trigger(owner_url)
        activity_factory.create_activity(activity_factory.create_mentor())  # not in the report: the snapshot is reused
        assert (await retry_export(export_client, export_id)).status_code == 202
        job = await export_client.wait_for_completion(export_id)
    assert (job["status"], job["row_count"]) == ("completed", 1)
    assert job["attempts"][1]["stages_reused"] == [
        "querying_activities",
        "mapping_columns",
        "generating_file",
        "storing_file",
    ]
    assert job["attempts"][1]["resumed_from"] == "recording_audit"
    assert job["file"] == before["file"]


async def test_concurrent_retries_start_one_attempt(
    export_client: ExportClient, activity_factory: ActivityFactory, run_worker: RunWorker, owner_url: str
) -> None:
    activity_factory.create_activity(activity_factory.create_mentor())
    async with run_worker():
        export_id = await fail_export_at_event(export_client, owner_url, "export_completed")
        drop_trigger(owner_url)
        responses = await asyncio.gather(*(retry_export(export_client, export_id) for _ in range(8)))
        job = await export_client.wait_for_completion(export_id)
    assert sorted(response.status_code for response in responses) == [202] + [409] * 7
    assert (job["status"], len(job["attempts"])) == ("completed", 2)


async def test_retries_with_one_idempotency_key_start_one_attempt(
    export_client: ExportClient, activity_factory: ActivityFactory, run_worker: RunWorker, owner_url: str
) -> None:
    activity_factory.create_activity(activity_factory.create_mentor())
    async with run_worker():
        export_id = await fail_export_at_event(export_client, owner_url, "export_completed")
        drop_trigger(owner_url)
        responses = await asyncio.gather(*(retry_export(export_client, export_id, "again") for _ in range(8)))
        assert {response.status_code for response in responses} == {202}
        job = await export_client.wait_for_completion(export_id)
        assert (await retry_export(export_client, export_id, "again")).status_code == 202
        assert (await retry_export(export_client, export_id, "once more")).status_code == 409
    assert (job["status"], len(job["attempts"])) == ("completed", 2)


async def test_deleting_removes_files_and_keeps_audit_events(
    export_client: ExportClient,
    activity_factory: ActivityFactory,
    run_worker: RunWorker,
    storage: FileStorage,
    owner_url: str,
    tenant: Tenant,
    bearer: Bearer,
) -> None:
    activity_factory.create_activity(activity_factory.create_mentor())
    admin = bearer(tenant.users[Role.ADMIN], role="admin")
    export_id = await export_client.start_export()
    path = f"{EXPORTS}/{export_id}"
    assert (await export_client.http_client.delete(path, headers=admin)).status_code == 409
    async with run_worker():
        job = await export_client.wait_for_completion(export_id)
    assert (await export_client.http_client.delete(path, headers=export_client.headers)).status_code == 403
    assert (await export_client.http_client.delete(path, headers=admin)).status_code == 204
    assert (await export_client.http_client.delete(path, headers=admin)).status_code == 404
    assert (await export_client.http_client.get(path, headers=export_client.headers)).status_code == 404
    assert (await export_client.http_client.get(EXPORTS, headers=export_client.headers)).json()["items"] == []
    assert storage.list_keys(export_prefix(export_client.org_id, export_id)) == []
    async with httpx.AsyncClient() as anonymous_client:
        assert (await anonymous_client.get(job["download_url"])).status_code == 404
    assert fetch_events(owner_url, export_id)[-2:] == ["export_deleted", "files_removed"]


async def test_export_is_deleted_while_s3_does_not_respond(
    export_client: ExportClient,
    run_worker: RunWorker,
    settings: Settings,
    tenant: Tenant,
    bearer: Bearer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    export_id = await export_client.start_export()
    async with run_worker():
        await export_client.wait_for_completion(export_id)
    monkeypatch.setattr("api.app.INTERACTIVE_TIMEOUTS", TIMEOUTS)
    with HangingServer() as s3:
        app = create_app(settings.model_copy(update={"s3": s3.settings}))
        transport = httpx.ASGITransport(app)
        async with (
            app.router.lifespan_context(app),
            httpx.AsyncClient(transport=transport, base_url="http://test") as http_client,
        ):
            admin = bearer(tenant.users[Role.ADMIN], role="admin")
            assert (await http_client.delete(f"{EXPORTS}/{export_id}", headers=admin)).status_code == 204
            response = await http_client.get(f"{EXPORTS}/{export_id}", headers=export_client.headers)
        assert response.status_code == 404
        assert s3.collect_methods() == ["GET"]


@pytest.mark.parametrize("verb", ["DELETE", "POST"])
async def test_command_that_waits_for_a_concurrent_delete_is_not_found(
    verb: str, export_client: ExportClient, run_worker: RunWorker, owner_url: str, tenant: Tenant, bearer: Bearer
) -> None:
    admin = bearer(tenant.users[Role.ADMIN], role="admin")
    export_id = await export_client.start_export(fail_on_empty=True)
    async with run_worker():
        assert (await export_client.wait_for_completion(export_id))["status"] == "failed"
    with psycopg.connect(owner_url) as blocking, psycopg.connect(owner_url, autocommit=True) as observing:
        blocking.execute("SELECT FROM exports WHERE id = %s FOR UPDATE", [export_id])

        async def count_waiting() -> int:
            query = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND usename = 'stafett_api'"
            return int((observing.execute(query).fetchone() or (0,))[0])

        first = asyncio.create_task(export_client.http_client.delete(f"{EXPORTS}/{export_id}", headers=admin))
        await wait_until(count_waiting, lambda count: count == 1)
        path = f"{EXPORTS}/{export_id}" + ("/retry" if verb == "POST" else "")
        second = asyncio.create_task(export_client.http_client.request(verb, path, headers=admin))
        await wait_until(count_waiting, lambda count: count == 2)
        blocking.rollback()
        assert [(await response).status_code for response in (first, second)] == [204, 404]
    assert fetch_events(owner_url, export_id)[-2:] == ["export_deleted", "files_removed"]
    assert fetch_events(owner_url, export_id).count("export_deleted") == 1


@pytest.mark.parametrize("verb", ["cancel", "retry", "delete"])
async def test_commands_require_permission_and_ownership(
    verb: str, export_client: ExportClient, tenant: Tenant, bearer: Bearer, owner_url: str
) -> None:
    export_id = await export_client.start_export()
    method, path = {"cancel": ("PUT", "/cancel"), "retry": ("POST", "/retry"), "delete": ("DELETE", "")}[verb]

    async def fetch_status(headers: dict[str, str]) -> int:
        return (
            await export_client.http_client.request(method, f"{EXPORTS}/{export_id}{path}", headers=headers)
        ).status_code

    colleague = create_colleague(owner_url, tenant)
    assert await fetch_status(bearer(colleague)) == 403
    assert await fetch_status(bearer(tenant.users[Role.AUDITOR], role="auditor")) == 403
    expected = {"cancel": 202, "retry": 409, "delete": 409}[verb]
    assert await fetch_status(bearer(tenant.users[Role.ADMIN], role="admin")) == expected
    operator = create_operator(owner_url)
    assert await fetch_status(bearer(operator, None, "operator")) == (403 if verb == "delete" else expected)
    unknown = await export_client.http_client.request(
        method, f"{EXPORTS}/{uuid4()}{path}", headers=export_client.headers
    )
    assert unknown.status_code == 404


def insert_activities(owner_url: str, org_id: str, rows: int) -> None:
    """Insert activities for ten mentors without overlaps for any of them."""
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


async def test_retry_resumes_after_temporal_has_deleted_the_run(
    export_client: ExportClient,
    activity_factory: ActivityFactory,
    run_worker: RunWorker,
    owner_url: str,
    temporal: Client,
) -> None:
    activity_factory.create_activity(activity_factory.create_mentor())
    async with run_worker():
        export_id = await fail_export_at_event(export_client, owner_url, "export_completed")
        drop_trigger(owner_url)
        run = WorkflowExecution(workflow_id=f"bufdir-export/{export_id}")
        handle = temporal.get_workflow_handle(run.workflow_id)
        await wait_until(handle.describe, lambda described: described.close_time is not None)
        deletion = DeleteWorkflowExecutionRequest(namespace=temporal.namespace, workflow_execution=run)
        await temporal.workflow_service.delete_workflow_execution(deletion)

        async def is_deleted() -> bool:
            with suppress(RPCError):
                return not (await handle.describe()).run_id
            return True

        await wait_until(is_deleted, bool)  # Temporal deletes runs in the background
        assert (await retry_export(export_client, export_id)).status_code == 202
        job = await export_client.wait_for_completion(export_id)
    assert (job["status"], job["attempts"][1]["resumed_from"]) == ("completed", "recording_audit")
