from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
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

Working = Callable[[], AbstractAsyncContextManager[None]]


@pytest.fixture
def orchestrator(
    api_database: Database, storage: FileStorage, temporal: Client, settings: Settings
) -> ExportOrchestrator:
    return TemporalExportOrchestrator(api_database, storage, temporal, settings.temporal.task_queue)


def request_of(tenant: Tenant, **asked: Any) -> ExportRequest:
    fields = {
        "org_id": tenant.org_id,
        "requesting_user_id": tenant.coordinator,
        "reporting_period": {"start": "2026-01-01", "end": "2026-12-31"},
        "export_format": "csv",
    }
    return ExportRequest.model_validate(fields | asked)


async def test_an_export_is_a_file_that_is_fetched_when_it_is_opened(
    orchestrator: ExportOrchestrator, tenant: Tenant, diary: ActivityFactory, working: Working
) -> None:
    diary.create_activity(diary.create_mentor())
    async with working():
        result = await orchestrator.export(request_of(tenant))
    assert isinstance(result, ExportSuccess)
    assert result.download_artifact is not None
    with result.download_artifact.open() as stream:
        assert len(stream.read()) == result.download_artifact.file_size_bytes
    assert result.row_count == 1
    assert result.download_url is not None


async def test_an_export_of_nothing_is_a_success_without_a_file(
    orchestrator: ExportOrchestrator, tenant: Tenant, working: Working
) -> None:
    async with working():
        result = await orchestrator.export(request_of(tenant))
    assert isinstance(result, ExportSuccess)
    assert (result.row_count, result.download_artifact, result.download_url) == (0, None, None)


async def test_a_failure_is_a_result_and_not_an_exception(
    orchestrator: ExportOrchestrator, tenant: Tenant, working: Working
) -> None:
    async with working():
        result = await orchestrator.export(request_of(tenant, fail_on_empty=True))
    assert isinstance(result, ExportFailure)
    assert result.error_code is ExportErrorCode.NO_DATA_FOR_PERIOD
    assert result.audit_id is not None


async def test_a_stranger_and_an_auditor_are_refused_before_anything_is_written(
    orchestrator: ExportOrchestrator, tenant: Tenant, owner_url: str
) -> None:
    for user_id in (create_tenant(owner_url).coordinator, tenant.users[Role.AUDITOR]):
        with pytest.raises(PermissionDeniedError):
            await orchestrator.export(request_of(tenant, requesting_user_id=user_id))
