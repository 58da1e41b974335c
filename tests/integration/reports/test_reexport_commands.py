"""Re-exports that are cancelled or edited, or that fail in one of their steps."""

import asyncio
from collections.abc import Generator
from threading import Event
from uuid import UUID, uuid4

import psycopg
import pytest
from temporalio.client import Client, WorkflowExecutionStatus

from stafett.database.session import Database
from stafett.database.tables import Reexport
from stafett.domain.membership import Caller, Role
from stafett.domain.reexport import ReexportEdit
from stafett.reports.commands import ReexportCommands
from stafett.reports.result_file import ResultFile
from stafett.settings import Settings
from stafett.storage.files import FileStorage
from stafett.temporal.client import cancel_job
from stafett.testing import Json, Tenant, create_operator, wait_until
from tests.support.exports import create_colleague
from tests.support.fixture_types import Bearer, RunWorker
from tests.support.reexport_faults import lock_table, reject_audit_event, wait_until_exporting
from tests.support.reexports import REEXPORTS, ReexportClient, download_file, fetch_notifications, fetch_status_history

EXPORTS = "/api/v1/bufdir-exports"


async def wait_until_run_closed(temporal: Client, report_id: str) -> WorkflowExecutionStatus | None:
    run = temporal.get_workflow_handle(f"report-reexport/{report_id}")
    described = await wait_until(run.describe, lambda described: described.close_time is not None)
    return described.status


async def test_cancelling_a_pending_reexport_frees_the_report(
    reexport_client: ReexportClient, report_id: str, run_worker: RunWorker, owner_url: str
) -> None:
    first = await reexport_client.start_reexport(report_id)
    assert (await reexport_client.cancel(first)).json()["status"] == "cancelling"
    assert (await reexport_client.cancel(first)).status_code == 202
    async with run_worker():
        job = await reexport_client.wait_for_completion(first)
        assert (job["status"], job["file"], job["export_id"]) == ("cancelled", None, None)
        assert (await reexport_client.cancel(first)).status_code == 409
        assert (await reexport_client.complete_reexport(report_id, source="same_snapshot"))["file_version"] == 2
    assert fetch_status_history(owner_url, first) == ["pending", "cancelling", "cancelled"]
    assert fetch_notifications(owner_url, first) == [("reexport_ended", "cancelled")]


@pytest.mark.parametrize("by", ["api", "signal", "temporal"])
async def test_cancelling_a_reexport_cancels_its_export_and_removes_its_files(
    by: str,
    *,
    reexport_client: ReexportClient,
    report_id: str,
    run_worker: RunWorker,
    owner_url: str,
    storage: FileStorage,
    temporal: Client,
) -> None:
    reexport_id = await reexport_client.start_reexport(report_id)
    async with run_worker():
        with lock_table(owner_url, "activities"):
            job = await wait_until_exporting(reexport_client, reexport_id)
            run = temporal.get_workflow_handle(f"report-reexport/{report_id}")
            if by == "api":
                await reexport_client.cancel(reexport_id)
            else:
                await (run.signal("cancel") if by == "signal" else run.cancel())
            ended = await reexport_client.wait_for_completion(reexport_id)
        status = await wait_until_run_closed(temporal, report_id)
    assert status is (WorkflowExecutionStatus.COMPLETED if by == "signal" else WorkflowExecutionStatus.CANCELED)
    assert ended["status"] == "cancelled"
    assert (await reexport_client.export_client.get_export(job["export_id"]))["status"] == "cancelled"
    assert storage.list_keys(reexport_client.export_prefix(job["export_id"])) == []
    assert len(await reexport_client.list_versions(report_id)) == 1


async def test_cancelling_the_child_export_cancels_its_reexport(
    reexport_client: ReexportClient, report_id: str, run_worker: RunWorker, owner_url: str
) -> None:
    reexport_id = await reexport_client.start_reexport(report_id)
    async with run_worker():
        with lock_table(owner_url, "activities"):
            job = await wait_until_exporting(reexport_client, reexport_id)
            path = f"{EXPORTS}/{job['export_id']}"
            assert (
                await reexport_client.http_client.put(f"{path}/cancel", headers=reexport_client.headers)
            ).status_code == 202
            assert (await reexport_client.wait_for_completion(reexport_id))["status"] == "cancelled"
        retried = await reexport_client.http_client.post(f"{path}/retry", headers=reexport_client.headers)
    assert (retried.status_code, retried.json()["code"]) == (409, "wrong_state")


