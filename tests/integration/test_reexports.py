"""A report, made again: one job, one further version, the original as it was."""

import asyncio
from uuid import uuid4

import psycopg
import pytest

from api.problems import Problem
from stafett.domain.membership import Role
from stafett.storage.files import FileStorage
from stafett.testing import ActivityFactory, ExportClient, Tenant, create_operator, create_tenant
from tests.reexports import REEXPORTS, AgainButton, Bearer, Working, content_of, steps_of, told_of

STEPS = ["pending", "exporting", "storing_result", "notifying", "completed"]


@pytest.fixture
def again(button: ExportClient) -> AgainButton:
    return AgainButton(button)


async def test_a_lost_report_is_made_again_byte_for_byte(
    again: AgainButton, button: ExportClient, diary: ActivityFactory, working: Working, owner_url: str
) -> None:
    diary.create_activity(diary.create_mentor())
    async with working():
        report_id = await again.report(export_format="xlsx")
        (original,) = await again.versions(report_id)
        diary.create_activity(diary.create_mentor())
        job = await again.done(report_id, source="same_snapshot", reason="The file was lost.")
    assert steps_of(owner_url, job["id"]) == STEPS
    assert told_of(owner_url, job["id"]) == [("reexport_ended", "completed")]
    first, second = await again.versions(report_id)
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
    child = await button.get_export(job["export_id"])
    assert (child["origin"], child["report_id"], child["reexport_id"]) == ("reexport", None, job["id"])
    assert told_of(owner_url, job["export_id"]) == []
    assert await content_of(job) == await content_of(await button.get_export(first["export_id"]))


async def test_todays_rows_are_compared_with_those_of_the_version_before(
    again: AgainButton, diary: ActivityFactory, working: Working, owner_url: str
) -> None:
    mentor = diary.create_mentor()
    gone, other, _ = (diary.create_activity(mentor) for _ in range(3))
    async with working():
        report_id = await again.report()
        with psycopg.connect(owner_url) as connection:
            connection.execute("UPDATE activities SET deleted_at = now() WHERE id = %s", [gone])
            connection.execute("UPDATE activities SET place = 'Bodø' WHERE id = %s", [other])
        for _ in range(2):
            diary.create_activity(mentor)
        first = await again.done(report_id)
        second = await again.done(report_id, reason="Once more.")
    changes = [version["change"] for version in await again.versions(report_id)]
    rows = {"rows_added": 2, "rows_removed": 1, "rows_changed": 1}
    nothing = {"rows_added": 0, "rows_removed": 0, "rows_changed": 0}
    assert changes == [
        None,
        rows | {"mapping_changed": False, "same_bytes": False},
        nothing | {"mapping_changed": False, "same_bytes": True},
    ]
    assert (first["file_version"], second["file_version"]) == (2, 3)
    assert (await again.button.get_export(first["export_id"]))["row_count"] == 4


async def test_what_is_overridden_is_otherwise_and_the_rest_as_it_was(
    again: AgainButton, diary: ActivityFactory, working: Working
) -> None:
    diary.create_activity(diary.create_mentor())
    async with working():
        report_id = await again.report(locale="nn")
        overrides = {"export_format": "xlsx", "locale": None}
        job = await again.done(report_id, source="same_snapshot", overrides=overrides)
        child = await again.button.get_export(job["export_id"])
        assert (child["export_format"], child["locale"], child["csv_profile"]) == ("xlsx", "nn", "excel")
        repeated = await again.done(report_id, source="same_snapshot", version=2)
        anew = await again.done(report_id)
    assert repeated["file"] == job["file"]
    assert (await again.button.get_export(anew["export_id"]))["export_format"] == "csv"  # as the report was, at first
    changes = [version["change"]["same_bytes"] for version in (await again.versions(report_id))[1:]]
    assert changes == [False, True, False]


