"""Re-exports under the reconciliation sweep, retention and erasure."""

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
from stafett.testing import ActivityFactory, Tenant, wait_until
from tests.support.fixture_types import Bearer, RunWorker
from tests.support.reconciliation import Sweeper, wait_until_run_is_open
from tests.support.reexport_faults import lock_table, reject_audit_event, suspend_step, wait_until_exporting
from tests.support.reexports import ReexportClient, fetch_notifications, fetch_status_history
from tests.support.retention import backdate_completion, open_retention


@pytest.fixture
def sweeper(temporal: Client, settings: Settings, org_id: str) -> Iterator[Sweeper]:
    sweeper = Sweeper(temporal, settings, org_id)
    yield sweeper
    sweeper.close()


@pytest.fixture
def retention(settings: Settings, org_id: str) -> Iterator[Retention]:
    with open_retention(settings, org_id) as retention:
        yield retention


async def test_reexport_with_a_terminated_run_fails_and_cancels_its_export(
    reexport_client: ReexportClient,
    report_id: str,
    run_worker: RunWorker,
    temporal: Client,
    sweeper: Sweeper,
    owner_url: str,
) -> None:
    reexport_id = await reexport_client.start_reexport(report_id)
    async with run_worker():
        with lock_table(owner_url, "activities"):
            export_id = (await wait_until_exporting(reexport_client, reexport_id))["export_id"]
            assert await sweeper.sweep() == SweepReport()
            await temporal.get_workflow_handle(f"report-reexport/{report_id}").terminate()
            assert (await sweeper.sweep()).failed == 1
        job = await reexport_client.get_reexport(reexport_id)
        assert (job["status"], job["error"]["code"], job["error"]["retryable"]) == ("failed", "internal", True)
        assert (await reexport_client.export_client.wait_for_completion(export_id))["status"] == "cancelled"
        assert (await reexport_client.complete_reexport(report_id, source="same_snapshot"))["file_version"] == 2
    assert fetch_notifications(owner_url, reexport_id) == [("reexport_ended", "failed")]


