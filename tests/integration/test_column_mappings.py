"""An organisation's column mapping: read, added to, chosen by day, and never changed."""

import asyncio
import json
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any
from uuid import uuid4

import httpx
import psycopg
import pytest
from psycopg import errors
from psycopg.types.json import Json

from stafett.activity_frames import frame_from_arrow
from stafett.column_mapper import validate_document
from stafett.column_mapper.organisations import STANDARD, load_bundled_mappings
from stafett.column_mapper.versions import MappingVersions
from stafett.database.session import Database
from stafett.domain.export import ExportRequest
from stafett.domain.export_outputs import MappedRows
from stafett.domain.export_status import ExportStatus
from stafett.domain.membership import Caller, Role
from stafett.exports.mapped_parts import MappedPartStore
from stafett.exports.service import ExportService
from stafett.exports.stage_runner import StageRunner
from stafett.exports.stage_store import StageStore
from stafett.exports.stages.map_columns import ColumnMapper
from stafett.exports.stages.query_activities import ActivityQueryStage
from stafett.storage.files import FileStorage
from stafett.testing import ActivityFactory, ExportClient, Tenant, create_tenant

Bearer = Callable[..., dict[str, str]]
Working = Callable[[], AbstractAsyncContextManager[None]]


def written(**said: Any) -> dict[str, Any]:
    document: dict[str, Any] = load_bundled_mappings(STANDARD)[0].as_json()
    return document | said


class Mapping:
    """One organisation's mapping, in the hand of one of its people."""

    def __init__(self, gateway: httpx.AsyncClient, org_id: str, headers: dict[str, str]) -> None:
        self._gateway = gateway
        self._path = f"/api/v1/organisations/{org_id}/column-mapping"
        self._headers = headers

    async def get(self, **query: str | int) -> httpx.Response:
        return await self._gateway.get(self._path, params=query, headers=self._headers)

    async def put(self, body: object, **headers: str) -> httpx.Response:
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        return await self._gateway.put(self._path, json=body, headers=self._headers | sent)

    async def added(self, **said: Any) -> httpx.Response:
        etag = (await self.get(version=1)).headers["ETag"]
        return (await self.put(written(**said), if_match=etag)).raise_for_status()


@pytest.fixture
def admin(gateway: httpx.AsyncClient, tenant: Tenant, bearer: Bearer) -> Mapping:
    return Mapping(gateway, tenant.org_id, bearer(tenant.users[Role.ADMIN]))


async def test_the_mapping_in_force_is_read_with_its_version_and_hash(admin: Mapping) -> None:
    answer = await admin.get()
    document = load_bundled_mappings(STANDARD)[0]
    mapping = answer.raise_for_status().json()
    assert answer.headers["ETag"] == '"1-1"'
    assert (mapping["version"], mapping["effective_from"], mapping["sha256"]) == (1, "2020-01-01", document.sha256)
    assert mapping["document"] == document.as_json()
    assert (await admin.get(version=1)).json() == mapping
    assert (await admin.get(at="2019-12-31")).status_code == 404
    assert (await admin.get(version=2)).status_code == 404
    assert (await admin.get(version=1, at="2026-01-01")).status_code == 422


async def test_what_was_read_already_is_not_sent_again(
    gateway: httpx.AsyncClient, tenant: Tenant, bearer: Bearer
) -> None:
    path = f"/api/v1/organisations/{tenant.org_id}/column-mapping"
    headers = bearer(tenant.users[Role.AUDITOR])
    etag = (await gateway.get(path, headers=headers)).headers["ETag"]
    assert (await gateway.get(path, headers=headers | {"If-None-Match": etag})).status_code == 304


async def test_an_edit_adds_a_version_and_leaves_the_old_one_as_it_was(
    admin: Mapping, tenant: Tenant, owner_url: str
) -> None:
    before = (await admin.get()).json()
    added = await admin.added(title="from 2030", effective_from="2030-01-01")
    assert (added.status_code, added.headers["ETag"], added.json()["version"]) == (200, '"2-2"', 2)
    assert added.json()["created_by"] == str(tenant.users[Role.ADMIN])
    today = await admin.get()
    assert today.json() == before
    assert today.headers["ETag"] == '"2-1"'
    assert (await admin.get(at="2030-01-01")).json() == added.json()
    with psycopg.connect(owner_url) as connection:
        event = connection.execute(
            "SELECT actor, detail FROM audit_events WHERE org_id = %s AND event = 'column_mapping_added'",
            [tenant.org_id],
        ).fetchone()
    expected = {"version": 2, "sha256": added.json()["sha256"], "effective_from": "2030-01-01"}
    assert event == (f"user:{tenant.users[Role.ADMIN]}", expected)


