"""The order of things when a report is made again, and every way in which it can come otherwise."""

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from temporalio.client import Client, WorkflowExecutionStatus, WorkflowFailureError, WorkflowHandle
from temporalio.exceptions import ApplicationError, CancelledError

from stafett.domain.export_job import STALE_ATTEMPT, ExportOutcome
from stafett.domain.export_status import ExportErrorCode, ExportStatus
from stafett.domain.reexport_job import ReexportJob, ReexportOutcome, ReexportProgress, ReexportUpdateInput
from stafett.domain.reexport_status import ReexportStatus
from stafett.temporal.client import JOB_STATUS, WorkflowRun, send_edit_update
from tests.workflows.played_reexport import DONE, STEPS, PlayedReexport, reexporting
from tests.workflows.played_stages import WITHOUT_ATTACHMENTS, PlayedStages
from tests.workflows.test_cancelling import Held

Run = WorkflowHandle[Any, ReexportOutcome]
COMPLETED, CANCELLED = (
    ReexportOutcome(status=status) for status in (ReexportStatus.COMPLETED, ReexportStatus.CANCELLED)
)
STORE = "store_reexport_result"


@pytest.fixture
def reexport() -> ReexportJob:
    start = datetime(2026, 1, 1, tzinfo=UTC)
    return ReexportJob(
        reexport_id=uuid4(),
        report_id=uuid4(),
        org_id="nhf",
        attempt=1,
        period_start=start,
        period_end=start + timedelta(days=365),
    )


@pytest.fixture
def steps() -> PlayedReexport:
    return PlayedReexport(uuid4())


class HeldSteps(PlayedReexport):
    """One step goes on until it is told to stop, or, deaf, until it is let go."""

    def __init__(self, step: str, *, is_deaf: bool = False) -> None:
        super().__init__(uuid4())
        self.reached, self.go_on = asyncio.Event(), asyncio.Event()
        self._step, self._is_deaf = step, is_deaf

    async def play(self, name: str) -> None:
        if name == self._step:
            self.reached.set()
            try:
                await self.go_on.wait()
            except asyncio.CancelledError:
                if not self._is_deaf:
                    raise
                await self.go_on.wait()
        await super().play(name)


def surprises() -> Iterator[Exception]:
    return iter([ApplicationError("?", type="KeyError", non_retryable=True)])


async def ask_to_stop(run: Run, by: str) -> None:
    if by in {"signal", "gateway"}:
        await run.signal("cancel")
    if by in {"engine", "gateway"}:
        await run.cancel()


async def assert_cancelled(run: Run, by: str) -> None:
    """The engine closes a run as it was asked to; by signal alone it cannot."""
    if by == "signal":
        assert await run.result() == CANCELLED
    else:
        with pytest.raises(WorkflowFailureError) as ended:
            await run.result()
        assert isinstance(ended.value.cause, CancelledError)
    assert (await run.describe()).typed_search_attributes[JOB_STATUS] == "cancelled"


async def failed(run: Run) -> None:
    with pytest.raises(WorkflowFailureError):
        await run.result()
    assert (await run.describe()).typed_search_attributes[JOB_STATUS] == "failed"


async def test_history_parameters_export_store_notify(
    temporal: Client, reexport: ReexportJob, steps: PlayedReexport
) -> None:
    stages = PlayedStages()
    async with reexporting(temporal, reexport, steps, stages) as run:
        assert await run.result() == COMPLETED
        assert await run.query("progress", result_type=ReexportProgress) == ReexportProgress(
            stage=ReexportStatus.COMPLETED, export_id=steps.export_id
        )
        child = await temporal.get_workflow_handle(f"bufdir-export/{steps.export_id}").describe()
    assert steps.called == [*STEPS, DONE]
    assert stages.called == [*WITHOUT_ATTACHMENTS, "record_completion"]
    assert child.parent_id == run.id
    assert [telling.subject_id for telling in stages.told] == [reexport.reexport_id]  # of its export nobody is told


