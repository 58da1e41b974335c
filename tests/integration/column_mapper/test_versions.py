"""Versions of an organisation's column mapping: reading, adding, choosing by date, and their use in exports."""

import asyncio
import json
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
from stafett.exports.stages.map_columns import ColumnMappingStage
from stafett.exports.stages.query_activities import ActivityQueryStage
from stafett.storage.files import FileStorage
from stafett.testing import ActivityFactory, ExportClient, Tenant, create_tenant
from tests.support.exports import load_stage_inputs
from tests.support.fixture_types import Bearer, RunWorker


def standard_mapping(**fields: Any) -> dict[str, Any]:
    document: dict[str, Any] = load_bundled_mappings(STANDARD)[0].as_json()
    return document | fields


class MappingClient:
    """A client of one organisation's column mapping, for one user."""

    def __init__(self, api_client: httpx.AsyncClient, org_id: str, headers: dict[str, str]) -> None:
        self._http_client = api_client
        self._path = f"/api/v1/organisations/{org_id}/column-mapping"
        self._headers = headers

    async def get(self, **query: str | int) -> httpx.Response:
        return await self._http_client.get(self._path, params=query, headers=self._headers)

    async def put(self, body: object, **headers: str) -> httpx.Response:
        extra = {name.replace("_", "-"): value for name, value in headers.items()}
        return await self._http_client.put(self._path, json=body, headers=self._headers | extra)

    async def add_version(self, **fields: Any) -> httpx.Response:
        etag = (await self.get(version=1)).headers["ETag"]
        return (await self.put(standard_mapping(**fields), if_match=etag)).raise_for_status()


@pytest.fixture
def admin(api_client: httpx.AsyncClient, tenant: Tenant, bearer: Bearer) -> MappingClient:
    return MappingClient(api_client, tenant.org_id, bearer(tenant.users[Role.ADMIN]))


async def test_effective_mapping_is_returned_with_version_and_hash(admin: MappingClient) -> None:
    response = await admin.get()
    document = load_bundled_mappings(STANDARD)[0]
    mapping = response.raise_for_status().json()
    assert response.headers["ETag"] == '"1-1"'
    assert (mapping["version"], mapping["effective_from"], mapping["sha256"]) == (1, "2020-01-01", document.sha256)
    assert mapping["document"] == document.as_json()
    assert (await admin.get(version=1)).json() == mapping
    assert (await admin.get(at="2019-12-31")).status_code == 404
    assert (await admin.get(version=2)).status_code == 404
    assert (await admin.get(version=1, at="2026-01-01")).status_code == 422


async def test_unchanged_mapping_is_not_modified(api_client: httpx.AsyncClient, tenant: Tenant, bearer: Bearer) -> None:
    path = f"/api/v1/organisations/{tenant.org_id}/column-mapping"
    headers = bearer(tenant.users[Role.AUDITOR])
    etag = (await api_client.get(path, headers=headers)).headers["ETag"]
    assert (await api_client.get(path, headers=headers | {"If-None-Match": etag})).status_code == 304


async def test_edit_adds_a_version_and_keeps_the_old_one(admin: MappingClient, tenant: Tenant, owner_url: str) -> None:
    before = (await admin.get()).json()
    added = await admin.add_version(title="from 2030", effective_from="2030-01-01")
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


async def test_edit_requires_if_match_with_the_latest_version(admin: MappingClient) -> None:
    assert (await admin.put(standard_mapping(title="x"))).status_code == 428
    for stale in ('"0-1"', '"2-1"', 'W/"1-1"', "rubbish"):
        response = await admin.put(standard_mapping(title="x"), if_match=stale)
        assert (response.status_code, response.json()["code"]) == (412, "precondition_failed")
    assert (await admin.put(standard_mapping(title="x"), if_match='"1-77"')).status_code == 200
    assert (await admin.put(standard_mapping(title="y"), if_match="*")).json()["version"] == 3


async def test_only_one_of_many_concurrent_edits_is_accepted(admin: MappingClient) -> None:
    responses = await asyncio.gather(*(admin.put(standard_mapping(title=f"{n}"), if_match='"1-1"') for n in range(8)))
    assert sorted(response.status_code for response in responses) == [200] + [412] * 7
    assert (await admin.get(version=3)).status_code == 404


async def test_repeated_identical_edits_add_one_version(admin: MappingClient) -> None:
    responses = await asyncio.gather(*(admin.put(standard_mapping(title="x"), if_match='"1-1"') for _ in range(4)))
    repeated = await admin.put(standard_mapping(title="x"), if_match='"1-1"')
    assert {response.json().get("version") for response in responses if response.is_success} == {2}
    assert (repeated.status_code, repeated.json()["version"]) == (200, 2)
    assert (await admin.get(version=3)).status_code == 404


