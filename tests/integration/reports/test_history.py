"""The history of reports in the API: listing, submission, entity tags and access."""

import httpx
import psycopg
import pytest

from stafett.domain.membership import Role
from stafett.testing import ActivityFactory, ExportClient, Json, Tenant, create_tenant
from tests.support.fixture_types import Bearer, RunWorker

REPORTS = "/api/v1/reports"


@pytest.fixture
async def report(export_client: ExportClient, activity_factory: ActivityFactory, run_worker: RunWorker) -> Json:
    """The report of a completed export."""
    activity_factory.create_activity(activity_factory.create_mentor())
    async with run_worker():
        job = await export_client.wait_for_completion(await export_client.start_export(locale="nn"))
    return (await get_report(export_client, job["report_id"])).json()  # type: ignore[no-any-return]  # httpx returns Any


async def get_report(export_client: ExportClient, report_id: str, **headers: str) -> httpx.Response:
    return await export_client.http_client.get(f"{REPORTS}/{report_id}", headers=export_client.headers | headers)


async def put_submission(export_client: ExportClient, report_id: str, body: Json, **headers: str) -> httpx.Response:
    return await export_client.http_client.put(
        f"{REPORTS}/{report_id}", json=body, headers=export_client.headers | headers
    )


async def test_completed_export_becomes_a_report_with_one_file(export_client: ExportClient, report: Json) -> None:
    job = await export_client.get_export(report["export_id"])
    assert report["id"] == job["report_id"]
    assert report["reporting_period"] == job["reporting_period"] == {"start": "2026-01-01", "end": "2026-12-31"}
    assert (report["parameters"]["locale"], report["parameters"]["export_format"]) == ("nn", "csv")
    (file,) = report["files"]
    assert (file["version"], file["kind"], file["reexport_id"], file["change"]) == (1, "original", None, None)
    assert (file["file"], file["mapping"]) == (job["file"], job["mapping"])
    assert file["created_by"] == job["requested_by"]
    assert (report["submitted_at"], report["submitted_reference"]) == (None, None)


async def test_empty_export_creates_no_report(export_client: ExportClient, run_worker: RunWorker) -> None:
    async with run_worker():
        job = await export_client.wait_for_completion(await export_client.start_export())
    assert (job["status"], job["report_id"]) == ("completed_empty", None)
    assert (await export_client.http_client.get(REPORTS, headers=export_client.headers)).json() == {
        "items": [],
        "next_page_token": None,
    }


async def test_reports_are_listed_newest_first_in_pages(
    export_client: ExportClient, activity_factory: ActivityFactory, run_worker: RunWorker
) -> None:
    activity_factory.create_activity(activity_factory.create_mentor())
    async with run_worker():
        jobs = [await export_client.wait_for_completion(await export_client.start_export()) for _ in range(3)]
    first = (
        await export_client.http_client.get(REPORTS, params={"page_size": 2}, headers=export_client.headers)
    ).json()
    query = {"page_size": 2, "page_token": first["next_page_token"]}
    second = (await export_client.http_client.get(REPORTS, params=query, headers=export_client.headers)).json()
    assert [item["export_id"] for item in first["items"] + second["items"]] == [job["id"] for job in reversed(jobs)]
    assert second["next_page_token"] is None
    too_early = {"created_before": "2020-01-01T00:00:00Z"}
    assert (await export_client.http_client.get(REPORTS, params=too_early, headers=export_client.headers)).json()[
        "items"
    ] == []


async def test_submission_is_recorded_only_with_the_current_revision(
    export_client: ExportClient, report: Json, owner_url: str
) -> None:
    etag = (await get_report(export_client, report["id"])).headers["ETag"]
    body = {"submitted_at": "2026-09-15T12:00:00+02:00", "submitted_reference": " Bufdir 26/1234 "}
    assert (await put_submission(export_client, report["id"], body)).status_code == 428
    assert (await put_submission(export_client, report["id"], body, **{"If-Match": '"7-1"'})).status_code == 412
    response = await put_submission(export_client, report["id"], body, **{"If-Match": etag})
    assert response.status_code == 200
    submission = (response.json()["submitted_at"], response.json()["submitted_reference"])
    assert submission == ("2026-09-15T10:00:00Z", "Bufdir 26/1234")
    assert (await put_submission(export_client, report["id"], body, **{"If-Match": etag})).status_code == 412
    cleared = await put_submission(
        export_client, report["id"], {"submitted_at": None}, **{"If-Match": response.headers["ETag"]}
    )
    assert (cleared.json()["submitted_at"], cleared.json()["submitted_reference"]) == (None, None)
    with psycopg.connect(owner_url) as connection:
        query = "SELECT event FROM audit_events WHERE subject_id = %s ORDER BY seq"
        events = [event for (event,) in connection.execute(query, [report["id"]]).fetchall()]
    assert events == ["report_submitted", "report_not_submitted"]


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"submitted_at": "yesterday"},
        {"submitted_at": None, "submitted_reference": " "},
        {"submitted_at": None, "submitted_reference": "a\0"},
        {"submitted": 1},
    ],
    ids=["empty", "invalid time", "blank reference", "null character", "unknown field"],
)
async def test_invalid_submission_is_rejected(export_client: ExportClient, report: Json, body: Json) -> None:
    assert (await put_submission(export_client, report["id"], body, **{"If-Match": "*"})).status_code == 422


async def test_report_with_a_current_etag_is_not_sent_again(export_client: ExportClient, report: Json) -> None:
    etag = (await get_report(export_client, report["id"])).headers["ETag"]
    assert (await get_report(export_client, report["id"], **{"If-None-Match": etag})).status_code == 304


async def test_report_of_a_deleted_export_remains_without_its_file(
    export_client: ExportClient, report: Json, tenant: Tenant, bearer: Bearer
) -> None:
    etag = (await get_report(export_client, report["id"])).headers["ETag"]
    admin = bearer(tenant.users[Role.ADMIN], role="admin")
    deleted = await export_client.http_client.delete(f"/api/v1/bufdir-exports/{report['export_id']}", headers=admin)
    assert deleted.status_code == 204
    after = await get_report(export_client, report["id"], **{"If-None-Match": etag})
    assert after.status_code == 200
    assert [file["file"] for file in after.json()["files"]] == [None]


async def test_report_is_hidden_from_strangers_and_read_only_for_auditors(
    export_client: ExportClient, report: Json, tenant: Tenant, bearer: Bearer, owner_url: str
) -> None:
    other = create_tenant(owner_url)
    stranger = bearer(other.coordinator, other.org_id)
    path = f"{REPORTS}/{report['id']}"
    assert (await export_client.http_client.get(path, headers=stranger)).status_code == 404
    body = {"submitted_at": None}
    assert (
        await export_client.http_client.put(path, json=body, headers=stranger | {"If-Match": "*"})
    ).status_code == 404
    assert (await export_client.http_client.get(REPORTS, headers=stranger)).json()["items"] == []
    auditor = bearer(tenant.users[Role.AUDITOR], role="auditor")
    assert (await export_client.http_client.get(path, headers=auditor)).status_code == 200
    assert (
        await export_client.http_client.put(path, json=body, headers=auditor | {"If-Match": "*"})
    ).status_code == 403
