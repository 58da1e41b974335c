"""Re-exports in the hands of the sweeper, of retention and of whoever forgets people."""

from collections.abc import Iterator
from datetime import timedelta
from uuid import UUID

import pytest
from temporalio.client import Client

from stafett.database.migrate import ERASURE_ROLE
from stafett.database.session import Database
from stafett.domain.erasure import Person, PersonKind
from stafett.domain.export_job import SweepReport
from stafett.domain.membership import Caller, Role
from stafett.erasure.service import ErasureService
from stafett.exports.retention import Retention
from stafett.reports.commands import ReexportCommands
from stafett.reports.result_file import ResultFile
from stafett.settings import Settings
from stafett.storage.files import FileStorage
from stafett.testing import ActivityFactory, ExportClient, Tenant, wait_until
from tests.integration.test_reexport_steering import exporting, locked, place, refused
from tests.integration.test_sweeper import Broom
from tests.reexports import AgainButton, Bearer, Working, steps_of, told_of
from tests.retention import ended_ago, retention_of


@pytest.fixture
def again(button: ExportClient) -> AgainButton:
    return AgainButton(button)


@pytest.fixture
def broom(temporal: Client, settings: Settings, org_id: str) -> Iterator[Broom]:
    broom = Broom(temporal, settings, org_id)
    yield broom
    broom.close()


@pytest.fixture
def retention(settings: Settings, org_id: str) -> Iterator[Retention]:
    with retention_of(settings, org_id) as retention:
        yield retention


@pytest.fixture
async def report_id(again: AgainButton, diary: ActivityFactory, working: Working) -> str:
    diary.create_activity(diary.create_mentor())
    async with working():
        return await again.report()


async def started(temporal: Client, report_id: str) -> None:
    run = temporal.get_workflow_handle(f"report-reexport/{report_id}")
    await wait_until(run.describe, lambda seen: seen.close_time is None)


async def test_one_whose_run_was_terminated_has_failed_and_its_export_stops(
    again: AgainButton, report_id: str, working: Working, temporal: Client, broom: Broom, owner_url: str
) -> None:
    waiting = await again.pressed(report_id)
    async with working():
        with locked(owner_url, "activities"):
            export_id = (await exporting(again, waiting))["export_id"]
            assert await broom.sweep() == SweepReport()
            await temporal.get_workflow_handle(f"report-reexport/{report_id}").terminate()
            assert (await broom.sweep()).failed == 1
        job = await again.look(waiting)
        assert (job["status"], job["error"]["code"], job["error"]["retryable"]) == ("failed", "internal", True)
        assert (await again.button.wait_for_completion(export_id))["status"] == "cancelled"
        assert (await again.done(report_id))["file_version"] == 2
    assert told_of(owner_url, waiting) == [("reexport_ended", "failed")]


async def test_one_whose_run_was_terminated_after_its_export_leaves_no_stray_file(
    again: AgainButton,
    report_id: str,
    working: Working,
    temporal: Client,
    broom: Broom,
    owner_url: str,
    storage: FileStorage,
) -> None:
    waiting = await again.pressed(report_id)
    async with working():
        with locked(owner_url, "report_files"):
            job = await wait_until(lambda: again.look(waiting), lambda job: bool(job["export_id"]))
            await again.button.wait_for_completion(job["export_id"])
            await temporal.get_workflow_handle(f"report-reexport/{report_id}").terminate()
            assert (await broom.sweep()).failed == 1
    assert (await again.look(waiting))["status"] == "failed"
    assert storage.list_keys(place(again, job["export_id"])) == []
    assert len(await again.versions(report_id)) == 1


async def test_one_whose_run_was_terminated_when_its_result_stood_is_completed(
    again: AgainButton, report_id: str, working: Working, temporal: Client, broom: Broom, owner_url: str
) -> None:
    waiting = await again.pressed(report_id)
    async with working():
        with refused(owner_url, again.button.org_id, "reexport_completed"):
            await wait_until(lambda: again.look(waiting), lambda job: job["status"] == "notifying")
            refusal = await again.cancel(waiting)
            assert (refusal.status_code, refusal.json()["code"]) == (409, "wrong_state")
            await temporal.get_workflow_handle(f"report-reexport/{report_id}").terminate()
        assert (await broom.sweep()).failed == 1  # closed, and well
    assert (await again.look(waiting))["status"] == "completed"
    assert told_of(owner_url, waiting) == [("reexport_ended", "completed")]
    assert len(await again.versions(report_id)) == 2