async def test_an_edit_says_what_it_is_based_on(admin: Mapping) -> None:
    assert (await admin.put(written(title="x"))).status_code == 428
    for stale in ('"0-1"', '"2-1"', 'W/"1-1"', "rubbish"):
        answer = await admin.put(written(title="x"), if_match=stale)
        assert (answer.status_code, answer.json()["code"]) == (412, "precondition_failed")
    assert (await admin.put(written(title="x"), if_match='"1-77"')).status_code == 200
    assert (await admin.put(written(title="y"), if_match="*")).json()["version"] == 3


async def test_of_many_edits_at_once_one_is_made(admin: Mapping) -> None:
    answers = await asyncio.gather(*(admin.put(written(title=f"{n}"), if_match='"1-1"') for n in range(8)))
    assert sorted(answer.status_code for answer in answers) == [200] + [412] * 7
    assert (await admin.get(version=3)).status_code == 404


async def test_the_same_edit_pressed_twice_is_one_version(admin: Mapping) -> None:
    answers = await asyncio.gather(*(admin.put(written(title="x"), if_match='"1-1"') for _ in range(4)))
    again = await admin.put(written(title="x"), if_match='"1-1"')
    assert {answer.json().get("version") for answer in answers if answer.is_success} == {2}
    assert (again.status_code, again.json()["version"]) == (200, 2)
    assert (await admin.get(version=3)).status_code == 404


async def test_what_was_read_can_be_edited_and_put_back(admin: Mapping) -> None:
    mapping = (await admin.get()).json()
    mapping["document"]["title"] = "edited"
    assert (await admin.put(mapping, if_match='"1-1"')).json()["document"]["title"] == "edited"
    mapping["effective_from"] = "2031-01-01"
    answer = await admin.put(mapping, if_match='"2-1"')
    assert [fault["pointer"] for fault in answer.json()["errors"]] == ["/effective_from"]
    mapping |= {"effective_from": "2020-01-01", "org_id": "another", "rubbish": 1}
    answer = await admin.put(mapping, if_match='"2-1"')
    assert [fault["pointer"] for fault in answer.json()["errors"]] == ["/org_id", "/rubbish"]


async def test_a_faulty_document_is_refused_with_every_fault_where_it_stands(admin: Mapping) -> None:
    document = written(title="", values={"a": {"var": "nope"}, "b": {"+": [1, "x"]}})
    for body, above in ((document, ""), ({"document": document}, "/document")):
        answer = await admin.put(body, if_match='"1-1"')
        assert (answer.status_code, answer.json()["code"]) == (422, "invalid_mapping")
        pointers = {fault["pointer"].removeprefix(above) for fault in answer.json()["errors"]}
        assert {"/title", "/values/a/var", "/values/b/+/1"} <= pointers
    assert (await admin.get(version=2)).status_code == 404


