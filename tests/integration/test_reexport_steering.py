"""Stopping a re-export, editing one, and what becomes of it when things go wrong."""

from collections.abc import Iterator
from contextlib import contextmanager
from uuid import UUID, uuid4

import psycopg
import pytest
from temporalio.client import Client, WorkflowExecutionStatus

from stafett.database.session import Database
from stafett.database.tables import Reexport
from stafett.domain.membership import Role
from stafett.storage.files import FileStorage
from stafett.temporal.client import cancel_job
from stafett.testing import ActivityFactory, ExportClient, Json, Tenant, create_operator, wait_until
from tests.integration.test_steering import REFUSE, colleague, undo
from tests.reexports import REEXPORTS, AgainButton, Bearer, Working, content_of, steps_of, told_of

EXPORTS = "/api/v1/bufdir-exports"


@pytest.fixture
def again(button: ExportClient) -> AgainButton:
    return AgainButton(button)


@pytest.fixture
async def report_id(again: AgainButton, diary: ActivityFactory, working: Working) -> str:
    diary.create_activity(diary.create_mentor())
    async with working():
        return await again.report()


@contextmanager
def refused(owner_url: str, org_id: str, event: str) -> Iterator[None]:
    """Whatever writes this event cannot be committed."""
    with psycopg.connect(owner_url) as connection:
        connection.execute(REFUSE)
        connection.execute(
            "CREATE OR REPLACE TRIGGER played BEFORE INSERT ON audit_events FOR EACH ROW"
            f" EXECUTE FUNCTION refuse_an_event('{event}', '{org_id}')".encode()
        )
    try:
        yield
    finally:
        undo(owner_url)


@contextmanager
def locked(owner_url: str, table: str) -> Iterator[None]:
    """Whoever asks this table waits."""
    with psycopg.connect(owner_url) as connection:
        connection.execute(f"LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE".encode())
        yield


def place(again: AgainButton, export_id: str) -> str:
    return f"exports/{again.button.org_id}/{export_id}/"


async def run_closed(temporal: Client, report_id: str) -> WorkflowExecutionStatus | None:
    run = temporal.get_workflow_handle(f"report-reexport/{report_id}")
    described = await wait_until(run.describe, lambda seen: seen.close_time is not None)
    return described.status


async def exporting(again: AgainButton, reexport_id: str) -> Json:
    """With its export at work."""
    return await wait_until(
        lambda: again.look(reexport_id), lambda job: bool(job["progress"]) and job["status"] == "exporting"
    )


async def test_one_that_waits_is_cancelled_and_its_report_can_be_made_again_at_once(
    again: AgainButton, report_id: str, working: Working, owner_url: str
) -> None:
    first = await again.pressed(report_id)
    assert (await again.cancel(first)).json()["status"] == "cancelling"
    assert (await again.cancel(first)).status_code == 202
    async with working():
        job = await again.end_of(first)
        assert (job["status"], job["file"], job["export_id"]) == ("cancelled", None, None)
        assert (await again.cancel(first)).status_code == 409
        assert (await again.done(report_id))["file_version"] == 2
    assert steps_of(owner_url, first) == ["pending", "cancelling", "cancelled"]
    assert told_of(owner_url, first) == [("reexport_ended", "cancelled")]


@pytest.mark.parametrize("by", ["gateway", "signal", "engine"])
async def test_the_export_at_work_is_stopped_with_it_and_cleans_up(
    by: str,
    *,
    again: AgainButton,
    report_id: str,
    working: Working,
    owner_url: str,
    storage: FileStorage,
    temporal: Client,
) -> None:
    waiting = await again.pressed(report_id)
    async with working():
        with locked(owner_url, "activities"):
            job = await exporting(again, waiting)
            run = temporal.get_workflow_handle(f"report-reexport/{report_id}")
            if by == "gateway":
                await again.cancel(waiting)
            else:
                await (run.signal("cancel") if by == "signal" else run.cancel())
            ended = await again.end_of(waiting)
        status = await run_closed(temporal, report_id)
    assert status is (WorkflowExecutionStatus.COMPLETED if by == "signal" else WorkflowExecutionStatus.CANCELED)
    assert ended["status"] == "cancelled"
    assert (await again.button.get_export(job["export_id"]))["status"] == "cancelled"
    assert storage.list_keys(place(again, job["export_id"])) == []
    assert len(await again.versions(report_id)) == 1


async def test_whoever_stops_the_export_stops_what_it_was_for(
    again: AgainButton, report_id: str, working: Working, owner_url: str
) -> None:
    waiting = await again.pressed(report_id)
    async with working():
        with locked(owner_url, "activities"):
            job = await exporting(again, waiting)
            path = f"{EXPORTS}/{job['export_id']}"
            assert (await again.gateway.put(f"{path}/cancel", headers=again.headers)).status_code == 202
            assert (await again.end_of(waiting))["status"] == "cancelled"
        retried = await again.gateway.post(f"{path}/retry", headers=again.headers)
    assert (retried.status_code, retried.json()["code"]) == (409, "wrong_state")


