"""A report, made again: one job, one further version, the original as it was."""

import asyncio
from uuid import uuid4

import psycopg
import pytest

from stafett.domain.membership import Role
from stafett.file_storage import FileStorage
from stafett.testing import Button, Diary, Tenant, found_operator, found_tenant
from tests.reexports import REEXPORTS, AgainButton, Bearer, Working, content_of, steps_of, told_of

STEPS = ["pending", "exporting", "storing_result", "notifying", "completed"]


@pytest.fixture
def again(button: Button) -> AgainButton:
    return AgainButton(button)


async def test_a_lost_report_is_made_again_byte_for_byte(
    again: AgainButton, button: Button, diary: Diary, working: Working, owner_url: str
) -> None:
    diary.activity(diary.mentor())
    async with working():
        report_id = await again.report(export_format="xlsx")
        (original,) = await again.versions(report_id)
        diary.activity(diary.mentor())
        job = await again.done(report_id, source="same_snapshot", reason="The file was lost.")
    assert steps_of(owner_url, job["id"]) == STEPS
    assert told_of(owner_url, job["id"]) == [("reexport_ended", "completed")]
    first, second = await again.versions(report_id)
    assert first == original
    assert (second["version"], second["kind"], second["reexport_id"]) == (2, "reexport", job["id"])
    assert (second["source"], second["reason"], second["created_by"]) == (
        "same_snapshot",
        "The file was lost.",
        job["requested_by"],
    )
    assert second["change"] == {
        "rows_added": 0,
        "rows_removed": 0,
        "rows_changed": 0,
        "mapping_changed": False,
        "same_bytes": True,
    }
    assert second["file"] == first["file"] == job["file"]
    assert (job["file_version"], job["notified_at"] is not None) == (2, True)
    child = await button.look(job["export_id"])
    assert (child["origin"], child["report_id"], child["reexport_id"]) == ("reexport", None, job["id"])
    assert told_of(owner_url, job["export_id"]) == []
    assert await content_of(job) == await content_of(await button.look(first["export_id"]))
