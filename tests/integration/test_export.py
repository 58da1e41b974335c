"""The whole pipeline on the real stack, from the button to the file."""

from collections.abc import Callable
from typing import Any
from uuid import UUID, uuid4

import httpx
import psycopg
from temporalio.client import Client

from stafett.domain.activity import ActivityType
from stafett.domain.export_status import ExportStatus
from stafett.domain.membership import Role
from stafett.file_storage import FileStorage
from stafett.testing import Diary, Tenant, eventually

Json = dict[str, Any]
Bearer = Callable[..., dict[str, str]]

YEAR = {"start": "2026-01-01", "end": "2026-12-31"}


class Button:
    """What a coordinator does: press, look, download."""

    def __init__(self, gateway: httpx.AsyncClient, tenant: Tenant, bearer: Bearer) -> None:
        self.gateway = gateway
        self.tenant = tenant
        self.headers = bearer(tenant.coordinator)

    async def press(self, key: str | None = None, **asked: object) -> httpx.Response:
        body = {"org_id": self.tenant.org_id, "reporting_period": YEAR, "export_format": "csv"} | asked
        headers = self.headers | ({"Idempotency-Key": key} if key else {})
        return await self.gateway.post("/api/v1/bufdir-exports", json=body, headers=headers)

    async def look(self, export_id: str) -> Json:
        answer = await self.gateway.get(f"/api/v1/bufdir-exports/{export_id}", headers=self.headers)
        assert answer.status_code == 200, answer.text
        job: Json = answer.json()
        return job

    async def end_of(self, export_id: str) -> Json:
        return await eventually(lambda: self.look(export_id), lambda job: ExportStatus(job["status"]).is_final)


async def test_the_button_makes_a_file_that_its_link_hands_out(
    gateway: httpx.AsyncClient, tenant: Tenant, bearer: Bearer, diary: Diary, working: Callable[[], Any]
) -> None:
    mentor = diary.mentor("Åse Ødegård")
    diary.activity(mentor, note='=SUM(A1:A3) "æøå";\r\nlinje to', place="Kárášjohka")
    diary.activity(mentor, participants=2, new_participants=0, activity_type=ActivityType.TELEFONSAMTALE.value)
    button = Button(gateway, tenant, bearer)

    pressed = await button.press()
    assert pressed.status_code == 202
    assert pressed.headers["Location"] == f"/api/v1/bufdir-exports/{pressed.json()['id']}"
    assert int(pressed.headers["Retry-After"]) >= 1
    assert pressed.json()["status"] == "initialised"
    async with working():
        job = await button.end_of(pressed.json()["id"])

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
    gateway: httpx.AsyncClient, tenant: Tenant, bearer: Bearer, diary: Diary, owner_url: str, working: Callable[[], Any]
) -> None:
    diary.activity(diary.mentor())
    button = Button(gateway, tenant, bearer)
    export_id = (await button.press()).json()["id"]
    async with working():
        job = await button.end_of(export_id)

    with psycopg.connect(owner_url) as connection:
        trail = connection.execute(
            "SELECT id::text, status, actor, seq FROM audit_events WHERE subject_id = %s ORDER BY seq", [export_id]
        ).fetchall()
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
    gateway: httpx.AsyncClient, tenant: Tenant, bearer: Bearer, working: Callable[[], Any], storage: FileStorage
) -> None:
    button = Button(gateway, tenant, bearer)
    export_id = (await button.press()).json()["id"]
    async with working():
        job = await button.end_of(export_id)
    assert (job["status"], job["row_count"], job["file"], job["download_url"]) == ("completed_empty", 0, None, None)
    assert storage.keys_below(f"exports/{tenant.org_id}/") == []


async def test_a_period_without_activities_is_a_failure_if_that_was_asked_for(
    gateway: httpx.AsyncClient, tenant: Tenant, bearer: Bearer, working: Callable[[], Any]
) -> None:
    button = Button(gateway, tenant, bearer)
    export_id = (await button.press(fail_on_empty=True)).json()["id"]
    async with working():
        job = await button.end_of(export_id)
    assert job["status"] == "failed"
    assert job["error"]["code"] == "no_data_for_period"
    assert job["error"]["retryable"] is False


async def test_somebody_who_left_before_the_run_exports_nothing(
    gateway: httpx.AsyncClient, tenant: Tenant, bearer: Bearer, diary: Diary, owner_url: str, working: Callable[[], Any]
) -> None:
    diary.activity(diary.mentor())
    button = Button(gateway, tenant, bearer)
    export_id = (await button.press()).json()["id"]
    with psycopg.connect(owner_url) as connection:
        connection.execute("DELETE FROM memberships WHERE user_id = %s", [tenant.coordinator])
    button.headers = bearer(tenant.users[Role.AUDITOR], role="auditor")
    async with working():
        job = await button.end_of(export_id)
    assert (job["status"], job["error"]["code"], job["counts"]) == ("failed", "permission_denied", None)


async def test_a_second_click_with_the_same_key_is_the_same_export(
    gateway: httpx.AsyncClient, tenant: Tenant, bearer: Bearer
) -> None:
    button, key = Button(gateway, tenant, bearer), str(uuid4())
    first, again = await button.press(key), await button.press(key)
    assert (again.status_code, again.json()["id"]) == (202, first.json()["id"])
    other = await button.press(key, locale="en")
    assert (other.status_code, other.json()["code"]) == (422, "idempotency_key_reused")


async def test_the_report_is_the_same_bytes_each_time(
    gateway: httpx.AsyncClient, tenant: Tenant, bearer: Bearer, diary: Diary, working: Callable[[], Any]
) -> None:
    mentor = diary.mentor()
    for _ in range(5):
        diary.activity(mentor)
    button = Button(gateway, tenant, bearer)
    ids = [(await button.press()).json()["id"] for _ in range(2)]
    async with working():
        files = [(await button.end_of(export_id))["file"] for export_id in ids]
    assert files[0] == files[1]


async def test_nothing_is_handed_out_across_organisations(
    gateway: httpx.AsyncClient, tenant: Tenant, bearer: Bearer, owner_url: str
) -> None:
    from stafett.testing import found_tenant

    stranger = found_tenant(owner_url)
    mine = (await Button(gateway, tenant, bearer).press()).json()["id"]
    headers = bearer(stranger.coordinator, stranger.org_id)

    for export_id in (mine, str(uuid4())):
        answer = await gateway.get(f"/api/v1/bufdir-exports/{export_id}", headers=headers)
        assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
    listed = await gateway.get("/api/v1/bufdir-exports", params={"org_id": tenant.org_id}, headers=headers)
    assert listed.json()["items"] == []
    body = {"org_id": tenant.org_id, "reporting_period": YEAR, "export_format": "csv"}
    started = await gateway.post("/api/v1/bufdir-exports", json=body, headers=headers)
    assert (started.status_code, started.json()["code"]) == (403, "permission_denied")


async def test_a_job_that_was_never_started_is_started_by_the_sweeper(
    gateway: httpx.AsyncClient,
    tenant: Tenant,
    bearer: Bearer,
    temporal: Client,
    working: Callable[[], Any],
    diary: Diary,
) -> None:
    diary.activity(diary.mentor())
    button = Button(gateway, tenant, bearer)
    export_id = (await button.press()).json()["id"]
    await temporal.get_workflow_handle(f"bufdir-export/{export_id}").terminate()
    assert UUID(export_id)
    async with working():
        pass