@pytest.mark.parametrize("body", [b"[" * 100_000, b"[]", b'"x"', b"{", b"\xff", b'{"format": NaN}', b""])
async def test_rubbish_is_refused(gateway: httpx.AsyncClient, tenant: Tenant, bearer: Bearer, body: bytes) -> None:
    path = f"/api/v1/organisations/{tenant.org_id}/column-mapping"
    headers = bearer(tenant.users[Role.ADMIN]) | {"If-Match": '"1-1"', "Content-Type": "application/json"}
    answer = await gateway.put(path, content=body, headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_mapping")
    assert all(fault["detail"].endswith(".") for fault in answer.json()["errors"])
    answer = await gateway.put(path, content=body, headers=headers | {"Content-Type": "text/plain"})
    assert answer.status_code == 415


async def test_a_body_that_is_too_large_is_told_so(admin: Mapping) -> None:
    answer = await admin.put(written(title="x" * 300_000), if_match='"1-1"')
    assert (answer.status_code, answer.json()["code"]) == (413, "body_too_large")


@pytest.mark.parametrize("at", ["1767225600", "2026-1-1", "today"])
async def test_a_day_is_written_as_a_day(admin: Mapping, at: str) -> None:
    assert (await admin.get(at=at)).status_code == 422


async def test_members_read_and_admins_write(
    gateway: httpx.AsyncClient, tenant: Tenant, bearer: Bearer, owner_url: str
) -> None:
    for role in (Role.COORDINATOR, Role.AUDITOR):
        mapping = Mapping(gateway, tenant.org_id, bearer(tenant.users[role]))
        assert (await mapping.get()).status_code == 200
        answer = await mapping.put(written(title="x"), if_match='"1-1"')
        assert (answer.status_code, answer.json()["code"]) == (403, "permission_denied")
        assert (await mapping.put({"rubbish": 1}, if_match='"1-1"')).status_code == 403
    stranger = create_tenant(owner_url)
    mapping = Mapping(gateway, tenant.org_id, bearer(stranger.users[Role.ADMIN], stranger.org_id))
    assert (await mapping.get()).status_code == 404
    assert (await mapping.put(written(title="x"), if_match='"1-1"')).status_code == 404
    assert (await mapping.put({"rubbish": 1}, if_match='"1-1"')).status_code == 404
    with psycopg.connect(owner_url) as connection:
        (operator,) = connection.execute("SELECT id FROM users WHERE is_operator").fetchone() or (None,)
    mapping = Mapping(gateway, tenant.org_id, bearer(operator, None, "operator"))
    assert (await mapping.get()).status_code == 403
    assert (await mapping.put({"rubbish": 1}, if_match='"1-1"')).status_code == 403


async def test_the_first_version_needs_no_condition(gateway: httpx.AsyncClient, bearer: Bearer, owner_url: str) -> None:
    new = create_tenant(owner_url, mapping=None)
    mapping = Mapping(gateway, new.org_id, bearer(new.users[Role.ADMIN], new.org_id))
    assert (await mapping.get()).status_code == 404
    answer = await mapping.put(written())
    assert (answer.status_code, answer.json()["version"]) == (201, 1)
    assert (await gateway.get(answer.headers["Location"], headers=bearer(new.coordinator, new.org_id))).is_success


@pytest.mark.parametrize(
    "tampering",
    [
        "UPDATE column_mappings SET effective_from = '2000-01-01'",
        "DELETE FROM column_mappings",
        "TRUNCATE column_mappings",
    ],
)
def test_a_version_never_changes_not_even_for_its_owner(tampering: str, tenant: Tenant, owner_url: str) -> None:
    assert tenant.org_id
    with psycopg.connect(owner_url) as connection, pytest.raises(errors.InsufficientPrivilege, match="never changes"):
        connection.execute(tampering.encode())


async def test_an_export_tells_its_mapping_and_uses_the_one_of_the_periods_last_day(
    admin: Mapping, button: ExportClient, diary: ActivityFactory, working: Working
) -> None:
    columns = [column for column in written()["columns"] if column["id"] != "note"]
    second = await admin.added(columns=columns, effective_from="2026-07-01")
    diary.create_activity(diary.create_mentor())
    async with working():
        jobs = {
            end: await button.wait_for_completion(
                await button.start_export(reporting_period={"start": "2026-01-01", "end": end}, locale="en")
            )
            for end in ("2026-06-30", "2026-07-01")
        }
    before, crossing = jobs["2026-06-30"], jobs["2026-07-01"]
    assert before["mapping"] == {"version": 1, "sha256": load_bundled_mappings(STANDARD)[0].sha256}
    assert before["warnings"] == []
    assert crossing["mapping"] == {"version": 2, "sha256": second.json()["sha256"]}
    assert [warning["code"] for warning in crossing["warnings"]] == ["mapping_changed_in_period"]
    assert "2026-07-01" in crossing["warnings"][0]["message"]


async def failure(button: ExportClient, working: Working) -> dict[str, Any]:
    async with working():
        job = await button.wait_for_completion(await button.start_export())
    assert job["status"] == "failed"
    error: dict[str, Any] = job["error"]
    return error | {"counts": job["counts"]}


async def test_without_a_mapping_an_export_fails_before_a_row_is_read(
    gateway: httpx.AsyncClient, bearer: Bearer, owner_url: str, working: Working
) -> None:
    new = create_tenant(owner_url, mapping=None)
    ActivityFactory(owner_url, new.org_id).create_mentor()
    error = await failure(ExportClient(gateway, new.org_id, bearer(new.coordinator, new.org_id)), working)
    assert (error["code"], error["counts"]) == ("column_mapping_unavailable", None)


@pytest.mark.parametrize(
    "broken", [written(title="another than was hashed"), written(values={"a": {"var": "gone"}}), {}], ids=str
)
async def test_a_broken_mapping_fails_an_export_in_the_same_way(
    gateway: httpx.AsyncClient, bearer: Bearer, owner_url: str, working: Working, broken: dict[str, Any]
) -> None:
    new = create_tenant(owner_url, mapping=None)
    with psycopg.connect(owner_url) as connection:
        connection.execute(
            "INSERT INTO column_mappings (org_id, version, id, effective_from, sha256, document)"
            " VALUES (%s, 1, %s, '2020-01-01', %s, %s)",
            [new.org_id, uuid4(), "0" * 64, Json(broken, dumps=json.dumps)],
        )
    error = await failure(ExportClient(gateway, new.org_id, bearer(new.coordinator, new.org_id)), working)
    assert error["code"] == "column_mapping_unavailable"


async def test_rejected_rows_are_told_of_by_place_and_id_and_are_not_in_the_report(
    admin: Mapping, button: ExportClient, diary: ActivityFactory, working: Working
) -> None:
    words = {"nb": "Sted må være Bodø.", "nn": "Stad må vere Bodø.", "en": "Place has to be Bodø."}
    rule = {"code": "bodo", "when": {"!=": [{"var": "place"}, "Bodø"]}, "severity": "reject", "message": words}
    await admin.added(rules=[rule | {"column": "place"}])
    mentor = diary.create_mentor()
    activities = [diary.create_activity(mentor, place=place) for place in ("Bodø", "Oslo", "Bodø", "Moss")]
    async with working():
        job = await button.wait_for_completion(await button.start_export())
    assert job["counts"] == {"queried": 4, "written": 2, "countable": 2, "not_countable": 0, "rejected": 2}
    assert (job["row_count"], job["partial_failure_count"]) == (2, 1)
    assert job["partial_failures"] == [
        {
            "affected_row_indices": [1, 3],
            "affected_activity_ids": [str(activities[1]), str(activities[3])],
            "affected_count": 2,
            "failure_reason": words["nb"],
            "code": "bodo",
            "column": "place",
            "sub_service_name": "bufdir-column-mapper",
            "is_fatal": True,
        }
    ]


async def test_what_is_listed_apart_is_counted_and_told(
    admin: Mapping, button: ExportClient, diary: ActivityFactory, working: Working
) -> None:
    await admin.added(counting=written()["counting"] | {"rows_that_do_not_count": "apart"})
    mentor = diary.create_mentor()
    diary.create_activity(mentor)
    diary.create_activity(mentor, activity_type="telefonsamtale")
    async with working():
        job = await button.wait_for_completion(await button.start_export())
    assert job["counts"] == {"queried": 2, "written": 1, "countable": 1, "not_countable": 1, "rejected": 0}
    assert [warning["code"] for warning in job["warnings"]] == ["rows_listed_apart"]
    told = {reason["code"]: reason["count"] for reason in job["not_countable"]}
    assert told == {reason["code"]: 0 for reason in written()["counting"]["reasons"]} | {"kind_never_counts": 1}


async def test_what_is_listed_apart_is_kept_with_its_reason(
    admin: Mapping, button: ExportClient, diary: ActivityFactory, working: Working, owner_url: str, storage: FileStorage
) -> None:
    await admin.added(counting=written()["counting"] | {"rows_that_do_not_count": "apart"})
    mentor = diary.create_mentor()
    diary.create_activity(mentor)
    away = diary.create_activity(mentor, in_norway=False)
    async with working():
        job = await button.wait_for_completion(await button.start_export())
    with psycopg.connect(owner_url) as connection:
        query = "SELECT outputs FROM export_stage_outputs WHERE export_id = %s AND stage = 'mapping_columns'"
        (outputs,) = connection.execute(query, [job["id"]]).fetchone() or ({},)
    (part,) = MappedRows.model_validate(outputs).excluded_parts
    (row,) = frame_from_arrow(storage.read_part(part)).to_dicts()
    assert (row["Aktivitets-ID"], row["Teller ikke fordi"]) == (str(away), "Holdt utenfor Norge")


def test_an_export_keeps_the_version_that_was_in_force_when_it_was_queried(
    jobs: ExportService,
    tenant: Tenant,
    diary: ActivityFactory,
    worker_database: Database,
    storage: FileStorage,
    owner_url: str,
) -> None:
    diary.create_activity(diary.create_mentor())
    caller = Caller(user_id=tenant.coordinator, org_id=tenant.org_id, role=Role.COORDINATOR)
    asked = {"org_id": tenant.org_id, "requesting_user_id": tenant.coordinator, "export_format": "csv"}
    period = {"reporting_period": {"start": "2026-01-01", "end": "2026-12-31"}}
    job = jobs.accept(caller, ExportRequest.model_validate(asked | period)).export.job
    record, mappings = StageStore(worker_database), MappingVersions(worker_database)
    parts = MappedPartStore(worker_database, build_fingerprint="1")
    stages = StageRunner(record, storage, raise_if_cancelled=lambda: None)
    stages.run(job, ExportStatus.QUERYING_ACTIVITIES, ActivityQueryStage(worker_database, mappings))
    newer = validate_document(written(title="newer"))
    with psycopg.connect(owner_url) as connection:
        connection.execute(
            "INSERT INTO column_mappings (org_id, version, id, effective_from, sha256, document)"
            " VALUES (%s, 2, %s, %s, %s, %s)",
            [tenant.org_id, uuid4(), newer.effective_from, newer.sha256, Json(newer.as_json())],
        )
    stages.run(job, ExportStatus.MAPPING_COLUMNS, ColumnMapper(record, storage, mappings, parts))
    assert record.load_outputs(job, ExportStatus.MAPPING_COLUMNS, MappedRows).mapping.version == 1
