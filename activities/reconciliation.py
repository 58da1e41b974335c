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
from stafett.notifications.deliveries import DeliveryStore
from stafett.reconciliation import OpenJob, OpenJobs
from stafett.temporal.client import ATTEMPT_MEMO_KEY, cancel_job, start_job
from stafett.temporal.codec import PayloadDecryptionError

RUNNING = {WorkflowExecutionStatus.RUNNING, WorkflowExecutionStatus.CONTINUED_AS_NEW}
TRANSIENT = {RPCStatusCode.UNAVAILABLE, RPCStatusCode.DEADLINE_EXCEEDED, RPCStatusCode.RESOURCE_EXHAUSTED}
_log = structlog.get_logger("stafett.sweeper")


class ReconciliationActivities:
    """Holds the jobs that have not ended against what the engine knows of them."""

    def __init__(
        self,
        client: Client,
        task_queue: str,
        open_jobs: Sequence[OpenJobs],
        delete_expired_previews: Callable[[], None],
        reconcile_notifications: Callable[[], Awaitable[int]],
    ) -> None:
        self._client = client
        self._task_queue = task_queue
        self._open_jobs = open_jobs
        self._delete_expired_previews = delete_expired_previews
        self._reconcile_notifications = reconcile_notifications

    @activity.defn
    async def sweep_jobs(self) -> SweepReport:
        await asyncio.to_thread(self._delete_expired_previews)
        done = {"started": 0, "failed": 0, "skipped": 0, "left": 0}
        for kind in self._open_jobs:
            for one in await asyncio.to_thread(list, kind()):
                done[await self._reconcile(one)] += 1
        told = await self._reconcile_notifications()
        return SweepReport(
            started=done["started"], failed=done["failed"], skipped=done["skipped"], notifications_started=told
        )

    async def _reconcile(self, open_job: OpenJob) -> str:
        """What became of one job; an engine that is away ends the sweep, one odd job does not."""
        job = open_job.job
        try:
            run = await describe_latest_run(self._client, job.workflow_id)
            if run is None or await run.memo_value(ATTEMPT_MEMO_KEY, job.attempt) != job.attempt:
                await start_job(self._client, job, self._task_queue)
                return "started"
            if open_job.is_cancelling:
                return await self._resume_cancellation(job, run)
        except RPCError as error:
            if error.status in TRANSIENT:
                raise
            return _skip(job, error.status.name)
        except PayloadDecryptionError as error:
            return _skip(job, type(error).__name__)
        if run.status in RUNNING:
            return "left"
        how = run.status.name.lower() if run.status else "closed"
        return "failed" if await asyncio.to_thread(open_job.close, how) else "left"

    async def _resume_cancellation(self, job: Job, run: WorkflowExecutionDescription) -> str:
        """A run that has not heard of the cancel hears of it again; one that is gone is made up for by another."""
        if run.status in RUNNING:
            await cancel_job(self._client, job)
            return "left"
        await start_job(self._client, job, self._task_queue)
        return "started"


async def describe_latest_run(client: Client, workflow_id: str) -> WorkflowExecutionDescription | None:
    try:
        return await client.get_workflow_handle(workflow_id).describe()
    except RPCError as error:
        if error.status is RPCStatusCode.NOT_FOUND:
            return None
        raise


def _skip(job: Job, reason: str) -> str:
    _log.warning("job_skipped", workflow_id=job.workflow_id, error=reason)
    return "skipped"


class NotificationReconciler:
    """Holds the outbox against what the engine knows of it."""

    def __init__(
        self,
        client: Client,
        task_queue: str,
        undelivered: Callable[[], Iterable[NotificationJob]],
        deliveries: DeliveryStore,
    ) -> None:
        self._client = client
        self._task_queue = task_queue
        self._undelivered = undelivered
        self._deliveries = deliveries

    async def __call__(self) -> int:
        """How many tellings were begun; an engine that is away ends the sweep, one odd telling does not."""
        begun = 0
        for telling in await asyncio.to_thread(lambda: list(self._undelivered())):
            try:
                begun += await self._reconcile(telling)
            except RPCError as error:
                if error.status in TRANSIENT:
                    raise
                _log.warning("notification_job_skipped", workflow_id=telling.workflow_id, error=error.status.name)
        return begun

    async def _reconcile(self, job: NotificationJob) -> bool:
        run = await describe_latest_run(self._client, job.workflow_id)
        if run is None:
            await start_job(self._client, job, self._task_queue)
        elif run.status not in RUNNING:
            await asyncio.to_thread(self._give_up, job)
        return run is None

    def _give_up(self, job: NotificationJob) -> None:
        for delivery in self._deliveries.find_pending(job):
            self._deliveries.give_up(delivery, "ended_from_outside")
