"""Export previews: computed by a worker, returned once and stored nowhere else."""

import asyncio
import base64
import json
from collections.abc import Iterator
from datetime import timedelta
from typing import Any
from uuid import uuid4

import httpx
import psycopg
import pytest
from temporalio.client import Client

from api.previews import await_preview
from stafett.column_mapper.versions import MappingVersions
from stafett.database.maintenance import MaintenanceDatabase
from stafett.database.session import Database
from stafett.domain.errors import ServiceUnavailableError
from stafett.domain.export import ExportRequest
from stafett.domain.export_preview import PreviewJob
from stafett.domain.membership import Caller, Role
from stafett.exports.preview import PreviewBuilder, delete_expired_previews, take_preview
from stafett.settings import Settings, require_setting
from stafett.testing import ActivityFactory, ExportClient, Tenant, create_tenant
from tests.support.fixture_types import Bearer, RunWorker

YEAR = {"start": "2026-01-01", "end": "2026-12-31"}


async def request_preview(export_client: ExportClient, **fields: object) -> httpx.Response:
    body = {"org_id": export_client.org_id, "reporting_period": YEAR, "export_format": "csv"} | fields
    return await export_client.http_client.post(
        "/api/v1/bufdir-exports/preview", json=body, headers=export_client.headers
    )


async def test_preview_has_the_counts_and_the_first_rows(
    export_client: ExportClient, activity_factory: ActivityFactory, run_worker: RunWorker
) -> None:
    mentor = activity_factory.create_mentor("Åse Ødegård")
    for number in range(30):
        activity_factory.create_activity(mentor, activity_type="telefonsamtale" if number % 3 == 2 else "samtalegruppe")
    async with run_worker():
        response = await request_preview(export_client, locale="en")
    preview = response.raise_for_status().json()
    assert response.headers["Cache-Control"] == "no-store"
    assert preview["counts"] == {
        "queried": 30,
        "written": 30,
        "countable": 20,
        "not_countable": 10,
        "rejected": 0,
        "events": 20,
    }
    assert preview["not_countable"][0] == {
        "code": "kind_never_counts",
        "reason": "This kind of activity does not count",
        "count": 10,
    }
    assert {reason["count"] for reason in preview["not_countable"][1:]} == {0}
    assert preview["mapping"]["version"] == 1
    assert len(preview["rows"]) == 20
    assert preview["columns"] == list(preview["rows"][0])
    assert preview["rows"][0]["Peer mentor"] == "Åse Ødegård"
    assert (preview["rows"][0]["Date"], preview["rows"][0]["Start time"]) == ("2026-01-05", "10:00")


async def test_preview_of_an_empty_period_has_columns_and_no_rows(
    export_client: ExportClient, run_worker: RunWorker
) -> None:
    async with run_worker():
        preview = (await request_preview(export_client)).raise_for_status().json()
    assert (preview["counts"]["queried"], preview["rows"]) == (0, [])
    assert "Dato" in preview["columns"]


async def test_preview_leaves_only_an_audit_event(
    export_client: ExportClient,
    tenant: Tenant,
    activity_factory: ActivityFactory,
    run_worker: RunWorker,
    temporal: Client,
    owner_url: str,
) -> None:
    activity_factory.create_activity(activity_factory.create_mentor("Kari Hemmelig"), place="Lønnlia")
    async with run_worker():
        (await request_preview(export_client)).raise_for_status()
    with psycopg.connect(owner_url) as connection:
        results = connection.execute("SELECT count(*) FROM preview_results WHERE org_id = %s", [tenant.org_id])
        assert results.fetchone() == (0,)
        exports = connection.execute("SELECT count(*) FROM exports WHERE org_id = %s", [tenant.org_id])
        assert exports.fetchone() == (0,)
        (event,) = connection.execute(
            "SELECT event, actor, subject_id FROM audit_events WHERE org_id = %s", [tenant.org_id]
        ).fetchall()
    assert event[:2] == ("export_previewed", f"user:{tenant.coordinator}")
    history = await temporal.get_workflow_handle(f"export-preview/{event[2]}").fetch_history()
    payloads = b"".join(_payloads(json.loads(history.to_json()))).decode()
    assert tenant.org_id in payloads
    assert "Hemmelig" not in payloads
    assert "Lønnlia" not in payloads


