"""``/bulk-registrations`` from outside, with a worker at work."""

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from uuid import UUID, uuid4

import psycopg
import pytest

from stafett.activity_frames import activities_from_arrow
from stafett.domain.export_outputs import QueriedRows
from stafett.domain.membership import Role
from stafett.storage.files import FileStorage
from stafett.testing import ActivityFactory, ExportClient, Json, Tenant, create_operator, create_tenant, wait_until
from tests.bulk import ACTIVITY, BATCHES, Coordinator, activities_of, item, many_mentors, rows
from tests.integration.test_job_events import events_of

Bearer = Callable[..., dict[str, str]]
Working = Callable[[], AbstractAsyncContextManager[None]]


@pytest.fixture
def coordinator(button: ExportClient) -> Coordinator:
    return Coordinator(button.http_client, button.org_id, button.headers)


async def test_fifty_mentors_of_whom_some_cannot_be_registered(
    coordinator: Coordinator, diary: ActivityFactory, working: Working, owner_url: str
) -> None:
    mentors = many_mentors(owner_url, coordinator.org_id, 47)
    asked = [*mentors, uuid4(), uuid4(), diary.create_mentor(active=False)]
    accepted = await coordinator.submit(asked, label="Mars")
    assert accepted.status_code == 202
    assert accepted.headers["Location"] == f"{BATCHES}/{accepted.json()['id']}"
    assert accepted.headers["Retry-After"] == "1"
    assert accepted.json()["status"] == "accepted"
    assert accepted.json()["counts"] == {"total": 50, "pending": 50, "registered": 0, "failed": 0, "cancelled": 0}
    async with working():
        job = await coordinator.end_of(accepted.json()["id"])
    assert (job["status"], job["label"]) == ("completed_with_failures", "Mars")
    assert job["counts"] == {"total": 50, "pending": 0, "registered": 47, "failed": 3, "cancelled": 0}
    assert [one["mentor_id"] for one in job["items"]] == [str(mentor) for mentor in asked]
    assert job["items"][0]["activity_id"] is not None
    assert job["items"][-1] == {
        "client_ref": str(asked[-1]),
        "mentor_id": str(asked[-1]),
        "status": "failed",
        "activity_id": None,
        "error": {"code": "mentor_inactive", "message": "The peer mentor is not active.", "retryable": False},
        "attempts": 1,
    }
    listed = (
        await coordinator.gateway.get(
            "/api/v1/activities", params={"batch_id": job["id"], "page_size": 200}, headers=coordinator.headers
        )
    ).json()["items"]
    assert {one["mentor_id"] for one in listed} == {str(mentor) for mentor in mentors}
    assert all(one["is_proxy"] and one["registered_by"] == job["requested_by"] for one in listed)
    assert {one["id"] for one in listed} == {one["activity_id"] for one in job["items"]} - {None}


async def test_waiting_for_the_end_watching_and_asking_again_with_the_same_key(
    coordinator: Coordinator, diary: ActivityFactory, working: Working
) -> None:
    asked = [diary.create_mentor(), diary.create_mentor()]
    async with working():
        first = await coordinator.submit(asked, key="once", prefer="wait=30")
    again = await coordinator.submit(asked, key="once")
    other = await coordinator.submit(asked[:1], key="once")
    assert (first.status_code, again.status_code, other.status_code) == (200, 202, 422)
    assert first.headers["Preference-Applied"] == "wait=30"
    assert again.json() == first.json()
    assert first.json()["status"] == "completed"
    told = events_of((await coordinator.get(f"/{first.json()['id']}/events")).text)
    assert [event.data["status"] for event in told if event.name == "status"] == ["accepted", "running", "completed"]
    assert told[-1].data["registered"] == 2
    known = coordinator.headers | {"If-None-Match": again.headers["ETag"]}
    unchanged = await coordinator.gateway.get(f"{BATCHES}/{first.json()['id']}", headers=known)
    assert unchanged.status_code == 304


async def test_a_retry_after_the_hindrance_is_gone(
    coordinator: Coordinator, diary: ActivityFactory, working: Working, owner_url: str
) -> None:
    waiting, free = diary.create_mentor(active=False), diary.create_mentor()
    async with working():
        job = await coordinator.submitted([waiting, free])
        ended = await coordinator.end_of(job["id"])
        assert ended["status"] == "completed_with_failures"
        rows(owner_url, "UPDATE peer_mentors SET active = true WHERE id = %s RETURNING 1", waiting)
        retried = await coordinator.post(f"/{job['id']}/retry")
        assert (retried.status_code, retried.json()["id"]) == (202, job["id"])
        ended = await coordinator.end_of(job["id"])
        assert (ended["status"], ended["attempt"]) == ("completed", 2)
        assert (await coordinator.post(f"/{job['id']}/retry")).status_code == 409
    assert sorted(activities_of(owner_url, job["id"])) == sorted([waiting, free])