async def test_terminating_the_run_of_the_child_export_fails_the_reexport(
    reexport_client: ReexportClient, report_id: str, run_worker: RunWorker, owner_url: str, temporal: Client
) -> None:
    reexport_id = await reexport_client.start_reexport(report_id)
    async with run_worker():
        with lock_table(owner_url, "activities"):
            job = await wait_until_exporting(reexport_client, reexport_id)
            await temporal.get_workflow_handle(f"bufdir-export/{job['export_id']}").terminate()
            ended = await reexport_client.wait_for_completion(reexport_id)
    assert (ended["status"], ended["error"]["code"], ended["error"]["retryable"]) == ("failed", "internal", True)
    assert (await reexport_client.export_client.get_export(job["export_id"]))[
        "status"
    ] == "cancelling"  # the next sweep finishes the cancellation


async def test_reexport_that_cannot_store_its_result_leaves_no_version_or_file(
    reexport_client: ReexportClient, report_id: str, run_worker: RunWorker, owner_url: str, storage: FileStorage
) -> None:
    before = await reexport_client.list_versions(report_id)
    async with run_worker():
        with reject_audit_event(owner_url, reexport_client.export_client.org_id, "result_stored"):
            reexport_id = await reexport_client.start_reexport(report_id, source="same_snapshot")
            job = await reexport_client.wait_for_completion(reexport_id)
        assert (job["status"], job["error"]["code"], job["error"]["retryable"]) == (
            "failed",
            "storage_unavailable",
            True,
        )
        assert await reexport_client.list_versions(report_id) == before
        assert storage.list_keys(reexport_client.export_prefix(job["export_id"])) == []
        file = await reexport_client.http_client.get(
            f"{EXPORTS}/{job['export_id']}/file", headers=reexport_client.headers
        )
        assert file.status_code == 410
        assert (await reexport_client.complete_reexport(report_id, source="same_snapshot"))["file_version"] == 2
    assert fetch_notifications(owner_url, job["id"]) == [("reexport_ended", "failed")]


async def test_failed_notification_does_not_undo_a_stored_result(
    reexport_client: ReexportClient, report_id: str, run_worker: RunWorker, owner_url: str
) -> None:
    with psycopg.connect(owner_url) as connection:
        connection.execute(
            "CREATE OR REPLACE FUNCTION reject_notification() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
            " IF NEW.org_id = TG_ARGV[0] THEN RAISE EXCEPTION 'simulated fault' USING ERRCODE = 'check_violation';"
            " END IF; RETURN NEW; END $$"
        )
        connection.execute(
            "CREATE OR REPLACE TRIGGER simulated_fault BEFORE INSERT ON notifications FOR EACH ROW"
            f" EXECUTE FUNCTION reject_notification('{reexport_client.export_client.org_id}')".encode()
        )
    try:
        async with run_worker():
            job = await reexport_client.complete_reexport(report_id, source="same_snapshot")
    finally:
        with psycopg.connect(owner_url) as connection:
            connection.execute("DROP TRIGGER simulated_fault ON notifications")
    assert (job["file_version"], job["notified_at"]) == (2, None)
    assert len(await reexport_client.list_versions(report_id)) == 2
    marked = await reexport_client.edit(job["id"], {"notification_sent": True})
    assert marked.json()["notified_at"] is not None
    assert (await reexport_client.edit(job["id"], {"notification_sent": False})).json()["notified_at"] is None


async def test_label_of_a_running_reexport_requires_the_current_revision(
    reexport_client: ReexportClient, report_id: str, run_worker: RunWorker, owner_url: str, temporal: Client
) -> None:
    reexport_id = await reexport_client.start_reexport(report_id)
    async with run_worker():
        with lock_table(owner_url, "activities"):
            await wait_until_exporting(reexport_client, reexport_id)
            path = f"{REEXPORTS}/{reexport_id}"
            etag = (await reexport_client.http_client.get(path, headers=reexport_client.headers)).headers["ETag"]
            assert (await reexport_client.edit(reexport_id, {"label": "For Bufdir"}, None)).status_code == 428
            response = await reexport_client.edit(reexport_id, {"label": " For Bufdir "}, etag)
            assert (response.status_code, response.json()["label"]) == (200, "For Bufdir")
            assert (await reexport_client.edit(reexport_id, {"label": "Another label"}, etag)).status_code == 412
            run = temporal.get_workflow_handle(f"report-reexport/{report_id}")

            async def details() -> str:
                return str(await run.query("__temporal_workflow_metadata"))

            assert "For Bufdir" not in await wait_until(details, lambda text: "Edits by users: 1" in text)
        job = await reexport_client.wait_for_completion(reexport_id)
        assert (job["status"], job["label"]) == ("completed", "For Bufdir")
        assert (await reexport_client.edit(reexport_id, {"label": None})).json()["label"] is None
    assert fetch_status_history(owner_url, reexport_id)[-1] == "completed"
    for invalid in (
        {},
        {"label": ""},
        {"label": "a\0"},
        {"label": 7},
        {"status": "completed"},
        {"notification_sent": None},
    ):
        assert (await reexport_client.edit(reexport_id, invalid)).status_code == 422


