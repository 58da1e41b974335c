"""The ``/bulk-registrations`` API with a running worker."""

import asyncio
import json
import re
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest

from stafett.activity_frames import activities_from_arrow
from stafett.database.session import Database
from stafett.domain.export_outputs import QueriedRows
from stafett.domain.membership import Role
from stafett.storage.files import FileStorage
from stafett.testing import ActivityFactory, ExportClient, Json, Tenant, create_operator, create_tenant, wait_until
from tests.support.bulk import (
    ACTIVITY,
    BATCHES,
    BulkClient,
    BulkHarness,
    build_batch,
    build_item,
    create_mentors,
    fetch_registered_mentors,
    fetch_rows,
)
from tests.support.fixture_types import Bearer, RunWorker
from tests.support.job_events import parse_events


@pytest.fixture
def bulk_client(export_client: ExportClient) -> BulkClient:
    return BulkClient(export_client.http_client, export_client.org_id, export_client.headers)


@pytest.fixture
def bulk(tenant: Tenant, api_database: Database, worker_database: Database) -> BulkHarness:
    return BulkHarness(tenant, api_database, worker_database)


async def test_batch_with_invalid_mentors_completes_with_failures(
    bulk_client: BulkClient, activity_factory: ActivityFactory, run_worker: RunWorker, owner_url: str
) -> None:
    mentors = create_mentors(owner_url, bulk_client.org_id, 47)
    mentor_ids = [*mentors, uuid4(), uuid4(), activity_factory.create_mentor(active=False)]
    accepted = await bulk_client.request_batch(mentor_ids, label="Mars")
    assert accepted.status_code == 202
    assert accepted.headers["Location"] == f"{BATCHES}/{accepted.json()['id']}"
    assert accepted.headers["Retry-After"] == "1"
    assert accepted.json()["status"] == "accepted"
    assert accepted.json()["counts"] == {"total": 50, "pending": 50, "registered": 0, "failed": 0, "cancelled": 0}
    async with run_worker():
        job = await bulk_client.wait_for_completion(accepted.json()["id"])
    assert (job["status"], job["label"]) == ("completed_with_failures", "Mars")
    assert job["counts"] == {"total": 50, "pending": 0, "registered": 47, "failed": 3, "cancelled": 0}
    assert [item["mentor_id"] for item in job["items"]] == [str(mentor) for mentor in mentor_ids]
    assert job["items"][0]["activity_id"] is not None
    assert job["items"][-1] == {
        "client_ref": str(mentor_ids[-1]),
        "mentor_id": str(mentor_ids[-1]),
        "status": "failed",
        "activity_id": None,
        "error": {"code": "mentor_inactive", "message": "The peer mentor is not active.", "retryable": False},
        "attempts": 1,
    }
    activities = (
        await bulk_client.http_client.get(
            "/api/v1/activities", params={"batch_id": job["id"], "page_size": 200}, headers=bulk_client.headers
        )
    ).json()["items"]
    assert {activity["mentor_id"] for activity in activities} == {str(mentor) for mentor in mentors}
    assert all(activity["is_proxy"] and activity["registered_by"] == job["requested_by"] for activity in activities)
    assert {activity["id"] for activity in activities} == {item["activity_id"] for item in job["items"]} - {None}


async def test_batch_supports_wait_idempotency_key_events_and_etag(
    bulk_client: BulkClient, activity_factory: ActivityFactory, run_worker: RunWorker
) -> None:
    mentors = [activity_factory.create_mentor(), activity_factory.create_mentor()]
    async with run_worker():
        first = await bulk_client.request_batch(mentors, idempotency_key="once", prefer="wait=30")
    repeated = await bulk_client.request_batch(mentors, idempotency_key="once")
    conflicting = await bulk_client.request_batch(mentors[:1], idempotency_key="once")
    assert (first.status_code, repeated.status_code, conflicting.status_code) == (200, 202, 422)
    assert first.headers["Preference-Applied"] == "wait=30"
    assert repeated.json() == first.json()
    assert first.json()["status"] == "completed"
    events = parse_events((await bulk_client.get(f"/{first.json()['id']}/events")).text)
    assert [event.data["status"] for event in events if event.name == "status"] == ["accepted", "running", "completed"]
    assert events[-1].data["registered"] == 2
    headers = bulk_client.headers | {"If-None-Match": repeated.headers["ETag"]}
    unchanged = await bulk_client.http_client.get(f"{BATCHES}/{first.json()['id']}", headers=headers)
    assert unchanged.status_code == 304


