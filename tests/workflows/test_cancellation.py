"""Cancellation of an export: every way to request it, at every stage."""

import asyncio
from typing import Any

import pytest
from temporalio.client import Client, WorkflowExecutionStatus, WorkflowFailureError, WorkflowHandle
from temporalio.exceptions import ApplicationError, CancelledError

from stafett.domain.export_job import STALE_ATTEMPT, ExportJob, ExportOutcome
from stafett.domain.export_status import ExportStatus
from stafett.temporal.client import JOB_STATUS
from tests.support.blocking_stages import BlockingStages
from tests.support.fake_stages import STAGE_OF, FakeStages, run_export

CANCELLED = ExportOutcome(status=ExportStatus.CANCELLED)
STAGES = list(STAGE_OF)
Run = WorkflowHandle[Any, ExportOutcome]


@pytest.fixture
def job(job: ExportJob) -> ExportJob:
    return job.model_copy(update={"include_attachments": True})


async def request_cancel(run: Run, by: str) -> None:
    if by in {"signal", "api"}:
        await run.signal("cancel")
    if by in {"temporal", "api"}:
        await run.cancel()


async def assert_cancelled(run: Run, by: str) -> None:
    """Temporal closes a run as cancelled only if that was requested of Temporal; after a signal it returns a result."""
    if by == "signal":
        assert await run.result() == CANCELLED
    else:
        with pytest.raises(WorkflowFailureError) as error:
            await run.result()
        assert isinstance(error.value.cause, CancelledError)
        assert (await run.describe()).status is WorkflowExecutionStatus.CANCELED
    assert (await run.describe()).typed_search_attributes[JOB_STATUS] == "cancelled"


@pytest.mark.parametrize("by", ["signal", "temporal", "api"])
@pytest.mark.parametrize("stage", STAGES)
async def test_cancel_stops_the_running_stage_and_starts_no_other(
    temporal: Client, job: ExportJob, stage: str, by: str
) -> None:
    stages = BlockingStages(stage)
    async with run_export(temporal, job, stages) as run:
        await stages.reached.wait()
        await request_cancel(run, by)
        await assert_cancelled(run, by)
    assert stages.called == [*STAGES[: STAGES.index(stage)], "record_cancellation"]


@pytest.mark.parametrize("by", ["signal", "temporal"])
async def test_stage_that_ignores_the_cancel_is_the_last_to_run(temporal: Client, job: ExportJob, by: str) -> None:
    stages = BlockingStages("map_columns", ignores_cancel=True)
    async with run_export(temporal, job, stages) as run:
        await stages.reached.wait()
        await request_cancel(run, by)
        stages.released.set()
        await assert_cancelled(run, by)
    assert stages.called == ["query_activities", "map_columns", "record_cancellation"]


@pytest.mark.parametrize("by", ["signal", "temporal"])
async def test_cancel_ends_the_wait_for_unavailable_storage(temporal: Client, job: ExportJob, by: str) -> None:
    stages = FakeStages()
    attempted = asyncio.Event()

    def unavailable() -> Any:
        while True:
            attempted.set()
            yield ApplicationError("unavailable", type="ServiceUnavailableError")

    stages.faults["store_file"] = unavailable()
    async with run_export(temporal, job, stages) as run:
        await attempted.wait()
        await request_cancel(run, by)
        await assert_cancelled(run, by)
    assert stages.called[-1] == "record_cancellation"


async def test_repeated_cancel_does_not_interrupt_the_cleanup(temporal: Client, job: ExportJob) -> None:
    stages = BlockingStages("record_cancellation", ignores_cancel=True)
    stages.faults["query_activities"] = iter([ApplicationError("over", type=STALE_ATTEMPT, non_retryable=True)])
    stages.stored_outcome = ExportOutcome(status=ExportStatus.CANCELLING)
    async with run_export(temporal, job, stages) as run:
        await stages.reached.wait()
        for _ in range(3):
            await request_cancel(run, "api")
        stages.released.set()
        await assert_cancelled(run, "api")
    assert stages.called == ["query_activities", "read_outcome", "record_cancellation"]


async def test_cancel_recorded_only_in_the_database_is_carried_out(temporal: Client, job: ExportJob) -> None:
    """The API recorded the cancellation and died before it could notify Temporal."""
    stages = FakeStages()
    stages.faults["generate_file"] = iter([ApplicationError("over", type=STALE_ATTEMPT, non_retryable=True)])
    stages.stored_outcome = ExportOutcome(status=ExportStatus.CANCELLING)
    async with run_export(temporal, job, stages) as run:
        assert await run.result() == CANCELLED
    assert stages.called[-2:] == ["read_outcome", "record_cancellation"]


async def test_failure_after_a_recorded_cancel_ends_as_cancelled(temporal: Client, job: ExportJob) -> None:
    stages = FakeStages()
    stages.faults["generate_file"] = iter([ApplicationError("?", type="KeyError", non_retryable=True)])
    stages.faults["record_failure"] = iter([ApplicationError("over", type=STALE_ATTEMPT, non_retryable=True)])
    stages.stored_outcome = ExportOutcome(status=ExportStatus.CANCELLING)
    async with run_export(temporal, job, stages) as run:
        assert await run.result() == CANCELLED
    assert stages.called[-3:] == ["record_failure", "read_outcome", "record_cancellation"]


async def test_cancel_after_completion_returns_the_completed_outcome(temporal: Client, job: ExportJob) -> None:
    stages = BlockingStages("store_file")
    stages.cancel_outcome = ExportOutcome(status=ExportStatus.COMPLETED, row_count=2)
    async with run_export(temporal, job, stages) as run:
        await stages.reached.wait()
        await request_cancel(run, "api")
        assert (await run.result()).status is ExportStatus.COMPLETED


async def test_stage_that_fails_during_a_cancel_ends_as_cancelled(temporal: Client, job: ExportJob) -> None:
    stages = BlockingStages("generate_file", ignores_cancel=True)
    stages.faults["generate_file"] = iter([ApplicationError("?", type="KeyError", non_retryable=True)])
    async with run_export(temporal, job, stages) as run:
        await stages.reached.wait()
        await request_cancel(run, "signal")
        stages.released.set()
        await assert_cancelled(run, "signal")
    assert "record_failure" not in stages.called