async def test_a_cancel_that_the_engine_never_heard_of_is_carried_out(
    again: AgainButton,
    report_id: str,
    working: Working,
    temporal: Client,
    broom: Broom,
    owner_url: str,
    api_database: Database,
    tenant: Tenant,
    storage: FileStorage,
) -> None:
    waiting = await again.pressed(report_id)
    await started(temporal, report_id)
    caller = Caller(user_id=tenant.coordinator, org_id=tenant.org_id, role=Role.COORDINATOR)
    ReexportCommands(api_database, ResultFile(storage)).cancel(caller, UUID(waiting))
    await temporal.get_workflow_handle(f"report-reexport/{report_id}").terminate()
    assert await broom.sweep() == SweepReport(started=1)
    async with working():
        assert (await again.end_of(waiting))["status"] == "cancelled"
    assert steps_of(owner_url, waiting) == ["pending", "cancelling", "cancelled"]


async def test_each_version_is_kept_with_its_own_snapshot_for_its_own_time(
    again: AgainButton,
    report_id: str,
    working: Working,
    owner_url: str,
    storage: FileStorage,
    retention: Retention,
) -> None:
    async with working():
        job = await again.done(report_id, source="same_snapshot")
        first, second = (version["export_id"] for version in await again.versions(report_id))
        ended_ago(owner_url, first, timedelta(days=1827))
        ended_ago(owner_url, second, timedelta(hours=1))
        assert retention.apply().files_removed == 1
        kept = storage.list_keys(place(again, second))
        assert sorted(key.rpartition("/")[2] for key in kept) == sorted(["part-00000.arrow", job["file"]["name"]])
        assert (await again.press(report_id, source="same_snapshot")).json()["code"] == "snapshot_gone"
        assert (await again.done(report_id, source="same_snapshot", version=2))["file"] == job["file"]


async def test_an_object_that_a_result_was_said_to_be_is_kept_with_the_export_in_whose_place_it_lies(
    again: AgainButton,
    report_id: str,
    working: Working,
    owner_url: str,
    storage: FileStorage,
    retention: Retention,
    tenant: Tenant,
    bearer: Bearer,
) -> None:
    async with working():
        job = await again.done(report_id, source="same_snapshot")
    (original, _) = await again.versions(report_id)
    copy = f"{place(again, original['export_id'])}kept/report.csv"
    storage.copy(job["result_file_ref"], copy)
    again.headers = bearer(tenant.users[Role.ADMIN], role="admin")
    assert (await again.edit(job["id"], {"result_file_ref": copy})).status_code == 200
    ended_ago(owner_url, original["export_id"], timedelta(hours=1))
    assert retention.apply().staging_cleared == 1
    assert copy in storage.list_keys(place(again, original["export_id"]))
    ended_ago(owner_url, original["export_id"], timedelta(days=1827))
    assert retention.apply().files_removed == 1
    assert (await again.look(job["id"]))["download_url"] is None


async def test_a_snapshot_that_was_taken_over_is_forgotten_with_the_one_that_it_was_taken_from(
    again: AgainButton,
    diary: ActivityFactory,
    working: Working,
    storage: FileStorage,
    owner_url: str,
) -> None:
    mentor = diary.create_mentor("Ågot Ærlig")
    diary.create_activity(mentor, note="Om henne selv")
    async with working():
        report_id = await again.report()
        await again.done(report_id, source="same_snapshot")
    database = Database(owner_url, pool_size=2, role=ERASURE_ROLE)
    try:
        person = Person(kind=PersonKind.MENTOR, id=mentor, org_id=again.button.org_id)
        report = ErasureService(database, storage).erase(person, lambda *_: None)
    finally:
        database.close()
    assert len(report.summary.exports_emptied) == 2
    exports = [version["export_id"] for version in await again.versions(report_id)]
    assert [storage.list_keys(place(again, export_id)) for export_id in exports] == [[], []]
    assert [version["file"] for version in await again.versions(report_id)] == [None, None]
    assert (await again.press(report_id, source="same_snapshot", version=2)).json()["code"] == "snapshot_gone"