@pytest.mark.parametrize("step", STEPS[:3])
async def test_what_fails_for_good_is_said_and_people_are_told(
    temporal: Client, reexport: ReexportJob, steps: PlayedReexport, step: str
) -> None:
    steps.faults[step] = surprises()
    stages = PlayedStages()
    async with reexporting(temporal, reexport, steps, stages) as run:
        await failed(run)
    assert steps.called == [*STEPS[: STEPS.index(step) + 1], "record_reexport_failure"]
    assert steps.failing is not None
    expected = ExportErrorCode.STORAGE_UNAVAILABLE if step == STORE else ExportErrorCode.INTERNAL
    assert (steps.failing.code, steps.failing.retryable) == (expected, True)
    assert len(stages.told) == 1


async def test_a_foreseen_failure_is_told_by_its_own_code(
    temporal: Client, reexport: ReexportJob, steps: PlayedReexport
) -> None:
    gone = ApplicationError("The file is gone.", True, type="storage_unavailable", non_retryable=True)
    steps.faults["load_history"] = iter([gone])
    async with reexporting(temporal, reexport, steps, PlayedStages()) as run:
        await failed(run)
    assert steps.failing is not None
    assert (steps.failing.code, steps.failing.message) == (ExportErrorCode.STORAGE_UNAVAILABLE, "The file is gone.")


async def test_an_export_that_fails_fails_what_it_was_for(
    temporal: Client, reexport: ReexportJob, steps: PlayedReexport
) -> None:
    stages = PlayedStages()
    stages.faults["map_columns"] = iter([ApplicationError("?", type="column_mapping_unavailable", non_retryable=True)])
    async with reexporting(temporal, reexport, steps, stages) as run:
        await failed(run)
    assert steps.called == [*STEPS[:2], "record_reexport_failure"]
    assert "record_failure" in stages.called


@pytest.mark.parametrize("status", [ExportStatus.FAILED, ExportStatus.COMPLETED_EMPTY])
async def test_an_export_that_ends_otherwise_fails_what_it_was_for(
    temporal: Client, reexport: ReexportJob, steps: PlayedReexport, status: ExportStatus
) -> None:
    stages = PlayedStages()
    stages.faults["map_columns"] = iter([ApplicationError("over", type=STALE_ATTEMPT, non_retryable=True)])
    stages.end_elsewhere = ExportOutcome(status=status)
    async with reexporting(temporal, reexport, steps, stages) as run:
        await failed(run)
    assert steps.called[-1] == "record_reexport_failure"


async def test_an_export_whose_run_is_terminated_fails_what_it_was_for(
    temporal: Client, reexport: ReexportJob, steps: PlayedReexport
) -> None:
    stages = Held("map_columns")
    async with reexporting(temporal, reexport, steps, stages) as run:
        await stages.reached.wait()
        await temporal.get_workflow_handle(f"bufdir-export/{steps.export_id}").terminate()
        await failed(run)
        stages.go_on.set()
    assert steps.failing is not None
    assert (steps.failing.code, steps.failing.retryable) == (ExportErrorCode.INTERNAL, True)


@pytest.mark.parametrize("by", ["signal", "engine"])
async def test_an_export_that_somebody_stops_stops_what_it_was_for(
    temporal: Client, reexport: ReexportJob, steps: PlayedReexport, by: str
) -> None:
    stages = Held("map_columns")
    async with reexporting(temporal, reexport, steps, stages) as run:
        await stages.reached.wait()
        await ask_to_stop(temporal.get_workflow_handle(f"bufdir-export/{steps.export_id}"), by)
        assert await run.result() == CANCELLED
    assert steps.called == [*STEPS[:2], "record_reexport_cancellation"]