async def test_retry_registers_items_whose_error_was_fixed(
    bulk_client: BulkClient, activity_factory: ActivityFactory, run_worker: RunWorker, owner_url: str
) -> None:
    inactive, active = activity_factory.create_mentor(active=False), activity_factory.create_mentor()
    async with run_worker():
        job = await bulk_client.start_batch([inactive, active])
        ended = await bulk_client.wait_for_completion(job["id"])
        assert ended["status"] == "completed_with_failures"
        fetch_rows(owner_url, "UPDATE peer_mentors SET active = true WHERE id = %s RETURNING 1", inactive)
        retried = await bulk_client.post(f"/{job['id']}/retry")
        assert (retried.status_code, retried.json()["id"]) == (202, job["id"])
        ended = await bulk_client.wait_for_completion(job["id"])
        assert (ended["status"], ended["attempt"]) == ("completed", 2)
        assert (await bulk_client.post(f"/{job['id']}/retry")).status_code == 409
    assert sorted(fetch_registered_mentors(owner_url, job["id"])) == sorted([inactive, active])


async def test_corrected_csv_of_failed_items_can_be_resubmitted(
    bulk_client: BulkClient, activity_factory: ActivityFactory, run_worker: RunWorker, owner_url: str
) -> None:
    unknown, existing = uuid4(), activity_factory.create_mentor()
    note = '=HYPERLINK("x"); med «tegn»\nog linjer'
    overridden = activity_factory.create_mentor()
    async with run_worker():
        items = [
            build_item(unknown, client_ref="-1", overrides={"note": note}),
            activity_factory.create_mentor(),
            build_item(overridden, overrides={"participants": 0}),
        ]
        job = await bulk_client.start_batch(items)
        await bulk_client.wait_for_completion(job["id"])
        failed = await bulk_client.get(f"/{job['id']}/failed.csv")
        assert failed.headers["content-type"] == "text/csv; charset=utf-8"
        text = failed.content.decode("utf-8-sig")
        assert failed.content.startswith(b"\xef\xbb\xbf")
        assert "'=HYPERLINK" in text
        assert ";'-1" not in text
        assert text.splitlines()[0].startswith("client_ref;mentor_id;activity_type;starts_at;")
        assert text.count("mentor_not_found") == 1
        assert "more new participants than participants" in text
        corrected = text.replace(str(unknown), str(existing)).replace(";0;1;", ";4;1;")
        response = await bulk_client.http_client.post(
            BATCHES,
            params={"org_id": bulk_client.org_id, "label": "Rettet"},
            content=corrected.encode("utf-8-sig"),
            headers=bulk_client.headers | {"Content-Type": "text/csv; charset=utf-8"},
        )
        assert response.status_code == 202, response.text
        ended = await bulk_client.wait_for_completion(response.json()["id"])
    assert (ended["status"], ended["label"]) == ("completed", "Rettet")
    assert [item["client_ref"] for item in ended["items"]] == ["-1", str(overridden)]
    registered = fetch_rows(
        owner_url, "SELECT mentor_id, note FROM activities WHERE batch_id = %s ORDER BY note", ended["id"]
    )
    assert set(registered) == {(existing, note), (overridden, ACTIVITY["note"])}


async def test_csv_errors_point_to_their_lines(bulk_client: BulkClient) -> None:
    async def submit_csv(text: str | bytes) -> Json:
        content = text if isinstance(text, bytes) else text.encode()
        headers = bulk_client.headers | {"Content-Type": "text/csv"}
        response = await bulk_client.http_client.post(BATCHES, content=content, headers=headers)
        assert response.status_code == 422, response.text
        problem: Json = response.json()
        return {error["pointer"]: error["code"] for error in problem["errors"]}

    header = (
        "mentor_id,activity_type,starts_at,duration_minutes,participants,new_participants,place,in_person,in_norway"
    )
    line = "annet,2026-03-02T10:00:00Z,60,5,1,Oslo,ja,ja"
    assert await submit_csv(f"{header}\n") == {"line:2": "too_short"}
    assert await submit_csv(f"{header}\n{uuid4()},{line},x\n") == {"line:2": "cells"}
    mentor = uuid4()
    assert await submit_csv(f"{header}\n{mentor},{line}\n\n{mentor},{line}\n") == {
        "line:2/mentor_id": "mentor_not_found",
        "line:4/client_ref": "not_unique",
    }
    assert await submit_csv(f"{header}\n,{line}\n") == {"line:2/mentor_id": "string_too_short"}
    assert await submit_csv("mentor_id;fødselsnummer\n") | {"line:1": ""} == {"line:1": ""}
    assert await submit_csv(f"{header}\n".encode() + b"\xe5") == {"line:2": "encoding"}


