"""The button as a function gives a result, whatever becomes of the run."""

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, suppress
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

Working = Callable[[], AbstractAsyncContextManager[None]]
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
def request_(tenant: Tenant) -> ExportRequest:
    return ExportRequest.model_validate(
        {
            "org_id": tenant.org_id,
            "requesting_user_id": tenant.coordinator,
            "reporting_period": {"start": "2026-01-01", "end": "2026-12-31"},
            "export_format": "csv",
        }
    )


async def accepted(jobs: ExportService, tenant: Tenant) -> ExportJob:
    """The only job of this organisation, once it is there."""
    caller = Caller(user_id=tenant.coordinator, org_id=tenant.org_id, role=Role.COORDINATOR)

    async def found() -> list[ExportJob]:
        return [export.job for export in await asyncio.to_thread(jobs.list, caller, ExportFilter())]

    return (await wait_until(found, bool))[0]


async def terminate(temporal: Client, job: ExportJob) -> None:
    async def terminated() -> bool:
        with suppress(RPCError):
            await temporal.get_workflow_handle(job.workflow_id).terminate()
            return True
        return False

    await wait_until(terminated, bool)


def move(owner_url: str, export_id: UUID, *path: ExportStatus, **columns: object) -> None:
    """Along the way a worker would have gone."""
    with psycopg.connect(owner_url) as connection:
        for status in path:
            connection.execute(
                "UPDATE exports SET status = %s, completed_at = CASE WHEN %s THEN now() END WHERE id = %s",
                [status.value, status.is_final, export_id],
            )
        for column, value in columns.items():
            connection.execute(f"UPDATE exports SET {column} = %s WHERE id = %s".encode(), [value, export_id])  # noqa: S608 - our own names


@pytest.mark.parametrize("reached", [(), (ExportStatus.QUERYING_ACTIVITIES,), (ExportStatus.RECORDING_AUDIT,)], ids=str)
async def test_a_terminated_run_is_a_failure_that_can_be_tried_again_and_hands_out_no_file(
    orchestrator: TemporalExportOrchestrator,
    request_: ExportRequest,
    jobs: ExportService,
    tenant: Tenant,
    temporal: Client,
    owner_url: str,
    reached: tuple[ExportStatus, ...],
) -> None:
    pressed = asyncio.create_task(orchestrator.export(request_))
    job = await accepted(jobs, tenant)
    move(owner_url, job.export_id, *reached, file=psycopg.types.json.Jsonb(_FILE))
    await terminate(temporal, job)
    result = await pressed
    assert isinstance(result, ExportFailure)
    assert result.error_code is ExportErrorCode.INTERNAL
    assert result.audit_id is not None
    assert "tried again" in result.message


@pytest.mark.parametrize(
    "reached", [(ExportStatus.CANCELLING,), (ExportStatus.CANCELLING, ExportStatus.CANCELLED)], ids=str
)
async def test_a_cancelled_export_is_a_failure_called_cancelled(
    orchestrator: TemporalExportOrchestrator,
    request_: ExportRequest,
    jobs: ExportService,
    tenant: Tenant,
    temporal: Client,
    owner_url: str,
    reached: tuple[ExportStatus, ...],
) -> None:
    pressed = asyncio.create_task(orchestrator.export(request_))
    job = await accepted(jobs, tenant)
    move(owner_url, job.export_id, *reached)
    await terminate(temporal, job)
    result = await pressed
    assert isinstance(result, ExportFailure)
    assert result.error_code is ExportErrorCode.CANCELLED


async def test_an_export_that_could_not_be_started_is_waited_for_until_somebody_else_starts_it(
    request_: ExportRequest,
    api_database: Database,
    storage: FileStorage,
    jobs: ExportService,
    tenant: Tenant,
    diary: ActivityFactory,
    temporal: Client,
    settings: Settings,
    working: Working,
) -> None:
    diary.create_activity(diary.create_mentor())
    nowhere = await connect(settings.temporal.model_copy(update={"address": "127.0.0.1:9"}), lazy=True)
    orchestrator = TemporalExportOrchestrator(api_database, storage, nowhere, settings.temporal.task_queue)
    pressed = asyncio.create_task(orchestrator.export(request_))
    job = await accepted(jobs, tenant)
    async with working():
        await start_job(temporal, job, settings.temporal.task_queue)  # as the sweeper does
        result = await pressed
    assert isinstance(result, ExportSuccess)
    assert result.row_count == 1