@pytest.mark.parametrize("by", ["signal", "engine", "gateway"])
async def test_the_export_at_work_is_stopped_first(temporal: Client, reexport: ReexportJob, by: str) -> None:
    steps, stages = PlayedReexport(uuid4()), Held("generate_file")
    async with reexporting(temporal, reexport, steps, stages) as run:
        await stages.reached.wait()
        await ask_to_stop(run, by)
        await assert_cancelled(run, by)
        child = await temporal.get_workflow_handle(f"bufdir-export/{steps.export_id}").describe()
        assert child.status is WorkflowExecutionStatus.CANCELED
    assert stages.called[-1] == "record_cancellation"
    assert steps.called == [*STEPS[:2], "record_reexport_cancellation"]


@pytest.mark.parametrize("by", ["signal", "engine", "gateway"])
@pytest.mark.parametrize("step", ["load_history", "build_export_params", STORE])
async def test_the_step_at_work_is_stopped_and_the_rest_never_begun(
    temporal: Client, reexport: ReexportJob, step: str, by: str
) -> None:
    steps = HeldSteps(step)
    async with reexporting(temporal, reexport, steps, PlayedStages()) as run:
        await steps.reached.wait()
        await ask_to_stop(run, by)
        await assert_cancelled(run, by)
    assert steps.called == [*STEPS[: STEPS.index(step)], "record_reexport_cancellation"]


@pytest.mark.parametrize("by", ["signal", "engine"])
async def test_a_step_that_ends_all_the_same_is_the_last_one(temporal: Client, reexport: ReexportJob, by: str) -> None:
    steps, stages = HeldSteps("build_export_params", is_deaf=True), PlayedStages()
    async with reexporting(temporal, reexport, steps, stages) as run:
        await steps.reached.wait()
        await ask_to_stop(run, by)
        steps.go_on.set()
        await assert_cancelled(run, by)
    assert set(stages.called) <= {"query_activities", "record_cancellation"}  # an accepted export ends as one, too
    assert steps.called == [*STEPS[:2], "record_reexport_cancellation"]


@pytest.mark.parametrize("by", ["signal", "engine"])
async def test_a_cancel_that_comes_too_late_for_the_history_finds_the_version_there(
    temporal: Client, reexport: ReexportJob, by: str
) -> None:
    steps = HeldSteps(STORE, is_deaf=True)
    steps.end_of_cancel = ReexportOutcome(status=ReexportStatus.NOTIFYING)
    async with reexporting(temporal, reexport, steps, PlayedStages()) as run:
        await steps.reached.wait()
        await ask_to_stop(run, by)
        steps.go_on.set()
        assert await run.result() == COMPLETED
    assert steps.called[-2:] == [STEPS[3], DONE]


async def test_a_cancel_while_people_are_told_changes_nothing(temporal: Client, reexport: ReexportJob) -> None:
    steps = HeldSteps(STEPS[3], is_deaf=True)
    async with reexporting(temporal, reexport, steps, PlayedStages()) as run:
        await steps.reached.wait()
        await ask_to_stop(run, "gateway")
        steps.go_on.set()
        assert await run.result() == COMPLETED


async def test_a_cancel_that_only_the_database_knows_of_is_carried_out(
    temporal: Client, reexport: ReexportJob, steps: PlayedReexport
) -> None:
    steps.faults["load_history"] = iter([ApplicationError("over", type=STALE_ATTEMPT, non_retryable=True)])
    steps.end_elsewhere = ReexportOutcome(status=ReexportStatus.CANCELLING)
    async with reexporting(temporal, reexport, steps, PlayedStages()) as run:
        assert await run.result() == CANCELLED
    assert steps.called == ["load_history", "read_reexport_outcome", "record_reexport_cancellation"]


async def test_a_run_that_finds_its_job_ended_ends_as_it_did(
    temporal: Client, reexport: ReexportJob, steps: PlayedReexport
) -> None:
    steps.faults[STORE] = iter([ApplicationError("over", type=STALE_ATTEMPT, non_retryable=True)])
    async with reexporting(temporal, reexport, steps, PlayedStages()) as run:
        assert (await run.result()).status is ReexportStatus.FAILED
    assert steps.called[-1] == "read_reexport_outcome"


