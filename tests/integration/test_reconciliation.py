"""The reconciliation sweep closes, starts or cancels every job whose run does not match its status."""

import base64
import contextlib
from collections.abc import Iterator
from typing import Any
from uuid import UUID

import httpx
import psycopg
import pytest
from psycopg.types.json import Jsonb
from pydantic import SecretStr
from temporalio.client import Client, WorkflowExecutionStatus, WorkflowHandle
from temporalio.converter import PayloadConverter

from api.app import create_app
from stafett.database.maintenance import MaintenanceDatabase
from stafett.database.session import Database
from stafett.domain.export_job import SweepReport
from stafett.domain.job import REQUEST_ID
from stafett.domain.membership import Caller, Role
from stafett.exports.commands import ExportCommands
from stafett.exports.completion import ExportCompletion
from stafett.reconciliation import list_open_exports
from stafett.settings import Settings, require_setting
from stafett.temporal.client import JOB_STATUS
from stafett.testing import ActivityFactory, ExportClient, Json, Tenant, wait_until
from tests.support.fixture_types import Bearer, RunWorker
from tests.support.reconciliation import Sweeper, wait_until_run_is_open


@pytest.fixture
def sweeper(temporal: Client, settings: Settings, org_id: str) -> Iterator[Sweeper]:
    sweeper = Sweeper(temporal, settings, org_id)
    yield sweeper
    sweeper.close()


async def read_request_id(run: WorkflowHandle[Any, Any]) -> str:
    """Read the request id from the header of the run."""
    first_event = (await run.fetch_history()).events[0]
    header = first_event.workflow_execution_started_event_attributes.header.fields[REQUEST_ID]
    request_id: str = PayloadConverter.default.from_payload(header)
    return request_id


async def test_job_accepted_while_temporal_is_unavailable_is_started_later(
    settings: Settings,
    tenant: Tenant,
    bearer: Bearer,
    activity_factory: ActivityFactory,
    sweeper: Sweeper,
    run_worker: RunWorker,
    temporal: Client,
) -> None:
    activity_factory.create_activity(activity_factory.create_mentor())
    unreachable = settings.temporal.model_copy(update={"address": "127.0.0.1:9"})
    app = create_app(settings.model_copy(update={"temporal": unreachable}))
    transport = httpx.ASGITransport(app)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="http://test") as api_client,
    ):
        export_client = ExportClient(api_client, tenant.org_id, bearer(tenant.coordinator))
        accepted = await export_client.request_export()
        assert accepted.status_code == 202

        assert await sweeper.sweep() == SweepReport(started=1)
        run = temporal.get_workflow_handle(f"bufdir-export/{accepted.json()['id']}")
        assert await read_request_id(run) == accepted.headers["X-Request-ID"]
        described = await run.describe()
        assert await described.static_summary() == f"Bufdir export for {tenant.org_id}, 2026-01-01 to 2026-12-31"
        assert described.typed_search_attributes[JOB_STATUS] == "initialised"
        async with run_worker():
            assert (await export_client.wait_for_completion(accepted.json()["id"]))["status"] == "completed"
        assert await sweeper.sweep() == SweepReport()


async def test_job_with_a_terminated_run_fails_as_retryable(
    export_client: ExportClient, temporal: Client, sweeper: Sweeper
) -> None:
    export_id = await export_client.start_export()
    await wait_until_run_is_open(temporal, f"bufdir-export/{export_id}")
    await temporal.get_workflow_handle(f"bufdir-export/{export_id}").terminate()

    assert await sweeper.sweep() == SweepReport(failed=1)
    job = await export_client.get_export(export_id)
    assert (job["status"], job["error"]["code"], job["error"]["retryable"]) == ("failed", "internal", True)
    assert job["attempts"][0]["outcome"] == "failed"


async def test_job_with_an_open_run_is_unchanged(
    export_client: ExportClient, temporal: Client, sweeper: Sweeper
) -> None:
    export_id = await export_client.start_export()
    await wait_until_run_is_open(temporal, f"bufdir-export/{export_id}")
    assert await sweeper.sweep() == SweepReport()
    assert (await export_client.get_export(export_id))["status"] == "initialised"
    assert UUID(export_id).version == 4


async def test_job_with_invalid_parameters_does_not_block_the_sweep(
    export_client: ExportClient, temporal: Client, sweeper: Sweeper, owner_url: str
) -> None:
    invalid, valid = await export_client.start_export(), await export_client.start_export()
    for export_id in (invalid, valid):
        await wait_until_run_is_open(temporal, f"bufdir-export/{export_id}")
        await temporal.get_workflow_handle(f"bufdir-export/{export_id}").terminate()
    with without_parameters(owner_url, invalid):
        assert await sweeper.sweep() == SweepReport(failed=2)


@contextlib.contextmanager
def without_parameters(owner_url: str, export_id: str) -> Iterator[None]:
    """Remove an export's parameters for the length of a block: no list of an operator could show the row."""
    with psycopg.connect(owner_url, autocommit=True) as owner:
        row = owner.execute("SELECT parameters FROM exports WHERE id = %s", [export_id]).fetchone()
        assert row is not None
        set_parameters(owner, export_id, {})
        try:
            yield
        finally:
            set_parameters(owner, export_id, row[0])


