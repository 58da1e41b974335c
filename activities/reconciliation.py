"""No job is pending for ever: what was accepted is started, what was ended from outside is closed."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence

import structlog
from temporalio import activity
from temporalio.client import Client, WorkflowExecutionDescription, WorkflowExecutionStatus
from temporalio.service import RPCError, RPCStatusCode

from stafett.domain.export_job import SweepReport
from stafett.domain.job import Job
from stafett.domain.notification import NotificationJob
from stafett.notifications.deliveries import Deliveries
from stafett.reconciliation import OpenJob, OpenJobs
from stafett.temporal.client import ATTEMPT, start_job, stop_job
from stafett.temporal.codec import UnreadablePayloadError

GOING_ON = {WorkflowExecutionStatus.RUNNING, WorkflowExecutionStatus.CONTINUED_AS_NEW}
PASSING = {RPCStatusCode.UNAVAILABLE, RPCStatusCode.DEADLINE_EXCEEDED, RPCStatusCode.RESOURCE_EXHAUSTED}
_log = structlog.get_logger("stafett.sweeper")


class SweepingActivities:
    """Holds the jobs that have not ended against what the engine knows of them."""

    def __init__(
        self,
        client: Client,
        task_queue: str,
        unfinished: Sequence[OpenJobs],
        forget: Callable[[], None],
        tell: Callable[[], Awaitable[int]],
    ) -> None:
        self._client = client
        self._task_queue = task_queue
        self._unfinished = unfinished
        self._forget = forget
        self._tell = tell

    @activity.defn
    async def sweep_jobs(self) -> SweepReport:
        await asyncio.to_thread(self._forget)
        done = {"started": 0, "failed": 0, "skipped": 0, "left": 0}
        for kind in self._unfinished:
            for one in await asyncio.to_thread(list, kind()):
                done[await self._swept(one)] += 1
        told = await self._tell()
        return SweepReport(
            started=done["started"], failed=done["failed"], skipped=done["skipped"], notifications_started=told
        )

    async def _swept(self, one: OpenJob) -> str:
        """What became of one job; an engine that is away ends the sweep, one odd job does not."""
        job = one.job
        try:
            run = await last_run(self._client, job.workflow_id)
            if run is None or await run.memo_value(ATTEMPT, job.attempt) != job.attempt:
                await start_job(self._client, job, self._task_queue)
                return "started"
            if one.is_cancelling:
                return await self._stopped(job, run)
        except RPCError as error:
            if error.status in PASSING:
                raise
            return _skipped(job, error.status.name)
        except UnreadablePayloadError as error:
            return _skipped(job, type(error).__name__)
        if run.status in GOING_ON:
            return "left"
        how = run.status.name.lower() if run.status else "closed"
        return "failed" if await asyncio.to_thread(one.close, how) else "left"

    async def _stopped(self, job: Job, run: WorkflowExecutionDescription) -> str:
        """A run that has not heard of the cancel hears of it again; one that is gone is made up for by another."""
        if run.status in GOING_ON:
            await stop_job(self._client, job)
            return "left"
        await start_job(self._client, job, self._task_queue)
        return "started"


async def last_run(client: Client, workflow_id: str) -> WorkflowExecutionDescription | None:
    try:
        return await client.get_workflow_handle(workflow_id).describe()
    except RPCError as error:
        if error.status is RPCStatusCode.NOT_FOUND:
            return None
        raise


def _skipped(job: Job, why: str) -> str:
    _log.warning("job_skipped", workflow_id=job.workflow_id, error=why)
    return "skipped"


class UntoldSweep:
    """Holds the outbox against what the engine knows of it."""

    def __init__(
        self, client: Client, task_queue: str, untold: Callable[[], Iterable[NotificationJob]], deliveries: Deliveries
    ) -> None:
        self._client = client
        self._task_queue = task_queue
        self._untold = untold
        self._deliveries = deliveries

    async def __call__(self) -> int:
        """How many tellings were begun; an engine that is away ends the sweep, one odd telling does not."""
        begun = 0
        for telling in await asyncio.to_thread(lambda: list(self._untold())):
            try:
                begun += await self._begun(telling)
            except RPCError as error:
                if error.status in PASSING:
                    raise
                _log.warning("telling_skipped", workflow_id=telling.workflow_id, error=error.status.name)
        return begun

    async def _begun(self, telling: NotificationJob) -> bool:
        run = await last_run(self._client, telling.workflow_id)
        if run is None:
            await start_job(self._client, telling, self._task_queue)
        elif run.status not in GOING_ON:
            await asyncio.to_thread(self._give_up, telling)
        return run is None

    def _give_up(self, telling: NotificationJob) -> None:
        for delivery in self._deliveries.unsettled(telling):
            self._deliveries.give_up(delivery, "ended_from_outside")
