"""Reading one export: the resource, its ETag, and the link that opens one object for those who may."""

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from uuid import UUID

import httpx

from stafett.domain.membership import Role
from stafett.testing import ActivityFactory, ExportClient, Json, Tenant
from tests.acceptance.dev_stack import EXPORTS

Bearer = Callable[..., dict[str, str]]
_RESOURCE = {
    "id",
    "org_id",
    "requested_by",
    "reporting_period",
    "export_format",
    "locale",
    "include_attachments",
    "status",
    "progress",
    "row_count",
    "counts",
    "warnings",
    "file",
    "download_url",
    "download_url_expires_at",
    "audit_id",
    "report_id",
    "mapping",
    "partial_failures",
    "partial_failure_count",
    "error",
    "attempts",
    "created_at",
    "updated_at",
    "completed_at",
}


async def _finished(button: ExportClient, diary: ActivityFactory) -> Json:
    diary.create_activity(diary.create_mentor())
    return await button.wait_for_completion(await button.start_export())


async def _get(button: ExportClient, export_id: str, **headers: str) -> httpx.Response:
    return await button.http_client.get(f"{EXPORTS}/{export_id}", headers=button.headers | headers)


async def test_an_accepted_export_is_202_with_its_address(button: ExportClient, tenant: Tenant) -> None:
    accepted = await button.request_export()
    assert accepted.status_code == 202
    assert accepted.headers["Location"].endswith(f"{EXPORTS}/{accepted.json()['id']}")
    assert int(accepted.headers["Retry-After"]) >= 0
    assert accepted.json()["status"] == "initialised"
    assert accepted.json()["requested_by"] == str(tenant.coordinator)
    assert (await _get(button, accepted.json()["id"])).status_code == 200


async def test_the_resource_has_the_fields_of_the_contract(button: ExportClient, diary: ActivityFactory) -> None:
    job = await _finished(button, diary)
    assert job.keys() >= _RESOURCE
    assert job["progress"].keys() == {"stage", "done", "total", "waiting_for", "updated_at"}
    assert job["counts"].keys() == {"queried", "written", "countable", "not_countable", "rejected"}
    assert job["file"].keys() == {"name", "mime_type", "size_bytes", "sha256", "content_sha256"}
    assert job["mapping"].keys() == {"version", "sha256"}
    assert job["attempts"][0].keys() == {
        "number",
        "started_at",
        "ended_at",
        "outcome",
        "resumed_from",
        "stages_reused",
    }
    assert [str(UUID(job[name])) for name in ("id", "audit_id")] == [job["id"], job["audit_id"]]


async def test_times_are_rfc_3339_in_utc(button: ExportClient, diary: ActivityFactory) -> None:
    job = await _finished(button, diary)
    times = [job[name] for name in ("created_at", "updated_at", "completed_at", "download_url_expires_at")]
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z", time) for time in times), times
    assert job["created_at"] <= job["completed_at"]


async def test_a_running_export_says_when_to_look_again_and_a_finished_one_does_not(
    button: ExportClient, diary: ActivityFactory
) -> None:
    accepted = await button.request_export()
    assert "Retry-After" in accepted.headers
    job = await _finished(button, diary)
    assert "Retry-After" not in (await _get(button, job["id"])).headers


async def test_an_etag_that_still_holds_is_answered_with_304(button: ExportClient, diary: ActivityFactory) -> None:
    job = await _finished(button, diary)
    etag = (await _get(button, job["id"])).headers["ETag"]
    assert re.fullmatch(r'"\d+-\d+"', etag)
    unchanged = await _get(button, job["id"], **{"If-None-Match": etag})
    assert (unchanged.status_code, unchanged.content, unchanged.headers["ETag"]) == (304, b"", etag)
    assert (await _get(button, job["id"], **{"If-None-Match": '"0-99999"'})).status_code == 200


async def test_an_etag_in_a_list_or_weakened_on_its_way_still_holds(
    button: ExportClient, diary: ActivityFactory
) -> None:
    job = await _finished(button, diary)
    etag = (await _get(button, job["id"])).headers["ETag"]
    answers = [await _get(button, job["id"], **{"If-None-Match": said}) for said in (f'"x", {etag}', f"W/{etag}", "*")]
    assert [answer.status_code for answer in answers] == [304, 304, 304]