async def test_only_an_admin_can_refer_the_result_to_an_identical_file(
    reexport_client: ReexportClient,
    report_id: str,
    run_worker: RunWorker,
    tenant: Tenant,
    bearer: Bearer,
    storage: FileStorage,
) -> None:
    async with run_worker():
        job = await reexport_client.complete_reexport(report_id, source="same_snapshot")
    original, _ = await reexport_client.list_versions(report_id)
    content = await download_file(job)
    copy = f"{reexport_client.export_prefix(original['export_id'])}copies/report.csv"
    storage.write(copy, [content])
    storage.write(f"{reexport_client.export_prefix(job['export_id'])}other.csv", [b"another"])
    storage.write(f"exports/{tenant.org_id}/{uuid4()}/report.csv", [content])
    assert (await reexport_client.edit(job["id"], {"result_file_ref": copy})).status_code == 403
    reexport_client.headers = bearer(tenant.users[Role.ADMIN], role="admin")
    for reference in (
        f"{reexport_client.export_prefix(job['export_id'])}other.csv",
        f"{reexport_client.export_prefix(job['export_id'])}nothing.csv",
        f"exports/{tenant.org_id}/{uuid4()}/report.csv",
        "attachments/anything",
        f"{reexport_client.export_prefix(original['export_id'])}../{original['export_id']}/copies/report.csv",
        f"{reexport_client.export_prefix(original['export_id'])}../../../attachments/anything",
        f"{reexport_client.export_prefix(original['export_id'])}./copies/report.csv",
        f"{reexport_client.export_prefix(original['export_id'])}/copies/report.csv",
        f"{reexport_client.export_prefix(original['export_id'])}copies/\0",
    ):
        refusal = await reexport_client.edit(job["id"], {"result_file_ref": reference})
        assert (refusal.status_code, refusal.json()["errors"][0]["pointer"]) == (422, "/result_file_ref"), reference
    assert (await reexport_client.edit(job["id"], {"result_file_ref": job["result_file_ref"]})).status_code == 200
    edited = await reexport_client.edit(job["id"], {"result_file_ref": copy})
    assert (edited.status_code, edited.json()["result_file_ref"], edited.json()["file"]) == (200, copy, job["file"])
    assert "copies/report.csv" in edited.json()["download_url"]
    assert await download_file(edited.json()) == content