async def test_what_failed_is_corrected_in_a_spreadsheet_and_sent_again(
    coordinator: Coordinator, diary: ActivityFactory, working: Working, owner_url: str
) -> None:
    wrong, right = uuid4(), diary.create_mentor()
    note = '=HYPERLINK("x"); med «tegn»\nog linjer'
    odd = diary.create_mentor()
    async with working():
        asked = [
            item(wrong, client_ref="-1", overrides={"note": note}),
            diary.create_mentor(),
            item(odd, overrides={"participants": 0}),
        ]
        job = await coordinator.submitted(asked)
        await coordinator.end_of(job["id"])
        failed = await coordinator.get(f"/{job['id']}/failed.csv")
        assert failed.headers["content-type"] == "text/csv; charset=utf-8"
        text = failed.content.decode("utf-8-sig")
        assert failed.content.startswith(b"\xef\xbb\xbf")
        assert "'=HYPERLINK" in text
        assert ";'-1" not in text
        assert text.splitlines()[0].startswith("client_ref;mentor_id;activity_type;starts_at;")
        assert text.count("mentor_not_found") == 1
        assert "more new participants than participants" in text
        corrected = text.replace(str(wrong), str(right)).replace(";0;1;", ";4;1;")
        sent = await coordinator.gateway.post(
            BATCHES,
            params={"org_id": coordinator.org_id, "label": "Rettet"},
            content=corrected.encode("utf-8-sig"),
            headers=coordinator.headers | {"Content-Type": "text/csv; charset=utf-8"},
        )
        assert sent.status_code == 202, sent.text
        ended = await coordinator.end_of(sent.json()["id"])
    assert (ended["status"], ended["label"]) == ("completed", "Rettet")
    assert [one["client_ref"] for one in ended["items"]] == ["-1", str(odd)]
    written = rows(owner_url, "SELECT mentor_id, note FROM activities WHERE batch_id = %s ORDER BY note", ended["id"])
    assert set(written) == {(right, note), (odd, ACTIVITY["note"])}


async def test_a_file_that_makes_no_sense_is_told_by_its_lines(coordinator: Coordinator) -> None:
    async def sent(text: str | bytes) -> Json:
        content = text if isinstance(text, bytes) else text.encode()
        headers = coordinator.headers | {"Content-Type": "text/csv"}
        answer = await coordinator.gateway.post(BATCHES, content=content, headers=headers)
        assert answer.status_code == 422, answer.text
        problem: Json = answer.json()
        return {fault["pointer"]: fault["code"] for fault in problem["errors"]}

    names = "mentor_id,activity_type,starts_at,duration_minutes,participants,new_participants,place,in_person,in_norway"
    line = "annet,2026-03-02T10:00:00Z,60,5,1,Oslo,ja,ja"
    assert await sent(f"{names}\n") == {"line:2": "too_short"}
    assert await sent(f"{names}\n{uuid4()},{line},x\n") == {"line:2": "cells"}
    one = uuid4()
    assert await sent(f"{names}\n{one},{line}\n\n{one},{line}\n") == {"line:4/client_ref": "not_unique"}
    assert await sent(f"{names}\n,{line}\n") == {"line:2/mentor_id": "string_too_short"}
    assert await sent("mentor_id;fødselsnummer\n") | {"line:1": ""} == {"line:1": ""}
    assert await sent(f"{names}\n".encode() + b"\xe5") == {"line:2": "encoding"}


async def test_what_is_only_to_be_validated_is_not_written(
    coordinator: Coordinator, diary: ActivityFactory, owner_url: str
) -> None:
    answer = await coordinator.submit([diary.create_mentor(), uuid4()], validate_only=True)
    assert answer.status_code == 200
    assert [one["status"] for one in answer.json()["items"]] == ["registered", "failed"]
    assert answer.json()["counts"]["registered"] == 1
    assert (await coordinator.get()).json()["items"] == []
    assert rows(owner_url, "SELECT 1 FROM activities WHERE org_id = %s", coordinator.org_id) == []