async def test_run_terminated_before_storing_its_result_leaves_no_stray_file(
    reexport_client: ReexportClient,
    report_id: str,
    run_worker: RunWorker,
    temporal: Client,
    sweeper: Sweeper,
    storage: FileStorage,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    reexport_id = await reexport_client.start_reexport(report_id, source="same_snapshot")
    async with run_worker():
        with suspend_step(monkeypatch, "get_latest_version"):
            job = await wait_until(
                lambda: reexport_client.get_reexport(reexport_id), lambda job: bool(job["export_id"])
            )
            await reexport_client.export_client.wait_for_completion(job["export_id"])
            await temporal.get_workflow_handle(f"report-reexport/{report_id}").terminate()
            assert (await sweeper.sweep()).failed == 1
    assert (await reexport_client.get_reexport(reexport_id))["status"] == "failed"
    assert storage.list_keys(reexport_client.export_prefix(job["export_id"])) == []
    assert len(await reexport_client.list_versions(report_id)) == 1


async def test_run_terminated_after_storing_its_result_is_completed(
    reexport_client: ReexportClient,
    report_id: str,
    run_worker: RunWorker,
    temporal: Client,
    sweeper: Sweeper,
    owner_url: str,
) -> None:
    reexport_id = await reexport_client.start_reexport(report_id, source="same_snapshot")
    with reject_audit_event(owner_url, reexport_client.export_client.org_id, "reexport_completed"):
        async with run_worker():
            await wait_until(
                lambda: reexport_client.get_reexport(reexport_id), lambda job: job["status"] == "notifying"
            )
            refusal = await reexport_client.cancel(reexport_id)
            assert (refusal.status_code, refusal.json()["code"]) == (409, "wrong_state")
            await temporal.get_workflow_handle(f"report-reexport/{report_id}").terminate()
    assert await sweeper.sweep() == SweepReport(completed=1)
    assert (await reexport_client.get_reexport(reexport_id))["status"] == "completed"
    assert fetch_notifications(owner_url, reexport_id) == [("reexport_ended", "completed")]
    assert len(await reexport_client.list_versions(report_id)) == 2


async def test_cancelling_reexport_with_a_terminated_run_gets_a_new_run(
    reexport_client: ReexportClient,
    report_id: str,
    run_worker: RunWorker,
    temporal: Client,
    sweeper: Sweeper,
    owner_url: str,
    api_database: Database,
    tenant: Tenant,
    storage: FileStorage,
) -> None:
    reexport_id = await reexport_client.start_reexport(report_id)
    await wait_until_run_is_open(temporal, f"report-reexport/{report_id}")
    caller = Caller(user_id=tenant.coordinator, org_id=tenant.org_id, role=Role.COORDINATOR)
    ReexportCommands(api_database, ResultFile(storage)).cancel(caller, UUID(reexport_id))
    await temporal.get_workflow_handle(f"report-reexport/{report_id}").terminate()
    assert await sweeper.sweep() == SweepReport(started=1)
    async with run_worker():
        assert (await reexport_client.wait_for_completion(reexport_id))["status"] == "cancelled"
    assert fetch_status_history(owner_url, reexport_id) == ["pending", "cancelling", "cancelled"]


async def test_retention_counts_from_the_completion_of_each_version(
    reexport_client: ReexportClient,
    report_id: str,
    run_worker: RunWorker,
    owner_url: str,
    storage: FileStorage,
    retention: Retention,
) -> None:
    async with run_worker():
        job = await reexport_client.complete_reexport(report_id, source="same_snapshot")
        first, second = (version["export_id"] for version in await reexport_client.list_versions(report_id))
        backdate_completion(owner_url, first, timedelta(days=1827))
        backdate_completion(owner_url, second, timedelta(hours=1))
        assert retention.apply().files_removed == 1
        keys = storage.list_keys(reexport_client.export_prefix(second))
        assert sorted(key.rpartition("/")[2] for key in keys) == sorted(["part-00000.arrow", job["file"]["name"]])
        rejected = await reexport_client.request_reexport(report_id, source="same_snapshot")
        assert rejected.json()["code"] == "snapshot_gone"
        copy = await reexport_client.complete_reexport(report_id, source="same_snapshot", version=2)
        assert copy["file"] == job["file"]


async def test_referenced_result_file_is_retained_as_long_as_its_export(
    reexport_client: ReexportClient,
    report_id: str,
    run_worker: RunWorker,
    owner_url: str,
    storage: FileStorage,
    retention: Retention,
    tenant: Tenant,
    bearer: Bearer,
) -> None:
    async with run_worker():
        job = await reexport_client.complete_reexport(report_id, source="same_snapshot")
    original, _ = await reexport_client.list_versions(report_id)
    copy = f"{reexport_client.export_prefix(original['export_id'])}copies/report.csv"
    storage.copy(job["result_file_ref"], copy)
    reexport_client.headers = bearer(tenant.users[Role.ADMIN], role="admin")
    assert (await reexport_client.edit(job["id"], {"result_file_ref": copy})).status_code == 200
    backdate_completion(owner_url, original["export_id"], timedelta(hours=1))
    assert retention.apply().staging_cleared == 1
    assert copy in storage.list_keys(reexport_client.export_prefix(original["export_id"]))
    backdate_completion(owner_url, original["export_id"], timedelta(days=1827))
    assert retention.apply().files_removed == 1
    assert (await reexport_client.get_reexport(job["id"]))["download_url"] is None


async def test_erasure_removes_a_copied_snapshot_together_with_its_source(
    reexport_client: ReexportClient,
    activity_factory: ActivityFactory,
    run_worker: RunWorker,
    storage: FileStorage,
    owner_url: str,
) -> None:
    mentor = activity_factory.create_mentor("Ågot Ærlig")
    activity_factory.create_activity(mentor, note="Om henne selv")
    async with run_worker():
        report_id = await reexport_client.create_report()
        await reexport_client.complete_reexport(report_id, source="same_snapshot")
    database = Database(owner_url, pool_size=2, role=ERASURE_ROLE)
    try:
        person = Person(kind=PersonKind.MENTOR, id=mentor, org_id=reexport_client.export_client.org_id)
        report = ErasureService(database, storage).erase(person, lambda *_: None)
    finally:
        database.close()
    assert len(report.summary.exports_emptied) == 2
    exports = [version["export_id"] for version in await reexport_client.list_versions(report_id)]
    assert [storage.list_keys(reexport_client.export_prefix(export_id)) for export_id in exports] == [[], []]
    assert [version["file"] for version in await reexport_client.list_versions(report_id)] == [None, None]
    rejected = await reexport_client.request_reexport(report_id, source="same_snapshot", version=2)
    assert rejected.json()["code"] == "snapshot_gone"
