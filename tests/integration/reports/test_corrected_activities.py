"""Reports whose activities are corrected or deleted, after the report was made or while it is."""

from typing import Any
from uuid import UUID

import pytest

from stafett.bulk.activities import ActivityService
from stafett.database.session import Database
from stafett.domain.membership import Caller, Role
from stafett.domain.proxy_activity import ActivityCorrection
from stafett.exports.stages.map_columns import ColumnMappingStage
from stafett.testing import ActivityFactory, ExportClient, Json, Tenant
from tests.support.fixture_types import RunWorker
from tests.support.reexports import ReexportClient, download_file

ANY = {"If-Match": "*"}


async def correct(client: ExportClient, activity_id: UUID, correction: Json) -> None:
    path, headers = f"/api/v1/activities/{activity_id}", client.headers | ANY
    (await client.http_client.put(path, json=correction, headers=headers)).raise_for_status()


async def delete(client: ExportClient, activity_id: UUID) -> None:
    (await client.http_client.delete(f"/api/v1/activities/{activity_id}", headers=client.headers)).raise_for_status()


async def test_report_keeps_its_file_and_snapshot_until_a_new_version_is_made(
    reexport_client: ReexportClient, activity_factory: ActivityFactory, run_worker: RunWorker
) -> None:
    client, mentor = reexport_client.export_client, activity_factory.create_mentor()
    wrong, superfluous, _ = (activity_factory.create_activity(mentor) for _ in range(3))
    async with run_worker():
        report_id = await reexport_client.create_report()
        (original,) = await reexport_client.list_versions(report_id)
        content = await download_file(await client.get_export(original["export_id"]))
        await correct(client, wrong, {"place": "Bodø", "participants": 9})
        await delete(client, superfluous)
        assert await reexport_client.list_versions(report_id) == [original]
        assert await download_file(await client.get_export(original["export_id"])) == content
        repeated = await reexport_client.complete_reexport(report_id, source="same_snapshot")
        assert await download_file(repeated) == content
        current = await reexport_client.complete_reexport(report_id)
    assert (await download_file(current)).count("Bodø".encode()) == 1
    change = (await reexport_client.list_versions(report_id))[-1]["change"]
    assert (change["rows_added"], change["rows_removed"], change["rows_changed"]) == (0, 1, 1)


async def test_export_contains_what_it_has_read_before_a_correction(
    export_client: ExportClient,
    activity_factory: ActivityFactory,
    tenant: Tenant,
    api_database: Database,
    run_worker: RunWorker,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    mentor = activity_factory.create_mentor()
    wrong, superfluous = (activity_factory.create_activity(mentor, place="Tromsø") for _ in range(2))
    caller = Caller(user_id=tenant.coordinator, org_id=tenant.org_id, role=Role.COORDINATOR)
    service, map_columns = ActivityService(api_database), ColumnMappingStage.__call__

    def change_first(*args: Any) -> object:
        service.correct(caller, wrong, ActivityCorrection(place="Bodø"), range(1))
        service.delete(caller, superfluous)
        return map_columns(*args)

    monkeypatch.setattr(ColumnMappingStage, "__call__", change_first)
    async with run_worker():
        job = await export_client.wait_for_completion(await export_client.start_export())
    assert (job["status"], job["row_count"]) == ("completed", 2)
    assert (await download_file(job)).count("Tromsø".encode()) == 2
    assert service.find(caller, wrong).activity.place == "Bodø"
