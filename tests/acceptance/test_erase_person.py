"""A person is erased while the stack runs; files with their data become unavailable at once."""

import httpx
import psycopg

from stafett.testing import ActivityFactory, ExportClient
from tests.support.dev_stack import EXPORTS, DevStack, assert_problem


async def test_erasing_a_mentor_removes_files_and_allows_a_new_export(
    dev_stack: DevStack,
    export_client: ExportClient,
    activity_factory: ActivityFactory,
    api_client: httpx.AsyncClient,
    owner_connection: psycopg.Connection,
) -> None:
    mentor = activity_factory.create_mentor("Ågot Ærlig")
    activity_factory.create_activity(mentor, note="Fortrolig")
    job = await export_client.wait_for_completion(await export_client.start_export())
    erase = ("erase-person", "--org", export_client.org_id, "--mentor", mentor, "--yes", "--json")
    summary = (await dev_stack.run(*erase)).json["summary"]
    assert summary["notes_cleared"] == 1
    assert summary["exports_emptied"] == [{"id": job["id"], "report_id": job["report_id"]}]
    assert_problem(await api_client.get(f"{EXPORTS}/{job['id']}/file", headers=export_client.headers), 410)
    (await dev_stack.run("audit", "verify", "--org", export_client.org_id)).require_success()
    new_job = await export_client.wait_for_completion(await export_client.start_export())
    assert (new_job["status"], new_job["row_count"]) == ("completed", 1)
    assert new_job["file"]["content_sha256"] != job["file"]["content_sha256"]
    assert (await dev_stack.run(*erase)).json["already_erased"]
    name = owner_connection.execute("SELECT display_name FROM peer_mentors WHERE id = %s", [mentor]).fetchone()
    assert name == ("Slettet person",)