def _payloads(value: Any) -> Iterator[bytes]:
    """Yield the data of every payload in a workflow history."""
    match value:
        case {"metadata": _, "data": str(data)}:
            yield base64.b64decode(data)
        case dict():
            for child in value.values():
                yield from _payloads(child)
        case list():
            for child in value:
                yield from _payloads(child)
        case _:
            return


def test_preview_built_twice_is_returned_once(
    worker_database: Database, api_database: Database, tenant: Tenant, activity_factory: ActivityFactory
) -> None:
    activity_factory.create_activity(activity_factory.create_mentor())
    request = {"org_id": tenant.org_id, "requesting_user_id": tenant.coordinator, "export_format": "csv"}
    job = PreviewJob(preview_id=uuid4(), request=ExportRequest.model_validate(request | {"reporting_period": YEAR}))
    build_preview = PreviewBuilder(worker_database, MappingVersions(worker_database), raise_if_cancelled=lambda: None)
    build_preview(job)
    build_preview(job)
    caller = Caller(user_id=tenant.coordinator, org_id=tenant.org_id, role=Role.COORDINATOR)
    assert take_preview(api_database, caller, job).counts.queried == 1
    with pytest.raises(ServiceUnavailableError):
        take_preview(api_database, caller, job)


async def test_preview_requires_the_permission_to_start_exports(
    api_client: httpx.AsyncClient, tenant: Tenant, bearer: Bearer, owner_url: str
) -> None:
    auditor = ExportClient(api_client, tenant.org_id, bearer(tenant.users[Role.AUDITOR]))
    assert (await request_preview(auditor)).status_code == 403
    other_tenant = create_tenant(owner_url)
    assert (
        await request_preview(
            ExportClient(api_client, tenant.org_id, bearer(other_tenant.coordinator, other_tenant.org_id))
        )
    ).status_code == 403
    assert (await request_preview(ExportClient(api_client, tenant.org_id, {}))).status_code == 401


async def test_preview_without_a_mapping_is_a_conflict(
    api_client: httpx.AsyncClient, bearer: Bearer, owner_url: str, run_worker: RunWorker
) -> None:
    tenant = create_tenant(owner_url, mapping=None)
    async with run_worker():
        response = await request_preview(
            ExportClient(api_client, tenant.org_id, bearer(tenant.coordinator, tenant.org_id))
        )
    assert (response.status_code, response.json()["code"]) == (409, "column_mapping_unavailable")


async def test_concurrent_previews_each_get_their_own_result(
    api_client: httpx.AsyncClient, bearer: Bearer, owner_url: str, run_worker: RunWorker
) -> None:
    tenants = [create_tenant(owner_url) for _ in range(4)]
    for number, tenant in enumerate(tenants):
        activity_factory = ActivityFactory(owner_url, tenant.org_id)
        mentor = activity_factory.create_mentor()
        for _ in range(number):
            activity_factory.create_activity(mentor)
    async with run_worker():
        responses = await asyncio.gather(
            *(
                request_preview(ExportClient(api_client, tenant.org_id, bearer(tenant.coordinator, tenant.org_id)))
                for tenant in tenants
            )
        )
    assert [response.json()["counts"]["queried"] for response in responses] == [0, 1, 2, 3]


async def test_preview_without_a_worker_times_out(tenant: Tenant, temporal: Client, settings: Settings) -> None:
    request = {"org_id": tenant.org_id, "requesting_user_id": tenant.coordinator, "export_format": "csv"}
    job = PreviewJob(preview_id=uuid4(), request=ExportRequest.model_validate(request | {"reporting_period": YEAR}))
    with pytest.raises(ServiceUnavailableError):
        await await_preview(temporal, settings.temporal.task_queue, job, execution_timeout=timedelta(seconds=1))


def test_expired_previews_are_deleted(tenant: Tenant, owner_url: str, settings: Settings) -> None:
    with psycopg.connect(owner_url) as connection:
        for age in ("1 minute", "11 minutes"):
            connection.execute(
                "INSERT INTO preview_results VALUES (gen_random_uuid(), %s, '{}', now() - %s::interval)",
                [tenant.org_id, age],
            )
    maintenance = MaintenanceDatabase(require_setting(settings.database.maintenance_url, "maintenance"), pool_size=1)
    delete_expired_previews(maintenance)
    maintenance.close()
    with psycopg.connect(owner_url) as connection:
        remaining = connection.execute("SELECT count(*) FROM preview_results WHERE org_id = %s", [tenant.org_id])
        assert remaining.fetchone() == (1,)
