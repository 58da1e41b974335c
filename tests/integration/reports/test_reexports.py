"""Re-exports of a report: each adds one version and leaves the earlier ones unchanged."""

import asyncio
from uuid import uuid4

import psycopg

from api.problems import Problem
from stafett.domain.membership import Role
from stafett.storage.files import FileStorage
from stafett.testing import ActivityFactory, ExportClient, Tenant, create_operator, create_tenant
from tests.support.fixture_types import Bearer, RunWorker
from tests.support.reexports import REEXPORTS, ReexportClient, download_file, fetch_notifications, fetch_status_history

STATUSES = ["pending", "exporting", "storing_result", "notifying", "completed"]


async def test_reexport_of_the_same_snapshot_is_byte_identical(
    reexport_client: ReexportClient,
    export_client: ExportClient,
    activity_factory: ActivityFactory,
    run_worker: RunWorker,
    owner_url: str,
) -> None:
    activity_factory.create_activity(activity_factory.create_mentor())
    async with run_worker():
        report_id = await reexport_client.create_report(export_format="xlsx")
        (original,) = await reexport_client.list_versions(report_id)
        activity_factory.create_activity(activity_factory.create_mentor())
        job = await reexport_client.complete_reexport(report_id, source="same_snapshot", reason="The file was lost.")
    assert fetch_status_history(owner_url, job["id"]) == STATUSES
    assert fetch_notifications(owner_url, job["id"]) == [("reexport_ended", "completed")]
    first, second = await reexport_client.list_versions(report_id)
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
    child = await export_client.get_export(job["export_id"])
    assert (child["origin"], child["report_id"], child["reexport_id"]) == ("reexport", None, job["id"])
    assert fetch_notifications(owner_url, job["export_id"]) == []
    assert await download_file(job) == await download_file(await export_client.get_export(first["export_id"]))


async def test_reexport_of_current_data_counts_changes_since_the_last_version(
    reexport_client: ReexportClient, activity_factory: ActivityFactory, run_worker: RunWorker, owner_url: str
) -> None:
    mentor = activity_factory.create_mentor()
    deleted, changed, _ = (activity_factory.create_activity(mentor) for _ in range(3))
    async with run_worker():
        report_id = await reexport_client.create_report()
        with psycopg.connect(owner_url) as connection:
            connection.execute("UPDATE activities SET deleted_at = now() WHERE id = %s", [deleted])
            connection.execute("UPDATE activities SET place = 'Bodø' WHERE id = %s", [changed])
        for _ in range(2):
            activity_factory.create_activity(mentor)
        job = await reexport_client.complete_reexport(report_id)
        await reexport_client.complete_reexport(report_id, overrides={"locale": "nn"})
    changes = [version["change"] for version in await reexport_client.list_versions(report_id)]
    differences = {"rows_added": 2, "rows_removed": 1, "rows_changed": 1}
    no_differences = {"rows_added": 0, "rows_removed": 0, "rows_changed": 0}
    assert changes == [
        None,
        differences | {"mapping_changed": False, "same_bytes": False},
        no_differences | {"mapping_changed": False, "same_bytes": False},
    ]
    assert (job["file_version"], job["unchanged"]) == (2, False)
    assert (await reexport_client.export_client.get_export(job["export_id"]))["row_count"] == 4


async def test_overrides_replace_only_the_given_parameters(
    reexport_client: ReexportClient, activity_factory: ActivityFactory, run_worker: RunWorker
) -> None:
    activity_factory.create_activity(activity_factory.create_mentor())
    async with run_worker():
        report_id = await reexport_client.create_report(locale="nn")
        overrides = {"export_format": "xlsx", "locale": None}
        job = await reexport_client.complete_reexport(report_id, source="same_snapshot", overrides=overrides)
        child = await reexport_client.export_client.get_export(job["export_id"])
        assert (child["export_format"], child["locale"], child["csv_profile"]) == ("xlsx", "nn", "excel")
        repeated = await reexport_client.complete_reexport(report_id, source="same_snapshot", version=2)
        current = await reexport_client.complete_reexport(report_id)
    assert repeated["file"] == job["file"]
    assert (await reexport_client.export_client.get_export(current["export_id"]))[
        "export_format"
    ] == "csv"  # a re-export of current data starts from the parameters of the original
    changes = [version["change"]["same_bytes"] for version in (await reexport_client.list_versions(report_id))[1:]]
    assert changes == [False, True, False]


