"""Every way to stop an export, at every point of it."""

import asyncio
from typing import Any

import pytest
from temporalio import activity
from temporalio.client import Client, WorkflowExecutionStatus, WorkflowFailureError, WorkflowHandle
from temporalio.exceptions import ApplicationError, CancelledError

from stafett.domain.export_job import STALE_ATTEMPT, ExportJob, ExportOutcome, StageResult
from stafett.domain.export_status import ExportStatus
from stafett.temporal.client import JOB_STATUS
from tests.workflows.played_stages import STAGE_OF, PlayedStages, running

CANCELLED = ExportOutcome(status=ExportStatus.CANCELLED)
STAGES = list(STAGE_OF)
Run = WorkflowHandle[Any, ExportOutcome]


class Held(PlayedStages):
    """One stage goes on until it is told to stop, or for as long as it is held."""

    def __init__(self, stage: str, *, is_deaf: bool = False) -> None:
        super().__init__()
        self.reached, self.go_on = asyncio.Event(), asyncio.Event()
        self._stage, self._is_deaf = stage, is_deaf

    async def hold(self, name: str) -> None:
        if name != self._stage:
            return
        self.reached.set()
        try:
            await self.go_on.wait()
        except asyncio.CancelledError:
            if not self._is_deaf:
                raise
            await self.go_on.wait()

    @activity.defn
    async def query_activities(self, _job: ExportJob) -> StageResult:
        await self.hold("query_activities")
        return self.play("query_activities")

    @activity.defn
    async def map_columns(self, _job: ExportJob) -> StageResult:
        await self.hold("map_columns")
        return self.play("map_columns")

    @activity.defn
    async def generate_file(self, _job: ExportJob) -> StageResult:
        await self.hold("generate_file")
        return self.play("generate_file")

    @activity.defn
    async def bundle_attachments(self, _job: ExportJob) -> StageResult:
        await self.hold("bundle_attachments")
        return self.play("bundle_attachments")

    @activity.defn
    async def store_file(self, _job: ExportJob) -> StageResult:
        await self.hold("store_file")
        return self.play("store_file")

    @activity.defn
    async def record_cancellation(self, _job: ExportJob) -> ExportOutcome:
        await self.hold("record_cancellation")
        self.play("record_cancellation")
        return self.end_of_cancel


@pytest.fixture
def job(job: ExportJob) -> ExportJob:
    return job.model_copy(update={"include_attachments": True})


async def ask_to_stop(run: Run, by: str) -> None:
    if by in {"signal", "gateway"}:
        await run.signal("cancel")
    if by in {"engine", "gateway"}:
        await run.cancel()


async def assert_ended(run: Run, by: str) -> None:
    """The engine closes a run as it was asked to; by signal alone it cannot."""
    if by == "signal":
        assert await run.result() == CANCELLED
    else:
        with pytest.raises(WorkflowFailureError) as ended:
            await run.result()
        assert isinstance(ended.value.cause, CancelledError)
        assert (await run.describe()).status is WorkflowExecutionStatus.CANCELED
    assert (await run.describe()).typed_search_attributes[JOB_STATUS] == "cancelled"


@pytest.mark.parametrize("by", ["signal", "engine", "gateway"])
@pytest.mark.parametrize("stage", STAGES)
async def test_the_stage_at_work_is_stopped_and_the_rest_never_begun(
    temporal: Client, job: ExportJob, stage: str, by: str
) -> None:
    stages = Held(stage)
    async with running(temporal, job, stages) as run:
        await stages.reached.wait()
        await ask_to_stop(run, by)
        await assert_ended(run, by)
    assert stages.called == [*STAGES[: STAGES.index(stage)], "record_cancellation"]


@pytest.mark.parametrize("by", ["signal", "engine"])
async def test_a_stage_that_ends_all_the_same_is_the_last_one(temporal: Client, job: ExportJob, by: str) -> None:
    stages = Held("map_columns", is_deaf=True)
    async with running(temporal, job, stages) as run:
        await stages.reached.wait()
        await ask_to_stop(run, by)
        stages.go_on.set()
        await assert_ended(run, by)
    assert stages.called == ["query_activities", "map_columns", "record_cancellation"]


@pytest.mark.parametrize("by", ["signal", "engine"])
async def test_what_waits_for_a_store_that_is_away_need_not_wait(temporal: Client, job: ExportJob, by: str) -> None:
    stages = PlayedStages()
    tried = asyncio.Event()

    def away() -> Any:
        while True:
            tried.set()
            yield ApplicationError("away", type="ServiceUnavailableError")

    stages.faults["store_file"] = away()
    async with running(temporal, job, stages) as run:
        await tried.wait()
        await ask_to_stop(run, by)
        await assert_ended(run, by)
    assert stages.called[-1] == "record_cancellation"


async def test_cancelling_again_while_it_cleans_up_changes_nothing(temporal: Client, job: ExportJob) -> None:
    stages = Held("record_cancellation", is_deaf=True)
    stages.faults["query_activities"] = iter([ApplicationError("over", type=STALE_ATTEMPT, non_retryable=True)])
    stages.end_elsewhere = ExportOutcome(status=ExportStatus.CANCELLING)
    async with running(temporal, job, stages) as run:
        await stages.reached.wait()
        for _ in range(3):
            await ask_to_stop(run, "gateway")
        stages.go_on.set()
        await assert_ended(run, "gateway")
    assert stages.called == ["query_activities", "read_outcome", "record_cancellation"]


async def test_a_cancel_that_only_the_database_knows_of_is_carried_out(temporal: Client, job: ExportJob) -> None:
    """The gateway wrote it down, and died before it could tell the engine."""
    stages = PlayedStages()
    stages.faults["generate_file"] = iter([ApplicationError("over", type=STALE_ATTEMPT, non_retryable=True)])
    stages.end_elsewhere = ExportOutcome(status=ExportStatus.CANCELLING)
    async with running(temporal, job, stages) as run:
        assert await run.result() == CANCELLED
    assert stages.called[-2:] == ["read_outcome", "record_cancellation"]


async def test_a_failure_that_meets_such_a_cancel_is_a_cancel(temporal: Client, job: ExportJob) -> None:
    stages = PlayedStages()
    stages.faults["generate_file"] = iter([ApplicationError("?", type="KeyError", non_retryable=True)])
    stages.faults["record_failure"] = iter([ApplicationError("over", type=STALE_ATTEMPT, non_retryable=True)])
    stages.end_elsewhere = ExportOutcome(status=ExportStatus.CANCELLING)
    async with running(temporal, job, stages) as run:
        assert await run.result() == CANCELLED
    assert stages.called[-3:] == ["record_failure", "read_outcome", "record_cancellation"]


async def test_a_cancel_that_comes_too_late_finds_the_report_done(temporal: Client, job: ExportJob) -> None:
    stages = Held("store_file")
    stages.end_of_cancel = ExportOutcome(status=ExportStatus.COMPLETED, row_count=2)
    async with running(temporal, job, stages) as run:
        await stages.reached.wait()
        await ask_to_stop(run, "gateway")
        assert (await run.result()).status is ExportStatus.COMPLETED


async def test_a_stage_that_fails_while_it_is_to_stop_is_a_cancelled_one(temporal: Client, job: ExportJob) -> None:
    stages = Held("generate_file", is_deaf=True)
    stages.faults["generate_file"] = iter([ApplicationError("?", type="KeyError", non_retryable=True)])
    async with running(temporal, job, stages) as run:
        await stages.reached.wait()
        await ask_to_stop(run, "signal")
        stages.go_on.set()
        await assert_ended(run, "signal")
    assert "record_failure" not in stages.called