@pytest.mark.parametrize(
    ("wrong", "pointer"),
    [
        ({"items": []}, "/items"),
        ({"activity": {**ACTIVITY, "activity_type": "kaffe"}}, "/activity/activity_type"),
        ({"activity": {**ACTIVITY, "starts_at": "2026-03-02T10:00:00"}}, "/activity/starts_at"),
        ({"activity": {**ACTIVITY, "participants": "5"}}, "/activity/participants"),
        ({"activity": {name: said for name, said in ACTIVITY.items() if name != "place"}}, "/activity/place"),
        ({"activity": {**ACTIVITY, "place": "a\0b"}}, "/activity/place"),
        ({"items": [{"mentor_id": "a"}, {"mentor_id": "a"}]}, "/items/1/client_ref"),
        ({"items": [{"mentor_id": "a", "overrides": {"colour": 1}}]}, "/items/0/overrides/colour"),
        ({"items": [{}]}, "/items/0/mentor_id"),
        ({"label": ""}, "/label"),
        ({"colour": 1}, "/colour"),
    ],
)
async def test_a_request_that_makes_no_sense_says_where(coordinator: Coordinator, wrong: Json, pointer: str) -> None:
    said = {"items": ["a"], **wrong}
    answer = await coordinator.submit(said.pop("items"), **said)
    assert answer.status_code == 422
    assert [fault["pointer"] for fault in answer.json()["errors"]] == [pointer]


async def test_neither_json_nor_csv_is_no_batch(coordinator: Coordinator) -> None:
    headers = coordinator.headers | {"Content-Type": "application/xml"}
    assert (await coordinator.gateway.post(BATCHES, content=b"<a/>", headers=headers)).status_code == 415
    headers["Content-Type"] = "application/json"
    assert (await coordinator.gateway.post(BATCHES, content=b"{", headers=headers)).status_code == 422
    assert (await coordinator.submit([str(number) for number in range(10_001)])).status_code == 422


async def test_a_batch_is_called_otherwise_and_stopped_on_the_basis_of_what_was_seen(
    coordinator: Coordinator, diary: ActivityFactory, working: Working
) -> None:
    job = await coordinator.submitted([diary.create_mentor()])
    path, seen = f"/{job['id']}", (await coordinator.get(f"/{job['id']}")).headers["ETag"]
    assert (await coordinator.put(path, {"label": "Ny"}, None)).status_code == 428
    edited = await coordinator.put(path, {"label": "Ny"}, seen)
    assert (edited.status_code, edited.json()["label"]) == (200, "Ny")
    assert (await coordinator.put(path, {"label": "Nyere"}, seen)).status_code == 412
    assert (await coordinator.put(path, {"status": "completed"}, edited.headers["ETag"])).status_code == 422
    stopped = await coordinator.put(path, {"status": "cancelled"}, edited.headers["ETag"])
    assert stopped.json()["status"] == "cancelling"
    async with working():
        ended = await coordinator.end_of(job["id"])
        assert (ended["status"], ended["counts"]["cancelled"], ended["items"][0]["status"]) == (
            "cancelled",
            1,
            "cancelled",
        )
        assert (await coordinator.post(f"/{job['id']}/cancel")).status_code == 409
        assert (await coordinator.post(f"/{job['id']}/retry", Prefer="wait=30")).json()["status"] == "completed"


async def test_items_are_listed_a_page_at_a_time(
    coordinator: Coordinator, diary: ActivityFactory, working: Working
) -> None:
    good = [diary.create_mentor() for _ in range(3)]
    asked = [good[0], uuid4(), good[1], uuid4(), good[2]]
    async with working():
        job = await coordinator.submit(asked, prefer="wait=30")
    path = f"/{job.json()['id']}/items"
    first = (await coordinator.get(path, status="registered", page_size=2)).json()
    second = (await coordinator.get(path, status="registered", page_size=2, page_token=first["next_page_token"])).json()
    assert [one["mentor_id"] for one in first["items"] + second["items"]] == [str(mentor) for mentor in good]
    assert second["next_page_token"] is None
    assert len((await coordinator.get(path)).json()["items"]) == 5


async def test_who_may_do_what(
    coordinator: Coordinator,
    diary: ActivityFactory,
    working: Working,
    tenant: Tenant,
    bearer: Callable[..., dict[str, str]],
    owner_url: str,
) -> None:
    async with working():
        job = (await coordinator.submit([diary.create_mentor(), uuid4()], label="Mars", prefer="wait=30")).json()

    def as_(headers: dict[str, str]) -> Coordinator:
        return Coordinator(coordinator.gateway, coordinator.org_id, headers)

    admin = as_(bearer(tenant.users[Role.ADMIN], role="admin"))
    auditor = as_(bearer(tenant.users[Role.AUDITOR], role="auditor"))
    operator = as_(bearer(create_operator(owner_url), None, "operator"))
    other = create_tenant(owner_url)
    stranger = as_(bearer(other.coordinator, other.org_id))
    path = f"/{job['id']}"
    assert (await stranger.get(path)).status_code == 404
    assert (await stranger.submit([uuid4()])).status_code == 403
    assert (await auditor.submit([uuid4()])).status_code == 403
    assert (await operator.submit([uuid4()])).status_code == 403
    assert (await auditor.get(f"{path}/items")).status_code == 200
    assert (await auditor.get(f"{path}/failed.csv")).status_code == 403
    assert (await auditor.post(f"{path}/retry")).status_code == 403
    seen = (await operator.get(path)).json()
    assert (seen["status"], seen["items"], seen["activity"], seen["label"]) == (job["status"], [], None, None)
    assert (await operator.get(f"{path}/items")).status_code == 403
    assert (await operator.get(f"{path}/failed.csv")).status_code == 403
    activities = await operator.gateway.get("/api/v1/activities", headers=operator.headers)
    assert activities.status_code == 403
    deleted = await coordinator.gateway.delete(f"{BATCHES}{path}", headers=coordinator.headers)
    assert deleted.status_code == 403
    deleted = await admin.gateway.delete(f"{BATCHES}{path}", headers=admin.headers)
    assert deleted.status_code == 204
    assert (await coordinator.get(path)).status_code == 404
    assert len(activities_of(owner_url, job["id"])) == 1
    assert rows(owner_url, "SELECT 1 FROM bulk_items WHERE batch_id = %s", job["id"]) == []
    trail = rows(
        owner_url, "SELECT event, detail::text FROM audit_events WHERE subject_id = %s ORDER BY seq", job["id"]
    )
    assert [event for event, _ in trail] == [
        "bulk_requested",
        "bulk_started",
        "bulk_completed_with_failures",
        "bulk_deleted",
    ]
    assert not any(
        word in detail for _, detail in trail for word in ("Mars", "note", *(one["mentor_id"] for one in job["items"]))
    )