@pytest.mark.parametrize("name", ["label", "corrects"])
async def test_parameter_of_a_csv_body_is_rejected_beside_a_json_body(bulk_client: BulkClient, name: str) -> None:
    query = {name: str(uuid4())}
    response = await bulk_client.http_client.post(
        BATCHES, params=query, json={"org_id": bulk_client.org_id}, headers=bulk_client.headers
    )
    assert response.status_code == 422
    assert [error["pointer"] for error in response.json()["errors"]] == [f"query:{name}"]


HEADER = "mentor_id;activity_type;starts_at;duration_minutes;participants;new_participants;place;in_person;in_norway"


@pytest.mark.parametrize("query", [{}, {"validate_only": "true"}])
async def test_doubled_line_is_reported_together_with_all_other_errors_of_the_file(
    bulk_client: BulkClient, activity_factory: ActivityFactory, query: dict[str, str]
) -> None:
    first, second = activity_factory.create_mentor(), activity_factory.create_mentor()
    lines = [
        f"{first};annet;02.03.2026 10:00;60;5;1;Oslo;ja;ja",
        f"{first};annet;02.03.2026 10:00;60;5;1;Oslo;ja;ja",
        f"{second};annet;31.02.2026 10:00;0;5;6;Oslo;kanskje;ja",
        ";annet;02.03.2026 10:00;60;5;1;Oslo;ja;ja",
        f"{uuid4()};annet;02.03.2026 10:00;60;5;1;Oslo;ja;ja",
    ]
    headers = bulk_client.headers | {"Content-Type": "text/csv", "Accept-Language": "nb-NO, nb;q=0.9, en;q=0.8"}
    content = "\n".join([HEADER, *lines]).encode()
    response = await bulk_client.http_client.post(BATCHES, params=query, content=content, headers=headers)
    assert response.status_code == 422
    assert [(error["pointer"], error["code"]) for error in response.json()["errors"]] == [
        ("line:3/client_ref", "not_unique"),
        ("line:4/starts_at", "time_invalid"),
        ("line:4/duration_minutes", "greater_than_equal"),
        ("line:4/in_person", "bool_type"),
        ("line:5/mentor_id", "string_too_short"),
        ("line:6/mentor_id", "mentor_not_found"),
    ]
    details = [error["detail"] for error in response.json()["errors"]]
    assert details[0].startswith("Linje 2 har samme client_ref")
    assert details[1:] == [
        "starts_at må være et tidspunkt som finnes, skrevet som 31.01.2026 10:00",
        "duration_minutes må være minst 1",
        "in_person må være ja eller nei",
        "mentor_id er tom",
        "Organisasjonen har ingen slik likeperson.",
    ]
    assert (await bulk_client.get()).json()["items"] == []


async def test_doubled_item_is_reported_together_with_the_errors_of_other_items(
    bulk_client: BulkClient, activity_factory: ActivityFactory
) -> None:
    mentor = activity_factory.create_mentor()
    items = [build_item(mentor), build_item(mentor), build_item(uuid4(), overrides={"participants": -1})]
    response = await bulk_client.request_batch(items)
    assert response.status_code == 422
    assert [(error["pointer"], error["code"]) for error in response.json()["errors"]] == [
        ("/items/1/client_ref", "not_unique"),
        ("/items/2/mentor_id", "mentor_not_found"),
    ]
    items[2] = build_item(activity_factory.create_mentor(), overrides={"participants": -1, "new_participants": 0})
    response = await bulk_client.request_batch(items)
    assert [error["pointer"] for error in response.json()["errors"]] == [
        "/items/1/client_ref",
        "/items/2/overrides/participants",
    ]


async def test_errors_beyond_a_hundred_are_counted(bulk_client: BulkClient) -> None:
    lines = "\n".join(f"{uuid4()};annet;02.03.2026 10:00;60;5;1;Oslo;ja;ja" for _ in range(149))
    last = lines.rpartition("\n")[2]
    headers = bulk_client.headers | {"Content-Type": "text/csv"}
    content = f"{HEADER}\n{lines}\n{last}".encode()
    response = await bulk_client.http_client.post(BATCHES, content=content, headers=headers)
    assert len(response.json()["errors"]) == 100
    assert "50 more errors are not listed." in response.json()["detail"]


