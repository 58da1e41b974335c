"""No job is pending for ever: what was accepted is started, what was ended from outside is closed."""

import asyncio
from collections.abc import Callable, Sequence

from temporalio import activity
from temporalio.client import Client, WorkflowExecutionDescription, WorkflowExecutionStatus
from temporalio.service import RPCError, RPCStatusCode

from stafett.domain.export_job import ExportFailing, ExportJob, SweepReport
from stafett.domain.export_status import ExportErrorCode
from stafett.export_stages import ExportStages
from stafett.temporal import ATTEMPT, start_export

_GOING_ON = {WorkflowExecutionStatus.RUNNING, WorkflowExecutionStatus.CONTINUED_AS_NEW}


class SweepingActivities:
    """Holds the jobs that have not ended against what the engine knows of them."""

    def __init__(
        self, client: Client, task_queue: str, unfinished: Callable[[], Sequence[ExportJob]], stages: ExportStages
    ) -> None:
        self._client = client
        self._task_queue = task_queue
        self._unfinished = unfinished
        self._stages = stages

    @activity.defn
    async def sweep_jobs(self) -> SweepReport:
        started = failed = 0
        for job in await asyncio.to_thread(self._unfinished):
            run = await self._last_run(job)
            if run is None or await run.memo_value(ATTEMPT, job.attempt) != job.attempt:
                await start_export(self._client, job, self._task_queue)
                started += 1
            elif run.status not in _GOING_ON:
                await asyncio.to_thread(self._stages.fail, _ended_from_outside(job, run))
                failed += 1
        return SweepReport(started=started, failed=failed)

    async def _last_run(self, job: ExportJob) -> WorkflowExecutionDescription | None:
        try:
            return await self._client.get_workflow_handle(job.workflow_id).describe()
        except RPCError as error:
            if error.status is RPCStatusCode.NOT_FOUND:
                return None
            raise


def _ended_from_outside(job: ExportJob, run: WorkflowExecutionDescription) -> ExportFailing:
    how = run.status.name.lower() if run.status else "closed"
    return ExportFailing(
        job=job,
        code=ExportErrorCode.INTERNAL,
        message=f"The export was ended from outside ({how}) before it was done; it can be tried again.",
        retryable=True,
    )
