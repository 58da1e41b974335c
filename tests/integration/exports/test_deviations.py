"""The deviations of an export: one line for each affected row, in the workbook and as a file of the API."""

import io
from collections import Counter
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
from openpyxl import load_workbook

from stafett.domain.membership import Role
from stafett.testing import ActivityFactory, ExportClient, Tenant, create_tenant
from tests.support.exports import fetch_deviations
from tests.support.fixture_types import Bearer, RunWorker


@pytest.fixture
def nhf(owner_url: str) -> Tenant:
    return create_tenant(owner_url, mapping="nhf")


@pytest.fixture
def nhf_client(api_client: httpx.AsyncClient, bearer: Bearer, nhf: Tenant) -> ExportClient:
    return ExportClient(api_client, nhf.org_id, bearer(nhf.coordinator, nhf.org_id))


def create_deviating_activities(owner_url: str, nhf: Tenant) -> None:
    """Create one activity that counts, one rejected, one that does not count, and one with a warning."""
    factory = ActivityFactory(owner_url, nhf.org_id)
    mentor = factory.create_mentor("Åse Ødegård")
    factory.create_activity(mentor, starts_at=datetime(2026, 1, 5, 9, tzinfo=UTC))
    factory.create_activity(
        mentor,
        starts_at=datetime(2026, 1, 6, 9, tzinfo=UTC),
        activity_type="likepersonskurs",
        participants=0,
        new_participants=0,
        registered_by=nhf.coordinator,
    )
    factory.create_activity(mentor, starts_at=datetime(2026, 1, 7, 9, tzinfo=UTC), in_norway=False, place="=København")
    factory.create_activity(
        mentor,
        starts_at=datetime(2026, 1, 8, 9, tzinfo=UTC),
        activity_type="oppsokende_samtale",
        participants=3,
    )


async def complete_export(client: ExportClient, **fields: object) -> dict[str, Any]:
    job = await client.wait_for_completion(await client.start_export(**fields))
    assert job["status"] == "completed", job["error"]
    return job


async def test_file_and_sheet_list_each_affected_row_once(
    owner_url: str, nhf: Tenant, nhf_client: ExportClient, run_worker: RunWorker
) -> None:
    create_deviating_activities(owner_url, nhf)
    async with run_worker():
        job = await complete_export(nhf_client, export_format="xlsx")
    lines = await fetch_deviations(nhf_client, job["id"])
    outcomes = Counter(line["outcome"] for line in lines)
    assert outcomes == {"rejected": 1, "not_countable": 1, "warning": 1}
    assert (outcomes["rejected"], outcomes["not_countable"]) == (
        job["counts"]["rejected"],
        job["counts"]["not_countable"],
    )
    rejected, not_countable, warned = lines
    assert (rejected["sheet"], rejected["row"], rejected["registered_by"]) == ("", "", "Prøve Prøvesen")
    assert (rejected["date"], rejected["mentor"], rejected["place"]) == ("06.01.2026", "Åse Ødegård", "Tromsø")
    assert "Et likepersonskurs må ha deltakere." in rejected["problem"]
    assert (not_countable["place"], not_countable["codes"]) == ("'=København", "abroad")
    assert (warned["codes"], warned["registered_by"]) == ("more_than_one_to_one", "")

    async with httpx.AsyncClient() as anonymous_client:
        book = load_workbook(io.BytesIO((await anonymous_client.get(job["download_url"])).content))
    header, *rows = list(book["Avvik rad for rad"].iter_rows(min_row=2, values_only=True))
    assert book["Avvik rad for rad"]["A1"].value.endswith(": 01.01.2026–31.12.2026")  # noqa: RUF001 - typography
    assert header[:5] == ("Dato", "Likeperson", "Sted", "Ark", "Rad")
    assert [row[-1] for row in rows] == [line["activity_id"] for line in lines]
    assert [row[5] for row in rows] == ["Avvist", "Teller ikke", "Merknad"]
    for line in (not_countable, warned):
        cells = next(book[line["sheet"]].iter_rows(int(line["row"]), int(line["row"]), values_only=True))
        assert line["date"] in {f"{cell:%d.%m.%Y}" for cell in cells if isinstance(cell, datetime)}


async def test_lines_of_a_csv_export_have_the_line_numbers_of_its_file(
    owner_url: str, nhf: Tenant, nhf_client: ExportClient, run_worker: RunWorker
) -> None:
    create_deviating_activities(owner_url, nhf)
    async with run_worker():
        job = await complete_export(nhf_client)
    assert [line["row"] for line in await fetch_deviations(nhf_client, job["id"])] == ["", "3", "4"]


async def test_export_without_deviations_has_a_file_with_the_header_alone(
    owner_url: str, nhf: Tenant, nhf_client: ExportClient, run_worker: RunWorker
) -> None:
    factory = ActivityFactory(owner_url, nhf.org_id)
    factory.create_activity(factory.create_mentor())
    async with run_worker():
        job = await complete_export(nhf_client)
    assert await fetch_deviations(nhf_client, job["id"]) == []


async def test_each_download_is_audited_without_names_and_auditors_may_not(
    owner_url: str, nhf: Tenant, nhf_client: ExportClient, run_worker: RunWorker, bearer: Bearer
) -> None:
    create_deviating_activities(owner_url, nhf)
    async with run_worker():
        job = await complete_export(nhf_client)
    path = f"/api/v1/bufdir-exports/{job['id']}"
    auditor = bearer(nhf.users[Role.AUDITOR], nhf.org_id)
    assert (await nhf_client.http_client.get(f"{path}/deviations.csv", headers=auditor)).status_code == 403
    await fetch_deviations(nhf_client, job["id"])
    response = await nhf_client.http_client.get(f"{path}/audit", headers=nhf_client.headers)
    assert [event["event"] for event in response.json()["items"]].count("deviations_downloaded") == 1
    assert "Åse" not in response.text


async def test_deviations_leave_storage_with_the_file(
    owner_url: str,
    nhf: Tenant,
    nhf_client: ExportClient,
    run_worker: RunWorker,
    bearer: Bearer,
) -> None:
    create_deviating_activities(owner_url, nhf)
    async with run_worker():
        job = await complete_export(nhf_client)
    path = f"/api/v1/bufdir-exports/{job['id']}"
    admin = bearer(nhf.users[Role.ADMIN], nhf.org_id)
    assert (await nhf_client.http_client.delete(path, headers=admin)).status_code == 204
    assert (await nhf_client.http_client.get(f"{path}/deviations.csv", headers=admin)).status_code == 410
