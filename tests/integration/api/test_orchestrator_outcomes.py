"""The export orchestrator returns a result, however the workflow run ends."""

import asyncio
from contextlib import suppress
from uuid import UUID

import psycopg
import pytest
from temporalio.client import Client
from temporalio.service import RPCError

from api.orchestrator import TemporalExportOrchestrator
from stafett.database.session import Database
from stafett.domain.export import ExportFailure, ExportRequest, ExportSuccess
from stafett.domain.export_job import ExportJob
from stafett.domain.export_status import ExportErrorCode, ExportStatus
from stafett.domain.membership import Caller, Role
from stafett.exports.service import ExportFilter, ExportService
from stafett.settings import Settings
from stafett.storage.files import FileStorage
from stafett.temporal.client import connect, start_job
from stafett.testing import ActivityFactory, Tenant, wait_until
from tests.support.fixture_types import RunWorker

_FILE = {
    "name": "rapport.csv",
    "mime_type": "text/csv",
    "size_bytes": 1,
    "sha256": "0" * 64,
    "content_sha256": "0" * 64,
    "key": "exports/x",
    "rows": 7,
}


@pytest.fixture
def orchestrator(
    api_database: Database, storage: FileStorage, temporal: Client, settings: Settings
) -> TemporalExportOrchestrator:
    return TemporalExportOrchestrator(
        api_database, storage, temporal, settings.temporal.task_queue, poll_interval_seconds=0.02
    )


@pytest.fixture
def export_request(tenant: Tenant) -> ExportRequest:
    return ExportRequest.model_validate(
        {
            "org_id": tenant.org_id,
            "requesting_user_id": tenant.coordinator,
            "reporting_period": {"start": "2026-01-01", "end": "2026-12-31"},
            "export_format": "csv",
        }
    )


async def wait_for_acceptance(export_service: ExportService, tenant: Tenant) -> ExportJob:
    """Wait for the organisation's only export to be accepted and return its job."""
    caller = Caller(user_id=tenant.coordinator, org_id=tenant.org_id, role=Role.COORDINATOR)

    async def list_jobs() -> list[ExportJob]:
        page = await asyncio.to_thread(export_service.list, caller, ExportFilter())
        return [export.job for export in page.items]

    return (await wait_until(list_jobs, bool))[0]


async def terminate(temporal: Client, job: ExportJob) -> None:
    async def try_to_terminate() -> bool:
        with suppress(RPCError):
            await temporal.get_workflow_handle(job.workflow_id).terminate()
            return True
        return False

    await wait_until(try_to_terminate, bool)


def set_statuses(owner_url: str, export_id: UUID, *statuses: ExportStatus, **columns: object) -> None:
    """Make the transitions that a worker would have made."""
    with psycopg.connect(owner_url) as connection:
        for status in statuses:
            connection.execute(
                "UPDATE exports SET status = %s, completed_at = CASE WHEN %s THEN now() END WHERE id = %s",
                [status.value, status.is_final, export_id],
            )
        for column, value in columns.items():
            connection.execute(f"UPDATE exports SET {column} = %s WHERE id = %s".encode(), [value, export_id])  # noqa: S608 - our own names


@pytest.mark.parametrize(
    "statuses", [(), (ExportStatus.QUERYING_ACTIVITIES,), (ExportStatus.RECORDING_AUDIT,)], ids=str
)
async def test_terminated_run_is_returned_as_a_retryable_failure(
    orchestrator: TemporalExportOrchestrator,
    export_request: ExportRequest,
    export_service: ExportService,
    tenant: Tenant,
    temporal: Client,
    owner_url: str,
    statuses: tuple[ExportStatus, ...],
) -> None:
    export = asyncio.create_task(orchestrator.export(export_request))
    job = await wait_for_acceptance(export_service, tenant)
    set_statuses(owner_url, job.export_id, *statuses, file=psycopg.types.json.Jsonb(_FILE))
    await terminate(temporal, job)
    result = await export
    assert isinstance(result, ExportFailure)
    assert result.error_code is ExportErrorCode.INTERNAL
    assert result.audit_id is not None
    assert "can be retried" in result.message


@pytest.mark.parametrize(
    "statuses", [(ExportStatus.CANCELLING,), (ExportStatus.CANCELLING, ExportStatus.CANCELLED)], ids=str
)
async def test_cancelled_export_is_returned_as_a_cancelled_failure(
    orchestrator: TemporalExportOrchestrator,
    export_request: ExportRequest,
    export_service: ExportService,
    tenant: Tenant,
    temporal: Client,
    owner_url: str,
    statuses: tuple[ExportStatus, ...],
) -> None:
    export = asyncio.create_task(orchestrator.export(export_request))
    job = await wait_for_acceptance(export_service, tenant)
    set_statuses(owner_url, job.export_id, *statuses)
    await terminate(temporal, job)
    result = await export
    assert isinstance(result, ExportFailure)
    assert result.error_code is ExportErrorCode.CANCELLED


async def test_export_that_could_not_be_started_is_awaited_until_the_sweep(
    export_request: ExportRequest,
    api_database: Database,
    storage: FileStorage,
    export_service: ExportService,
    tenant: Tenant,
    activity_factory: ActivityFactory,
    temporal: Client,
    settings: Settings,
    run_worker: RunWorker,
) -> None:
    activity_factory.create_activity(activity_factory.create_mentor())
    unavailable_temporal = await connect(settings.temporal.model_copy(update={"address": "127.0.0.1:9"}), lazy=True)
    orchestrator = TemporalExportOrchestrator(api_database, storage, unavailable_temporal, settings.temporal.task_queue)
    export = asyncio.create_task(orchestrator.export(export_request))
    job = await wait_for_acceptance(export_service, tenant)
    async with run_worker():
        await start_job(temporal, job, settings.temporal.task_queue)  # as the sweeper does
        result = await export
    assert isinstance(result, ExportSuccess)
    assert result.row_count == 1
