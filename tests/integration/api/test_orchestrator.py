from typing import Any

import pytest
from temporalio.client import Client

from api.orchestrator import TemporalExportOrchestrator
from stafett.database.session import Database
from stafett.domain.errors import PermissionDeniedError
from stafett.domain.export import ExportFailure, ExportOrchestrator, ExportRequest, ExportSuccess
from stafett.domain.export_status import ExportErrorCode
from stafett.domain.membership import Role
from stafett.settings import Settings
from stafett.storage.files import FileStorage
from stafett.testing import ActivityFactory, Tenant, create_tenant
from tests.support.fixture_types import RunWorker


@pytest.fixture
def orchestrator(
    api_database: Database, storage: FileStorage, temporal: Client, settings: Settings
) -> ExportOrchestrator:
    return TemporalExportOrchestrator(api_database, storage, temporal, settings.temporal.task_queue)


def build_request(tenant: Tenant, **overrides: Any) -> ExportRequest:
    fields = {
        "org_id": tenant.org_id,
        "requesting_user_id": tenant.coordinator,
        "reporting_period": {"start": "2026-01-01", "end": "2026-12-31"},
        "export_format": "csv",
    }
    return ExportRequest.model_validate(fields | overrides)


async def test_successful_export_downloads_its_file_on_open(
    orchestrator: ExportOrchestrator, tenant: Tenant, activity_factory: ActivityFactory, run_worker: RunWorker
) -> None:
    activity_factory.create_activity(activity_factory.create_mentor())
    async with run_worker():
        result = await orchestrator.export(build_request(tenant))
    assert isinstance(result, ExportSuccess)
    assert result.download_artifact is not None
    with result.download_artifact.open() as stream:
        assert len(stream.read()) == result.download_artifact.file_size_bytes
    assert result.row_count == 1
    assert result.download_url is not None


async def test_export_without_rows_succeeds_without_a_file(
    orchestrator: ExportOrchestrator, tenant: Tenant, run_worker: RunWorker
) -> None:
    async with run_worker():
        result = await orchestrator.export(build_request(tenant))
    assert isinstance(result, ExportSuccess)
    assert (result.row_count, result.download_artifact, result.download_url) == (0, None, None)


async def test_failed_export_is_returned_as_a_result(
    orchestrator: ExportOrchestrator, tenant: Tenant, run_worker: RunWorker
) -> None:
    async with run_worker():
        result = await orchestrator.export(build_request(tenant, fail_on_empty=True))
    assert isinstance(result, ExportFailure)
    assert result.error_code is ExportErrorCode.NO_DATA_FOR_PERIOD
    assert result.audit_id is not None


async def test_stranger_and_auditor_are_rejected(
    orchestrator: ExportOrchestrator, tenant: Tenant, owner_url: str
) -> None:
    for user_id in (create_tenant(owner_url).coordinator, tenant.users[Role.AUDITOR]):
        with pytest.raises(PermissionDeniedError):
            await orchestrator.export(build_request(tenant, requesting_user_id=user_id))