class SuspendedReads(FileStorage):
    """Storage that waits before it reads, until the test resumes it."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings.s3)
        self.is_suspended, self.is_resumed = Event(), Event()

    def read_chunks(self, key: str) -> Generator[bytes, None, None]:
        self.is_suspended.set()
        assert self.is_resumed.wait(60)
        yield from super().read_chunks(key)


async def test_reexport_is_not_locked_while_its_new_result_file_is_read(
    reexport_client: ReexportClient,
    report_id: str,
    run_worker: RunWorker,
    tenant: Tenant,
    settings: Settings,
    api_database: Database,
) -> None:
    async with run_worker():
        job = await reexport_client.complete_reexport(report_id)
    storage, caller = (
        SuspendedReads(settings),
        Caller(user_id=tenant.users[Role.ADMIN], org_id=tenant.org_id, role=Role.ADMIN),
    )
    commands = ReexportCommands(api_database, ResultFile(storage))
    edit = ReexportEdit(result_file_ref=job["result_file_ref"])
    editing = asyncio.ensure_future(asyncio.to_thread(commands.edit, caller, UUID(job["id"]), edit, range(10)))
    assert await asyncio.to_thread(storage.is_suspended.wait, 60)
    assert (await reexport_client.edit(job["id"], {"label": "Meanwhile"})).status_code == 200
    storage.is_resumed.set()
    row = await editing
    assert (row.label, row.edits) == ("Meanwhile", 2)


async def test_result_reference_of_a_pending_reexport_is_rejected(
    reexport_client: ReexportClient, report_id: str, tenant: Tenant, bearer: Bearer
) -> None:
    reexport_id = await reexport_client.start_reexport(report_id)
    reexport_client.headers = bearer(tenant.users[Role.ADMIN], role="admin")
    assert (await reexport_client.edit(reexport_id, {"result_file_ref": "exports/x"})).status_code == 409


async def test_reexport_of_another_user_is_cancelled_only_by_admin_or_operator(
    reexport_client: ReexportClient, report_id: str, tenant: Tenant, bearer: Bearer, owner_url: str
) -> None:
    reexport_id = await reexport_client.start_reexport(report_id)
    callers = {
        "colleague": (bearer(create_colleague(owner_url, tenant)), 403),
        "auditor": (bearer(tenant.users[Role.AUDITOR], role="auditor"), 403),
        "admin": (bearer(tenant.users[Role.ADMIN], role="admin"), 202),
        "operator": (bearer(create_operator(owner_url), None, "operator"), 202),
    }
    for caller, (headers, expected) in callers.items():
        response = await reexport_client.http_client.delete(f"{REEXPORTS}/{reexport_id}", headers=headers)
        assert response.status_code == expected, caller
    assert (await reexport_client.cancel(str(uuid4()))).status_code == 404


@pytest.mark.parametrize("edit", [{"label": "Other"}, {"label": None}, {"notification_sent": True}])
async def test_operator_cannot_edit_a_reexport(
    reexport_client: ReexportClient, report_id: str, bearer: Bearer, owner_url: str, edit: Json
) -> None:
    reexport_id = await reexport_client.start_reexport(report_id)
    assert (await reexport_client.edit(reexport_id, {"label": "Til revisjonen"})).status_code == 200
    headers = bearer(create_operator(owner_url), None, "operator") | {"If-Match": "*"}
    response = await reexport_client.http_client.put(f"{REEXPORTS}/{reexport_id}", json=edit, headers=headers)
    assert (response.status_code, response.json()["code"]) == (403, "permission_denied")
    job = await reexport_client.get_reexport(reexport_id)
    assert (job["label"], job["notified_at"]) == ("Til revisjonen", None)


async def test_child_export_of_a_running_reexport_cannot_be_deleted(
    reexport_client: ReexportClient,
    report_id: str,
    run_worker: RunWorker,
    tenant: Tenant,
    bearer: Bearer,
    owner_url: str,
) -> None:
    admin = bearer(tenant.users[Role.ADMIN], role="admin")
    async with run_worker():
        reexport_id = await reexport_client.start_reexport(report_id, source="same_snapshot")
        with lock_table(owner_url, "report_files"):
            child_id = (
                await wait_until(lambda: reexport_client.get_reexport(reexport_id), lambda job: bool(job["export_id"]))
            )["export_id"]
            await reexport_client.export_client.wait_for_completion(child_id)
            refusal = await reexport_client.http_client.delete(f"{EXPORTS}/{child_id}", headers=admin)
            assert (refusal.status_code, refusal.json()["code"]) == (409, "wrong_state")
        job = await reexport_client.wait_for_completion(reexport_id)
        assert job["status"] == "completed"
        etag = (
            await reexport_client.http_client.get(f"{REEXPORTS}/{reexport_id}", headers=reexport_client.headers)
        ).headers["ETag"]
        assert (await reexport_client.http_client.delete(f"{EXPORTS}/{child_id}", headers=admin)).status_code == 204
    after = await reexport_client.http_client.get(
        f"{REEXPORTS}/{reexport_id}", headers=reexport_client.headers | {"If-None-Match": etag}
    )
    assert (after.status_code, after.json()["status"], after.json()["download_url"]) == (200, "completed", None)
    assert [version["file"] is None for version in await reexport_client.list_versions(report_id)] == [False, True]


async def test_late_cancel_does_not_reach_the_next_reexport(
    reexport_client: ReexportClient,
    report_id: str,
    run_worker: RunWorker,
    temporal: Client,
    owner_url: str,
    api_database: Database,
) -> None:
    first = await reexport_client.start_reexport(report_id)
    await reexport_client.cancel(first)
    with api_database.transaction(reexport_client.export_client.org_id) as session:
        stale_job = session.get_one(Reexport, UUID(first)).job
    async with run_worker():
        await reexport_client.wait_for_completion(first)
        assert await wait_until_run_closed(temporal, report_id) is not None
    second = await reexport_client.start_reexport(report_id)
    run = temporal.get_workflow_handle(f"report-reexport/{report_id}")
    await wait_until(run.describe, lambda described: described.close_time is None)
    await cancel_job(temporal, stale_job)
    async with run_worker():
        assert (await reexport_client.wait_for_completion(second))["status"] == "completed"
    assert fetch_status_history(owner_url, first) == ["pending", "cancelling", "cancelled"]