async def test_fifty_identical_concurrent_requests_return_one_reexport(
    reexport_client: ReexportClient, activity_factory: ActivityFactory, run_worker: RunWorker, owner_url: str
) -> None:
    activity_factory.create_activity(activity_factory.create_mentor())
    async with run_worker():
        report_id = await reexport_client.create_report()
    fields = {"source": "same_snapshot", "reason": "Requested fifty times."}
    responses = await asyncio.gather(
        *(
            reexport_client.request_reexport(
                report_id, idempotency_key=f"key-{number % 7}" if number % 2 else None, **fields
            )
            for number in range(50)
        )
    )
    assert {response.status_code for response in responses} == {202}
    assert len({response.json()["id"] for response in responses}) == 1
    conflicting = await reexport_client.request_reexport(report_id, source="current_data")
    running_id = responses[0].json()["id"]
    assert (conflicting.status_code, conflicting.json()["code"]) == (409, "reexport_in_progress")
    assert str(Problem.model_validate(conflicting.json()).reexport_id) == running_id
    assert running_id in conflicting.json()["detail"]
    async with run_worker():
        job = await reexport_client.wait_for_completion(running_id)
        repeated = await reexport_client.request_reexport(report_id, idempotency_key="key-1", **fields)
        assert repeated.json()["id"] == running_id
    assert job["status"] == "completed"
    assert len(await reexport_client.list_versions(report_id)) == 2
    with psycopg.connect(owner_url) as connection:
        count = "SELECT count(*) FROM report_reexports WHERE report_id = %s"
        assert connection.execute(count, [report_id]).fetchone() == (1,)


async def test_idempotency_key_of_another_request_is_rejected(
    reexport_client: ReexportClient, activity_factory: ActivityFactory, run_worker: RunWorker
) -> None:
    activity_factory.create_activity(activity_factory.create_mentor())
    async with run_worker():
        report_id = await reexport_client.create_report()
        first = await reexport_client.request_reexport(report_id, idempotency_key="k")
        await reexport_client.wait_for_completion(first.json()["id"])
        repeated = await reexport_client.request_reexport(report_id, idempotency_key="k")
        assert repeated.json()["id"] == first.json()["id"]
        reused = await reexport_client.request_reexport(report_id, idempotency_key="k", source="same_snapshot")
        assert (reused.status_code, reused.json()["code"]) == (422, "idempotency_key_reused")
        second = await reexport_client.request_reexport(report_id, idempotency_key="l")
        assert second.json()["id"] != first.json()["id"]
        assert (await reexport_client.wait_for_completion(second.json()["id"]))["status"] == "completed"


async def test_reexport_without_rows_fails_and_adds_no_version(
    reexport_client: ReexportClient, activity_factory: ActivityFactory, run_worker: RunWorker, owner_url: str
) -> None:
    activity = activity_factory.create_activity(activity_factory.create_mentor())
    async with run_worker():
        report_id = await reexport_client.create_report()
        with psycopg.connect(owner_url) as connection:
            connection.execute("UPDATE activities SET deleted_at = now() WHERE id = %s", [activity])
        job = await reexport_client.wait_for_completion(await reexport_client.start_reexport(report_id))
        assert (job["status"], job["error"]["code"], job["file"]) == ("failed", "no_data_for_period", None)
        assert fetch_notifications(owner_url, job["id"]) == [("reexport_ended", "failed")]
        assert len(await reexport_client.list_versions(report_id)) == 1
        assert (await reexport_client.complete_reexport(report_id, source="same_snapshot"))["file_version"] == 2


async def test_reexport_of_a_deleted_snapshot_is_rejected(
    reexport_client: ReexportClient,
    activity_factory: ActivityFactory,
    run_worker: RunWorker,
    tenant: Tenant,
    bearer: Bearer,
) -> None:
    activity_factory.create_activity(activity_factory.create_mentor())
    async with run_worker():
        report_id = await reexport_client.create_report()
        (original,) = await reexport_client.list_versions(report_id)
        admin = bearer(tenant.users[Role.ADMIN], role="admin")
        path = f"/api/v1/bufdir-exports/{original['export_id']}"
        assert (await reexport_client.http_client.delete(path, headers=admin)).status_code == 204
        gone = await reexport_client.request_reexport(report_id, source="same_snapshot")
        assert (gone.status_code, gone.json()["code"]) == (410, "snapshot_gone")
        job = await reexport_client.complete_reexport(report_id)
    _, second = await reexport_client.list_versions(report_id)
    assert second["file"] == job["file"]
    assert (
        second["change"]["rows_added"] is second["change"]["rows_removed"] is second["change"]["rows_changed"] is None
    )
    assert (second["change"]["same_bytes"], second["change"]["mapping_changed"]) == (True, False)


