"""The same bytes, years later: after rows were changed, the mapping superseded and the organisation renamed."""

from datetime import UTC, datetime, timedelta

import httpx
import psycopg
import pytest
from psycopg.types.json import Json

from stafett.column_mapper import validate_document
from stafett.column_mapper.organisations import load_bundled_mappings
from stafett.testing import ActivityFactory, ExportClient, Tenant, create_tenant
from tests.reexports import AgainButton, Bearer, Working, content_of

KINDS = ("samtalegruppe", "oppsokende_samtale", "telefonsamtale", "likepersonskurs", "annet", "besok")


@pytest.mark.parametrize("export_format", ["csv", "xlsx"])
@pytest.mark.parametrize("organisation", ["nhf", "blindeforbundet", "hlf"])
async def test_a_snapshot_repeated_is_the_same_file_whatever_has_changed_since(
    organisation: str,
    export_format: str,
    *,
    gateway: httpx.AsyncClient,
    bearer: Bearer,
    owner_url: str,
    working: Working,
) -> None:
    tenant = create_tenant(owner_url, mapping=organisation)
    again = AgainButton(ExportClient(gateway, tenant.org_id, bearer(tenant.coordinator, tenant.org_id)))
    fill(ActivityFactory(owner_url, tenant.org_id))
    async with working():
        report_id = await again.report(export_format=export_format)
        (original,) = await again.versions(report_id)
        before = await content_of(await again.button.get_export(original["export_id"]))
        change_everything(owner_url, tenant, organisation)
        repeated = await again.done(report_id, source="same_snapshot")
        assert await content_of(repeated) == before
        await again.done(report_id)
        anew = await again.done(report_id, source="same_snapshot", version=3)
        assert await content_of(anew) != before
    versions = await again.versions(report_id)
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


def fill(diary: ActivityFactory) -> None:
    mentor = diary.create_mentor("Åse Ødegård")
    for number, kind in enumerate(KINDS):
        starts_at = datetime(2026, 3, 2 + number, 9, tzinfo=UTC)
        ends_at = starts_at + timedelta(minutes=100)
        diary.create_activity(mentor, activity_type=kind, starts_at=starts_at, ends_at=ends_at, note="=1+1; møte")


def change_everything(owner_url: str, tenant: Tenant, organisation: str) -> None:
    """Rows, mapping and name; the superseding mapping holds for the same period."""
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
