"""Peer mentors: added, edited and deactivated by coordinators and administrators, and imported from CSV."""

import asyncio
from contextlib import closing
from uuid import UUID, uuid4

import psycopg
import pytest

from stafett.database.migrate import ERASURE_ROLE
from stafett.database.session import Database
from stafett.domain.erasure import ERASED_NAME, Person, PersonKind
from stafett.erasure.service import ErasureService
from stafett.storage.files import FileStorage
from stafett.testing import ActivityFactory, Json, Tenant
from tests.support.erasure import ignore_progress
from tests.support.user_client import UserClient

MENTORS = "/peer-mentors"


async def import_csv(client: UserClient, text: str, status: int = 200, key: str | None = None, **query: str) -> Json:
    headers = {"Content-Type": "text/csv"} | ({"Idempotency-Key": key} if key else {})
    return await client.request("POST", f"{MENTORS}/import", status, content=text, params=query, headers=headers)


async def list_names(client: UserClient, **query: str) -> list[str]:
    return [mentor["display_name"] for mentor in (await client.request("GET", MENTORS, 200, params=query))["items"]]


def fetch_events(owner_url: str, org_id: str) -> list[tuple[str, UUID, Json]]:
    query = (
        "SELECT event, subject_id, detail FROM audit_events WHERE org_id = %s AND subject_kind = 'peer_mentor'"
        " ORDER BY seq"
    )
    with psycopg.connect(owner_url) as owner:
        return owner.execute(query, [org_id]).fetchall()


async def test_added_mentor_has_all_fields(coordinator: UserClient, tenant: Tenant) -> None:
    body = {"display_name": " Åse Ødegård ", "branch": "Tromsø", "approved_at": "2026-07-01"}
    added = await coordinator.request("POST", MENTORS, 201, json=body)
    expected = {
        "id": added["id"],
        "org_id": tenant.org_id,
        "display_name": "Åse Ødegård",
        "active": True,
        "branch": "Tromsø",
        "approved_at": "2026-06-30T22:00:00Z",
    }
    assert added == expected | {"warnings": []}
    assert await coordinator.request("GET", f"{MENTORS}/{added['id']}", 200) == expected
    assert await list_names(coordinator, branch="Tromsø") == ["Åse Ødegård"]
    assert await list_names(coordinator, branch="Bodø") == []


async def test_mentor_with_the_same_name_is_added_with_a_warning(coordinator: UserClient) -> None:
    first = await coordinator.request("POST", MENTORS, 201, json={"display_name": "Kari Nordmann"})
    second = await coordinator.request("POST", MENTORS, 201, json={"display_name": "kari nordmann"})
    assert second["warnings"] == [{"code": "duplicate_name", "mentor_ids": [first["id"]]}]


async def test_repeated_request_adds_the_mentor_once(coordinator: UserClient) -> None:
    headers, body = {"Idempotency-Key": str(uuid4())}, {"display_name": "Kari Nordmann"}
    first = await coordinator.request("POST", MENTORS, 201, json=body, headers=headers)
    assert await coordinator.request("POST", MENTORS, 201, json=body, headers=headers) == first
    other = {"display_name": "Ola Nordmann"}
    assert (await coordinator.request("POST", MENTORS, 422, json=other, headers=headers))["code"] == (
        "idempotency_key_reused"
    )
    assert await list_names(coordinator) == ["Kari Nordmann"]


async def test_edit_needs_the_current_entity_tag(coordinator: UserClient, activity_factory: ActivityFactory) -> None:
    path = f"{MENTORS}/{activity_factory.create_mentor()}"
    response = await coordinator.http_client.get(f"/api/v1{path}", headers=coordinator.headers)
    tag = {"If-Match": response.headers["ETag"]}
    await coordinator.request("GET", path, 304, headers={"If-None-Match": response.headers["ETag"]})
    await coordinator.request("PUT", path, 428, json={"active": False})
    edited = await coordinator.request("PUT", path, 200, json={"active": False, "branch": "Tromsø"}, headers=tag)
    assert (edited["active"], edited["branch"], edited["display_name"]) == (False, "Tromsø", "Åse Ødegård")
    await coordinator.request("PUT", path, 412, json={"active": True}, headers=tag)
    for body in (
        {},
        {"active": None},
        {"active": 0},
        {"display_name": None},
        {"display_name": ""},
        {"branch": "a\x85b"},
        {"display_name": "\N{ZERO WIDTH SPACE}"},
        {"display_name": "Kari \N{RIGHT-TO-LEFT OVERRIDE}gpj"},
    ):
        await coordinator.request("PUT", path, 422, json=body, headers={"If-Match": "*"})