async def test_snapshot_deleted_before_the_run_starts_fails_the_reexport(
    reexport_client: ReexportClient,
    activity_factory: ActivityFactory,
    run_worker: RunWorker,
    tenant: Tenant,
    bearer: Bearer,
) -> None:
    activity_factory.create_activity(activity_factory.create_mentor())
    async with run_worker():
        report_id = await reexport_client.create_report()
    (original,) = await reexport_client.list_versions(report_id)
    reexport_id = await reexport_client.start_reexport(report_id, source="same_snapshot")
    admin = bearer(tenant.users[Role.ADMIN], role="admin")
    path = f"/api/v1/bufdir-exports/{original['export_id']}"
    assert (await reexport_client.http_client.delete(path, headers=admin)).status_code == 204
    async with run_worker():
        job = await reexport_client.wait_for_completion(reexport_id)
    assert (job["status"], job["error"]["code"], job["error"]["retryable"]) == ("failed", "snapshot_gone", False)


async def test_invalid_reexport_request_returns_the_matching_problem(
    reexport_client: ReexportClient,
    export_client: ExportClient,
    activity_factory: ActivityFactory,
    run_worker: RunWorker,
    tenant: Tenant,
    bearer: Bearer,
    owner_url: str,
) -> None:
    activity_factory.create_activity(activity_factory.create_mentor())
    async with run_worker():
        report_id = await reexport_client.create_report()
    running_export = await export_client.start_export()
    assert (await reexport_client.request_reexport(running_export)).json()["code"] == "not_finished"
    assert (await reexport_client.request_reexport(str(uuid4()))).status_code == 404
    unknown_version = await reexport_client.request_reexport(report_id, source="same_snapshot", version=2)
    assert (unknown_version.status_code, unknown_version.json()["errors"][0]["pointer"]) == (422, "/version")
    without_attachments = await reexport_client.request_reexport(
        report_id, source="same_snapshot", overrides={"include_attachments": True}
    )
    assert (without_attachments.status_code, without_attachments.json()["errors"][0]["pointer"]) == (
        422,
        "/overrides/include_attachments",
    )
    for body in (
        {"source": "yesterday"},
        {"version": 0},
        {"reason": " "},
        {"reason": "a\0"},
        {"overrides": {"org_id": "nhf"}},
        {"x": 1},
    ):
        assert (await reexport_client.request_reexport(report_id, **body)).status_code == 422, body

    async def request_status(headers: dict[str, str]) -> int:
        return (
            await reexport_client.http_client.post(REEXPORTS, json={"report_id": report_id}, headers=headers)
        ).status_code

    other = create_tenant(owner_url)
    assert await request_status(bearer(other.coordinator, other.org_id)) == 404
    assert await request_status(bearer(tenant.users[Role.AUDITOR], role="auditor")) == 403
    assert await request_status(bearer(create_operator(owner_url), None, "operator")) == 403


async def test_admin_reexports_the_report_of_a_user_who_has_left(
    reexport_client: ReexportClient,
    activity_factory: ActivityFactory,
    run_worker: RunWorker,
    tenant: Tenant,
    bearer: Bearer,
    owner_url: str,
) -> None:
    activity_factory.create_activity(activity_factory.create_mentor())
    async with run_worker():
        report_id = await reexport_client.create_report()
        with psycopg.connect(owner_url) as connection:
            connection.execute("DELETE FROM memberships WHERE user_id = %s", [tenant.coordinator])
        reexport_client.headers = bearer(tenant.users[Role.ADMIN], role="admin")
        job = await reexport_client.complete_reexport(report_id, source="same_snapshot")
    assert job["requested_by"] == str(tenant.users[Role.ADMIN])


async def test_reexport_fails_if_its_requester_has_left(
    reexport_client: ReexportClient,
    activity_factory: ActivityFactory,
    run_worker: RunWorker,
    tenant: Tenant,
    bearer: Bearer,
    owner_url: str,
) -> None:
    activity_factory.create_activity(activity_factory.create_mentor())
    async with run_worker():
        report_id = await reexport_client.create_report()
    reexport_id = await reexport_client.start_reexport(report_id, source="same_snapshot")
    with psycopg.connect(owner_url) as connection:
        connection.execute("DELETE FROM memberships WHERE user_id = %s", [tenant.coordinator])
    reexport_client.headers = bearer(tenant.users[Role.ADMIN], role="admin")
    async with run_worker():
        job = await reexport_client.wait_for_completion(reexport_id)
    assert (job["status"], job["error"]["code"]) == ("failed", "permission_denied")