async def test_an_export_that_moved_on_has_another_etag(button: ExportClient, diary: ActivityFactory) -> None:
    diary.create_activity(diary.create_mentor())
    accepted = await button.request_export()
    await button.wait_for_completion(accepted.json()["id"])
    moved = await _get(button, accepted.json()["id"], **{"If-None-Match": accepted.headers["ETag"]})
    assert moved.status_code == 200
    assert moved.headers["ETag"] != accepted.headers["ETag"]
    assert moved.headers["ETag"].split("-")[0] == accepted.headers["ETag"].split("-")[0]


async def test_the_link_is_the_same_on_every_reading_and_never_cached(
    button: ExportClient, diary: ActivityFactory
) -> None:
    job = await _finished(button, diary)
    readings = [await _get(button, job["id"]) for _ in range(2)]
    assert {reading.json()["download_url"] for reading in readings} == {job["download_url"]}
    assert all("no-store" in reading.headers["Cache-Control"] for reading in readings)


async def test_the_link_lives_for_another_day_at_least(button: ExportClient, diary: ActivityFactory) -> None:
    job = await _finished(button, diary)
    expires_at = datetime.fromisoformat(job["download_url_expires_at"])
    left = expires_at - datetime.now(UTC)
    assert timedelta(hours=24) - timedelta(minutes=1) < left <= timedelta(hours=48)


async def test_the_link_opens_the_file_under_its_name(
    button: ExportClient, diary: ActivityFactory, anybody: httpx.AsyncClient
) -> None:
    job = await _finished(button, diary)
    file = (await anybody.get(job["download_url"])).raise_for_status()
    assert file.headers["Content-Type"].split(";")[0] == job["file"]["mime_type"]
    assert file.headers["Content-Disposition"].startswith("attachment")
    assert job["file"]["name"] in file.headers["Content-Disposition"]


async def test_the_link_opens_nothing_else(
    button: ExportClient, diary: ActivityFactory, anybody: httpx.AsyncClient
) -> None:
    mine, another = [httpx.URL((await _finished(button, diary))["download_url"]) for _ in range(2)]
    exchanged = mine.copy_with(path=another.path)
    signature = mine.params["X-Amz-Signature"]
    tampered = mine.copy_set_param("X-Amz-Signature", ("0" if signature[0] != "0" else "1") + signature[1:])
    prolonged = mine.copy_set_param("X-Amz-Expires", "604800")
    unsigned = mine.copy_with(query=None)
    refused = [(await anybody.get(url)).status_code for url in (exchanged, tampered, prolonged, unsigned)]
    assert refused == [403, 403, 403, 403]
    assert (await anybody.delete(mine)).status_code == 403
    assert (await anybody.get(mine)).status_code == 200


async def test_an_auditor_reads_the_export_and_gets_no_link(
    button: ExportClient, diary: ActivityFactory, tenant: Tenant, bearer: Bearer
) -> None:
    job = await _finished(button, diary)
    button.headers = bearer(tenant.users[Role.AUDITOR], role="auditor")
    seen = await button.get_export(job["id"])
    assert (seen["status"], seen["file"]["sha256"]) == ("completed", job["file"]["sha256"])
    assert (seen["download_url"], seen["download_url_expires_at"]) == (None, None)


async def test_an_operator_reads_any_organisations_export_and_gets_no_link(
    button: ExportClient, diary: ActivityFactory, operator: dict[str, str]
) -> None:
    job = await _finished(button, diary)
    button.headers = operator
    seen = await button.get_export(job["id"])
    assert (seen["status"], seen["org_id"], seen["download_url"]) == ("completed", button.org_id, None)


async def test_an_admin_gets_a_link_to_what_a_coordinator_started(
    button: ExportClient, diary: ActivityFactory, tenant: Tenant, bearer: Bearer
) -> None:
    job = await _finished(button, diary)
    button.headers = bearer(tenant.users[Role.ADMIN], role="admin")
    assert (await button.get_export(job["id"]))["download_url"]
