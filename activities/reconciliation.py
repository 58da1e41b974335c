"""Reconciliation of jobs and notifications with their Temporal runs: starts missing runs, closes jobs of ended runs."""

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
_log = structlog.get_logger("stafett.reconciliation")


class ReconciliationActivities:
    """Compares every open job with its Temporal run."""

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
        counts = {"started": 0, "failed": 0, "skipped": 0, "unchanged": 0}
        for list_open_jobs in self._open_jobs:
            for open_job in await asyncio.to_thread(list, list_open_jobs()):
                counts[await self._reconcile(open_job)] += 1
        return SweepReport(
            started=counts["started"],
            failed=counts["failed"],
            skipped=counts["skipped"],
            notifications_started=await self._reconcile_notifications(),
        )

    async def _reconcile(self, open_job: OpenJob) -> str:
        """Reconcile one job and return the action taken.

        A job whose run cannot be read is skipped; if Temporal is unavailable, the sweep fails.
        """
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
            return "unchanged"
        run_status = run.status.name.lower() if run.status else "closed"
        return "failed" if await asyncio.to_thread(open_job.close, run_status) else "unchanged"

    async def _resume_cancellation(self, job: Job, run: WorkflowExecutionDescription) -> str:
        """Cancel the run again if it is running; otherwise start another run, which finishes the cancellation."""
        if run.status in RUNNING:
            await cancel_job(self._client, job)
            return "unchanged"
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
    """Compares the notification outbox with its Temporal runs.

    It starts runs for undelivered notifications, and gives up the deliveries of runs that have ended.
    """

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
        """Return the number of started runs.

        A notification whose run cannot be read is skipped; if Temporal is unavailable, the sweep fails.
        """
        started = 0
        for job in await asyncio.to_thread(lambda: list(self._undelivered())):
            try:
                started += await self._reconcile(job)
            except RPCError as error:
                if error.status in TRANSIENT:
                    raise
                _log.warning("notification_job_skipped", workflow_id=job.workflow_id, error=error.status.name)
        return started

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