@pytest.mark.parametrize(
    ("language", "message"),
    [
        ("nb", "participants kan være høyst 100000."),
        ("nn-NO", "participants kan vere høgst 100000."),
        ("sv, en;q=0.5, nn;q=0.4", "participants must be at most 100000."),
        ("*", "participants must be at most 100000."),
    ],
)
async def test_failed_item_is_explained_in_the_language_of_the_request(
    bulk_client: BulkClient,
    activity_factory: ActivityFactory,
    run_worker: RunWorker,
    language: str,
    message: str,
) -> None:
    item = build_item(activity_factory.create_mentor(), overrides={"participants": 100_001})
    async with run_worker():
        ended = await bulk_client.wait_for_completion((await bulk_client.request_batch([item])).json()["id"])
    headers = bulk_client.headers | {"Accept-Language": language}
    for path in ("", "/items"):
        response = await bulk_client.http_client.get(f"{BATCHES}/{ended['id']}{path}", headers=headers)
        assert response.json()["items"][0]["error"]["message"] == message
        assert response.headers["Vary"] == "Accept-Language"


async def test_activities_in_the_future_are_a_warning_of_check_and_batch(
    bulk_client: BulkClient, activity_factory: ActivityFactory
) -> None:
    later = {"overrides": {"starts_at": "2199-03-02T10:00:00+01:00"}}
    items = [build_item(activity_factory.create_mentor()), build_item(activity_factory.create_mentor(), **later)]
    checked = (await bulk_client.request_batch(items, validate_only=True)).json()
    assert [(each["code"], each["rows"], each["events"]) for each in checked["warnings"]] == [
        ("starts_in_future", 1, None)
    ]
    accepted = (await bulk_client.request_batch(items)).json()
    assert accepted["warnings"] == checked["warnings"]
    assert (await bulk_client.get(f"/{accepted['id']}")).json()["warnings"] == checked["warnings"]


async def test_batch_and_its_correction_name_each_other(
    bulk_client: BulkClient, activity_factory: ActivityFactory, run_worker: RunWorker
) -> None:
    mentor = activity_factory.create_mentor()
    async with run_worker():
        failed = await bulk_client.wait_for_completion((await bulk_client.request_batch([uuid4()])).json()["id"])
        etag = (await bulk_client.get(f"/{failed['id']}")).headers["ETag"]
        assert (failed["corrects"], failed["corrected_by"]) == (None, [])
        correction = (await bulk_client.request_batch([mentor], corrects=failed["id"])).json()
        ended = await bulk_client.wait_for_completion(correction["id"])
    assert (ended["status"], ended["corrects"]) == ("completed", failed["id"])
    corrected = await bulk_client.get(f"/{failed['id']}")
    assert corrected.json()["corrected_by"] == [correction["id"]]
    assert corrected.headers["ETag"] != etag


@pytest.mark.parametrize("media_type", ["application/json", "text/csv"])
async def test_batch_that_is_unknown_or_runs_cannot_be_corrected(
    bulk_client: BulkClient, activity_factory: ActivityFactory, media_type: str
) -> None:
    mentor = activity_factory.create_mentor()
    running = (await bulk_client.request_batch([mentor])).json()["id"]
    for batch_id, code in ((str(uuid4()), "unknown_batch"), (running, "not_finished")):
        if media_type == "text/csv":
            response = await bulk_client.http_client.post(
                BATCHES,
                params={"corrects": batch_id},
                content=f"{HEADER}\n{mentor};annet;02.03.2026 10:00;60;5;1;Oslo;ja;ja".encode(),
                headers=bulk_client.headers | {"Content-Type": media_type},
            )
        else:
            response = await bulk_client.request_batch([mentor], corrects=batch_id)
        pointer = "/corrects" if media_type == "application/json" else "query:corrects"
        assert [(error["pointer"], error["code"]) for error in response.json()["errors"]] == [(pointer, code)]


async def test_validate_only_writes_nothing(
    bulk_client: BulkClient, activity_factory: ActivityFactory, owner_url: str
) -> None:
    response = await bulk_client.request_batch([activity_factory.create_mentor(), uuid4()], validate_only=True)
    assert response.status_code == 200
    assert [item["status"] for item in response.json()["items"]] == ["registered", "failed"]
    assert response.json()["counts"]["registered"] == 1
    assert response.json()["warnings"] == []
    assert (await bulk_client.get()).json()["items"] == []
    assert fetch_rows(owner_url, "SELECT 1 FROM activities WHERE org_id = %s", bulk_client.org_id) == []


