"""Order of the steps of a re-export, and every way in which they can be interrupted."""

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
from stafett.domain.notification import NotificationJob
from stafett.domain.reexport_job import ReexportJob, ReexportOutcome, ReexportProgress, ReexportUpdateInput
from stafett.domain.reexport_status import ReexportStatus
from stafett.temporal.client import JOB_STATUS, WorkflowRun, send_edit_update
from stafett.testing import wait_until
from tests.support.blocking_stages import BlockingStages
from tests.support.fake_reexport_steps import COMPLETION, STEPS, FakeReexportSteps, run_reexport
from tests.support.fake_stages import WITHOUT_ATTACHMENTS, FakeStages

Run = WorkflowHandle[Any, ReexportOutcome]
COMPLETED, CANCELLED = (
    ReexportOutcome(status=status) for status in (ReexportStatus.COMPLETED, ReexportStatus.CANCELLED)
)
STORE = "store_reexport_result"


async def wait_for_notification(stages: FakeStages) -> None:
    """Wait for the first notification job: its workflow outlives the run that started it."""

    async def list_jobs() -> list[NotificationJob]:
        return stages.notification_jobs

    await wait_until(list_jobs, bool)


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
def steps() -> FakeReexportSteps:
    return FakeReexportSteps(uuid4())


class BlockingSteps(FakeReexportSteps):
    """One step blocks until it is released or cancelled; with `ignores_cancel` only until it is released."""

    def __init__(self, step: str, *, ignores_cancel: bool = False) -> None:
        super().__init__(uuid4())
        self.reached, self.released = asyncio.Event(), asyncio.Event()
        self._step, self._ignores_cancel = step, ignores_cancel

    async def play(self, name: str) -> None:
        if name == self._step:
            self.reached.set()
            try:
                await self.released.wait()
            except asyncio.CancelledError:
                if not self._ignores_cancel:
                    raise
                await self.released.wait()
        await super().play(name)


def unexpected_error() -> Iterator[Exception]:
    return iter([ApplicationError("?", type="KeyError", non_retryable=True)])


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
    assert (await run.describe()).typed_search_attributes[JOB_STATUS] == "cancelled"


async def assert_failed(run: Run) -> None:
    with pytest.raises(WorkflowFailureError):
        await run.result()
    assert (await run.describe()).typed_search_attributes[JOB_STATUS] == "failed"


async def test_reexport_runs_its_steps_and_its_export_in_order(
    temporal: Client, reexport: ReexportJob, steps: FakeReexportSteps
) -> None:
    stages = FakeStages()
    async with run_reexport(temporal, reexport, steps, stages) as run:
        assert await run.result() == COMPLETED
        assert await run.query("progress", result_type=ReexportProgress) == ReexportProgress(
            stage=ReexportStatus.COMPLETED, export_id=steps.export_id
        )
        child = await temporal.get_workflow_handle(f"bufdir-export/{steps.export_id}").describe()
        await wait_for_notification(stages)
    assert steps.called == [*STEPS, COMPLETION]
    assert stages.called == [*WITHOUT_ATTACHMENTS, "record_completion"]
    assert child.parent_id == run.id
    assert [job.subject_id for job in stages.notification_jobs] == [reexport.reexport_id]  # its export sends none


@pytest.mark.parametrize("step", STEPS[:3])
async def test_failed_step_is_recorded_and_notified(
    temporal: Client, reexport: ReexportJob, steps: FakeReexportSteps, step: str
) -> None:
    steps.faults[step] = unexpected_error()
    stages = FakeStages()
    async with run_reexport(temporal, reexport, steps, stages) as run:
        await assert_failed(run)
        await wait_for_notification(stages)
    assert steps.called == [*STEPS[: STEPS.index(step) + 1], "record_reexport_failure"]
    assert steps.recorded_failure is not None
    expected = ExportErrorCode.STORAGE_UNAVAILABLE if step == STORE else ExportErrorCode.INTERNAL
    assert (steps.recorded_failure.code, steps.recorded_failure.retryable) == (expected, True)
    assert len(stages.notification_jobs) == 1


async def test_known_failure_is_recorded_with_its_own_code(
    temporal: Client, reexport: ReexportJob, steps: FakeReexportSteps
) -> None:
    gone = ApplicationError("The file is gone.", True, type="storage_unavailable", non_retryable=True)
    steps.faults["load_original_parameters"] = iter([gone])
    async with run_reexport(temporal, reexport, steps, FakeStages()) as run:
        await assert_failed(run)
    assert steps.recorded_failure is not None
    assert (steps.recorded_failure.code, steps.recorded_failure.message) == (
        ExportErrorCode.STORAGE_UNAVAILABLE,
        "The file is gone.",
    )


async def test_failed_export_fails_the_reexport(
    temporal: Client, reexport: ReexportJob, steps: FakeReexportSteps
) -> None:
    stages = FakeStages()
    stages.faults["map_columns"] = iter([ApplicationError("?", type="column_mapping_unavailable", non_retryable=True)])
    async with run_reexport(temporal, reexport, steps, stages) as run:
        await assert_failed(run)
    assert steps.called == [*STEPS[:2], "record_reexport_failure"]
    assert "record_failure" in stages.called