async def test_fifty_who_ask_at_once_for_the_same_are_given_one_job(
    again: AgainButton, diary: ActivityFactory, working: Working, owner_url: str
) -> None:
    diary.create_activity(diary.create_mentor())
    async with working():
        report_id = await again.report()
    asked = {"source": "same_snapshot", "reason": "Everybody wants it."}
    answers = await asyncio.gather(
        *(again.press(report_id, key=f"key-{number % 7}" if number % 2 else None, **asked) for number in range(50))
    )
    assert {answer.status_code for answer in answers} == {202}
    assert len({answer.json()["id"] for answer in answers}) == 1
    otherwise = await again.press(report_id, source="current_data")
    running = answers[0].json()["id"]
    assert (otherwise.status_code, otherwise.json()["code"]) == (409, "reexport_in_progress")
    assert str(Problem.model_validate(otherwise.json()).reexport_id) == running
    assert running in otherwise.json()["detail"]
    async with working():
        job = await again.end_of(running)
        assert (await again.press(report_id, key="key-1", **asked)).json()["id"] == running
    assert job["status"] == "completed"
    assert len(await again.versions(report_id)) == 2
    with psycopg.connect(owner_url) as connection:
        count = "SELECT count(*) FROM report_reexports WHERE report_id = %s"
        assert connection.execute(count, [report_id]).fetchone() == (1,)


async def test_a_key_stands_for_one_wish_and_for_no_other(
    again: AgainButton, diary: ActivityFactory, working: Working
) -> None:
    diary.create_activity(diary.create_mentor())
    async with working():
        report_id = await again.report()
        first = await again.press(report_id, key="k")
        await again.end_of(first.json()["id"])
        assert (await again.press(report_id, key="k")).json()["id"] == first.json()["id"]
        other = await again.press(report_id, key="k", source="same_snapshot")
        assert (other.status_code, other.json()["code"]) == (422, "idempotency_key_reused")
        anew = await again.press(report_id, key="l")
        assert anew.json()["id"] != first.json()["id"]
        assert (await again.end_of(anew.json()["id"]))["status"] == "completed"


async def test_no_rows_any_more_is_a_failure_and_the_history_is_as_it_was(
    again: AgainButton, diary: ActivityFactory, working: Working, owner_url: str
) -> None:
    activity = diary.create_activity(diary.create_mentor())
    async with working():
        report_id = await again.report()
        with psycopg.connect(owner_url) as connection:
            connection.execute("UPDATE activities SET deleted_at = now() WHERE id = %s", [activity])
        job = await again.end_of(await again.pressed(report_id))
        assert (job["status"], job["error"]["code"], job["file"]) == ("failed", "no_data_for_period", None)
        assert told_of(owner_url, job["id"]) == [("reexport_ended", "failed")]
        assert len(await again.versions(report_id)) == 1
        assert (await again.done(report_id, source="same_snapshot"))["file_version"] == 2


async def test_a_snapshot_that_is_gone_is_said_to_be_gone(
    again: AgainButton, diary: ActivityFactory, working: Working, tenant: Tenant, bearer: Bearer
) -> None:
    diary.create_activity(diary.create_mentor())
    async with working():
        report_id = await again.report()
        (original,) = await again.versions(report_id)
        admin = bearer(tenant.users[Role.ADMIN], role="admin")
        path = f"/api/v1/bufdir-exports/{original['export_id']}"
        assert (await again.gateway.delete(path, headers=admin)).status_code == 204
        gone = await again.press(report_id, source="same_snapshot")
        assert (gone.status_code, gone.json()["code"]) == (410, "snapshot_gone")
        job = await again.done(report_id)
    (_, second) = await again.versions(report_id)
    assert second["file"] == job["file"]
    assert (
        second["change"]["rows_added"] is second["change"]["rows_removed"] is second["change"]["rows_changed"] is None
    )
    assert (second["change"]["same_bytes"], second["change"]["mapping_changed"]) == (True, False)


