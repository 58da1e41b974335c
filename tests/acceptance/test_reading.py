"""Reading one export: the resource, its ETag, and the download link of authorised users."""

import re
from datetime import UTC, datetime, timedelta
from uuid import UUID

import httpx

from stafett.domain.membership import Role
from stafett.testing import ActivityFactory, ExportClient, Json, Tenant
from tests.support.dev_stack import EXPORTS
from tests.support.fixture_types import Bearer

_FIELDS = {
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


async def _create_finished_export(export_client: ExportClient, activity_factory: ActivityFactory) -> Json:
    activity_factory.create_activity(activity_factory.create_mentor())
    return await export_client.wait_for_completion(await export_client.start_export())


async def _get(export_client: ExportClient, export_id: str, **headers: str) -> httpx.Response:
    return await export_client.http_client.get(f"{EXPORTS}/{export_id}", headers=export_client.headers | headers)


async def test_accepted_export_returns_202_with_its_location(export_client: ExportClient, tenant: Tenant) -> None:
    created = await export_client.request_export()
    assert created.status_code == 202
    assert created.headers["Location"].endswith(f"{EXPORTS}/{created.json()['id']}")
    assert int(created.headers["Retry-After"]) >= 0
    assert created.json()["status"] == "initialised"
    assert created.json()["requested_by"] == str(tenant.coordinator)
    assert (await _get(export_client, created.json()["id"])).status_code == 200


async def test_export_has_the_fields_of_the_contract(
    export_client: ExportClient, activity_factory: ActivityFactory
) -> None:
    job = await _create_finished_export(export_client, activity_factory)
    assert job.keys() >= _FIELDS
    assert job["progress"].keys() == {"stage", "done", "total", "waiting_for", "updated_at"}
    assert job["counts"].keys() == {"queried", "written", "countable", "not_countable", "rejected", "events"}
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


async def test_times_are_rfc_3339_in_utc(export_client: ExportClient, activity_factory: ActivityFactory) -> None:
    job = await _create_finished_export(export_client, activity_factory)
    times = [job[name] for name in ("created_at", "updated_at", "completed_at", "download_url_expires_at")]
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z", time) for time in times), times
    assert job["created_at"] <= job["completed_at"]


async def test_only_running_exports_have_a_retry_after_header(
    export_client: ExportClient, activity_factory: ActivityFactory
) -> None:
    created = await export_client.request_export()
    assert "Retry-After" in created.headers
    job = await _create_finished_export(export_client, activity_factory)
    assert "Retry-After" not in (await _get(export_client, job["id"])).headers


async def test_request_with_the_current_etag_returns_304(
    export_client: ExportClient, activity_factory: ActivityFactory
) -> None:
    job = await _create_finished_export(export_client, activity_factory)
    etag = (await _get(export_client, job["id"])).headers["ETag"]
    assert re.fullmatch(r'"\d+-\d+"', etag)
    unchanged = await _get(export_client, job["id"], **{"If-None-Match": etag})
    assert (unchanged.status_code, unchanged.content, unchanged.headers["ETag"]) == (304, b"", etag)
    assert (await _get(export_client, job["id"], **{"If-None-Match": '"0-99999"'})).status_code == 200


async def test_etag_in_a_list_or_weak_etag_matches(
    export_client: ExportClient, activity_factory: ActivityFactory
) -> None:
    job = await _create_finished_export(export_client, activity_factory)
    etag = (await _get(export_client, job["id"])).headers["ETag"]
    responses = [
        await _get(export_client, job["id"], **{"If-None-Match": value}) for value in (f'"x", {etag}', f"W/{etag}", "*")
    ]
    assert [response.status_code for response in responses] == [304, 304, 304]


async def test_transition_changes_the_etag(export_client: ExportClient, activity_factory: ActivityFactory) -> None:
    activity_factory.create_activity(activity_factory.create_mentor())
    created = await export_client.request_export()
    await export_client.wait_for_completion(created.json()["id"])
    response = await _get(export_client, created.json()["id"], **{"If-None-Match": created.headers["ETag"]})
    assert response.status_code == 200
    assert response.headers["ETag"] != created.headers["ETag"]
    assert response.headers["ETag"].split("-")[0] == created.headers["ETag"].split("-")[0]


async def test_link_is_stable_and_its_response_not_cached(
    export_client: ExportClient, activity_factory: ActivityFactory
) -> None:
    job = await _create_finished_export(export_client, activity_factory)
    responses = [await _get(export_client, job["id"]) for _ in range(2)]
    assert {response.json()["download_url"] for response in responses} == {job["download_url"]}
    assert all("no-store" in response.headers["Cache-Control"] for response in responses)


async def test_link_is_valid_for_at_least_24_hours(
    export_client: ExportClient, activity_factory: ActivityFactory
) -> None:
    job = await _create_finished_export(export_client, activity_factory)
    expires_at = datetime.fromisoformat(job["download_url_expires_at"])
    remaining = expires_at - datetime.now(UTC)
    assert timedelta(hours=24) - timedelta(minutes=1) < remaining <= timedelta(hours=48)


async def test_link_downloads_the_file_with_its_name(
    export_client: ExportClient, activity_factory: ActivityFactory, anonymous_client: httpx.AsyncClient
) -> None:
    job = await _create_finished_export(export_client, activity_factory)
    file = (await anonymous_client.get(job["download_url"])).raise_for_status()
    assert file.headers["Content-Type"].split(";")[0] == job["file"]["mime_type"]
    assert file.headers["Content-Disposition"].startswith("attachment")
    assert job["file"]["name"] in file.headers["Content-Disposition"]


async def test_changed_link_or_method_is_forbidden(
    export_client: ExportClient, activity_factory: ActivityFactory, anonymous_client: httpx.AsyncClient
) -> None:
    url, other_url = [
        httpx.URL((await _create_finished_export(export_client, activity_factory))["download_url"]) for _ in range(2)
    ]
    exchanged = url.copy_with(path=other_url.path)
    signature = url.params["X-Amz-Signature"]
    tampered = url.copy_set_param("X-Amz-Signature", ("0" if signature[0] != "0" else "1") + signature[1:])
    extended = url.copy_set_param("X-Amz-Expires", "604800")
    unsigned = url.copy_with(query=None)
    statuses = [
        (await anonymous_client.get(changed)).status_code for changed in (exchanged, tampered, extended, unsigned)
    ]
    assert statuses == [403, 403, 403, 403]
    assert (await anonymous_client.delete(url)).status_code == 403
    assert (await anonymous_client.get(url)).status_code == 200


async def test_auditor_gets_the_export_without_a_link(
    export_client: ExportClient, activity_factory: ActivityFactory, tenant: Tenant, bearer: Bearer
) -> None:
    job = await _create_finished_export(export_client, activity_factory)
    export_client.headers = bearer(tenant.users[Role.AUDITOR], role="auditor")
    export = await export_client.get_export(job["id"])
    assert (export["status"], export["file"]["sha256"]) == ("completed", job["file"]["sha256"])
    assert (export["download_url"], export["download_url_expires_at"]) == (None, None)


async def test_operator_gets_an_export_of_any_organisation_without_a_link(
    export_client: ExportClient, activity_factory: ActivityFactory, operator_headers: dict[str, str]
) -> None:
    job = await _create_finished_export(export_client, activity_factory)
    export_client.headers = operator_headers
    export = await export_client.get_export(job["id"])
    assert (export["status"], export["org_id"], export["download_url"]) == ("completed", export_client.org_id, None)


async def test_admin_gets_a_link_to_an_export_of_a_coordinator(
    export_client: ExportClient, activity_factory: ActivityFactory, tenant: Tenant, bearer: Bearer
) -> None:
    job = await _create_finished_export(export_client, activity_factory)
    export_client.headers = bearer(tenant.users[Role.ADMIN], role="admin")
    assert (await export_client.get_export(job["id"]))["download_url"]