async def test_changes_of_a_mentor_are_audited_without_values(
    coordinator: UserClient, tenant: Tenant, owner_url: str
) -> None:
    mentor = await coordinator.request("POST", MENTORS, 201, json={"display_name": "Kari", "branch": "Tromsø"})
    path, tag = f"{MENTORS}/{mentor['id']}", {"If-Match": "*"}
    await coordinator.request("PUT", path, 200, json={"display_name": "Karin", "branch": "Tromsø"}, headers=tag)
    await coordinator.request("PUT", path, 200, json={"active": False, "branch": None}, headers=tag)
    mentor_id = UUID(mentor["id"])
    assert fetch_events(owner_url, tenant.org_id) == [
        ("mentor_added", mentor_id, {}),
        ("mentor_edited", mentor_id, {"display_name": True}),
        ("mentor_deactivated", mentor_id, {"active": True, "branch": True}),
    ]


async def test_import_gives_a_verdict_per_row_and_adds_the_accepted_ones(
    coordinator: UserClient, tenant: Tenant, owner_url: str
) -> None:
    text = (
        "\N{ZERO WIDTH NO-BREAK SPACE}display_name;branch;approved_at;active\r\n"
        "Åse Ødegård;Tromsø;31.12.2025;ja\r\n"
        ";Tromsø;;\r\n"
        "Per;;2026-13-01;\r\n"
        "Per;Bodø;;kanskje\r\n"
        "åse ødegård;;;nei\r\n"
    )
    expected = [
        (2, "accepted", ["duplicate_name"], []),
        (3, "rejected", [], ["line:3/display_name"]),
        (4, "rejected", [], ["line:4/approved_at"]),
        (5, "rejected", [], ["line:5/active"]),
        (6, "accepted", ["duplicate_name"], []),
    ]
    trial = await import_csv(coordinator, text, dry_run="true")
    assert await list_names(coordinator) == []
    result = await import_csv(coordinator, text)
    for each in (trial, result):
        assert not [error for row in each["rows"] for error in row["errors"] if "Value error" in error["detail"]]
        verdicts = [
            (row["line"], row["verdict"], row["warnings"], [error["pointer"] for error in row["errors"]])
            for row in each["rows"]
        ]
        assert verdicts == expected
        assert each["counts"] == {"total": 5, "accepted": 2, "rejected": 3, "with_warnings": 2}
    assert {row["mentor_id"] for row in trial["rows"]} == {None}
    assert sorted(await list_names(coordinator)) == sorted(["Åse Ødegård", "åse ødegård"])
    added = await coordinator.request("GET", f"{MENTORS}/{result['rows'][0]['mentor_id']}", 200)
    assert (added["branch"], added["approved_at"], added["active"]) == ("Tromsø", "2025-12-30T23:00:00Z", True)
    ((event, _, detail),) = fetch_events(owner_url, tenant.org_id)
    assert (event, detail) == ("mentors_imported", {"added": 2, "rejected": 3})


async def test_repeated_import_with_the_same_key_adds_nothing(coordinator: UserClient) -> None:
    text, key = "display_name\nKari\nOla\n", str(uuid4())
    first = await import_csv(coordinator, text, key=key)
    assert await import_csv(coordinator, text, key=key) == first
    assert await list_names(coordinator) == ["Kari", "Ola"]
    await import_csv(coordinator, "display_name\nPer\n", 422, key=key)


@pytest.mark.parametrize(
    "text", ["", "display_name\n", "name\nKari\n", "display_name,mobile\nKari,1\n", "display_name,branch\nKari\n"]
)
async def test_file_that_is_no_list_of_mentors_is_rejected(coordinator: UserClient, text: str) -> None:
    assert (await import_csv(coordinator, text, 422))["errors"]
    assert await list_names(coordinator) == []


async def test_import_of_json_is_an_unsupported_media_type(coordinator: UserClient) -> None:
    await coordinator.request("POST", f"{MENTORS}/import", 415, json={"display_name": "Kari"})


async def test_mentor_cannot_be_added_to_another_organisation(coordinator: UserClient) -> None:
    await coordinator.request("POST", MENTORS, 403, json={"org_id": "nhf", "display_name": "Kari"})
    await import_csv(coordinator, "display_name\nKari\n", 403, org_id="nhf")


async def test_erasure_of_a_mentor_deletes_the_key_with_a_hash_of_the_name(
    coordinator: UserClient, tenant: Tenant, owner_url: str, storage: FileStorage
) -> None:
    headers, body = {"Idempotency-Key": str(uuid4())}, {"display_name": "Kari Nordmann"}
    mentor = await coordinator.request("POST", MENTORS, 201, json=body, headers=headers)
    person = Person(kind=PersonKind.MENTOR, id=UUID(mentor["id"]), org_id=tenant.org_id)
    with closing(Database(owner_url, pool_size=1, role=ERASURE_ROLE)) as database:
        report = await asyncio.to_thread(ErasureService(database, storage).erase, person, ignore_progress)
    assert report.summary.idempotency_keys_removed == 1
    await coordinator.request("POST", MENTORS, 201, json=body, headers=headers)
    assert await list_names(coordinator) == ["Kari Nordmann", ERASED_NAME]
