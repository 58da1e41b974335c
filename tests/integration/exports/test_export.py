"""The whole export pipeline on the real stack, from the request to the file."""

from uuid import uuid4

import httpx
import psycopg

from stafett.domain.activity import ActivityType
from stafett.domain.membership import Role
from stafett.storage.files import FileStorage
from stafett.testing import ActivityFactory, ExportClient, Tenant, create_tenant
from tests.support.fixture_types import Bearer, RunWorker


async def test_export_produces_a_downloadable_file(
    export_client: ExportClient, activity_factory: ActivityFactory, run_worker: RunWorker
) -> None:
    mentor = activity_factory.create_mentor("Åse Ødegård")
    activity_factory.create_activity(mentor, note='=SUM(A1:A3) "æøå";\r\nlinje to', place="Kárášjohka")
    activity_factory.create_activity(
        mentor, participants=2, new_participants=0, activity_type=ActivityType.TELEFONSAMTALE.value
    )

    accepted = await export_client.request_export()
    assert accepted.status_code == 202
    assert accepted.headers["Location"] == f"/api/v1/bufdir-exports/{accepted.json()['id']}"
    assert int(accepted.headers["Retry-After"]) >= 1
    assert accepted.json()["status"] == "initialised"
    async with run_worker():
        job = await export_client.wait_for_completion(accepted.json()["id"])

    assert job["status"] == "completed", job["error"]
    assert job["counts"] == {"queried": 2, "written": 2, "countable": 1, "not_countable": 1, "rejected": 0, "events": 1}
    assert job["row_count"] == 2
    async with httpx.AsyncClient() as anonymous_client:
        file = await anonymous_client.get(job["download_url"])
    assert file.status_code == 200
    assert len(file.content) == job["file"]["size_bytes"]
    text = file.content.decode("utf-8")
    assert text.startswith("\N{ZERO WIDTH NO-BREAK SPACE}Dato;Starttid;")
    assert '"\'=SUM(A1:A3) ""æøå"";\r\nlinje to"' in text
    assert "05.01.2026;10:00;60;Samtalegruppe;Åse Ødegård;Kárášjohka;5;1;Ja;Ja;Ja;" in text


async def test_audit_trail_has_an_event_for_every_stage_in_order(
    export_client: ExportClient,
    tenant: Tenant,
    activity_factory: ActivityFactory,
    owner_url: str,
    run_worker: RunWorker,
) -> None:
    activity_factory.create_activity(activity_factory.create_mentor())
    export_id = await export_client.start_export()
    async with run_worker():
        job = await export_client.wait_for_completion(export_id)

    with psycopg.connect(owner_url) as connection:
        events = connection.execute(
            "SELECT id::text, status, actor, seq FROM audit_events WHERE subject_id = %s ORDER BY seq", [export_id]
        ).fetchall()
    *events, link_issued = events  # `wait_for_completion` has just received a link
    assert link_issued[1:3] == (None, f"user:{tenant.coordinator}")
    assert [status for _, status, _, _ in events] == [
        "initialised",
        "querying_activities",
        "mapping_columns",
        "generating_file",
        "storing_file",
        "recording_audit",
        "completed",
    ]
    assert events[0][0] == job["audit_id"]
    assert events[0][2] == f"user:{tenant.coordinator}"
    assert [seq for *_, seq in events] == list(range(1, 8))


async def test_empty_period_completes_without_a_file(
    export_client: ExportClient, tenant: Tenant, run_worker: RunWorker, storage: FileStorage
) -> None:
    export_id = await export_client.start_export()
    async with run_worker():
        job = await export_client.wait_for_completion(export_id)
    assert (job["status"], job["row_count"], job["file"], job["download_url"]) == ("completed_empty", 0, None, None)
    assert storage.list_keys(f"exports/{tenant.org_id}/") == []


async def test_empty_period_fails_with_fail_on_empty(export_client: ExportClient, run_worker: RunWorker) -> None:
    export_id = await export_client.start_export(fail_on_empty=True)
    async with run_worker():
        job = await export_client.wait_for_completion(export_id)
    assert job["status"] == "failed"
    assert job["error"]["code"] == "no_data_for_period"
    assert job["error"]["retryable"] is False


async def test_export_fails_if_its_user_has_left_before_the_run(
    export_client: ExportClient,
    tenant: Tenant,
    bearer: Bearer,
    activity_factory: ActivityFactory,
    owner_url: str,
    run_worker: RunWorker,
) -> None:
    activity_factory.create_activity(activity_factory.create_mentor())
    export_id = await export_client.start_export()
    with psycopg.connect(owner_url) as connection:
        connection.execute("DELETE FROM memberships WHERE user_id = %s", [tenant.coordinator])
    export_client.headers = bearer(tenant.users[Role.AUDITOR], role="auditor")
    async with run_worker():
        job = await export_client.wait_for_completion(export_id)
    assert (job["status"], job["error"]["code"], job["counts"]) == ("failed", "permission_denied", None)


async def test_reused_idempotency_key_returns_the_same_export_or_is_rejected(export_client: ExportClient) -> None:
    key = str(uuid4())
    first, second = await export_client.request_export(key), await export_client.request_export(key)
    assert (second.status_code, second.json()["id"]) == (202, first.json()["id"])
    different = await export_client.request_export(key, locale="en")
    assert (different.status_code, different.json()["code"]) == (422, "idempotency_key_reused")


async def test_idempotency_key_is_shared_by_users_and_ignores_default_fields(
    export_client: ExportClient, api_client: httpx.AsyncClient, tenant: Tenant, bearer: Bearer
) -> None:
    key = str(uuid4())
    first = await export_client.request_export(key)
    colleague = ExportClient(api_client, tenant.org_id, bearer(tenant.users[Role.ADMIN], role="admin"))
    second = await colleague.request_export(key, locale="nb", include_attachments=False)
    assert (second.status_code, second.json()["id"]) == (202, first.json()["id"])


async def test_two_exports_of_the_same_rows_are_byte_identical(
    export_client: ExportClient, activity_factory: ActivityFactory, run_worker: RunWorker
) -> None:
    mentor = activity_factory.create_mentor()
    for _ in range(5):
        activity_factory.create_activity(mentor)
    ids = [await export_client.start_export() for _ in range(2)]
    async with run_worker():
        files = [(await export_client.wait_for_completion(export_id))["file"] for export_id in ids]
    assert files[0] == files[1]


async def test_exports_of_other_organisations_are_hidden(
    export_client: ExportClient, api_client: httpx.AsyncClient, tenant: Tenant, bearer: Bearer, owner_url: str
) -> None:
    other_tenant = create_tenant(owner_url)
    own_export = await export_client.start_export()
    headers = bearer(other_tenant.coordinator, other_tenant.org_id)

    for export_id in (own_export, str(uuid4())):
        response = await api_client.get(f"/api/v1/bufdir-exports/{export_id}", headers=headers)
        assert (response.status_code, response.json()["code"]) == (404, "not_found")
    listed = await api_client.get("/api/v1/bufdir-exports", params={"org_id": tenant.org_id}, headers=headers)
    assert listed.json()["items"] == []
    started = await ExportClient(api_client, tenant.org_id, headers).request_export()
    assert (started.status_code, started.json()["code"]) == (403, "permission_denied")