@pytest.mark.parametrize(
    ("fields", "pointer"),
    [
        ({"items": []}, "/items"),
        ({"activity": {**ACTIVITY, "activity_type": "kaffe"}}, "/activity/activity_type"),
        ({"activity": {**ACTIVITY, "starts_at": "2026-03-02T10:00:00"}}, "/activity/starts_at"),
        ({"activity": {**ACTIVITY, "participants": "5"}}, "/activity/participants"),
        ({"activity": {name: value for name, value in ACTIVITY.items() if name != "place"}}, "/activity/place"),
        ({"activity": {**ACTIVITY, "place": "a\0b"}}, "/activity/place"),
        ({"activity": {**ACTIVITY, "event_id": "the meeting"}}, "/activity/event_id"),
        ({"items": [{"mentor_id": "a", "overrides": {"colour": 1}}]}, "/items/0/overrides/colour"),
        ({"items": [{}]}, "/items/0/mentor_id"),
        ({"label": ""}, "/label"),
        ({"colour": 1}, "/colour"),
    ],
)
async def test_invalid_batch_error_points_to_the_field(bulk_client: BulkClient, fields: Json, pointer: str) -> None:
    body = {"items": ["a"], **fields}
    response = await bulk_client.request_batch(body.pop("items"), **body)
    assert response.status_code == 422
    assert [error["pointer"] for error in response.json()["errors"]] == [pointer]


async def test_unsupported_malformed_and_oversized_bodies_are_rejected(bulk_client: BulkClient) -> None:
    headers = bulk_client.headers | {"Content-Type": "application/xml"}
    assert (await bulk_client.http_client.post(BATCHES, content=b"<a/>", headers=headers)).status_code == 415
    headers["Content-Type"] = "application/json"
    assert (await bulk_client.http_client.post(BATCHES, content=b"{", headers=headers)).status_code == 422
    assert (await bulk_client.request_batch([str(number) for number in range(10_001)])).status_code == 422


async def test_renaming_and_cancelling_require_the_current_etag(
    bulk_client: BulkClient, activity_factory: ActivityFactory, run_worker: RunWorker
) -> None:
    job = await bulk_client.start_batch([activity_factory.create_mentor()])
    path, etag = f"/{job['id']}", (await bulk_client.get(f"/{job['id']}")).headers["ETag"]
    assert (await bulk_client.put(path, {"label": "Ny"}, None)).status_code == 428
    edited = await bulk_client.put(path, {"label": "Ny"}, etag)
    assert (edited.status_code, edited.json()["label"]) == (200, "Ny")
    assert (await bulk_client.put(path, {"label": "Nyere"}, etag)).status_code == 412
    assert (await bulk_client.put(path, {"status": "completed"}, edited.headers["ETag"])).status_code == 422
    cancelled = await bulk_client.put(path, {"status": "cancelled"}, edited.headers["ETag"])
    assert cancelled.json()["status"] == "cancelling"
    async with run_worker():
        ended = await bulk_client.wait_for_completion(job["id"])
        assert (ended["status"], ended["counts"]["cancelled"], ended["items"][0]["status"]) == (
            "cancelled",
            1,
            "cancelled",
        )
        assert (await bulk_client.post(f"/{job['id']}/cancel")).status_code == 409
        assert (await bulk_client.post(f"/{job['id']}/retry", Prefer="wait=30")).json()["status"] == "completed"


async def test_items_are_paginated_and_filtered_by_status(
    bulk_client: BulkClient, activity_factory: ActivityFactory, run_worker: RunWorker
) -> None:
    mentors = [activity_factory.create_mentor() for _ in range(3)]
    mentor_ids = [mentors[0], uuid4(), mentors[1], uuid4(), mentors[2]]
    async with run_worker():
        job = await bulk_client.request_batch(mentor_ids, prefer="wait=30")
    path = f"/{job.json()['id']}/items"
    first = (await bulk_client.get(path, status="registered", page_size=2)).json()
    second = (await bulk_client.get(path, status="registered", page_size=2, page_token=first["next_page_token"])).json()
    assert [item["mentor_id"] for item in first["items"] + second["items"]] == [str(mentor) for mentor in mentors]
    assert second["next_page_token"] is None
    assert len((await bulk_client.get(path)).json()["items"]) == 5


