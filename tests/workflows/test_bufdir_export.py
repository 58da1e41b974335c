"""Order of the stages, on a real server with the sandbox on; time is skipped and the stages are fakes."""

import asyncio
from typing import Any

import pytest
from temporalio import activity
from temporalio.api.sdk.v1 import WorkflowMetadata
from temporalio.client import Client, WorkflowFailureError, WorkflowHandle
from temporalio.exceptions import ActivityError, ApplicationError

from stafett.domain.export_job import (
    STALE_ATTEMPT,
    ExportJob,
    ExportOutcome,
    ExportProgress,
    RecordFailureInput,
    StageResult,
)
from stafett.domain.export_status import ExportErrorCode, ExportStatus
from stafett.temporal.client import JOB_STATUS, ORG_ID
from tests.support.fake_stages import STAGE_OF, WITHOUT_ATTACHMENTS, FakeStages, run_export


async def await_failure(run: WorkflowHandle[Any, ExportOutcome]) -> ApplicationError:
    with pytest.raises(WorkflowFailureError) as error:
        await run.result()
    assert isinstance(error.value.cause, ActivityError)
    assert isinstance(error.value.cause.cause, ApplicationError)
    return error.value.cause.cause


async def test_export_runs_its_stages_in_order(temporal: Client, job: ExportJob) -> None:
    stages = FakeStages()
    async with run_export(temporal, job, stages) as run:
        assert await run.result() == ExportOutcome(status=ExportStatus.COMPLETED, row_count=2)
    assert stages.called == [*WITHOUT_ATTACHMENTS, "record_completion"]


async def test_requested_attachments_are_bundled_before_the_file_is_stored(temporal: Client, job: ExportJob) -> None:
    stages = FakeStages()
    async with run_export(temporal, job.model_copy(update={"include_attachments": True}), stages) as run:
        assert (await run.result()).status is ExportStatus.COMPLETED
    assert stages.called == [*STAGE_OF, "record_completion"]


async def test_export_without_rows_completes_after_the_query(temporal: Client, job: ExportJob) -> None:
    stages = FakeStages(rows=0)
    async with run_export(temporal, job, stages) as run:
        assert await run.result() == ExportOutcome(status=ExportStatus.COMPLETED_EMPTY)
    assert stages.called == ["query_activities", "record_empty_completion"]


async def test_known_failure_is_recorded_with_its_code_and_raised_again(temporal: Client, job: ExportJob) -> None:
    stages = FakeStages()
    denied = ApplicationError("no", type=ExportErrorCode.PERMISSION_DENIED, non_retryable=True)
    stages.faults["query_activities"] = iter([denied])
    async with run_export(temporal, job, stages) as run:
        assert (await await_failure(run)).type == "permission_denied"
    assert stages.called == ["query_activities", "record_failure"]
    assert stages.recorded_failure == RecordFailureInput(
        job=job, code=ExportErrorCode.PERMISSION_DENIED, message="no", retryable=False
    )


@pytest.mark.parametrize(
    ("stage", "code"),
    [
        ("query_activities", ExportErrorCode.QUERY_FAILED),
        ("map_columns", ExportErrorCode.INTERNAL),
        ("generate_file", ExportErrorCode.FILE_GENERATION_FAILED),
        ("bundle_attachments", ExportErrorCode.ATTACHMENT_UNAVAILABLE),
        ("store_file", ExportErrorCode.STORAGE_UNAVAILABLE),
        ("record_completion", ExportErrorCode.AUDIT_SERVICE_UNAVAILABLE),
    ],
)
async def test_unexpected_failure_gets_its_stages_code_and_is_retryable(
    temporal: Client, job: ExportJob, stage: str, code: ExportErrorCode
) -> None:
    stages = FakeStages()
    stages.faults[stage] = iter([ApplicationError("?", type="KeyError", non_retryable=True)])
    requested = job.model_copy(update={"include_attachments": stage == "bundle_attachments"})
    async with run_export(temporal, requested, stages) as run:
        await await_failure(run)
    assert stages.recorded_failure is not None
    assert (stages.recorded_failure.code, stages.recorded_failure.retryable) == (code, True)


@pytest.mark.parametrize("retryable", [True, False])
async def test_known_failure_decides_whether_it_is_retryable(
    temporal: Client, job: ExportJob, *, retryable: bool
) -> None:
    stages = FakeStages()
    lost = ApplicationError("gone", retryable, type=ExportErrorCode.STORAGE_UNAVAILABLE, non_retryable=True)
    stages.faults["map_columns"] = iter([lost])
    async with run_export(temporal, job, stages) as run:
        await await_failure(run)
    assert stages.recorded_failure is not None
    assert (stages.recorded_failure.code, stages.recorded_failure.retryable) == (
        ExportErrorCode.STORAGE_UNAVAILABLE,
        retryable,
    )


async def test_stale_run_returns_the_outcome_recorded_by_another_run(temporal: Client, job: ExportJob) -> None:
    stages = FakeStages()
    stages.faults["query_activities"] = iter([ApplicationError("over", type=STALE_ATTEMPT, non_retryable=True)])
    async with run_export(temporal, job, stages) as run:
        assert await run.result() == ExportOutcome(status=ExportStatus.COMPLETED, row_count=7)
        assert (await run.describe()).typed_search_attributes[JOB_STATUS] == "completed"
    assert stages.called == ["query_activities", "read_outcome"]


async def test_storage_unavailable_for_minutes_is_retried(temporal: Client, job: ExportJob) -> None:
    stages = FakeStages()
    refusals = 10  # at growing intervals: a minute and a half of the workflow's own time
    stages.faults["store_file"] = iter([ApplicationError("unavailable", type="ServiceUnavailableError")] * refusals)
    async with run_export(temporal, job, stages) as run:
        assert (await run.result()).status is ExportStatus.COMPLETED
    assert stages.called.count("store_file") == refusals + 1
    assert stages.called.count("generate_file") == 1


async def test_running_workflow_reports_its_stage(temporal: Client, job: ExportJob) -> None:
    reached, released = asyncio.Event(), asyncio.Event()

    class WaitingStages(FakeStages):
        @activity.defn
        async def generate_file(self, _job: ExportJob) -> StageResult:
            reached.set()
            await released.wait()
            return self.play("generate_file")

    async with run_export(temporal, job, WaitingStages()) as run:
        await reached.wait()
        progress = await run.query("progress", result_type=ExportProgress)
        assert progress == ExportProgress(stage=ExportStatus.GENERATING_FILE, attempt=1)
        metadata = await run.query("__temporal_workflow_metadata", result_type=WorkflowMetadata)
        assert metadata.current_details.splitlines()[:7] == [
            "**generating file**, attempt 1",
            "",
            "nhf, 2026-01-01 to 2027-01-01",
            "",
            "| stage | rows | |",
            "| --- | ---: | --- |",
            "| querying activities | 2 |  |",
        ]
        assert f"(/namespaces/default/workflows/notify%2F{job.export_id}%2F1)" in metadata.current_details
        description = await run.describe()
        assert description.typed_search_attributes[JOB_STATUS] == "generating_file"
        assert description.typed_search_attributes[ORG_ID] == "nhf"
        assert await description.static_summary() == "Bufdir export for nhf, 2026-01-01 to 2027-01-01"
        released.set()
        await run.result()