async def test_returned_mapping_can_be_edited_and_put(admin: MappingClient) -> None:
    mapping = (await admin.get()).json()
    mapping["document"]["title"] = "edited"
    assert (await admin.put(mapping, if_match='"1-1"')).json()["document"]["title"] == "edited"
    mapping["effective_from"] = "2031-01-01"
    response = await admin.put(mapping, if_match='"2-1"')
    assert [error["pointer"] for error in response.json()["errors"]] == ["/effective_from"]
    mapping |= {"effective_from": "2020-01-01", "org_id": "another", "rubbish": 1}
    response = await admin.put(mapping, if_match='"2-1"')
    assert [error["pointer"] for error in response.json()["errors"]] == ["/org_id", "/rubbish"]


async def test_invalid_document_is_rejected_with_a_pointer_to_every_error(admin: MappingClient) -> None:
    values = {"a": {"var": "nope"}, "b": {"+": [1, "x"]}}
    invalid_form = standard_mapping(title="", sheet_order=1, values=values)
    invalid_values = standard_mapping(values=values)
    for document, expected in (
        (invalid_form, {"/title", "/sheet_order"}),  # the values are checked once the form is valid
        (invalid_values, {"/values/a/var", "/values/b/+/1"}),
    ):
        for body, prefix in ((document, ""), ({"document": document}, "/document")):
            response = await admin.put(body, if_match='"1-1"')
            assert (response.status_code, response.json()["code"]) == (422, "invalid_mapping")
            pointers = {error["pointer"].removeprefix(prefix) for error in response.json()["errors"]}
            assert expected <= pointers
    assert (await admin.get(version=2)).status_code == 404


@pytest.mark.parametrize("body", [b"[" * 100_000, b"[]", b'"x"', b"{", b"\xff", b'{"format": NaN}', b""])
async def test_malformed_body_is_rejected(
    api_client: httpx.AsyncClient, tenant: Tenant, bearer: Bearer, body: bytes
) -> None:
    path = f"/api/v1/organisations/{tenant.org_id}/column-mapping"
    headers = bearer(tenant.users[Role.ADMIN]) | {"If-Match": '"1-1"', "Content-Type": "application/json"}
    response = await api_client.put(path, content=body, headers=headers)
    assert (response.status_code, response.json()["code"]) == (422, "invalid_mapping")
    assert all(error["detail"].endswith(".") for error in response.json()["errors"])
    response = await api_client.put(path, content=body, headers=headers | {"Content-Type": "text/plain"})
    assert response.status_code == 415


async def test_too_large_body_is_rejected(admin: MappingClient) -> None:
    response = await admin.put(standard_mapping(title="x" * 300_000), if_match='"1-1"')
    assert (response.status_code, response.json()["code"]) == (413, "body_too_large")


@pytest.mark.parametrize("at", ["1767225600", "2026-1-1", "today"])
async def test_date_that_is_not_iso_formatted_is_rejected(admin: MappingClient, at: str) -> None:
    assert (await admin.get(at=at)).status_code == 422


async def test_members_can_read_and_only_admins_can_edit(
    api_client: httpx.AsyncClient, tenant: Tenant, bearer: Bearer, owner_url: str
) -> None:
    for role in (Role.COORDINATOR, Role.AUDITOR):
        mapping = MappingClient(api_client, tenant.org_id, bearer(tenant.users[role]))
        assert (await mapping.get()).status_code == 200
        response = await mapping.put(standard_mapping(title="x"), if_match='"1-1"')
        assert (response.status_code, response.json()["code"]) == (403, "permission_denied")
        assert (await mapping.put({"rubbish": 1}, if_match='"1-1"')).status_code == 403
    other_tenant = create_tenant(owner_url)
    mapping = MappingClient(api_client, tenant.org_id, bearer(other_tenant.users[Role.ADMIN], other_tenant.org_id))
    assert (await mapping.get()).status_code == 404
    assert (await mapping.put(standard_mapping(title="x"), if_match='"1-1"')).status_code == 404
    assert (await mapping.put({"rubbish": 1}, if_match='"1-1"')).status_code == 404
    with psycopg.connect(owner_url) as connection:
        (operator,) = connection.execute("SELECT id FROM users WHERE is_operator").fetchone() or (None,)
    mapping = MappingClient(api_client, tenant.org_id, bearer(operator, None, "operator"))
    assert (await mapping.get()).status_code == 403
    assert (await mapping.put({"rubbish": 1}, if_match='"1-1"')).status_code == 403


