"""The order of things, on a real server with the sandbox on; time is skipped, the stages are played."""

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
from tests.workflows.played_stages import STAGE_OF, WITHOUT_ATTACHMENTS, PlayedStages, running


async def failure_of(run: WorkflowHandle[Any, ExportOutcome]) -> ApplicationError:
    with pytest.raises(WorkflowFailureError) as failed:
        await run.result()
    assert isinstance(failed.value.cause, ActivityError)
    assert isinstance(failed.value.cause.cause, ApplicationError)
    return failed.value.cause.cause


async def test_the_stages_follow_one_another(temporal: Client, job: ExportJob) -> None:
    stages = PlayedStages()
    async with running(temporal, job, stages) as run:
        assert await run.result() == ExportOutcome(status=ExportStatus.COMPLETED, row_count=2)
    assert stages.called == [*WITHOUT_ATTACHMENTS, "record_completion"]


async def test_attachments_are_bundled_before_the_file_is_stored_if_they_are_asked_for(
    temporal: Client, job: ExportJob
) -> None:
    stages = PlayedStages()
    async with running(temporal, job.model_copy(update={"include_attachments": True}), stages) as run:
        assert (await run.result()).status is ExportStatus.COMPLETED
    assert stages.called == [*STAGE_OF, "record_completion"]


async def test_no_rows_end_it_at_once(temporal: Client, job: ExportJob) -> None:
    stages = PlayedStages(rows=0)
    async with running(temporal, job, stages) as run:
        assert await run.result() == ExportOutcome(status=ExportStatus.COMPLETED_EMPTY)
    assert stages.called == ["query_activities", "record_empty_completion"]


async def test_a_foreseen_failure_is_recorded_by_its_code_before_it_is_raised_on(
    temporal: Client, job: ExportJob
) -> None:
    stages = PlayedStages()
    denied = ApplicationError("no", type=ExportErrorCode.PERMISSION_DENIED, non_retryable=True)
    stages.faults["query_activities"] = iter([denied])
    async with running(temporal, job, stages) as run:
        assert (await failure_of(run)).type == "permission_denied"
    assert stages.called == ["query_activities", "record_failure"]
    assert stages.failing == RecordFailureInput(
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
async def test_an_unforeseen_failure_is_named_after_its_stage_and_can_be_tried_again(
    temporal: Client, job: ExportJob, stage: str, code: ExportErrorCode
) -> None:
    stages = PlayedStages()
    stages.faults[stage] = iter([ApplicationError("?", type="KeyError", non_retryable=True)])
    asked = job.model_copy(update={"include_attachments": stage == "bundle_attachments"})
    async with running(temporal, asked, stages) as run:
        await failure_of(run)
    assert stages.failing is not None
    assert (stages.failing.code, stages.failing.retryable) == (code, True)


@pytest.mark.parametrize("retryable", [True, False])
async def test_a_foreseen_failure_says_itself_whether_it_can_be_tried_again(
    temporal: Client, job: ExportJob, *, retryable: bool
) -> None:
    stages = PlayedStages()
    lost = ApplicationError("gone", retryable, type=ExportErrorCode.STORAGE_UNAVAILABLE, non_retryable=True)
    stages.faults["map_columns"] = iter([lost])
    async with running(temporal, job, stages) as run:
        await failure_of(run)
    assert stages.failing is not None
    assert (stages.failing.code, stages.failing.retryable) == (ExportErrorCode.STORAGE_UNAVAILABLE, retryable)


async def test_a_run_that_comes_too_late_answers_with_what_was_reached_without_it(
    temporal: Client, job: ExportJob
) -> None:
    stages = PlayedStages()
    stages.faults["query_activities"] = iter([ApplicationError("over", type=STALE_ATTEMPT, non_retryable=True)])
    async with running(temporal, job, stages) as run:
        assert await run.result() == ExportOutcome(status=ExportStatus.COMPLETED, row_count=7)
        assert (await run.describe()).typed_search_attributes[JOB_STATUS] == "completed"
    assert stages.called == ["query_activities", "read_outcome"]


async def test_a_store_that_is_away_for_minutes_is_waited_for(temporal: Client, job: ExportJob) -> None:
    stages = PlayedStages()
    away = 10  # tries, ever further apart: a minute and a half of the workflow's own time
    stages.faults["store_file"] = iter([ApplicationError("away", type="ServiceUnavailableError")] * away)
    async with running(temporal, job, stages) as run:
        assert (await run.result()).status is ExportStatus.COMPLETED
    assert stages.called.count("store_file") == away + 1
    assert stages.called.count("generate_file") == 1


async def test_an_operator_sees_where_it_is(temporal: Client, job: ExportJob) -> None:
    reached, go_on = asyncio.Event(), asyncio.Event()

    class Waiting(PlayedStages):
        @activity.defn
        async def generate_file(self, _job: ExportJob) -> StageResult:
            reached.set()
            await go_on.wait()
            return self.play("generate_file")

    async with running(temporal, job, Waiting()) as run:
        await reached.wait()
        progress = await run.query("progress", result_type=ExportProgress)
        assert progress == ExportProgress(stage=ExportStatus.GENERATING_FILE, attempt=1)
        metadata = await run.query("__temporal_workflow_metadata", result_type=WorkflowMetadata)
        assert metadata.current_details.splitlines()[:7] == [
            "**generating file**, attempt 1",
            "",
            "nhf, 2026-01-01 to 2027-01-01",
            "",
            "| done | rows | |",
            "| --- | ---: | --- |",
            "| querying activities | 2 |  |",
        ]
        assert f"(/namespaces/default/workflows/notify%2F{job.export_id}%2F1)" in metadata.current_details
        described = await run.describe()
        assert described.typed_search_attributes[JOB_STATUS] == "generating_file"
        assert described.typed_search_attributes[ORG_ID] == "nhf"
        assert await described.static_summary() == "Bufdir export for nhf, 2026-01-01 to 2027-01-01"
        go_on.set()
        await run.result()
