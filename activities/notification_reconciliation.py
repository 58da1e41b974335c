"""Reconciliation of the notification outbox with its Temporal runs."""

from collections.abc import Callable, Iterable
from concurrent.futures import Executor

import structlog
from temporalio.client import Client
from temporalio.service import RPCError

from activities.job_reconciliation import TRANSIENT, run_in_thread
from stafett.domain.notification import NotificationJob
from stafett.notifications.deliveries import DeliveryStore
from stafett.telemetry import error_location
from stafett.temporal.client import start_job
from stafett.temporal.runs import NO_LISTED_RUNS, ListedRuns, describe_latest_run, is_open

_log = structlog.get_logger("stafett.reconciliation")


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
        executor: Executor | None = None,
    ) -> None:
        self._client = client
        self._task_queue = task_queue
        self._undelivered = undelivered
        self._deliveries = deliveries
        self._executor = executor

    async def __call__(self, runs: ListedRuns = NO_LISTED_RUNS) -> int:
        """Return the number of started runs.

        A notification whose run cannot be read is skipped; if Temporal is unavailable, the sweep fails.
        """
        jobs = await run_in_thread(self._executor, lambda: list(self._undelivered()))
        return sum([await self._start_or_give_up(job) for job in jobs if job.workflow_id not in runs])

    async def _start_or_give_up(self, job: NotificationJob) -> bool:
        """Return whether a run was started."""
        try:
            run = await describe_latest_run(self._client, job.workflow_id)
            if run is None:
                await start_job(self._client, job, self._task_queue)
                return True
            if not is_open(run):
                await run_in_thread(self._executor, self._give_up, job)
        except RPCError as error:
            if error.status in TRANSIENT:
                raise
            _log.warning("notification_job_skipped", workflow_id=job.workflow_id, error=error.status.name)
        except Exception as error:  # noqa: BLE001 - one notification must not stop the others
            _log.warning(
                "notification_job_skipped",
                workflow_id=job.workflow_id,
                error=type(error).__name__,
                location=error_location(error),
            )
        return False

    def _give_up(self, job: NotificationJob) -> None:
        for delivery in self._deliveries.find_pending(job):
            self._deliveries.give_up(delivery, "ended_from_outside")