async def test_a_failure_that_finds_the_version_stored_goes_on_from_there(
    temporal: Client, reexport: ReexportJob, steps: PlayedReexport
) -> None:
    """Whoever stored it died before it could say so, and nobody could be reached afterwards."""
    steps.faults[STORE] = surprises()
    steps.end_of_failure = ReexportOutcome(status=ReexportStatus.NOTIFYING)
    async with reexporting(temporal, reexport, steps, PlayedStages()) as run:
        assert await run.result() == COMPLETED
    assert steps.called[-3:] == ["record_reexport_failure", STEPS[3], DONE]


async def test_a_failure_that_finds_the_job_to_be_cancelled_is_a_cancelled_one(
    temporal: Client, reexport: ReexportJob, steps: PlayedReexport
) -> None:
    steps.faults[STORE] = surprises()
    steps.end_of_failure = ReexportOutcome(status=ReexportStatus.CANCELLING)
    async with reexporting(temporal, reexport, steps, PlayedStages()) as run:
        assert await run.result() == CANCELLED
    assert steps.called[-2:] == ["record_reexport_failure", "record_reexport_cancellation"]


async def test_nobody_being_told_undoes_nothing(temporal: Client, reexport: ReexportJob, steps: PlayedReexport) -> None:
    steps.faults[STEPS[3]] = surprises()
    async with reexporting(temporal, reexport, steps, PlayedStages()) as run:
        assert await run.result() == COMPLETED
    assert steps.called == [*STEPS, DONE]


async def test_what_is_away_is_waited_for(temporal: Client, reexport: ReexportJob, steps: PlayedReexport) -> None:
    steps.faults[STORE] = iter([ApplicationError("away", type="ServiceUnavailableError") for _ in range(3)])
    async with reexporting(temporal, reexport, steps, PlayedStages()) as run:
        assert await run.result() == COMPLETED
    assert steps.called.count(STORE) == 4


async def test_an_export_that_runs_already_under_its_id_is_no_second_one(
    temporal: Client, reexport: ReexportJob, steps: PlayedReexport
) -> None:
    """A reset run finds the export of the run before."""
    stages = Held("map_columns")
    async with reexporting(temporal, reexport, steps, stages) as run:
        await stages.reached.wait()
        other = reexport.model_copy(update={"report_id": uuid4(), "reexport_id": uuid4()})
        async with reexporting(temporal, other, steps, stages) as second:
            await failed(second)
        stages.go_on.set()
        assert await run.result() == COMPLETED


async def test_a_run_that_is_terminated_takes_its_export_along(
    temporal: Client, reexport: ReexportJob, steps: PlayedReexport
) -> None:
    stages = Held("map_columns")
    async with reexporting(temporal, reexport, steps, stages) as run:
        await stages.reached.wait()
        await run.terminate()
        child = temporal.get_workflow_handle(f"bufdir-export/{steps.export_id}")
        with pytest.raises(WorkflowFailureError) as ended:
            await child.result()
        assert isinstance(ended.value.cause, CancelledError)
    assert stages.called[-1] == "record_cancellation"


async def test_a_run_hears_that_its_job_was_edited_and_not_what_was_written(
    temporal: Client, reexport: ReexportJob, steps: PlayedReexport
) -> None:
    stages = Held("map_columns")
    async with reexporting(temporal, reexport, steps, stages) as run:
        await stages.reached.wait()
        run_id = (await run.describe()).run_id
        await send_edit_update(temporal, WorkflowRun(run.id, run_id), ReexportUpdateInput(edits=3))
        details = str(await run.query("__temporal_workflow_metadata"))
        assert "edited by people: 3" in details
        stages.go_on.set()
        assert await run.result() == COMPLETED
