"""The workbook at the end of the pipeline, opened with another program than the one that wrote it."""

import asyncio
import io
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

import httpx
import psycopg
import pytest
from openpyxl import Workbook, load_workbook

from stafett.storage.files import FileStorage
from stafett.testing import ActivityFactory, ExportClient, create_tenant

Bearer = Callable[..., dict[str, str]]
Working = Callable[[], AbstractAsyncContextManager[None]]


async def exported(button: ExportClient, **asked: object) -> tuple[dict[str, Any], bytes]:
    job = await button.wait_for_completion(await button.start_export(export_format="xlsx", **asked))
    assert job["status"] == "completed", job["error"]
    async with httpx.AsyncClient() as anybody:
        return job, (await anybody.get(job["download_url"])).content


def opened(content: bytes) -> Workbook:
    return load_workbook(io.BytesIO(content))


async def test_a_workbook_holds_every_row_and_what_did_not_count(
    button: ExportClient, diary: ActivityFactory, working: Working
) -> None:
    mentor = diary.create_mentor("Åse Ødegård")
    diary.create_activity(mentor, note="=SUM(A1:A3)")
    diary.create_activity(mentor, in_norway=False, place="København")
    async with working():
        job, content = await exported(button)
    assert job["file"]["name"].endswith(".xlsx")
    assert job["file"]["mime_type"] == "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
    assert job["file"]["size_bytes"] == len(content)
    report = opened(content).worksheets[0]
    header, *rows = [[cell.value for cell in row] for row in report.iter_rows()]
    assert header[0] == "Dato"
    assert [row[header.index("Sted")] for row in rows] == ["Tromsø", "København"]
    assert [row[header.index("Tellende")] for row in rows] == ["Ja", "Nei"]
    assert rows[0][header.index("Merknad")] == "=SUM(A1:A3)"
    assert {cell.data_type for row in report.iter_rows() for cell in row} <= {"s", "n", "d", "inlineStr"}
    assert report.freeze_panes == "A2"


@pytest.mark.parametrize("organisation", ["nhf", "blindeforbundet", "hlf"])
async def test_each_organisations_workbook_is_the_same_bytes_each_time(
    gateway: httpx.AsyncClient, bearer: Bearer, owner_url: str, working: Working, organisation: str
) -> None:
    tenant = create_tenant(owner_url, mapping=organisation)
    diary = ActivityFactory(owner_url, tenant.org_id)
    mentor = diary.create_mentor("Åse Ødegård")
    for kind in ("samtalegruppe", "oppsokende_samtale", "telefonsamtale", "likepersonskurs", "annet"):
        diary.create_activity(mentor, activity_type=kind)
    button = ExportClient(gateway, tenant.org_id, bearer(tenant.coordinator, tenant.org_id))
    async with working():
        (job, one), (other_job, other) = await asyncio.gather(exported(button), exported(button))
    assert one == other
    assert job["file"]["content_sha256"] == other_job["file"]["content_sha256"]
    listed = sum(_rows(opened(one), name) for name in _listings(opened(one)))
    assert listed == job["counts"]["queried"] == 5


def _listings(book: Workbook) -> list[str]:
    """The report, and what is listed apart."""
    first = book.sheetnames[0]
    return [first, *(name for name in book.sheetnames if name == "Teller ikke")]


def _rows(book: Workbook, name: str) -> int:
    """Rows below the header of the sheet's first table."""
    table = next(iter(book[name].tables.values()))
    first, last = (int("".join(filter(str.isdigit, corner))) for corner in table.ref.split(":"))
    return last - first


async def test_a_text_that_no_cell_holds_is_cut_and_told_with_its_row(
    button: ExportClient, diary: ActivityFactory, working: Working
) -> None:
    mentor = diary.create_mentor()
    diary.create_activity(mentor)
    activity = diary.create_activity(mentor, note="æ" * 40_000)
    async with working():
        job, content = await exported(button)
        csv = await button.wait_for_completion(await button.start_export())
    (failure,) = job["partial_failures"]
    assert (failure["code"], failure["column"], failure["is_fatal"]) == ("text_cut", "note", False)
    assert (failure["affected_row_indices"], failure["affected_activity_ids"]) == ([1], [str(activity)])
    header, *rows = [[cell.value for cell in row] for row in opened(content).worksheets[0].iter_rows()]
    assert len(str(rows[1][header.index("Merknad")])) <= 32_767
    assert "Avvik" in opened(content).sheetnames
    assert csv["partial_failures"] == []


async def test_nothing_but_the_report_is_left_in_storage(
    button: ExportClient, diary: ActivityFactory, working: Working, storage: FileStorage, owner_url: str
) -> None:
    diary.create_activity(diary.create_mentor())
    async with working():
        job, _ = await exported(button)
    keys = storage.list_keys(f"exports/{button.org_id}/{job['id']}/")
    assert [key for key in keys if key.endswith(".xlsx")] == [key for key in keys if "generating_file" in key]
    with psycopg.connect(owner_url) as connection:
        (file,) = connection.execute("SELECT file FROM exports WHERE id = %s", [job["id"]]).fetchone() or ({},)
    assert file["key"] in keys