async def test_roles_limit_access_to_a_batch(
    bulk_client: BulkClient,
    activity_factory: ActivityFactory,
    run_worker: RunWorker,
    tenant: Tenant,
    bearer: Bearer,
    owner_url: str,
) -> None:
    async with run_worker():
        job = (
            await bulk_client.request_batch([activity_factory.create_mentor(), uuid4()], label="Mars", prefer="wait=30")
        ).json()

    def create_client(headers: dict[str, str]) -> BulkClient:
        return BulkClient(bulk_client.http_client, bulk_client.org_id, headers)

    admin = create_client(bearer(tenant.users[Role.ADMIN], role="admin"))
    auditor = create_client(bearer(tenant.users[Role.AUDITOR], role="auditor"))
    operator = create_client(bearer(create_operator(owner_url), None, "operator"))
    other_tenant = create_tenant(owner_url)
    stranger = create_client(bearer(other_tenant.coordinator, other_tenant.org_id))
    path = f"/{job['id']}"
    assert (await stranger.get(path)).status_code == 404
    assert (await stranger.request_batch([uuid4()])).status_code == 403
    assert (await auditor.request_batch([uuid4()])).status_code == 403
    assert (await operator.request_batch([uuid4()])).status_code == 403
    assert (await auditor.get(f"{path}/items")).status_code == 200
    assert (await auditor.get(f"{path}/failed.csv")).status_code == 403
    assert (await auditor.post(f"{path}/retry")).status_code == 403
    visible = (await operator.get(path)).json()
    assert (visible["status"], visible["items"], visible["activity"], visible["label"]) == (
        job["status"],
        [],
        None,
        None,
    )
    assert (await operator.get(f"{path}/items")).status_code == 403
    assert (await operator.get(f"{path}/failed.csv")).status_code == 403
    response = await operator.http_client.get("/api/v1/activities", headers=operator.headers)
    assert response.status_code == 403
    for edit in ({"label": "Other"}, {"label": None}, {"label": "Other", "status": "cancelled"}):
        assert (await operator.put(path, edit, "*")).status_code == 403
    assert (await bulk_client.get(path)).json()["label"] == "Mars"
    deleted = await bulk_client.http_client.delete(f"{BATCHES}{path}", headers=bulk_client.headers)
    assert deleted.status_code == 403
    deleted = await admin.http_client.delete(f"{BATCHES}{path}", headers=admin.headers)
    assert deleted.status_code == 204
    assert (await bulk_client.get(path)).status_code == 404
    assert len(fetch_registered_mentors(owner_url, job["id"])) == 1
    assert fetch_rows(owner_url, "SELECT 1 FROM bulk_items WHERE batch_id = %s", job["id"]) == []
    events = fetch_rows(
        owner_url, "SELECT event, detail::text FROM audit_events WHERE subject_id = %s ORDER BY seq", job["id"]
    )
    assert [event for event, _ in events] == [
        "bulk_requested",
        "bulk_started",
        "bulk_completed_with_failures",
        "bulk_deleted",
    ]
    assert not any(
        word in detail
        for _, detail in events
        for word in ("Mars", "note", *(item["mentor_id"] for item in job["items"]))
    )


async def test_requester_is_notified_of_completion(
    bulk_client: BulkClient, activity_factory: ActivityFactory, run_worker: RunWorker
) -> None:
    async with run_worker():
        job = (await bulk_client.request_batch([activity_factory.create_mentor()], prefer="wait=30")).json()
    response = await bulk_client.http_client.get("/api/v1/notifications", headers=bulk_client.headers)
    (notification,) = response.json()["items"]
    assert (notification["subject"], notification["status"]) == (
        {"kind": "bulk_registration", "id": job["id"]},
        "completed",
    )


async def test_export_contains_proxy_registrations_and_their_author(
    bulk_client: BulkClient,
    export_client: ExportClient,
    activity_factory: ActivityFactory,
    run_worker: RunWorker,
    storage: FileStorage,
    owner_url: str,
) -> None:
    self_registered = activity_factory.create_activity(activity_factory.create_mentor())
    async with run_worker():
        batch = (await bulk_client.request_batch([activity_factory.create_mentor()], prefer="wait=30")).json()
        export = await export_client.wait_for_completion(await export_client.start_export())
    assert (export["status"], export["row_count"]) == ("completed", 2)
    query = "SELECT outputs FROM export_stage_outputs WHERE stage = 'querying_activities' AND export_id = %s"
    ((outputs,),) = fetch_rows(owner_url, query, UUID(export["id"]))
    (part,) = QueriedRows.model_validate(outputs).parts
    exported = activities_from_arrow(storage.read_part(part)).select("id", "is_proxy", "registered_by").rows()
    proxy_registered = (batch["items"][0]["activity_id"], True, batch["requested_by"])
    assert set(exported) == {(str(self_registered), False, None), proxy_registered}


