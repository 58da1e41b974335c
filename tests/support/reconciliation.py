"""Reconciliation of one organisation's jobs, run by the test instead of the schedule."""

from collections.abc import Iterator
from functools import partial

from temporalio.client import Client

from activities.job_reconciliation import JobReconciler, ReconciliationLimits
from activities.reconciliation import ListOpenJobs, OpenWork, ReconciliationActivities
from stafett.audit import trail as audit_trail
from stafett.database.maintenance import MaintenanceDatabase
from stafett.domain.export_job import SweepReport
from stafett.exports.completion import ExportCompletion
from stafett.exports.file_removal import FileRemoval
from stafett.exports.preview import delete_expired_previews
from stafett.reconciliation import OpenJob, list_open_exports, list_open_reexports, list_undelivered
from stafett.reports.completion import ReexportCompletion
from stafett.settings import Settings, require_setting
from stafett.storage.files import FileStorage
from stafett.temporal.runs import NO_LISTED_RUNS, ListedRuns, describe_latest_run
from stafett.testing import wait_until


class Sweeper:
    """The reconciliation sweep wired as in the worker, limited to one organisation so that tests do not interfere."""

    def __init__(
        self, client: Client, settings: Settings, org_id: str, limits: ReconciliationLimits | None = None
    ) -> None:
        self._database = MaintenanceDatabase(
            require_setting(settings.database.maintenance_url, "maintenance"),
            pool_size=2,
            transaction_pooling=settings.database.transaction_pooling,
        )
        self._org_id = org_id
        completion = ExportCompletion(self._database, actor=audit_trail.SWEEPER_ACTOR)
        removal = FileRemoval(self._database, FileStorage(settings.s3), actor=audit_trail.SWEEPER_ACTOR)
        reexports = ReexportCompletion(self._database, removal.remove, actor=audit_trail.SWEEPER_ACTOR)
        self._open_jobs = (
            partial(list_open_exports, self._database, completion),
            partial(list_open_reexports, self._database, reexports),
        )
        self.lists: list[ListOpenJobs] = [self.list_open_jobs]
        """A test can add lists of jobs, or replace this one."""
        self._activities = ReconciliationActivities(
            _list_no_runs,
            JobReconciler(client, settings.temporal.task_queue, limits=limits),
            OpenWork(self.lists, self._list_undelivered),
            self._delete_previews,
        )

    def _delete_previews(self) -> None:
        delete_expired_previews(self._database)

    def list_open_jobs(self) -> Iterator[OpenJob]:
        return self._filter(open_job for list_open_jobs in self._open_jobs for open_job in list_open_jobs())

    def _list_undelivered(self) -> Iterator[OpenJob]:
        return self._filter(list_undelivered(self._database))

    def _filter(self, open_jobs: Iterator[OpenJob]) -> Iterator[OpenJob]:
        return (open_job for open_job in open_jobs if open_job.job.org_id == self._org_id)

    async def sweep(self) -> SweepReport:
        return await self._activities.sweep_jobs()

    def close(self) -> None:
        self._database.close()


async def _list_no_runs() -> ListedRuns:
    """Have every job checked: Temporal's list of runs lags, and would still contain one that a test has terminated."""
    return NO_LISTED_RUNS


async def wait_until_run_is_open(temporal: Client, workflow_id: str) -> None:
    """Wait for the job's run: the API starts it in the background, after it has responded."""

    async def is_open() -> bool:
        run = await describe_latest_run(temporal, workflow_id)
        return run is not None and run.close_time is None

    await wait_until(is_open, bool)
