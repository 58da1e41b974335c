"""Reconciliation of one open job with its Temporal run."""

import asyncio
import contextvars
from collections.abc import Callable
from concurrent.futures import Executor
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from functools import partial
from typing import NamedTuple, ParamSpec, TypeVar

import structlog
from temporalio.client import Client, WorkflowExecutionDescription
from temporalio.service import RPCError, RPCStatusCode

from stafett.domain.job import Job
from stafett.domain.notification import JobOutcome
from stafett.monitoring.logs import error_location
from stafett.reconciliation import OpenJob
from stafett.temporal.client import ATTEMPT_MEMO_KEY, cancel_job, start_job
from stafett.temporal.namespace import has_search_attributes
from stafett.temporal.request_ids import bound_request_id
from stafett.temporal.runs import (
    ListedRuns,
    describe_latest_run,
    is_cancel_requested,
    is_open,
    measure_failing_time,
)

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")
TRANSIENT = {RPCStatusCode.UNAVAILABLE, RPCStatusCode.DEADLINE_EXCEEDED, RPCStatusCode.RESOURCE_EXHAUSTED}
_log = structlog.get_logger("stafett.reconciliation")


class Action(StrEnum):
    """What reconciliation did with a job."""

    STARTED = "started"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"
    SKIPPED = "skipped"
    UNCHANGED = "unchanged"


_ACTION_BY_OUTCOME = {JobOutcome.FAILED: Action.FAILED, JobOutcome.CANCELLED: Action.CANCELLED}


class ReconciliationLimits(NamedTuple):
    """How long reconciliation waits before it gives a job or its run up."""

    refusal: timedelta = timedelta(hours=1)
    """A job whose start Temporal refuses as invalid fails after this."""
    failing: timedelta = timedelta(minutes=30)
    """A run whose workflow task fails is terminated after this: longer than the rollback of a defective version."""
    failing_cancel: timedelta = timedelta(minutes=1)
    """The same for a job that is being cancelled, because a user is waiting for it."""


class JobReconciler:
    """Starts a job that has no run, closes a job whose run has ended, and terminates a run that cannot continue."""

    def __init__(
        self,
        client: Client,
        task_queue: str,
        executor: Executor | None = None,
        limits: ReconciliationLimits | None = None,
    ) -> None:
        self._client = client
        self._task_queue = task_queue
        self._executor = executor
        self._limits = limits or ReconciliationLimits()

    async def __call__(self, open_job: OpenJob) -> Action:
        """Reconcile one job. Skip it after any error, except while Temporal is unavailable for all jobs."""
        try:
            with bound_request_id(open_job.request_id):
                return await self._reconcile(open_job)
        except RPCError as error:
            if error.status in TRANSIENT:
                raise
            return skip(open_job.job, error.status.name)
        except Exception as error:  # noqa: BLE001 - one job must not stop the others
            return skip(open_job.job, type(error).__name__, location=error_location(error))

    async def run_in_thread(
        self, function: Callable[Parameters, Result], *args: Parameters.args, **kwargs: Parameters.kwargs
    ) -> Result:
        """Run the function in a thread that only reconciliation uses."""
        call = partial(contextvars.copy_context().run, function, *args, **kwargs)
        return await asyncio.get_running_loop().run_in_executor(self._executor, call)

    async def _reconcile(self, open_job: OpenJob) -> Action:
        job = open_job.job
        run = await describe_latest_run(self._client, job.workflow_id)
        if run is None:
            return await self._start(open_job)
        is_current = await run.memo_value(ATTEMPT_MEMO_KEY, job.attempt, type_hint=int) == job.attempt
        status = "terminated" if await self._terminate_failing_run(open_job, run) else _status_of(run)
        if status is None:
            if is_current and open_job.is_cancelling and not is_cancel_requested(run):
                await cancel_job(self._client, job)
            return Action.UNCHANGED
        if open_job.is_cancelling or not is_current:
            return await self._start(open_job)
        return await self._close(open_job, f"The workflow run was closed externally ({status}) before it finished")

    async def _start(self, open_job: OpenJob) -> Action:
        """Start a run of the job's attempt. If the job is being cancelled, the run finishes the cancellation."""
        try:
            await start_job(self._client, open_job.job, self._task_queue)
        except RPCError as error:
            if error.status is not RPCStatusCode.INVALID_ARGUMENT:
                raise
            return await self._handle_refusal(open_job)
        return Action.STARTED

    async def _handle_refusal(self, open_job: OpenJob) -> Action:
        """End a job that Temporal has refused for long, unless all jobs are refused: without search attributes."""
        refused_for = datetime.now(UTC) - open_job.updated_at
        is_given_up = open_job.is_retryable and refused_for >= self._limits.refusal
        if not is_given_up or not await has_search_attributes(self._client):
            return skip(open_job.job, RPCStatusCode.INVALID_ARGUMENT.name)
        _log.error(
            "job_refused", workflow_id=open_job.job.workflow_id, refused_seconds=int(refused_for.total_seconds())
        )
        if open_job.is_cancelling and open_job.finish_cancel:
            await self.run_in_thread(open_job.finish_cancel)
            return Action.CANCELLED
        return await self._close(open_job, "Temporal refused to start the workflow run")

    async def _close(self, open_job: OpenJob, reason: str) -> Action:
        outcome = await self.run_in_thread(open_job.close, reason)
        return Action.UNCHANGED if outcome is None else _ACTION_BY_OUTCOME.get(outcome, Action.COMPLETED)

    async def _terminate_failing_run(self, open_job: OpenJob, run: WorkflowExecutionDescription) -> bool:
        """Terminate a run whose workflow task has failed for too long; return whether it was terminated."""
        if not is_open(run) or not open_job.is_retryable:
            return False
        limit = self._limits.failing_cancel if open_job.is_cancelling else self._limits.failing
        failing_for = await measure_failing_time(self._client, run)
        if not failing_for or failing_for < limit:
            return False
        await self._client.get_workflow_handle(run.id, run_id=run.run_id).terminate("its workflow task keeps failing")
        _log.error("failing_run_terminated", workflow_id=run.id, failing_seconds=int(failing_for.total_seconds()))
        return True


def needs_check(open_job: OpenJob, runs: ListedRuns) -> bool:
    """Return whether a job has no healthy run of its attempt, as far as Temporal's list is up to date."""
    run = runs.get(open_job.job.workflow_id)
    return open_job.is_cancelling or run is None or run.has_problems or run.attempt != open_job.job.attempt


def skip(job: Job, reason: str, **details: str) -> Action:
    _log.warning("job_skipped", workflow_id=job.workflow_id, error=reason, **details)
    return Action.SKIPPED


def _status_of(run: WorkflowExecutionDescription) -> str | None:
    """Return the status of a closed run, or None if it is open."""
    if is_open(run):
        return None
    return run.status.name.lower() if run.status else "closed"