async def test_an_export_whose_run_is_terminated_fails_what_it_was_for(
    again: AgainButton, report_id: str, working: Working, owner_url: str, temporal: Client
) -> None:
    waiting = await again.pressed(report_id)
    async with working():
        with locked(owner_url, "activities"):
            job = await exporting(again, waiting)
            await temporal.get_workflow_handle(f"bufdir-export/{job['export_id']}").terminate()
            ended = await again.end_of(waiting)
    assert (ended["status"], ended["error"]["code"], ended["error"]["retryable"]) == ("failed", "internal", True)
    assert (await again.button.get_export(job["export_id"]))["status"] == "cancelling"  # and the sweeper cleans up


async def test_a_result_that_cannot_be_stored_leaves_the_history_as_it_was_and_no_stray_file(
    again: AgainButton, report_id: str, working: Working, owner_url: str, storage: FileStorage
) -> None:
    before = await again.versions(report_id)
    async with working():
        with refused(owner_url, again.button.org_id, "result_stored"):
            job = await again.end_of(await again.pressed(report_id))
        assert (job["status"], job["error"]["code"], job["error"]["retryable"]) == (
            "failed",
            "storage_unavailable",
            True,
        )
        assert await again.versions(report_id) == before
        assert storage.list_keys(place(again, job["export_id"])) == []
        file = await again.gateway.get(f"{EXPORTS}/{job['export_id']}/file", headers=again.headers)
        assert file.status_code == 410
        assert (await again.done(report_id))["file_version"] == 2
    assert told_of(owner_url, job["id"]) == [("reexport_ended", "failed")]


async def test_nobody_being_told_does_not_undo_a_stored_result(
    again: AgainButton, report_id: str, working: Working, owner_url: str
) -> None:
    with psycopg.connect(owner_url) as connection:
        connection.execute(
            "CREATE OR REPLACE FUNCTION refuse_to_tell() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
            " IF NEW.org_id = TG_ARGV[0] THEN RAISE EXCEPTION 'played' USING ERRCODE = 'check_violation'; END IF;"
            " RETURN NEW; END $$"
        )
        connection.execute(
            "CREATE OR REPLACE TRIGGER played BEFORE INSERT ON notifications FOR EACH ROW"
            f" EXECUTE FUNCTION refuse_to_tell('{again.button.org_id}')".encode()
        )
    try:
        async with working():
            job = await again.done(report_id)
    finally:
        with psycopg.connect(owner_url) as connection:
            connection.execute("DROP TRIGGER played ON notifications")
    assert (job["file_version"], job["notified_at"]) == (2, None)
    assert len(await again.versions(report_id)) == 2
    said = await again.edit(job["id"], {"notification_sent": True})
    assert said.json()["notified_at"] is not None
    assert (await again.edit(job["id"], {"notification_sent": False})).json()["notified_at"] is None


async def test_what_is_said_of_a_job_is_written_down_by_whoever_has_seen_it(
    again: AgainButton, report_id: str, working: Working, owner_url: str, temporal: Client
) -> None:
    waiting = await again.pressed(report_id)
    async with working():
        with locked(owner_url, "activities"):
            await exporting(again, waiting)
            path = f"{REEXPORTS}/{waiting}"
            tag = (await again.gateway.get(path, headers=again.headers)).headers["ETag"]
            assert (await again.edit(waiting, {"label": "For Bufdir"}, None)).status_code == 428
            answer = await again.edit(waiting, {"label": " For Bufdir "}, tag)
            assert (answer.status_code, answer.json()["label"]) == (200, "For Bufdir")
            assert (await again.edit(waiting, {"label": "Otherwise"}, tag)).status_code == 412
            run = temporal.get_workflow_handle(f"report-reexport/{report_id}")

            async def details() -> str:
                return str(await run.query("__temporal_workflow_metadata"))

            assert "For Bufdir" not in await wait_until(details, lambda seen: "edited by people: 1" in seen)
        job = await again.end_of(waiting)
        assert (job["status"], job["label"]) == ("completed", "For Bufdir")
        assert (await again.edit(waiting, {"label": None})).json()["label"] is None
    assert steps_of(owner_url, waiting)[-1] == "completed"
    for rubbish in (
        {},
        {"label": ""},
        {"label": "a\0"},
        {"label": 7},
        {"status": "completed"},
        {"notification_sent": None},
    ):
        assert (await again.edit(waiting, rubbish)).status_code == 422