async def test_reexports_are_listed_newest_first_and_filtered(
    reexport_client: ReexportClient,
    activity_factory: ActivityFactory,
    run_worker: RunWorker,
    tenant: Tenant,
    bearer: Bearer,
    owner_url: str,
) -> None:
    activity_factory.create_activity(activity_factory.create_mentor())
    async with run_worker():
        reports = [await reexport_client.create_report() for _ in range(2)]
        jobs = [
            await reexport_client.complete_reexport(report_id) for report_id in (reports[0], reports[1], reports[0])
        ]

    async def list_ids(headers: dict[str, str] | None = None, **query: str | int) -> list[str]:
        response = await reexport_client.http_client.get(
            REEXPORTS, params=query, headers=headers or reexport_client.headers
        )
        return [item["id"] for item in response.raise_for_status().json()["items"]]

    newest = [job["id"] for job in reversed(jobs)]
    assert await list_ids() == newest
    assert await list_ids(report_id=reports[0]) == [newest[0], newest[2]]
    assert await list_ids(status="failed") == []
    assert await list_ids(created_before="2020-01-01T00:00:00Z") == []
    assert await list_ids(page_size=1) == newest[:1]
    other = create_tenant(owner_url)
    assert await list_ids(bearer(other.coordinator, other.org_id)) == []
    assert await list_ids(bearer(create_operator(owner_url), None, "operator"), org_id=tenant.org_id) == newest
    auditor = bearer(tenant.users[Role.AUDITOR], role="auditor")
    read = (await reexport_client.http_client.get(f"{REEXPORTS}/{newest[0]}", headers=auditor)).json()
    assert (read["status"], read["download_url"]) == ("completed", None)
    by_stranger = await reexport_client.http_client.get(
        f"{REEXPORTS}/{newest[0]}", headers=bearer(other.coordinator, other.org_id)
    )
    assert by_stranger.status_code == 404


async def test_operator_sees_the_status_but_not_the_users_texts(
    reexport_client: ReexportClient,
    activity_factory: ActivityFactory,
    run_worker: RunWorker,
    bearer: Bearer,
    owner_url: str,
) -> None:
    activity_factory.create_activity(activity_factory.create_mentor())
    async with run_worker():
        job = await reexport_client.complete_reexport(
            await reexport_client.create_report(), reason="The file was lost in the move."
        )
    await reexport_client.edit(job["id"], {"label": "For the auditors"})
    operator = bearer(create_operator(owner_url), None, "operator")
    read = (
        (await reexport_client.http_client.get(f"{REEXPORTS}/{job['id']}", headers=operator)).raise_for_status().json()
    )
    assert (read["status"], read["file"]["name"]) == ("completed", job["file"]["name"])
    assert (read["label"], read["reason"], read["result_file_ref"]) == (None, None, None)
    assert (await reexport_client.get_reexport(job["id"]))["label"] == "For the auditors"


async def test_reexport_supports_prefer_wait_etags_and_events(
    reexport_client: ReexportClient, activity_factory: ActivityFactory, run_worker: RunWorker
) -> None:
    activity_factory.create_activity(activity_factory.create_mentor())
    async with run_worker():
        report_id = await reexport_client.create_report()
        headers = reexport_client.headers | {"Prefer": "wait=30"}
        response = await reexport_client.http_client.post(REEXPORTS, json={"report_id": report_id}, headers=headers)
        assert (response.status_code, response.headers["Preference-Applied"]) == (200, "wait=30")
        assert response.headers["Cache-Control"] == "no-store"
        assert response.json()["status"] == "completed"
        path = response.headers["Location"]
        unchanged = {"If-None-Match": response.headers["ETag"]}
        assert (
            await reexport_client.http_client.get(path, headers=reexport_client.headers | unchanged)
        ).status_code == 304
        events = (await reexport_client.http_client.get(f"{path}/events", headers=reexport_client.headers)).text
    assert [line.partition('"status":"')[2].partition('"')[0] for line in events.splitlines() if "status" in line][
        1::2
    ] == STATUSES


async def test_reexported_bundle_is_byte_identical(
    reexport_client: ReexportClient, activity_factory: ActivityFactory, storage: FileStorage, run_worker: RunWorker
) -> None:
    activity_factory.create_attachment(storage, activity_factory.create_activity(activity_factory.create_mentor()))
    async with run_worker():
        report_id = await reexport_client.create_report(export_format="xlsx", include_attachments=True)
        await reexport_client.complete_reexport(report_id, source="same_snapshot")
        job = await reexport_client.complete_reexport(report_id, source="same_snapshot", version=2)
    files = [version["file"] for version in await reexport_client.list_versions(report_id)]
    assert files[0] == files[1] == files[2] == job["file"]
    assert files[0]["name"].endswith(".zip")
