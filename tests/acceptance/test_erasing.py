"""A person is erased on a stack that runs: what held them is gone for everybody at once."""

import httpx
import psycopg

from stafett.testing import ActivityFactory, ExportClient
from tests.acceptance.dev_stack import EXPORTS, DevStack, assert_problem


async def test_the_reports_of_an_erased_mentor_are_gone_and_can_be_made_anew(
    dev: DevStack, button: ExportClient, diary: ActivityFactory, gateway: httpx.AsyncClient, owner: psycopg.Connection
) -> None:
    mentor = diary.create_mentor("Ågot Ærlig")
    diary.create_activity(mentor, note="Fortrolig")
    job = await button.wait_for_completion(await button.start_export())
    erase = ("erase-person", "--org", button.org_id, "--mentor", mentor, "--yes", "--json")
    touched = (await dev.run(*erase)).json["summary"]
    assert touched["notes_cleared"] == 1
    assert touched["exports_emptied"] == [{"id": job["id"], "report_id": job["report_id"]}]
    assert_problem(await gateway.get(f"{EXPORTS}/{job['id']}/file", headers=button.headers), 410)
    (await dev.run("audit", "verify", "--org", button.org_id)).done()
    anew = await button.wait_for_completion(await button.start_export())
    assert (anew["status"], anew["row_count"]) == ("completed", 1)
    assert anew["file"]["content_sha256"] != job["file"]["content_sha256"]
    assert (await dev.run(*erase)).json["already_erased"]
    name = owner.execute("SELECT display_name FROM peer_mentors WHERE id = %s", [mentor]).fetchone()
    assert name == ("Slettet person",)
