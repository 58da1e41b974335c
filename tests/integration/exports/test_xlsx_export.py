"""Workbooks from the whole pipeline, read with openpyxl instead of the library that wrote them."""

import asyncio
import io
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import httpx
import psycopg
import pytest
from openpyxl import Workbook, load_workbook

from stafett.storage.files import FileStorage
from stafett.testing import ActivityFactory, ExportClient, create_tenant
from tests.support.fixture_types import Bearer, RunWorker

MORNING = datetime(2026, 3, 2, 9, tzinfo=UTC)
YEAR = {"start": "2026-01-01", "end": "2026-12-31"}


async def export_workbook(export_client: ExportClient, **fields: object) -> tuple[dict[str, Any], bytes]:
    job = await export_client.wait_for_completion(await export_client.start_export(export_format="xlsx", **fields))
    assert job["status"] == "completed", job["error"]
    async with httpx.AsyncClient() as anonymous_client:
        return job, (await anonymous_client.get(job["download_url"])).content


def open_workbook(content: bytes) -> Workbook:
    return load_workbook(io.BytesIO(content))


async def test_workbook_has_countable_and_excluded_rows(
    export_client: ExportClient, activity_factory: ActivityFactory, run_worker: RunWorker
) -> None:
    mentor = activity_factory.create_mentor("Åse Ødegård")
    activity_factory.create_activity(mentor, note="=SUM(A1:A3)")
    activity_factory.create_activity(mentor, in_norway=False, place="København")
    async with run_worker():
        job, content = await export_workbook(export_client)
    assert job["file"]["name"].endswith(".xlsx")
    assert job["file"]["mime_type"] == "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
    assert job["file"]["size_bytes"] == len(content)
    report = open_workbook(content).worksheets[0]
    header, *rows = [[cell.value for cell in row] for row in report.iter_rows()]
    assert header[0] == "Dato"
    assert [row[header.index("Sted")] for row in rows] == ["Tromsø", "København"]
    assert [row[header.index("Tellende")] for row in rows] == ["Ja", "Nei"]
    assert rows[0][header.index("Merknad")] == "=SUM(A1:A3)"
    assert {cell.data_type for row in report.iter_rows() for cell in row} <= {"s", "n", "d", "inlineStr"}
    assert report.freeze_panes == "A2"


async def test_several_mentors_at_one_event_are_a_warning_of_export_preview_and_summary(
    export_client: ExportClient, activity_factory: ActivityFactory, run_worker: RunWorker
) -> None:
    event = uuid4()
    for _ in range(3):
        activity_factory.create_activity(activity_factory.create_mentor(), starts_at=MORNING, event_id=event)
    activity_factory.create_activity(activity_factory.create_mentor(), starts_at=MORNING)
    body = {"org_id": export_client.org_id, "reporting_period": YEAR, "export_format": "xlsx"}
    async with run_worker():
        job, content = await export_workbook(export_client)
        preview = await export_client.http_client.post(
            "/api/v1/bufdir-exports/preview", json=body, headers=export_client.headers
        )
    for result in (job, preview.json()):
        assert (result["counts"]["countable"], result["counts"]["events"]) == (4, 2)
        (warning,) = result["warnings"]
        assert (warning["code"], warning["rows"], warning["events"]) == ("several_mentors_at_one_event", 3, 1)
    summary = [row[:2] for row in open_workbook(content)["Oppsummering"].iter_rows(values_only=True)]
    assert ("Arrangement som de er fra", 2) in summary
    assert (warning["message"], None) in summary


@pytest.mark.parametrize("organisation", ["nhf", "blindeforbundet", "hlf"])
async def test_two_exports_of_the_same_rows_are_byte_identical(
    api_client: httpx.AsyncClient, bearer: Bearer, owner_url: str, run_worker: RunWorker, organisation: str
) -> None:
    tenant = create_tenant(owner_url, mapping=organisation)
    activity_factory = ActivityFactory(owner_url, tenant.org_id)
    mentor = activity_factory.create_mentor("Åse Ødegård")
    for kind in ("samtalegruppe", "oppsokende_samtale", "telefonsamtale", "likepersonskurs", "annet"):
        activity_factory.create_activity(mentor, activity_type=kind)
    export_client = ExportClient(api_client, tenant.org_id, bearer(tenant.coordinator, tenant.org_id))
    async with run_worker():
        (job, content), (other_job, other_content) = await asyncio.gather(
            export_workbook(export_client), export_workbook(export_client)
        )
    assert content == other_content
    assert job["file"]["content_sha256"] == other_job["file"]["content_sha256"]
    workbook = open_workbook(content)
    row_count = sum(_count_rows(workbook, name) for name in _row_sheets(workbook))
    assert row_count == job["counts"]["queried"] == 5


def _row_sheets(workbook: Workbook) -> list[str]:
    """Return the names of the report sheet and of the sheet with excluded rows, if there is one."""
    report = workbook.sheetnames[0]
    return [report, *(name for name in workbook.sheetnames if name == "Teller ikke")]


def _count_rows(workbook: Workbook, name: str) -> int:
    """Count the rows below the header of the sheet's first table."""
    table = next(iter(workbook[name].tables.values()))
    first, last = (int("".join(filter(str.isdigit, corner))) for corner in table.ref.split(":"))
    return last - first


async def test_text_too_long_for_a_cell_is_truncated_and_reported(
    export_client: ExportClient, activity_factory: ActivityFactory, run_worker: RunWorker
) -> None:
    mentor = activity_factory.create_mentor()
    activity_factory.create_activity(mentor)
    activity = activity_factory.create_activity(mentor, note="æ" * 40_000)
    async with run_worker():
        job, content = await export_workbook(export_client)
        csv_job = await export_client.wait_for_completion(await export_client.start_export())
    (failure,) = job["partial_failures"]
    assert (failure["code"], failure["column"], failure["is_fatal"]) == ("text_cut", "note", False)
    assert (failure["affected_row_indices"], failure["affected_activity_ids"]) == ([1], [str(activity)])
    header, *rows = [[cell.value for cell in row] for row in open_workbook(content).worksheets[0].iter_rows()]
    assert len(str(rows[1][header.index("Merknad")])) <= 32_767
    assert "Avvik" in open_workbook(content).sheetnames
    assert csv_job["partial_failures"] == []


async def test_file_generation_leaves_only_the_workbook_in_storage(
    export_client: ExportClient,
    activity_factory: ActivityFactory,
    run_worker: RunWorker,
    storage: FileStorage,
    owner_url: str,
) -> None:
    activity_factory.create_activity(activity_factory.create_mentor())
    async with run_worker():
        job, _ = await export_workbook(export_client)
    keys = storage.list_keys(f"exports/{export_client.org_id}/{job['id']}/")
    assert [key for key in keys if key.endswith(".xlsx")] == [key for key in keys if "generating_file" in key]
    with psycopg.connect(owner_url) as connection:
        (file,) = connection.execute("SELECT file FROM exports WHERE id = %s", [job["id"]]).fetchone() or ({},)
    assert file["key"] in keys
