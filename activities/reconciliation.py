"""The reconciliation sweep: every open job and every undelivered notification is compared with its Temporal run."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from typing import NamedTuple, TypeVar

import structlog
from temporalio import activity
from temporalio.service import RPCError

from activities.job_reconciliation import Action, JobReconciler, needs_check, skip
from stafett.domain.export_job import SweepReport
from stafett.domain.maintenance import MaintenanceTask
from stafett.monitoring.logs import error_location
from stafett.reconciliation import OpenJob
from stafett.temporal.runs import NO_LISTED_RUNS, ListedRuns

Result = TypeVar("Result")
ListOpenJobs = Callable[[], Iterable[OpenJob]]
MAX_CONCURRENT_JOBS = 4
_MAX_TEMPORAL_ERRORS = 10
"""After so many jobs for which Temporal did not respond, it is unavailable, and the sweep is retried later."""
_log = structlog.get_logger("stafett.reconciliation")


class OpenWork(NamedTuple):
    """What a sweep compares with Temporal's runs."""

    jobs: Sequence[ListOpenJobs]
    undelivered: ListOpenJobs


class ReconciliationActivities:
    """Checks the open jobs that have no healthy run in Temporal's list. An error at one stops no other."""

    def __init__(
        self,
        list_runs: Callable[[], Awaitable[ListedRuns]],
        reconcile_job: JobReconciler,
        open_work: OpenWork,
        delete_expired_previews: Callable[[], None],
        record_run: Callable[[MaintenanceTask, int], None] = lambda _task, _errors: None,
    ) -> None:
        self._list_runs = list_runs
        self._reconcile_job = reconcile_job
        self._open_work = open_work
        self._delete_expired_previews = delete_expired_previews
        self._record_run = record_run

    @activity.defn
    async def sweep_jobs(self) -> SweepReport:
        sweep = _Sweep()
        runs = await sweep.attempt(self._list_runs(), NO_LISTED_RUNS)
        for list_open_jobs in self._open_work.jobs:
            await self._reconcile_jobs(sweep, list_open_jobs, runs, sweep.actions)
        await self._reconcile_jobs(sweep, self._open_work.undelivered, runs, sweep.notification_actions)
        await sweep.attempt(self._reconcile_job.run_in_thread(self._delete_expired_previews), None)
        errors = sweep.build_report().errors
        record = self._reconcile_job.run_in_thread(self._record_run, MaintenanceTask.SWEEP_JOBS, errors)
        await sweep.attempt(record, None)
        return sweep.build_report()

    async def _reconcile_jobs(
        self, sweep: "_Sweep", list_open_jobs: ListOpenJobs, runs: ListedRuns, actions: Counter[Action]
    ) -> None:
        listed = await sweep.attempt(self._reconcile_job.run_in_thread(_list_all, list_open_jobs), list[OpenJob]())
        jobs = (job for job in listed if needs_check(job, runs))
        async with asyncio.TaskGroup() as group:
            for _ in range(MAX_CONCURRENT_JOBS):
                group.create_task(self._drain(sweep, jobs, actions))
        sweep.raise_if_temporal_is_unavailable()

    async def _drain(self, sweep: "_Sweep", jobs: Iterator[OpenJob], actions: Counter[Action]) -> None:
        for open_job in jobs:
            if sweep.is_temporal_unavailable:
                return
            try:
                actions[await self._reconcile_job(open_job)] += 1
            except RPCError as error:
                sweep.temporal_errors.append(error)
                actions[skip(open_job.job, error.status.name)] += 1


def _list_all(list_open_jobs: ListOpenJobs) -> list[OpenJob]:
    return list(list_open_jobs())


class _Sweep:
    """What one sweep has done so far."""

    def __init__(self) -> None:
        self.actions: Counter[Action] = Counter()
        self.notification_actions: Counter[Action] = Counter()
        self.temporal_errors: list[RPCError] = []
        self._errors = 0

    async def attempt(self, part: Awaitable[Result], default: Result) -> Result:
        """Run one part of the sweep; log an error instead of raising it, so that the other parts run."""
        try:
            return await part
        except Exception as error:  # noqa: BLE001 - see above
            self._errors += 1
            _log.error("reconciliation_failed", error=type(error).__name__, location=error_location(error))
            return default

    @property
    def is_temporal_unavailable(self) -> bool:
        return len(self.temporal_errors) >= _MAX_TEMPORAL_ERRORS

    def raise_if_temporal_is_unavailable(self) -> None:
        if self.is_temporal_unavailable:
            raise self.temporal_errors[-1]

    def build_report(self) -> SweepReport:
        return SweepReport(
            started=self.actions[Action.STARTED],
            completed=self.actions[Action.COMPLETED],
            failed=self.actions[Action.FAILED],
            cancelled=self.actions[Action.CANCELLED],
            skipped=self.actions[Action.SKIPPED],
            errors=self._errors,
            notifications_started=self.notification_actions[Action.STARTED],
        )