async def test_first_version_is_created_without_if_match(
    api_client: httpx.AsyncClient, bearer: Bearer, owner_url: str
) -> None:
    tenant = create_tenant(owner_url, mapping=None)
    mapping = MappingClient(api_client, tenant.org_id, bearer(tenant.users[Role.ADMIN], tenant.org_id))
    assert (await mapping.get()).status_code == 404
    response = await mapping.put(standard_mapping())
    assert (response.status_code, response.json()["version"]) == (201, 1)
    assert (
        await api_client.get(response.headers["Location"], headers=bearer(tenant.coordinator, tenant.org_id))
    ).is_success


@pytest.mark.parametrize(
    "tampering",
    [
        "UPDATE column_mappings SET effective_from = '2000-01-01'",
        "DELETE FROM column_mappings",
        "TRUNCATE column_mappings",
    ],
)
def test_versions_are_append_only_even_for_the_table_owner(tampering: str, tenant: Tenant, owner_url: str) -> None:
    assert tenant.org_id
    with psycopg.connect(owner_url) as connection, pytest.raises(errors.InsufficientPrivilege, match="append-only"):
        connection.execute(tampering.encode())


async def test_export_uses_the_mapping_effective_on_the_periods_last_day(
    admin: MappingClient, export_client: ExportClient, activity_factory: ActivityFactory, run_worker: RunWorker
) -> None:
    columns = [column for column in standard_mapping()["columns"] if column["id"] != "note"]
    second = await admin.add_version(columns=columns, effective_from="2026-07-01")
    activity_factory.create_activity(activity_factory.create_mentor())
    async with run_worker():
        jobs = {
            end: await export_client.wait_for_completion(
                await export_client.start_export(reporting_period={"start": "2026-01-01", "end": end}, locale="en")
            )
            for end in ("2026-06-30", "2026-07-01")
        }
    before, crossing = jobs["2026-06-30"], jobs["2026-07-01"]
    assert before["mapping"] == {"version": 1, "sha256": load_bundled_mappings(STANDARD)[0].sha256}
    assert before["warnings"] == []
    assert crossing["mapping"] == {"version": 2, "sha256": second.json()["sha256"]}
    assert [warning["code"] for warning in crossing["warnings"]] == ["mapping_changed_in_period"]
    assert "2026-07-01" in crossing["warnings"][0]["message"]


async def run_failing_export(export_client: ExportClient, run_worker: RunWorker) -> dict[str, Any]:
    async with run_worker():
        job = await export_client.wait_for_completion(await export_client.start_export())
    assert job["status"] == "failed"
    error: dict[str, Any] = job["error"]
    return error | {"counts": job["counts"]}


async def test_export_without_a_mapping_fails_before_querying(
    api_client: httpx.AsyncClient, bearer: Bearer, owner_url: str, run_worker: RunWorker
) -> None:
    tenant = create_tenant(owner_url, mapping=None)
    ActivityFactory(owner_url, tenant.org_id).create_mentor()
    error = await run_failing_export(
        ExportClient(api_client, tenant.org_id, bearer(tenant.coordinator, tenant.org_id)), run_worker
    )
    assert (error["code"], error["counts"]) == ("column_mapping_unavailable", None)


@pytest.mark.parametrize(
    "broken",
    [standard_mapping(title="not the hashed document"), standard_mapping(values={"a": {"var": "gone"}}), {}],
    ids=["wrong_hash", "unknown_variable", "empty"],
)
async def test_broken_mapping_fails_the_export_as_unavailable(
    api_client: httpx.AsyncClient, bearer: Bearer, owner_url: str, run_worker: RunWorker, broken: dict[str, Any]
) -> None:
    tenant = create_tenant(owner_url, mapping=None)
    with psycopg.connect(owner_url) as connection:
        connection.execute(
            "INSERT INTO column_mappings (org_id, version, id, effective_from, sha256, document)"
            " VALUES (%s, 1, %s, '2020-01-01', %s, %s)",
            [tenant.org_id, uuid4(), "0" * 64, Json(broken, dumps=json.dumps)],
        )
    error = await run_failing_export(
        ExportClient(api_client, tenant.org_id, bearer(tenant.coordinator, tenant.org_id)), run_worker
    )
    assert error["code"] == "column_mapping_unavailable"