def set_parameters(owner: psycopg.Connection, export_id: str, parameters: Json) -> None:
    with owner.transaction():
        owner.execute("ALTER TABLE exports DISABLE TRIGGER exports_immutable_columns")
        owner.execute("UPDATE exports SET parameters = %s WHERE id = %s", [Jsonb(parameters), export_id])
        owner.execute("ALTER TABLE exports ENABLE TRIGGER exports_immutable_columns")


async def test_run_encrypted_with_an_unknown_key_is_skipped(
    settings: Settings, tenant: Tenant, bearer: Bearer, temporal: Client, sweeper: Sweeper
) -> None:
    keys = SecretStr(f"2027:{base64.b64encode(bytes(32)).decode()}")
    app = create_app(
        settings.model_copy(update={"temporal": settings.temporal.model_copy(update={"codec_keys": keys})})
    )
    transport = httpx.ASGITransport(app)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="http://test") as api_client,
    ):
        export_client = ExportClient(api_client, tenant.org_id, bearer(tenant.coordinator))
        export_id = await export_client.start_export()
        await wait_until_run_is_open(temporal, f"bufdir-export/{export_id}")
        assert await sweeper.sweep() == SweepReport(skipped=1)
        assert (await export_client.get_export(export_id))["status"] == "initialised"


def test_sweep_lists_all_open_jobs_across_pages(settings: Settings, tenant: Tenant, owner_url: str) -> None:
    with psycopg.connect(owner_url) as connection:
        connection.execute(
            "INSERT INTO exports"
            " (id, org_id, requested_by, parameters, period_start, period_end, status, attempt, audit_id)"
            " SELECT gen_random_uuid(), %s, %s, '{}', now(), now(), 'initialised', 1, gen_random_uuid()"
            " FROM generate_series(1, 1200)",
            [tenant.org_id, tenant.coordinator],
        )
    maintenance = MaintenanceDatabase(require_setting(settings.database.maintenance_url, "maintenance"), pool_size=1)
    try:
        open_exports = list_open_exports(maintenance, ExportCompletion(maintenance))
        jobs = [open_job.job for open_job in open_exports if open_job.job.org_id == tenant.org_id]
    finally:
        maintenance.close()
        with psycopg.connect(owner_url) as connection:
            connection.execute("DELETE FROM exports WHERE org_id = %s", [tenant.org_id])
    assert len({job.job_id for job in jobs}) == len(jobs) == 1200


async def cancel_in_database(settings: Settings, tenant: Tenant, export_id: str) -> None:
    """Record the cancel as if the API had crashed before it could cancel the run."""
    with contextlib.closing(Database(require_setting(settings.database.api_url, "api"), pool_size=1)) as database:
        caller = Caller(user_id=tenant.coordinator, org_id=tenant.org_id, role=Role.COORDINATOR)
        ExportCommands(database).cancel(caller, UUID(export_id))


async def test_cancel_that_never_reached_the_run_is_sent_by_the_sweep(
    export_client: ExportClient,
    temporal: Client,
    sweeper: Sweeper,
    run_worker: RunWorker,
    settings: Settings,
    tenant: Tenant,
) -> None:
    export_id = await export_client.start_export()
    await wait_until_run_is_open(temporal, f"bufdir-export/{export_id}")
    await cancel_in_database(settings, tenant, export_id)
    assert await sweeper.sweep() == SweepReport()
    run = temporal.get_workflow_handle(f"bufdir-export/{export_id}")
    async with run_worker():
        assert (await export_client.wait_for_completion(export_id))["status"] == "cancelled"
        ended = await wait_until(run.describe, lambda described: described.close_time is not None)
    assert ended.status is WorkflowExecutionStatus.CANCELED


async def test_cancelling_job_with_a_terminated_run_gets_a_new_run(
    export_client: ExportClient,
    temporal: Client,
    sweeper: Sweeper,
    run_worker: RunWorker,
    settings: Settings,
    tenant: Tenant,
) -> None:
    export_id = await export_client.start_export()
    await wait_until_run_is_open(temporal, f"bufdir-export/{export_id}")
    await cancel_in_database(settings, tenant, export_id)
    await temporal.get_workflow_handle(f"bufdir-export/{export_id}").terminate()
    assert await sweeper.sweep() == SweepReport(started=1)
    async with run_worker():
        assert (await export_client.wait_for_completion(export_id))["status"] == "cancelled"
        assert await sweeper.sweep() == SweepReport()


async def test_retry_that_never_reached_temporal_is_started_by_the_sweep(
    export_client: ExportClient,
    temporal: Client,
    sweeper: Sweeper,
    run_worker: RunWorker,
    settings: Settings,
    tenant: Tenant,
) -> None:
    export_id = await export_client.start_export()
    await wait_until_run_is_open(temporal, f"bufdir-export/{export_id}")
    await temporal.get_workflow_handle(f"bufdir-export/{export_id}").terminate()
    assert await sweeper.sweep() == SweepReport(failed=1)
    with contextlib.closing(Database(require_setting(settings.database.api_url, "api"), pool_size=1)) as database:
        caller = Caller(user_id=tenant.coordinator, org_id=tenant.org_id, role=Role.COORDINATOR)
        ExportCommands(database).retry(caller, UUID(export_id))
    assert await sweeper.sweep() == SweepReport(started=1)
    async with run_worker():
        assert (await export_client.wait_for_completion(export_id))["status"] == "completed_empty"