@pytest.mark.parametrize("verb", ["PUT", "POST", "DELETE"])
async def test_request_concurrent_with_a_delete_does_not_find_the_batch(
    verb: str, bulk_client: BulkClient, run_worker: RunWorker, owner_url: str, tenant: Tenant, bearer: Bearer
) -> None:
    job = await bulk_client.start_batch([uuid4()], label="Mars")
    async with run_worker():
        assert (await bulk_client.wait_for_completion(job["id"]))["status"] == "failed"
    admin = bearer(tenant.users[Role.ADMIN], role="admin")
    with psycopg.connect(owner_url) as locking, psycopg.connect(owner_url, autocommit=True) as monitoring:
        locking.execute("SELECT FROM bulk_registrations WHERE id = %s FOR UPDATE", [job["id"]])

        async def count_waiting() -> int:
            query = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND usename = 'stafett_api'"
            return int((monitoring.execute(query).fetchone() or (0,))[0])

        path = f"{BATCHES}/{job['id']}"
        first = asyncio.create_task(bulk_client.http_client.delete(path, headers=admin))
        await wait_until(count_waiting, lambda count: count == 1)
        body = {"label": "April"} if verb == "PUT" else None
        path += "/retry" if verb == "POST" else ""
        headers = admin | {"If-Match": "*"}
        second = asyncio.create_task(bulk_client.http_client.request(verb, path, headers=headers, json=body))
        await wait_until(count_waiting, lambda count: count == 2)
        locking.rollback()
        assert [(await response).status_code for response in (first, second)] == [204, 404]
    assert fetch_rows(owner_url, "SELECT label FROM bulk_registrations WHERE id = %s", job["id"]) == [(None,)]
    events = fetch_rows(owner_url, "SELECT event FROM audit_events WHERE subject_id = %s ORDER BY seq DESC", job["id"])
    assert events[0] == ("bulk_deleted",)
    assert events.count(("bulk_deleted",)) == 1


ENGLISH_WORDS = re.compile(r"\b(should|must|item|field|input|request|not|the|is|more|errors)\b", re.IGNORECASE)


@pytest.mark.parametrize(
    ("language", "detail", "details"),
    [
        (
            "nb",
            "Forespørselen er ikke gyldig.",
            {
                "/label": "label kan ha høyst 200 tegn",
                "/corrects": "corrects må være en id (UUID)",
                "/activity/participants": "participants må være minst 0",
                "/activity/starts_at": "starts_at må være et tidspunkt som finnes, i RFC 3339 med tidssone, som "
                "2026-01-31T10:00:00+01:00",
                "/activity/in_person": "in_person må være true eller false",
                "/activity/place": "place kan ikke ha NUL-tegn",
                "/activity/sted": "Feltet er ukjent",
                "/items/0/overrides/sted": "Feltet er ukjent",
                "/items/1": "items/1 må være et objekt",
                "/items/2/mentor_id": "mentor_id mangler",
            },
        ),
        (
            "nn-NO, nn;q=0.9",
            "Førespurnaden er ikkje gyldig.",
            {
                "/label": "label kan ha høgst 200 teikn",
                "/corrects": "corrects må vere ein id (UUID)",
                "/activity/participants": "participants må vere minst 0",
                "/activity/starts_at": "starts_at må vere eit tidspunkt som finst, i RFC 3339 med tidssone, som "
                "2026-01-31T10:00:00+01:00",
                "/activity/in_person": "in_person må vere true eller false",
                "/activity/place": "place kan ikkje ha NUL-teikn",
                "/activity/sted": "Feltet er ukjent",
                "/items/0/overrides/sted": "Feltet er ukjent",
                "/items/1": "items/1 må vere eit objekt",
                "/items/2/mentor_id": "mentor_id manglar",
            },
        ),
    ],
)
async def test_invalid_json_is_explained_in_the_language_of_the_request(
    bulk_client: BulkClient, language: str, detail: str, details: dict[str, str]
) -> None:
    body = {
        "org_id": bulk_client.org_id,
        "label": "x" * 201,
        "corrects": "x",
        "activity": ACTIVITY
        | {"participants": -1, "starts_at": "i går", "in_person": "ja", "place": "\0", "sted": "Oslo"},
        "items": [build_item(uuid4(), overrides={"sted": "Oslo"}), 5, {}],
    }
    headers = bulk_client.headers | {"Accept-Language": language}
    response = await bulk_client.http_client.post(BATCHES, json=body, headers=headers)
    assert (response.status_code, response.headers["Vary"]) == (422, "Accept-Language")
    assert response.json()["detail"] == detail
    assert {error["pointer"]: error["detail"] for error in response.json()["errors"]} == details