@pytest.mark.parametrize("status", [ExportStatus.FAILED, ExportStatus.COMPLETED_EMPTY])
async def test_export_that_ends_without_a_file_fails_the_reexport(
    temporal: Client, reexport: ReexportJob, steps: FakeReexportSteps, status: ExportStatus
) -> None:
    stages = FakeStages()
    stages.faults["map_columns"] = iter([ApplicationError("over", type=STALE_ATTEMPT, non_retryable=True)])
    stages.stored_outcome = ExportOutcome(status=status)
    async with run_reexport(temporal, reexport, steps, stages) as run:
        await assert_failed(run)
    assert steps.called[-1] == "record_reexport_failure"


async def test_terminated_export_fails_the_reexport(
    temporal: Client, reexport: ReexportJob, steps: FakeReexportSteps
) -> None:
    stages = BlockingStages("map_columns")
    async with run_reexport(temporal, reexport, steps, stages) as run:
        await stages.reached.wait()
        await temporal.get_workflow_handle(f"bufdir-export/{steps.export_id}").terminate()
        await assert_failed(run)
        stages.released.set()
    assert steps.recorded_failure is not None
    assert (steps.recorded_failure.code, steps.recorded_failure.retryable) == (ExportErrorCode.INTERNAL, True)


@pytest.mark.parametrize("by", ["signal", "temporal"])
async def test_cancelled_export_cancels_the_reexport(
    temporal: Client, reexport: ReexportJob, steps: FakeReexportSteps, by: str
) -> None:
    stages = BlockingStages("map_columns")
    async with run_reexport(temporal, reexport, steps, stages) as run:
        await stages.reached.wait()
        await request_cancel(temporal.get_workflow_handle(f"bufdir-export/{steps.export_id}"), by)
        assert await run.result() == CANCELLED
    assert steps.called == [*STEPS[:2], "record_reexport_cancellation"]


@pytest.mark.parametrize("by", ["signal", "temporal", "api"])
async def test_cancel_stops_the_running_export_first(temporal: Client, reexport: ReexportJob, by: str) -> None:
    steps, stages = FakeReexportSteps(uuid4()), BlockingStages("generate_file")
    async with run_reexport(temporal, reexport, steps, stages) as run:
        await stages.reached.wait()
        await request_cancel(run, by)
        await assert_cancelled(run, by)
        child = await temporal.get_workflow_handle(f"bufdir-export/{steps.export_id}").describe()
        assert child.status is WorkflowExecutionStatus.CANCELED
    assert stages.called[-1] == "record_cancellation"
    assert steps.called == [*STEPS[:2], "record_reexport_cancellation"]


@pytest.mark.parametrize("by", ["signal", "temporal", "api"])
@pytest.mark.parametrize("step", ["load_original_parameters", "insert_child_export", STORE])
async def test_cancel_stops_the_running_step_and_starts_no_other(
    temporal: Client, reexport: ReexportJob, step: str, by: str
) -> None:
    steps = BlockingSteps(step)
    async with run_reexport(temporal, reexport, steps, FakeStages()) as run:
        await steps.reached.wait()
        await request_cancel(run, by)
        await assert_cancelled(run, by)
    assert steps.called == [*STEPS[: STEPS.index(step)], "record_reexport_cancellation"]


@pytest.mark.parametrize("by", ["signal", "temporal"])
async def test_step_that_ignores_the_cancel_is_the_last_to_run(
    temporal: Client, reexport: ReexportJob, by: str
) -> None:
    steps, stages = BlockingSteps("insert_child_export", ignores_cancel=True), FakeStages()
    async with run_reexport(temporal, reexport, steps, stages) as run:
        await steps.reached.wait()
        await request_cancel(run, by)
        steps.released.set()
        await assert_cancelled(run, by)
    assert stages.called == []
    assert steps.called == [*STEPS[:2], "record_reexport_cancellation"]


@pytest.mark.parametrize("by", ["signal", "temporal"])
async def test_cancel_after_the_version_is_stored_has_no_effect(
    temporal: Client, reexport: ReexportJob, by: str
) -> None:
    steps = BlockingSteps(STORE, ignores_cancel=True)
    steps.cancel_outcome = ReexportOutcome(status=ReexportStatus.NOTIFYING)
    async with run_reexport(temporal, reexport, steps, FakeStages()) as run:
        await steps.reached.wait()
        await request_cancel(run, by)
        steps.released.set()
        assert await run.result() == COMPLETED
    assert steps.called[-2:] == [STEPS[3], COMPLETION]


async def test_cancel_during_the_notification_has_no_effect(temporal: Client, reexport: ReexportJob) -> None:
    steps = BlockingSteps(STEPS[3], ignores_cancel=True)
    async with run_reexport(temporal, reexport, steps, FakeStages()) as run:
        await steps.reached.wait()
        await request_cancel(run, "api")
        steps.released.set()
        assert await run.result() == COMPLETED