async def test_a_snapshot_that_goes_meanwhile_fails_the_job_with_the_same_code(
    again: AgainButton, diary: ActivityFactory, working: Working, tenant: Tenant, bearer: Bearer
) -> None:
    diary.create_activity(diary.create_mentor())
    async with working():
        report_id = await again.report()
    (original,) = await again.versions(report_id)
    waiting = await again.pressed(report_id, source="same_snapshot")
    admin = bearer(tenant.users[Role.ADMIN], role="admin")
    path = f"/api/v1/bufdir-exports/{original['export_id']}"
    assert (await again.gateway.delete(path, headers=admin)).status_code == 204
    async with working():
        job = await again.end_of(waiting)
    assert (job["status"], job["error"]["code"], job["error"]["retryable"]) == ("failed", "snapshot_gone", False)


async def test_what_cannot_be_made_again_is_refused_with_the_right_problem(
    again: AgainButton,
    button: ExportClient,
    diary: ActivityFactory,
    working: Working,
    tenant: Tenant,
    bearer: Bearer,
    owner_url: str,
) -> None:
    diary.create_activity(diary.create_mentor())
    async with working():
        report_id = await again.report()
    running = await button.start_export()
    assert (await again.press(running)).json()["code"] == "not_finished"
    assert (await again.press(str(uuid4()))).status_code == 404
    unknown = await again.press(report_id, source="same_snapshot", version=2)
    assert (unknown.status_code, unknown.json()["errors"][0]["pointer"]) == (422, "/version")
    without = await again.press(report_id, source="same_snapshot", overrides={"include_attachments": True})
    assert (without.status_code, without.json()["errors"][0]["pointer"]) == (422, "/overrides/include_attachments")
    for body in (
        {"source": "yesterday"},
        {"version": 0},
        {"reason": " "},
        {"reason": "a\0"},
        {"overrides": {"org_id": "nhf"}},
        {"x": 1},
    ):
        assert (await again.press(report_id, **body)).status_code == 422, body

    async def status(headers: dict[str, str]) -> int:
        return (await again.gateway.post(REEXPORTS, json={"report_id": report_id}, headers=headers)).status_code

    other = create_tenant(owner_url)
    assert await status(bearer(other.coordinator, other.org_id)) == 404
    assert await status(bearer(tenant.users[Role.AUDITOR], role="auditor")) == 403
    assert await status(bearer(create_operator(owner_url), None, "operator")) == 403


async def test_whoever_has_left_is_followed_by_somebody_who_is_there(
    again: AgainButton, diary: ActivityFactory, working: Working, tenant: Tenant, bearer: Bearer, owner_url: str
) -> None:
    diary.create_activity(diary.create_mentor())
    async with working():
        report_id = await again.report()
        with psycopg.connect(owner_url) as connection:
            connection.execute("DELETE FROM memberships WHERE user_id = %s", [tenant.coordinator])
        again.headers = bearer(tenant.users[Role.ADMIN], role="admin")
        job = await again.done(report_id, source="same_snapshot")
    assert job["requested_by"] == str(tenant.users[Role.ADMIN])


async def test_whoever_has_left_since_they_asked_gets_nothing(
    again: AgainButton, diary: ActivityFactory, working: Working, tenant: Tenant, bearer: Bearer, owner_url: str
) -> None:
    diary.create_activity(diary.create_mentor())
    async with working():
        report_id = await again.report()
    waiting = [await again.pressed(report_id, source="same_snapshot")]
    with psycopg.connect(owner_url) as connection:
        connection.execute("DELETE FROM memberships WHERE user_id = %s", [tenant.coordinator])
    again.headers = bearer(tenant.users[Role.ADMIN], role="admin")
    async with working():
        job = await again.end_of(waiting[0])
    assert (job["status"], job["error"]["code"]) == ("failed", "permission_denied")


