"""No job is pending for ever: what was accepted is started, what was ended from outside is closed."""

import asyncio
from collections.abc import Callable, Iterable

import structlog
from temporalio import activity
from temporalio.client import Client, WorkflowExecutionDescription, WorkflowExecutionStatus
from temporalio.service import RPCError, RPCStatusCode

from stafett.domain.export_job import ExportFailing, ExportJob, SweepReport
from stafett.domain.export_status import ExportErrorCode
from stafett.export_record import ExportRecord
from stafett.payload_codec import UnreadablePayloadError
from stafett.temporal import ATTEMPT, start_job

_GOING_ON = {WorkflowExecutionStatus.RUNNING, WorkflowExecutionStatus.CONTINUED_AS_NEW}
_PASSING = {RPCStatusCode.UNAVAILABLE, RPCStatusCode.DEADLINE_EXCEEDED, RPCStatusCode.RESOURCE_EXHAUSTED}
_log = structlog.get_logger("stafett.sweeper")


class SweepingActivities:
    """Holds the jobs that have not ended against what the engine knows of them."""

    def __init__(
        self,
        client: Client,
        task_queue: str,
        unfinished: Callable[[], Iterable[ExportJob]],
        record: ExportRecord,
        forget: Callable[[], None],
    ) -> None:
        self._client = client
        self._task_queue = task_queue
        self._unfinished = unfinished
        self._record = record
        self._forget = forget

    @activity.defn
    async def sweep_jobs(self) -> SweepReport:
        await asyncio.to_thread(self._forget)
        done = {"started": 0, "failed": 0, "skipped": 0, "left": 0}
        for job in await asyncio.to_thread(lambda: list(self._unfinished())):
            done[await self._swept(job)] += 1
        return SweepReport(started=done["started"], failed=done["failed"], skipped=done["skipped"])

    async def _swept(self, job: ExportJob) -> str:
        """What became of one job; an engine that is away ends the sweep, one odd job does not."""
        try:
            run = await self._last_run(job)
            if run is None or await run.memo_value(ATTEMPT, job.attempt) != job.attempt:
                await start_job(self._client, job, self._task_queue)
                return "started"
        except RPCError as error:
            if error.status in _PASSING:
                raise
            return _skipped(job, error.status.name)
        except UnreadablePayloadError as error:
            return _skipped(job, type(error).__name__)
        if run.status in _GOING_ON:
            return "left"
        has_ended_it = await asyncio.to_thread(self._record.fail, _ended_from_outside(job, run))
        return "failed" if has_ended_it else "left"

    async def _last_run(self, job: ExportJob) -> WorkflowExecutionDescription | None:
        try:
            return await self._client.get_workflow_handle(job.workflow_id).describe()
        except RPCError as error:
            if error.status is RPCStatusCode.NOT_FOUND:
                return None
            raise


def _skipped(job: ExportJob, why: str) -> str:
    _log.warning("job_skipped", workflow_id=job.workflow_id, error=why)
    return "skipped"


def _ended_from_outside(job: ExportJob, run: WorkflowExecutionDescription) -> ExportFailing:
    how = run.status.name.lower() if run.status else "closed"
    return ExportFailing(
        job=job,
        code=ExportErrorCode.INTERNAL,
        message=f"The export was ended from outside ({how}) before it was done; it can be tried again.",
        retryable=True,
    )
