"""The whole pipeline on the real stack, from the button to the file."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from uuid import uuid4

import httpx
import psycopg

from stafett.domain.activity import ActivityType
from stafett.domain.membership import Role
from stafett.storage.files import FileStorage
from stafett.testing import ActivityFactory, ExportClient, Tenant, create_tenant

Bearer = Callable[..., dict[str, str]]
Working = Callable[[], AbstractAsyncContextManager[None]]


async def test_the_button_makes_a_file_that_its_link_hands_out(
    button: ExportClient, diary: ActivityFactory, working: Working
) -> None:
    mentor = diary.create_mentor("Åse Ødegård")
    diary.create_activity(mentor, note='=SUM(A1:A3) "æøå";\r\nlinje to', place="Kárášjohka")
    diary.create_activity(mentor, participants=2, new_participants=0, activity_type=ActivityType.TELEFONSAMTALE.value)

    pressed = await button.request_export()
    assert pressed.status_code == 202
    assert pressed.headers["Location"] == f"/api/v1/bufdir-exports/{pressed.json()['id']}"
    assert int(pressed.headers["Retry-After"]) >= 1
    assert pressed.json()["status"] == "initialised"
    async with working():
        job = await button.wait_for_completion(pressed.json()["id"])

    assert job["status"] == "completed", job["error"]
    assert job["counts"] == {"queried": 2, "written": 2, "countable": 1, "not_countable": 1, "rejected": 0}
    assert job["row_count"] == 2
    async with httpx.AsyncClient() as anybody:
        file = await anybody.get(job["download_url"])
    assert file.status_code == 200
    assert len(file.content) == job["file"]["size_bytes"]
    text = file.content.decode("utf-8")
    assert text.startswith("\N{ZERO WIDTH NO-BREAK SPACE}Dato;Starttid;")
    assert '"\'=SUM(A1:A3) ""æøå"";\r\nlinje to"' in text
    assert "05.01.2026;10:00;60;Samtalegruppe;Åse Ødegård;Kárášjohka;5;1;Ja;Ja;Ja;" in text


async def test_the_trail_tells_every_step_before_the_next_one_begins(
    button: ExportClient, tenant: Tenant, diary: ActivityFactory, owner_url: str, working: Working
) -> None:
    diary.create_activity(diary.create_mentor())
    export_id = await button.start_export()
    async with working():
        job = await button.wait_for_completion(export_id)

    with psycopg.connect(owner_url) as connection:
        trail = connection.execute(
            "SELECT id::text, status, actor, seq FROM audit_events WHERE subject_id = %s ORDER BY seq", [export_id]
        ).fetchall()
    *trail, link_issued = trail  # to whoever has just waited for the end
    assert link_issued[1:3] == (None, f"user:{tenant.coordinator}")
    assert [status for _, status, _, _ in trail] == [
        "initialised",
        "querying_activities",
        "mapping_columns",
        "generating_file",
        "storing_file",
        "recording_audit",
        "completed",
    ]
    assert trail[0][0] == job["audit_id"]
    assert trail[0][2] == f"user:{tenant.coordinator}"
    assert [seq for *_, seq in trail] == list(range(1, 8))


async def test_a_period_without_activities_is_a_success_without_a_file(
    button: ExportClient, tenant: Tenant, working: Working, storage: FileStorage
) -> None:
    export_id = await button.start_export()
    async with working():
        job = await button.wait_for_completion(export_id)
    assert (job["status"], job["row_count"], job["file"], job["download_url"]) == ("completed_empty", 0, None, None)
    assert storage.list_keys(f"exports/{tenant.org_id}/") == []


async def test_a_period_without_activities_is_a_failure_if_that_was_asked_for(
    button: ExportClient, working: Working
) -> None:
    export_id = await button.start_export(fail_on_empty=True)
    async with working():
        job = await button.wait_for_completion(export_id)
    assert job["status"] == "failed"
    assert job["error"]["code"] == "no_data_for_period"
    assert job["error"]["retryable"] is False


async def test_somebody_who_left_before_the_run_exports_nothing(
    button: ExportClient, tenant: Tenant, bearer: Bearer, diary: ActivityFactory, owner_url: str, working: Working
) -> None:
    diary.create_activity(diary.create_mentor())
    export_id = await button.start_export()
    with psycopg.connect(owner_url) as connection:
        connection.execute("DELETE FROM memberships WHERE user_id = %s", [tenant.coordinator])
    button.headers = bearer(tenant.users[Role.AUDITOR], role="auditor")
    async with working():
        job = await button.wait_for_completion(export_id)
    assert (job["status"], job["error"]["code"], job["counts"]) == ("failed", "permission_denied", None)


async def test_a_second_click_with_the_same_key_is_the_same_export(button: ExportClient) -> None:
    key = str(uuid4())
    first, again = await button.request_export(key), await button.request_export(key)
    assert (again.status_code, again.json()["id"]) == (202, first.json()["id"])
    other = await button.request_export(key, locale="en")
    assert (other.status_code, other.json()["code"]) == (422, "idempotency_key_reused")


async def test_a_key_stands_for_the_export_whoever_of_the_organisation_sends_it_and_however_it_is_spelled(
    button: ExportClient, gateway: httpx.AsyncClient, tenant: Tenant, bearer: Bearer
) -> None:
    key = str(uuid4())
    first = await button.request_export(key)
    colleague = ExportClient(gateway, tenant.org_id, bearer(tenant.users[Role.ADMIN], role="admin"))
    again = await colleague.request_export(key, locale="nb", include_attachments=False)
    assert (again.status_code, again.json()["id"]) == (202, first.json()["id"])


async def test_the_report_is_the_same_bytes_each_time(
    button: ExportClient, diary: ActivityFactory, working: Working
) -> None:
    mentor = diary.create_mentor()
    for _ in range(5):
        diary.create_activity(mentor)
    ids = [await button.start_export() for _ in range(2)]
    async with working():
        files = [(await button.wait_for_completion(export_id))["file"] for export_id in ids]
    assert files[0] == files[1]


async def test_nothing_is_handed_out_across_organisations(
    button: ExportClient, gateway: httpx.AsyncClient, tenant: Tenant, bearer: Bearer, owner_url: str
) -> None:
    stranger = create_tenant(owner_url)
    mine = await button.start_export()
    headers = bearer(stranger.coordinator, stranger.org_id)

    for export_id in (mine, str(uuid4())):
        answer = await gateway.get(f"/api/v1/bufdir-exports/{export_id}", headers=headers)
        assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
    listed = await gateway.get("/api/v1/bufdir-exports", params={"org_id": tenant.org_id}, headers=headers)
    assert listed.json()["items"] == []
    started = await ExportClient(gateway, tenant.org_id, headers).request_export()
    assert (started.status_code, started.json()["code"]) == (403, "permission_denied")