async def test_refused_batch_has_no_english_among_norwegian_texts(
    bulk_client: BulkClient, activity_factory: ActivityFactory, bulk: BulkHarness
) -> None:
    """The texts of requests of many kinds are in the language of the request, and in English in its own words."""
    mentor, activity = activity_factory.create_mentor(), dict(ACTIVITY)
    del activity["place"]
    doubled = [build_item(mentor), build_item(mentor), build_item(uuid4(), overrides={"participants": -1})]
    override = {"place": {"a": 1}, "participants": 2**60, "note": "x" * 10_001}
    running = (await bulk_client.request_batch([mentor], idempotency_key="key")).json()["id"]
    cancelled = (await bulk_client.request_batch([mentor])).json()["id"]
    bulk.registration.finish_cancel(bulk.commands.cancel(bulk.caller, UUID(cancelled)).job)
    bodies: list[Any] = [
        build_batch(bulk_client.org_id, doubled),
        build_batch(bulk_client.org_id, doubled[:1], activity=activity),
        build_batch(bulk_client.org_id, [build_item(mentor, overrides=override)]),
        build_batch(bulk_client.org_id, []),
        build_batch(bulk_client.org_id, doubled[:1] * 10_001),
        build_batch(bulk_client.org_id, doubled[:1], corrects=str(uuid4())),
        build_batch(bulk_client.org_id, doubled[:1], corrects=running),
        build_batch(bulk_client.org_id, doubled[:1], corrects=cancelled),
        build_batch(bulk_client.org_id, [], validate_only="kanskje", activity=7) | {"items": {}},
        build_batch(bulk_client.org_id, [5] * 101),
        build_batch("Norges Handikapforbund", doubled[:1]),
        {str(number): 1 for number in range(101)},
        [[[[[[[[[[[]]]]]]]]]]],
        [1] * 300_001,
    ]
    contents = [*(json.dumps(body).encode() for body in bodies), b"{", b'"\xff"']
    for content in contents:
        texts = {}
        for language in ("nb", "nn", "en"):
            headers = bulk_client.headers | {"Accept-Language": language, "Content-Type": "application/json"}
            response = await bulk_client.http_client.post(BATCHES, content=content, headers=headers)
            assert (response.status_code, response.headers["Vary"]) == (422, "Accept-Language")
            problem = response.json()
            texts[language] = [problem["detail"], *(error["detail"] for error in problem["errors"])]
            assert len(texts[language]) > 1
        for norwegian in (*texts["nb"], *texts["nn"]):
            assert norwegian not in texts["en"]
            assert not ENGLISH_WORDS.search(norwegian), norwegian
    headers = bulk_client.headers | {"Accept-Language": "nb", "Idempotency-Key": "key"}
    body = build_batch(bulk_client.org_id, [mentor], label="Another")
    reused = (await bulk_client.http_client.post(BATCHES, json=body, headers=headers)).json()
    assert reused["code"] == "idempotency_key_reused"
    assert reused["detail"] == "Denne idempotensnøkkelen er brukt for en annen forespørsel."
    query = await bulk_client.http_client.post(f"{BATCHES}?validate_only=kanskje", json=body, headers=headers)
    assert [error["detail"] for error in query.json()["errors"]] == ["validate_only må være true eller false"]


async def test_warnings_count_what_would_be_registered_in_check_and_batch(
    bulk_client: BulkClient, activity_factory: ActivityFactory
) -> None:
    starts_at = datetime(2199, 3, 2, 9, tzinfo=UTC)
    mentors = [activity_factory.create_mentor() for _ in range(3)]
    activity_factory.create_activity(mentors[2], starts_at=starts_at)
    failing = [uuid4(), activity_factory.create_mentor(active=False), mentors[2]]
    activity = ACTIVITY | {"starts_at": starts_at.isoformat()}
    for items, expected in (
        ([*mentors[:2], *failing], [("several_mentors_at_one_event", 2, 1), ("starts_in_future", 2, None)]),
        ([mentors[0], *failing], [("starts_in_future", 1, None)]),
        (failing, []),
    ):
        for is_check in (True, False):
            batch = (await bulk_client.request_batch(items, activity=activity, validate_only=is_check)).json()
            assert [(each["code"], each["rows"], each["events"]) for each in batch["warnings"]] == expected
