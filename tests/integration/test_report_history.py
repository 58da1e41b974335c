"""The history of reports, through the gateway."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

import httpx
import psycopg
import pytest

from stafett.domain.membership import Role
from stafett.testing import ActivityFactory, ExportClient, Json, Tenant, create_tenant

Bearer = Callable[..., dict[str, str]]
Working = Callable[[], AbstractAsyncContextManager[None]]
REPORTS = "/api/v1/reports"


@pytest.fixture
async def report(button: ExportClient, diary: ActivityFactory, working: Working) -> Json:
    """The entry of an export that was completed."""
    diary.create_activity(diary.create_mentor())
    async with working():
        job = await button.wait_for_completion(await button.start_export(locale="nn"))
    return (await looked_at(button, job["report_id"])).json()  # type: ignore[no-any-return]  # httpx says Any


async def looked_at(button: ExportClient, report_id: str, **headers: str) -> httpx.Response:
    return await button.http_client.get(f"{REPORTS}/{report_id}", headers=button.headers | headers)


async def submitted(button: ExportClient, report_id: str, body: Json, **headers: str) -> httpx.Response:
    return await button.http_client.put(f"{REPORTS}/{report_id}", json=body, headers=button.headers | headers)


async def test_a_completed_export_is_an_entry_with_its_first_file(button: ExportClient, report: Json) -> None:
    job = await button.get_export(report["export_id"])
    assert report["id"] == job["report_id"]
    assert report["reporting_period"] == job["reporting_period"] == {"start": "2026-01-01", "end": "2026-12-31"}
    assert (report["parameters"]["locale"], report["parameters"]["export_format"]) == ("nn", "csv")
    (file,) = report["files"]
    assert (file["version"], file["kind"], file["reexport_id"], file["change"]) == (1, "original", None, None)
    assert (file["file"], file["mapping"]) == (job["file"], job["mapping"])
    assert file["created_by"] == job["requested_by"]
    assert (report["submitted_at"], report["submitted_reference"]) == (None, None)


async def test_nothing_to_report_is_no_entry(button: ExportClient, working: Working) -> None:
    async with working():
        job = await button.wait_for_completion(await button.start_export())
    assert (job["status"], job["report_id"]) == ("completed_empty", None)
    assert (await button.http_client.get(REPORTS, headers=button.headers)).json() == {
        "items": [],
        "next_page_token": None,
    }


async def test_the_history_is_listed_newest_first_a_page_at_a_time(
    button: ExportClient, diary: ActivityFactory, working: Working
) -> None:
    diary.create_activity(diary.create_mentor())
    async with working():
        jobs = [await button.wait_for_completion(await button.start_export()) for _ in range(3)]
    first = (await button.http_client.get(REPORTS, params={"page_size": 2}, headers=button.headers)).json()
    query = {"page_size": 2, "page_token": first["next_page_token"]}
    second = (await button.http_client.get(REPORTS, params=query, headers=button.headers)).json()
    assert [entry["export_id"] for entry in first["items"] + second["items"]] == [job["id"] for job in reversed(jobs)]
    assert second["next_page_token"] is None
    none = {"created_before": "2020-01-01T00:00:00Z"}
    assert (await button.http_client.get(REPORTS, params=none, headers=button.headers)).json()["items"] == []


async def test_what_was_handed_in_is_written_down_by_whoever_has_seen_the_entry(
    button: ExportClient, report: Json, owner_url: str
) -> None:
    tag = (await looked_at(button, report["id"])).headers["ETag"]
    body = {"submitted_at": "2026-09-15T12:00:00+02:00", "submitted_reference": " Bufdir 26/1234 "}
    assert (await submitted(button, report["id"], body)).status_code == 428
    assert (await submitted(button, report["id"], body, **{"If-Match": '"7-1"'})).status_code == 412
    answer = await submitted(button, report["id"], body, **{"If-Match": tag})
    assert answer.status_code == 200
    said = (answer.json()["submitted_at"], answer.json()["submitted_reference"])
    assert said == ("2026-09-15T10:00:00Z", "Bufdir 26/1234")
    assert (await submitted(button, report["id"], body, **{"If-Match": tag})).status_code == 412
    only_when = await submitted(button, report["id"], {"submitted_at": None}, **{"If-Match": answer.headers["ETag"]})
    assert (only_when.json()["submitted_at"], only_when.json()["submitted_reference"]) == (None, "Bufdir 26/1234")
    taken_back = {"submitted_at": None, "submitted_reference": None}
    again = await submitted(button, report["id"], taken_back, **{"If-Match": only_when.headers["ETag"]})
    assert (await submitted(button, report["id"], taken_back, **{"If-Match": "*"})).status_code == 200
    assert (again.json()["submitted_at"], again.json()["submitted_reference"]) == (None, None)
    with psycopg.connect(owner_url) as connection:
        query = "SELECT event FROM audit_events WHERE subject_id = %s ORDER BY seq"
        events = [event for (event,) in connection.execute(query, [report["id"]]).fetchall()]
    assert events == ["report_submitted", *["report_not_submitted"] * 3]


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"submitted_at": "yesterday"},
        {"submitted_at": None, "submitted_reference": " "},
        {"submitted_at": None, "submitted_reference": "a\0"},
        {"submitted": 1},
    ],
)
async def test_rubbish_is_not_written_down(button: ExportClient, report: Json, body: Json) -> None:
    assert (await submitted(button, report["id"], body, **{"If-Match": "*"})).status_code == 422


async def test_who_has_it_already_is_not_sent_it_again(button: ExportClient, report: Json) -> None:
    tag = (await looked_at(button, report["id"])).headers["ETag"]
    assert (await looked_at(button, report["id"], **{"If-None-Match": tag})).status_code == 304


async def test_an_entry_outlives_its_export_and_says_that_the_file_is_gone(
    button: ExportClient, report: Json, tenant: Tenant, bearer: Bearer
) -> None:
    tag = (await looked_at(button, report["id"])).headers["ETag"]
    admin = bearer(tenant.users[Role.ADMIN], role="admin")
    deleted = await button.http_client.delete(f"/api/v1/bufdir-exports/{report['export_id']}", headers=admin)
    assert deleted.status_code == 204
    after = await looked_at(button, report["id"], **{"If-None-Match": tag})
    assert after.status_code == 200
    assert [file["file"] for file in after.json()["files"]] == [None]


async def test_whose_report_it_is_not_knows_nothing_of_it(
    button: ExportClient, report: Json, tenant: Tenant, bearer: Bearer, owner_url: str
) -> None:
    other = create_tenant(owner_url)
    stranger = bearer(other.coordinator, other.org_id)
    path = f"{REPORTS}/{report['id']}"
    assert (await button.http_client.get(path, headers=stranger)).status_code == 404
    body = {"submitted_at": None}
    assert (await button.http_client.put(path, json=body, headers=stranger | {"If-Match": "*"})).status_code == 404
    assert (await button.http_client.get(REPORTS, headers=stranger)).json()["items"] == []
    auditor = bearer(tenant.users[Role.AUDITOR], role="auditor")
    assert (await button.http_client.get(path, headers=auditor)).status_code == 200
    assert (await button.http_client.put(path, json=body, headers=auditor | {"If-Match": "*"})).status_code == 403
