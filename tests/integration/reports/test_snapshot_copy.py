"""Snapshot copies reproduce the file after rows, the mapping and the organisation's name have changed."""

from datetime import UTC, datetime, timedelta

import httpx
import psycopg
import pytest
from psycopg.types.json import Json

from stafett.column_mapper import validate_document
from stafett.column_mapper.organisations import load_bundled_mappings
from stafett.testing import ActivityFactory, ExportClient, Tenant, create_tenant
from tests.support.fixture_types import Bearer, RunWorker
from tests.support.reexports import ReexportClient, download_file

KINDS = ("samtalegruppe", "oppsokende_samtale", "telefonsamtale", "likepersonskurs", "annet", "besok")


@pytest.mark.parametrize("export_format", ["csv", "xlsx"])
@pytest.mark.parametrize("organisation", ["nhf", "blindeforbundet", "hlf"])
async def test_snapshot_copy_is_byte_identical_after_later_changes(
    organisation: str,
    export_format: str,
    *,
    api_client: httpx.AsyncClient,
    bearer: Bearer,
    owner_url: str,
    run_worker: RunWorker,
) -> None:
    tenant = create_tenant(owner_url, mapping=organisation)
    reexport_client = ReexportClient(ExportClient(api_client, tenant.org_id, bearer(tenant.coordinator, tenant.org_id)))
    create_activities(ActivityFactory(owner_url, tenant.org_id))
    async with run_worker():
        report_id = await reexport_client.create_report(export_format=export_format)
        (original,) = await reexport_client.list_versions(report_id)
        before = await download_file(await reexport_client.export_client.get_export(original["export_id"]))
        change_everything(owner_url, tenant, organisation)
        copy = await reexport_client.complete_reexport(report_id, source="same_snapshot")
        assert await download_file(copy) == before
        await reexport_client.complete_reexport(report_id)
        copy_of_current = await reexport_client.complete_reexport(report_id, source="same_snapshot", version=3)
        assert await download_file(copy_of_current) != before
    versions = await reexport_client.list_versions(report_id)
    assert [version["mapping"]["version"] for version in versions] == [
        original["mapping"]["version"],
        original["mapping"]["version"],
        original["mapping"]["version"] + 1,
        original["mapping"]["version"] + 1,
    ]
    changes = [version["change"] for version in versions[1:]]
    assert [change["same_bytes"] for change in changes] == [True, False, True]
    assert [change["mapping_changed"] for change in changes] == [False, True, False]
    assert [change["rows_changed"] for change in changes] == [0, len(KINDS), 0]
    assert versions[0]["file"] == versions[1]["file"]


def create_activities(activity_factory: ActivityFactory) -> None:
    mentor = activity_factory.create_mentor("Åse Ødegård")
    for number, kind in enumerate(KINDS):
        starts_at = datetime(2026, 3, 2 + number, 9, tzinfo=UTC)
        ends_at = starts_at + timedelta(minutes=100)
        activity_factory.create_activity(
            mentor, activity_type=kind, starts_at=starts_at, ends_at=ends_at, note="=1+1; møte"
        )


def change_everything(owner_url: str, tenant: Tenant, organisation: str) -> None:
    """Change rows, mapping and name; the new mapping version is effective for the same period."""
    newest = load_bundled_mappings(organisation)[-1].as_json()
    first_column, *others = newest["columns"]
    document = validate_document(newest | {"columns": [*others, first_column]})
    with psycopg.connect(owner_url) as connection:
        connection.execute("UPDATE activities SET place = 'Vardø' WHERE org_id = %s", [tenant.org_id])
        connection.execute("UPDATE organisations SET name = 'Et annet navn' WHERE id = %s", [tenant.org_id])
        connection.execute(
            "INSERT INTO column_mappings (org_id, version, id, effective_from, sha256, document)"
            " SELECT org_id, max(version) + 1, gen_random_uuid(), %s, %s, %s FROM column_mappings"
            " WHERE org_id = %s GROUP BY org_id",
            [document.effective_from, document.sha256, Json(document.as_json()), tenant.org_id],
        )