async def test_an_administrator_says_where_the_result_lies_if_it_is_the_same_file(
    again: AgainButton, report_id: str, working: Working, tenant: Tenant, bearer: Bearer, storage: FileStorage
) -> None:
    async with working():
        job = await again.done(report_id, source="same_snapshot")
    (original, _) = await again.versions(report_id)
    content = await content_of(job)
    copy = f"{place(again, original['export_id'])}kept/report.csv"
    storage.write(copy, [content])
    storage.write(f"{place(again, job['export_id'])}other.csv", [b"another"])
    storage.write(f"exports/{tenant.org_id}/{uuid4()}/report.csv", [content])
    assert (await again.edit(job["id"], {"result_file_ref": copy})).status_code == 403
    again.headers = bearer(tenant.users[Role.ADMIN], role="admin")
    for wrong in (
        f"{place(again, job['export_id'])}other.csv",
        f"{place(again, job['export_id'])}nothing.csv",
        f"exports/{tenant.org_id}/{uuid4()}/report.csv",
        "attachments/anything",
        f"{place(again, original['export_id'])}../{original['export_id']}/kept/report.csv",
        f"{place(again, original['export_id'])}../../../attachments/anything",
        f"{place(again, original['export_id'])}./kept/report.csv",
        f"{place(again, original['export_id'])}/kept/report.csv",
        f"{place(again, original['export_id'])}kept/\0",
    ):
        refusal = await again.edit(job["id"], {"result_file_ref": wrong})
        assert (refusal.status_code, refusal.json()["errors"][0]["pointer"]) == (422, "/result_file_ref"), wrong
    assert (await again.edit(job["id"], {"result_file_ref": job["result_file_ref"]})).status_code == 200
    edited = await again.edit(job["id"], {"result_file_ref": copy})
    assert (edited.status_code, edited.json()["result_file_ref"], edited.json()["file"]) == (200, copy, job["file"])
    assert "kept/report.csv" in edited.json()["download_url"]
    assert await content_of(edited.json()) == content


async def test_a_result_is_not_referred_to_before_there_is_one(
    again: AgainButton, report_id: str, tenant: Tenant, bearer: Bearer
) -> None:
    waiting = await again.pressed(report_id)
    again.headers = bearer(tenant.users[Role.ADMIN], role="admin")
    assert (await again.edit(waiting, {"result_file_ref": "exports/x"})).status_code == 409


async def test_who_may_stop_and_edit_which_job(
    again: AgainButton, report_id: str, tenant: Tenant, bearer: Bearer, owner_url: str
) -> None:
    waiting = await again.pressed(report_id)
    people = {
        "colleague": (bearer(colleague(owner_url, tenant)), 403),
        "auditor": (bearer(tenant.users[Role.AUDITOR], role="auditor"), 403),
        "admin": (bearer(tenant.users[Role.ADMIN], role="admin"), 202),
        "operator": (bearer(create_operator(owner_url), None, "operator"), 202),
    }
    for who, (headers, expected) in people.items():
        answer = await again.gateway.delete(f"{REEXPORTS}/{waiting}", headers=headers)
        assert answer.status_code == expected, who
    assert (await again.cancel(str(uuid4()))).status_code == 404


async def test_the_export_of_a_job_that_has_not_ended_is_not_deleted_under_it(
    again: AgainButton, report_id: str, working: Working, tenant: Tenant, bearer: Bearer, owner_url: str
) -> None:
    admin = bearer(tenant.users[Role.ADMIN], role="admin")
    async with working():
        waiting = await again.pressed(report_id)
        with locked(owner_url, "report_files"):
            child = (await wait_until(lambda: again.look(waiting), lambda job: bool(job["export_id"])))["export_id"]
            await again.button.wait_for_completion(child)
            refusal = await again.gateway.delete(f"{EXPORTS}/{child}", headers=admin)
            assert (refusal.status_code, refusal.json()["code"]) == (409, "wrong_state")
        job = await again.end_of(waiting)
        assert job["status"] == "completed"
        tag = (await again.gateway.get(f"{REEXPORTS}/{waiting}", headers=again.headers)).headers["ETag"]
        assert (await again.gateway.delete(f"{EXPORTS}/{child}", headers=admin)).status_code == 204
    after = await again.gateway.get(f"{REEXPORTS}/{waiting}", headers=again.headers | {"If-None-Match": tag})
    assert (after.status_code, after.json()["status"], after.json()["download_url"]) == (200, "completed", None)
    assert [version["file"] is None for version in await again.versions(report_id)] == [False, True]


async def test_a_cancel_that_is_late_does_not_reach_the_job_that_follows(
    again: AgainButton, report_id: str, working: Working, temporal: Client, owner_url: str, api_database: Database
) -> None:
    first = await again.pressed(report_id)
    await again.cancel(first)
    with api_database.transaction(again.button.org_id) as session:
        late = session.get_one(Reexport, UUID(first)).job
    async with working():
        await again.end_of(first)
        assert await run_closed(temporal, report_id) is not None
    second = await again.pressed(report_id)
    run = temporal.get_workflow_handle(f"report-reexport/{report_id}")
    await wait_until(run.describe, lambda seen: seen.close_time is None)
    await cancel_job(temporal, late)
    async with working():
        assert (await again.end_of(second))["status"] == "completed"
    assert steps_of(owner_url, first) == ["pending", "cancelling", "cancelled"]