async def test_whoever_asked_is_told_of_the_end(
    coordinator: Coordinator, diary: ActivityFactory, working: Working
) -> None:
    async with working():
        job = (await coordinator.submit([diary.create_mentor()], prefer="wait=30")).json()
    told = await coordinator.gateway.get("/api/v1/notifications", headers=coordinator.headers)
    (notification,) = told.json()["items"]
    assert (notification["subject"], notification["status"]) == (
        {"kind": "bulk_registration", "id": job["id"]},
        "completed",
    )


async def test_the_next_export_of_the_period_marks_what_was_registered_and_by_whom(
    coordinator: Coordinator,
    button: ExportClient,
    diary: ActivityFactory,
    working: Working,
    storage: FileStorage,
    owner_url: str,
) -> None:
    alone = diary.create_activity(diary.create_mentor())
    async with working():
        batch = (await coordinator.submit([diary.create_mentor()], prefer="wait=30")).json()
        export = await button.wait_for_completion(await button.start_export())
    assert (export["status"], export["row_count"]) == ("completed", 2)
    query = "SELECT outputs FROM export_stage_outputs WHERE stage = 'querying_activities' AND export_id = %s"
    ((outputs,),) = rows(owner_url, query, UUID(export["id"]))
    (part,) = QueriedRows.model_validate(outputs).parts
    told = activities_from_arrow(storage.read_part(part)).select("id", "is_proxy", "registered_by").rows()
    registered = (batch["items"][0]["activity_id"], True, batch["requested_by"])
    assert set(told) == {(str(alone), False, None), registered}


@pytest.mark.parametrize("verb", ["PUT", "POST", "DELETE"])
async def test_of_two_at_once_nobody_does_anything_to_a_batch_that_the_first_has_deleted(
    verb: str, coordinator: Coordinator, working: Working, owner_url: str, tenant: Tenant, bearer: Bearer
) -> None:
    job = await coordinator.submitted([uuid4()], label="Mars")
    async with working():
        assert (await coordinator.end_of(job["id"]))["status"] == "failed"
    admin = bearer(tenant.users[Role.ADMIN], role="admin")
    with psycopg.connect(owner_url) as holder, psycopg.connect(owner_url, autocommit=True) as watcher:
        holder.execute("SELECT FROM bulk_registrations WHERE id = %s FOR UPDATE", [job["id"]])

        async def waiting() -> int:
            query = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND usename = 'stafett_api'"
            return int((watcher.execute(query).fetchone() or (0,))[0])

        path = f"{BATCHES}/{job['id']}"
        first = asyncio.create_task(coordinator.gateway.delete(path, headers=admin))
        await wait_until(waiting, lambda count: count == 1)
        said = {"label": "April"} if verb == "PUT" else None
        path += "/retry" if verb == "POST" else ""
        headers = admin | {"If-Match": "*"}
        second = asyncio.create_task(coordinator.gateway.request(verb, path, headers=headers, json=said))
        await wait_until(waiting, lambda count: count == 2)
        holder.rollback()
        assert [(await answer).status_code for answer in (first, second)] == [204, 404]
    assert rows(owner_url, "SELECT label FROM bulk_registrations WHERE id = %s", job["id"]) == [(None,)]
    told = rows(owner_url, "SELECT event FROM audit_events WHERE subject_id = %s ORDER BY seq DESC", job["id"])
    assert told[0] == ("bulk_deleted",)
    assert told.count(("bulk_deleted",)) == 1