async def test_cancel_recorded_only_in_the_database_is_carried_out(
    temporal: Client, reexport: ReexportJob, steps: FakeReexportSteps
) -> None:
    steps.faults["load_original_parameters"] = iter([ApplicationError("over", type=STALE_ATTEMPT, non_retryable=True)])
    steps.stored_outcome = ReexportOutcome(status=ReexportStatus.CANCELLING)
    async with run_reexport(temporal, reexport, steps, FakeStages()) as run:
        assert await run.result() == CANCELLED
    assert steps.called == ["load_original_parameters", "read_reexport_outcome", "record_reexport_cancellation"]


async def test_stale_run_returns_the_outcome_recorded_by_another_run(
    temporal: Client, reexport: ReexportJob, steps: FakeReexportSteps
) -> None:
    steps.faults[STORE] = iter([ApplicationError("over", type=STALE_ATTEMPT, non_retryable=True)])
    async with run_reexport(temporal, reexport, steps, FakeStages()) as run:
        assert (await run.result()).status is ReexportStatus.FAILED
    assert steps.called[-1] == "read_reexport_outcome"


async def test_failure_after_the_version_is_stored_continues_and_completes(
    temporal: Client, reexport: ReexportJob, steps: FakeReexportSteps
) -> None:
    """The worker that stored it died before it could report that, and no later attempt succeeded."""
    steps.faults[STORE] = unexpected_error()
    steps.failure_outcome = ReexportOutcome(status=ReexportStatus.NOTIFYING)
    async with run_reexport(temporal, reexport, steps, FakeStages()) as run:
        assert await run.result() == COMPLETED
    assert steps.called[-3:] == ["record_reexport_failure", STEPS[3], COMPLETION]


async def test_failure_after_a_recorded_cancel_ends_as_cancelled(
    temporal: Client, reexport: ReexportJob, steps: FakeReexportSteps
) -> None:
    steps.faults[STORE] = unexpected_error()
    steps.failure_outcome = ReexportOutcome(status=ReexportStatus.CANCELLING)
    async with run_reexport(temporal, reexport, steps, FakeStages()) as run:
        assert await run.result() == CANCELLED
    assert steps.called[-2:] == ["record_reexport_failure", "record_reexport_cancellation"]


async def test_failed_notification_still_completes_the_reexport(
    temporal: Client, reexport: ReexportJob, steps: FakeReexportSteps
) -> None:
    steps.faults[STEPS[3]] = unexpected_error()
    async with run_reexport(temporal, reexport, steps, FakeStages()) as run:
        assert await run.result() == COMPLETED
    assert steps.called == [*STEPS, COMPLETION]


async def test_unavailable_storage_is_retried(
    temporal: Client, reexport: ReexportJob, steps: FakeReexportSteps
) -> None:
    steps.faults[STORE] = iter([ApplicationError("unavailable", type="ServiceUnavailableError") for _ in range(3)])
    async with run_reexport(temporal, reexport, steps, FakeStages()) as run:
        assert await run.result() == COMPLETED
    assert steps.called.count(STORE) == 4


async def test_export_already_running_under_the_id_is_not_started_again(
    temporal: Client, reexport: ReexportJob, steps: FakeReexportSteps
) -> None:
    """A reset run finds the export of the run before."""
    stages = BlockingStages("map_columns")
    async with run_reexport(temporal, reexport, steps, stages) as run:
        await stages.reached.wait()
        other = reexport.model_copy(update={"report_id": uuid4(), "reexport_id": uuid4()})
        async with run_reexport(temporal, other, steps, stages) as second:
            await assert_failed(second)
        stages.released.set()
        assert await run.result() == COMPLETED


async def test_terminating_the_run_cancels_its_export(
    temporal: Client, reexport: ReexportJob, steps: FakeReexportSteps
) -> None:
    stages = BlockingStages("map_columns")
    async with run_reexport(temporal, reexport, steps, stages) as run:
        await stages.reached.wait()
        await run.terminate()
        child = temporal.get_workflow_handle(f"bufdir-export/{steps.export_id}")
        with pytest.raises(WorkflowFailureError) as error:
            await child.result()
        assert isinstance(error.value.cause, CancelledError)
    assert stages.called[-1] == "record_cancellation"


async def test_edit_update_reports_only_the_number_of_edits(
    temporal: Client, reexport: ReexportJob, steps: FakeReexportSteps
) -> None:
    stages = BlockingStages("map_columns")
    async with run_reexport(temporal, reexport, steps, stages) as run:
        await stages.reached.wait()
        run_id = (await run.describe()).run_id
        await send_edit_update(temporal, WorkflowRun(run.id, run_id), ReexportUpdateInput(edits=3))
        details = str(await run.query("__temporal_workflow_metadata"))
        assert "Edits by users: 3" in details
        stages.released.set()
        assert await run.result() == COMPLETED
