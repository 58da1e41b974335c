"""A preview: computed on a worker, read once, and nowhere else."""

import asyncio
import base64
import json
from collections.abc import Callable, Iterator
from contextlib import AbstractAsyncContextManager
from datetime import timedelta
from typing import Any
from uuid import uuid4

import httpx
import psycopg
import pytest
from temporalio.client import Client

from api.previews import await_preview
from stafett.column_mapper.versions import MappingVersions
from stafett.database.session import Database
from stafett.domain.errors import ServiceUnavailableError
from stafett.domain.export import ExportRequest
from stafett.domain.export_preview import PreviewJob
from stafett.domain.membership import Caller, Role
from stafett.exports.preview import PreviewBuilder, delete_expired_previews, take_preview
from stafett.settings import Settings, require_setting
from stafett.testing import ActivityFactory, ExportClient, Tenant, create_tenant

Bearer = Callable[..., dict[str, str]]
Working = Callable[[], AbstractAsyncContextManager[None]]
YEAR = {"start": "2026-01-01", "end": "2026-12-31"}


async def previewed(button: ExportClient, **asked: object) -> httpx.Response:
    body = {"org_id": button.org_id, "reporting_period": YEAR, "export_format": "csv"} | asked
    return await button.http_client.post("/api/v1/bufdir-exports/preview", json=body, headers=button.headers)


async def test_a_preview_shows_the_counts_and_the_first_rows(
    button: ExportClient, diary: ActivityFactory, working: Working
) -> None:
    mentor = diary.create_mentor("Åse Ødegård")
    for number in range(30):
        diary.create_activity(mentor, activity_type="telefonsamtale" if number % 3 == 2 else "samtalegruppe")
    async with working():
        answer = await previewed(button, locale="en")
    preview = answer.raise_for_status().json()
    assert answer.headers["Cache-Control"] == "no-store"
    assert preview["counts"] == {"queried": 30, "written": 30, "countable": 20, "not_countable": 10, "rejected": 0}
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


async def test_a_preview_of_nothing_has_no_rows(button: ExportClient, working: Working) -> None:
    async with working():
        preview = (await previewed(button)).raise_for_status().json()
    assert (preview["counts"]["queried"], preview["rows"]) == (0, [])
    assert "Dato" in preview["columns"]


async def test_a_preview_leaves_nothing_but_an_audit_event(
    button: ExportClient, tenant: Tenant, diary: ActivityFactory, working: Working, temporal: Client, owner_url: str
) -> None:
    diary.create_activity(diary.create_mentor("Kari Hemmelig"), place="Lønnlia")
    async with working():
        (await previewed(button)).raise_for_status()
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
    """Whatever was handed to the engine, wherever in a history it lies."""
    match value:
        case {"metadata": _, "data": str(data)}:
            yield base64.b64decode(data)
        case dict():
            for below in value.values():
                yield from _payloads(below)
        case list():
            for below in value:
                yield from _payloads(below)
        case _:
            return


def test_a_preview_that_is_made_twice_is_one(
    worker_database: Database, api_database: Database, tenant: Tenant, diary: ActivityFactory
) -> None:
    diary.create_activity(diary.create_mentor())
    request = {"org_id": tenant.org_id, "requesting_user_id": tenant.coordinator, "export_format": "csv"}
    asked = PreviewJob(preview_id=uuid4(), request=ExportRequest.model_validate(request | {"reporting_period": YEAR}))
    previewing = PreviewBuilder(worker_database, MappingVersions(worker_database), raise_if_cancelled=lambda: None)
    previewing(asked)
    previewing(asked)
    caller = Caller(user_id=tenant.coordinator, org_id=tenant.org_id, role=Role.COORDINATOR)
    assert take_preview(api_database, caller, asked).counts.queried == 1
    with pytest.raises(ServiceUnavailableError):
        take_preview(api_database, caller, asked)


async def test_only_who_may_start_may_preview(
    gateway: httpx.AsyncClient, tenant: Tenant, bearer: Bearer, owner_url: str
) -> None:
    auditor = ExportClient(gateway, tenant.org_id, bearer(tenant.users[Role.AUDITOR]))
    assert (await previewed(auditor)).status_code == 403
    stranger = create_tenant(owner_url)
    assert (
        await previewed(ExportClient(gateway, tenant.org_id, bearer(stranger.coordinator, stranger.org_id)))
    ).status_code == 403
    assert (await previewed(ExportClient(gateway, tenant.org_id, {}))).status_code == 401


async def test_a_preview_without_a_mapping_says_so(
    gateway: httpx.AsyncClient, bearer: Bearer, owner_url: str, working: Working
) -> None:
    new = create_tenant(owner_url, mapping=None)
    async with working():
        answer = await previewed(ExportClient(gateway, new.org_id, bearer(new.coordinator, new.org_id)))
    assert (answer.status_code, answer.json()["code"]) == (409, "column_mapping_unavailable")


async def test_many_previews_at_once_each_get_their_own(
    gateway: httpx.AsyncClient, bearer: Bearer, owner_url: str, working: Working
) -> None:
    tenants = [create_tenant(owner_url) for _ in range(4)]
    for number, tenant in enumerate(tenants):
        diary = ActivityFactory(owner_url, tenant.org_id)
        mentor = diary.create_mentor()
        for _ in range(number):
            diary.create_activity(mentor)
    async with working():
        answers = await asyncio.gather(
            *(previewed(ExportClient(gateway, one.org_id, bearer(one.coordinator, one.org_id))) for one in tenants)
        )
    assert [answer.json()["counts"]["queried"] for answer in answers] == [0, 1, 2, 3]


async def test_without_a_worker_a_preview_is_not_waited_for_for_ever(
    tenant: Tenant, temporal: Client, settings: Settings
) -> None:
    request = {"org_id": tenant.org_id, "requesting_user_id": tenant.coordinator, "export_format": "csv"}
    asked = PreviewJob(preview_id=uuid4(), request=ExportRequest.model_validate(request | {"reporting_period": YEAR}))
    with pytest.raises(ServiceUnavailableError):
        await await_preview(temporal, settings.temporal.task_queue, asked, execution_timeout=timedelta(seconds=1))


def test_a_preview_nobody_came_for_is_forgotten(tenant: Tenant, owner_url: str, settings: Settings) -> None:
    with psycopg.connect(owner_url) as connection:
        for age in ("1 minute", "11 minutes"):
            connection.execute(
                "INSERT INTO preview_results VALUES (gen_random_uuid(), %s, '{}', now() - %s::interval)",
                [tenant.org_id, age],
            )
    maintenance = Database(require_setting(settings.database.maintenance_url, "maintenance"), pool_size=1)
    delete_expired_previews(maintenance)
    maintenance.close()
    with psycopg.connect(owner_url) as connection:
        left = connection.execute("SELECT count(*) FROM preview_results WHERE org_id = %s", [tenant.org_id])
        assert left.fetchone() == (1,)