async def test_the_list_is_newest_first_and_filtered(
    again: AgainButton, diary: ActivityFactory, working: Working, tenant: Tenant, bearer: Bearer, owner_url: str
) -> None:
    diary.create_activity(diary.create_mentor())
    async with working():
        reports = [await again.report() for _ in range(2)]
        jobs = [await again.done(report_id) for report_id in (reports[0], reports[1], reports[0])]

    async def listed(headers: dict[str, str] | None = None, **query: str | int) -> list[str]:
        answer = await again.gateway.get(REEXPORTS, params=query, headers=headers or again.headers)
        return [item["id"] for item in answer.raise_for_status().json()["items"]]

    newest = [job["id"] for job in reversed(jobs)]
    assert await listed() == newest
    assert await listed(report_id=reports[0]) == [newest[0], newest[2]]
    assert await listed(status="failed") == []
    assert await listed(created_before="2020-01-01T00:00:00Z") == []
    assert await listed(page_size=1) == newest[:1]
    other = create_tenant(owner_url)
    assert await listed(bearer(other.coordinator, other.org_id)) == []
    assert await listed(bearer(create_operator(owner_url), None, "operator"), org_id=tenant.org_id) == newest
    auditor = bearer(tenant.users[Role.AUDITOR], role="auditor")
    seen = (await again.gateway.get(f"{REEXPORTS}/{newest[0]}", headers=auditor)).json()
    assert (seen["status"], seen["download_url"]) == ("completed", None)
    strangers = await again.gateway.get(f"{REEXPORTS}/{newest[0]}", headers=bearer(other.coordinator, other.org_id))
    assert strangers.status_code == 404


async def test_an_operator_reads_the_states_and_nobodys_own_words(
    again: AgainButton, diary: ActivityFactory, working: Working, bearer: Bearer, owner_url: str
) -> None:
    diary.create_activity(diary.create_mentor())
    async with working():
        job = await again.done(await again.report(), reason="The file was lost in the move.")
    await again.edit(job["id"], {"label": "For the auditors"})
    operator = bearer(create_operator(owner_url), None, "operator")
    seen = (await again.gateway.get(f"{REEXPORTS}/{job['id']}", headers=operator)).raise_for_status().json()
    assert (seen["status"], seen["file"]["name"]) == ("completed", job["file"]["name"])
    assert (seen["label"], seen["reason"], seen["result_file_ref"]) == (None, None, None)
    assert (await again.look(job["id"]))["label"] == "For the auditors"


async def test_a_job_is_watched_and_waited_for_as_every_job_is(
    again: AgainButton, diary: ActivityFactory, working: Working
) -> None:
    diary.create_activity(diary.create_mentor())
    async with working():
        report_id = await again.report()
        headers = again.headers | {"Prefer": "wait=30"}
        answer = await again.gateway.post(REEXPORTS, json={"report_id": report_id}, headers=headers)
        assert (answer.status_code, answer.headers["Preference-Applied"]) == (200, "wait=30")
        assert answer.headers["Cache-Control"] == "no-store"
        assert answer.json()["status"] == "completed"
        path = answer.headers["Location"]
        unchanged = {"If-None-Match": answer.headers["ETag"]}
        assert (await again.gateway.get(path, headers=again.headers | unchanged)).status_code == 304
        events = (await again.gateway.get(f"{path}/events", headers=again.headers)).text
    assert [line.partition('"status":"')[2].partition('"')[0] for line in events.splitlines() if "status" in line][
        1::2
    ] == STEPS


async def test_bundles_are_made_again_byte_for_byte_too(
    again: AgainButton, diary: ActivityFactory, storage: FileStorage, working: Working
) -> None:
    diary.create_attachment(storage, diary.create_activity(diary.create_mentor()))
    async with working():
        report_id = await again.report(export_format="xlsx", include_attachments=True)
        await again.done(report_id, source="same_snapshot")
        job = await again.done(report_id, source="same_snapshot", version=2)
    files = [version["file"] for version in await again.versions(report_id)]
    assert files[0] == files[1] == files[2] == job["file"]
    assert files[0]["name"].endswith(".zip")