async def test_rejected_rows_are_reported_by_index_and_id_and_left_out(
    admin: MappingClient, export_client: ExportClient, activity_factory: ActivityFactory, run_worker: RunWorker
) -> None:
    messages = {"nb": "Sted må være Bodø.", "nn": "Stad må vere Bodø.", "en": "Place has to be Bodø."}
    rule = {"code": "bodo", "when": {"!=": [{"var": "place"}, "Bodø"]}, "severity": "reject", "message": messages}
    await admin.add_version(rules=[rule | {"column": "place"}])
    mentor = activity_factory.create_mentor()
    activities = [activity_factory.create_activity(mentor, place=place) for place in ("Bodø", "Oslo", "Bodø", "Moss")]
    async with run_worker():
        job = await export_client.wait_for_completion(await export_client.start_export())
    assert job["counts"] == {"queried": 4, "written": 2, "countable": 2, "not_countable": 0, "rejected": 2, "events": 2}
    assert (job["row_count"], job["partial_failure_count"]) == (2, 1)
    assert job["partial_failures"] == [
        {
            "affected_row_indices": [1, 3],
            "affected_activity_ids": [str(activities[1]), str(activities[3])],
            "affected_count": 2,
            "failure_reason": messages["nb"],
            "code": "bodo",
            "column": "place",
            "sub_service_name": "bufdir-column-mapper",
            "is_fatal": True,
        }
    ]


async def test_excluded_rows_are_counted_and_reported_as_a_warning(
    admin: MappingClient, export_client: ExportClient, activity_factory: ActivityFactory, run_worker: RunWorker
) -> None:
    await admin.add_version(counting=standard_mapping()["counting"] | {"rows_that_do_not_count": "apart"})
    mentor = activity_factory.create_mentor()
    activity_factory.create_activity(mentor)
    activity_factory.create_activity(mentor, activity_type="telefonsamtale")
    async with run_worker():
        job = await export_client.wait_for_completion(await export_client.start_export())
    assert job["counts"] == {"queried": 2, "written": 1, "countable": 1, "not_countable": 1, "rejected": 0, "events": 1}
    assert [warning["code"] for warning in job["warnings"]] == ["rows_listed_apart"]
    counts = {reason["code"]: reason["count"] for reason in job["not_countable"]}
    assert counts == {reason["code"]: 0 for reason in standard_mapping()["counting"]["reasons"]} | {
        "kind_never_counts": 1
    }


async def test_excluded_rows_are_stored_with_their_reason(
    admin: MappingClient,
    export_client: ExportClient,
    activity_factory: ActivityFactory,
    run_worker: RunWorker,
    owner_url: str,
    storage: FileStorage,
) -> None:
    await admin.add_version(counting=standard_mapping()["counting"] | {"rows_that_do_not_count": "apart"})
    mentor = activity_factory.create_mentor()
    activity_factory.create_activity(mentor)
    abroad = activity_factory.create_activity(mentor, in_norway=False)
    async with run_worker():
        job = await export_client.wait_for_completion(await export_client.start_export())
    with psycopg.connect(owner_url) as connection:
        query = "SELECT outputs FROM export_stage_outputs WHERE export_id = %s AND stage = 'mapping_columns'"
        (outputs,) = connection.execute(query, [job["id"]]).fetchone() or ({},)
    (part,) = MappedRows.model_validate(outputs).excluded_parts
    (row,) = frame_from_arrow(storage.read_part(part)).to_dicts()
    assert (row["Aktivitets-ID"], row["Teller ikke fordi"]) == (str(abroad), "Holdt utenfor Norge")


def test_export_uses_the_version_that_was_effective_when_it_was_queried(
    export_service: ExportService,
    tenant: Tenant,
    activity_factory: ActivityFactory,
    worker_database: Database,
    storage: FileStorage,
    owner_url: str,
) -> None:
    activity_factory.create_activity(activity_factory.create_mentor())
    caller = Caller(user_id=tenant.coordinator, org_id=tenant.org_id, role=Role.COORDINATOR)
    body = {"org_id": tenant.org_id, "requesting_user_id": tenant.coordinator, "export_format": "csv"}
    period = {"reporting_period": {"start": "2026-01-01", "end": "2026-12-31"}}
    job = export_service.accept(caller, ExportRequest.model_validate(body | period)).export.job
    stage_store, mappings = StageStore(worker_database), MappingVersions(worker_database)
    parts = MappedPartStore(worker_database, build_fingerprint="1")
    stages = StageRunner(stage_store, storage, raise_if_cancelled=lambda: None)
    stages.run(job, ExportStatus.QUERYING_ACTIVITIES, ActivityQueryStage(worker_database, mappings))
    newer = validate_document(standard_mapping(title="newer"))
    with psycopg.connect(owner_url) as connection:
        connection.execute(
            "INSERT INTO column_mappings (org_id, version, id, effective_from, sha256, document)"
            " VALUES (%s, 2, %s, %s, %s, %s)",
            [tenant.org_id, uuid4(), newer.effective_from, newer.sha256, Json(newer.as_json())],
        )
    stages.run(job, ExportStatus.MAPPING_COLUMNS, ColumnMappingStage(storage, mappings, parts))
    assert load_stage_inputs(stage_store, job).mapped_rows.mapping.version == 1
