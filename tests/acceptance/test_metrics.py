"""Metrics and health of the running processes: what they count, their labels, and who can reach them."""

import re

import httpx
import pytest

import worker
from api.app import create_app_with_routes
from stafett.domain.bulk_status import ItemStatus
from stafett.domain.export_status import ExportStatus
from stafett.domain.job import JobKind
from stafett.domain.maintenance import MaintenanceTask
from stafett.domain.notification import Channel, DeliveryState
from stafett.monitoring.metrics import ConnectionPool, RetryCause
from stafett.monitoring.service_metrics import JOB_STATES
from stafett.testing import ActivityFactory, ExportClient, Tenant, wait_until
from tests.support.bulk import BulkClient, create_mentors
from tests.support.dev_stack import DevStack
from tests.support.fixture_types import Bearer
from tests.support.metrics import Scraper

EXPORTS = "/api/v1/bufdir-exports"
_QUEUE = re.compile(r"stafett(-(cpu|queries|outcomes|previews|maintenance|notifications))?")
_SDK_LABELS = {"operation", "poller_type", "worker_type", "status_code", "eager", "service_name", "namespace"}
_CODE = re.compile(r"[A-Za-z_]{1,40}")


@pytest.fixture
def bulk_client(api_client: httpx.AsyncClient, tenant: Tenant, bearer: Bearer) -> BulkClient:
    return BulkClient(api_client, tenant.org_id, bearer(tenant.coordinator))


async def test_export_counts_stages_rows_bytes_requests_and_waits(
    scraper: Scraper, export_client: ExportClient, activity_factory: ActivityFactory
) -> None:
    mentor = activity_factory.create_mentor()
    for _ in range(3):
        activity_factory.create_activity(mentor)
    generating = ExportStatus.GENERATING_FILE
    rows = await scraper.watch("stafett_stage_rows_total", stage=ExportStatus.QUERYING_ACTIVITIES)
    durations = await scraper.watch("stafett_stage_duration_seconds_count", stage=generating)
    size = await scraper.watch("stafett_file_bytes_total", stage=generating)
    requests = await scraper.watch(
        "stafett_http_request_duration_seconds_count", method="POST", route=EXPORTS, status="202"
    )
    waits = await scraper.watch("stafett_database_connection_wait_seconds_count", pool=ConnectionPool.WORKER)
    export = await export_client.wait_for_completion(await export_client.start_export())
    assert export["status"] == "completed"
    await rows.wait_for_increase(3)
    await size.wait_for_increase(export["file"]["size_bytes"])
    for counter in (durations, requests, waits):
        await counter.wait_for_increase()


async def test_batch_with_failures_and_its_retry_count_items(
    scraper: Scraper, bulk_client: BulkClient, tenant: Tenant, owner_url: str
) -> None:
    active = create_mentors(owner_url, tenant.org_id, 2)
    inactive = create_mentors(owner_url, tenant.org_id, 1, active=False)
    registered = await scraper.watch("stafett_batch_items_total", outcome=ItemStatus.REGISTERED)
    failed = await scraper.watch("stafett_batch_items_total", outcome=ItemStatus.FAILED)
    batch = await bulk_client.start_batch([*active, *inactive])
    await bulk_client.wait_for_completion(batch["id"])
    await registered.wait_for_increase(2)
    await failed.wait_for_increase(1)
    assert (await bulk_client.post(f"/{batch['id']}/retry")).status_code == 202
    await bulk_client.wait_for_completion(batch["id"])
    await failed.wait_for_increase(2)


async def test_notification_of_a_finished_job_is_counted(
    scraper: Scraper, export_client: ExportClient, activity_factory: ActivityFactory
) -> None:
    activity_factory.create_activity(activity_factory.create_mentor())
    delivered = await scraper.watch("stafett_deliveries_total", channel=Channel.EMAIL, state=DeliveryState.DELIVERED)
    await export_client.wait_for_completion(await export_client.start_export())
    await delivered.wait_for_increase()


async def test_age_of_the_last_sweep_falls_when_the_next_one_has_finished(scraper: Scraper) -> None:
    ages = [0.0]

    async def has_fallen() -> bool:
        ages.append(await scraper.read("stafett_maintenance_age_seconds", task=MaintenanceTask.SWEEP_JOBS))
        return ages[-1] < ages[-2]

    await wait_until(has_fallen, bool)
    assert await scraper.read("stafett_service_metrics_up") == 1


async def test_label_values_are_of_closed_sets(scraper: Scraper, export_client: ExportClient) -> None:
    await export_client.http_client.get("/no/such/path")
    await export_client.http_client.request("BREW", "/healthz")
    await export_client.wait_for_completion(await export_client.start_export())
    allowed = build_allowed_labels()
    unexpected = {
        (sample.name, label, value)
        for sample in await scraper.scrape()
        for label, value in sample.labels.items()
        if label != "le" and not is_allowed(allowed, label, value)
    }
    assert unexpected == set()


def build_allowed_labels() -> dict[str, set[str]]:
    return {
        "kind": {*JobKind},
        "state": {*(state for _, state in JOB_STATES), *DeliveryState},
        "stage": {*ExportStatus},
        "outcome": {*ItemStatus},
        "cause": {*RetryCause},
        "channel": {*Channel},
        "task": {*MaintenanceTask},
        "method": {"GET", "POST", "PUT", "DELETE", "HEAD", "OPTIONS", "PATCH", "CONNECT", "TRACE", "OTHER"},
        "route": {*create_app_with_routes().openapi()["paths"], "unmatched"},
        "status": {"aborted", *map(str, range(200, 600))},
        "version": {"0.1.0"},
        "workflow_type": {workflow.__name__ for workflow in worker.WORKFLOWS},
    }


def is_allowed(allowed: dict[str, set[str]], label: str, value: str) -> bool:
    if label in {"task_queue", "pool"}:
        return bool(_QUEUE.fullmatch(value)) or value in {*ConnectionPool, "sweep", "email", "dns-lookup", "background"}
    if label in _SDK_LABELS or label in {"activity_type", "failure_reason"}:
        return bool(_CODE.fullmatch(value)) or value in {"temporal-core-sdk", "default", "true", "false"}
    return value in allowed.get(label, set())


async def test_public_port_of_the_api_serves_no_metrics(api_client: httpx.AsyncClient) -> None:
    assert (await api_client.get("/metrics")).status_code == 404


async def test_worker_is_healthy_and_ready(dev_stack: DevStack, anonymous_client: httpx.AsyncClient) -> None:
    base_url = dev_stack.stack_json["metrics_urls"]["worker"][0].removesuffix("/metrics")
    health = await anonymous_client.get(f"{base_url}/healthz")
    assert (health.status_code, health.json()["event_loop"], health.json()["polls"]) == (200, "ok", "ok")
    assert set(health.json()["threads"].values()) == {"ok"}
    assert {"stafett", "stafett-cpu", "sweep", "email"} <= health.json()["threads"].keys()
    assert (await anonymous_client.get(f"{base_url}/readyz")).json() == {"status": "ready"}
