"""A re-export's file is discarded while its worker is suspended, or while S3 is unavailable."""

from typing import NamedTuple

import psycopg
import pytest
from temporalio.client import Client

from stafett.audit import trail as audit_trail
from stafett.database.session import Database
from stafett.domain.errors import ExportError, StaleAttemptError
from stafett.domain.export_job import ExportJob
from stafett.domain.export_status import ExportErrorCode
from stafett.domain.reexport_job import RecordReexportFailureInput, ReexportJob
from stafett.domain.reexport_status import ReexportStatus
from stafett.exports.file_removal import FileRemoval
from stafett.reports.comparison import VersionComparison
from stafett.reports.completion import ReexportCompletion
from stafett.reports.steps import ReexportSteps
from stafett.settings import Settings
from stafett.storage.files import FileStorage
from stafett.temporal.client import start_job
from stafett.testing import ActivityFactory
from tests.support.fixture_types import RunWorker
from tests.support.reexport_faults import start_without_run
from tests.support.reexports import ReexportClient
from tests.support.retention import open_retention
from tests.support.suspended_storage import SuspendedStorage, connect_to_unavailable_storage, suspend_clean_up


@pytest.fixture
def suspended_storage(settings: Settings) -> SuspendedStorage:
    return SuspendedStorage(settings)


@pytest.fixture
def steps(worker_database: Database, storage: FileStorage) -> ReexportSteps:
    comparison = VersionComparison(worker_database, storage, raise_if_cancelled=lambda: None)
    removal = FileRemoval(worker_database, storage, actor=audit_trail.WORKER_ACTOR)
    return ReexportSteps(worker_database, comparison, removal.remove)


class CompletedChild(NamedTuple):
    """A re-export without a run, whose child export is completed and not yet stored as a version."""

    report_id: str
    job: ReexportJob
    export_job: ExportJob


@pytest.fixture
async def completed_child(
    reexport_client: ReexportClient,
    activity_factory: ActivityFactory,
    run_worker: RunWorker,
    temporal: Client,
    settings: Settings,
    steps: ReexportSteps,
    worker_database: Database,
) -> CompletedChild:
    activity_factory.create_activity(activity_factory.create_mentor())
    async with run_worker():
        report_id = await reexport_client.create_report()
    job = await start_without_run(reexport_client, report_id, temporal, worker_database)
    child = steps.insert_child_export(steps.load_original_parameters(job, "run"))
    await start_job(temporal, child, settings.temporal.task_queue)
    async with run_worker():
        export = await reexport_client.export_client.wait_for_completion(str(child.export_id))
    assert export["status"] == "completed"
    return CompletedChild(report_id, job, child)


async def test_file_that_is_being_discarded_is_not_stored_as_a_version(
    completed_child: CompletedChild,
    reexport_client: ReexportClient,
    steps: ReexportSteps,
    worker_database: Database,
    suspended_storage: SuspendedStorage,
    storage: FileStorage,
    owner_url: str,
) -> None:
    report_id, job, child = completed_child
    removal = FileRemoval(worker_database, suspended_storage, actor=audit_trail.WORKER_ACTOR)
    completion = ReexportCompletion(worker_database, removal.remove)
    failure = RecordReexportFailureInput(job=job, code=ExportErrorCode.INTERNAL, message="no", retryable=True)
    async with suspend_clean_up(suspended_storage, lambda: completion.fail(failure), owner_url) as result:
        with pytest.raises(ExportError, match="no longer in storage"):
            steps.store_result(job)
    assert result.result() is True
    assert (await reexport_client.get_reexport(str(job.reexport_id)))["status"] == "failed"
    assert len(await reexport_client.list_versions(report_id)) == 1
    assert storage.list_keys(child.key_prefix) == []


async def test_cancel_ends_without_storage_and_retention_deletes_the_file(
    completed_child: CompletedChild,
    reexport_client: ReexportClient,
    steps: ReexportSteps,
    worker_database: Database,
    storage: FileStorage,
    settings: Settings,
    owner_url: str,
) -> None:
    report_id, job, child = completed_child
    removal = FileRemoval(worker_database, connect_to_unavailable_storage(settings), actor=audit_trail.WORKER_ACTOR)
    completion = ReexportCompletion(worker_database, removal.remove)
    assert completion.finish_cancel(job).status is ReexportStatus.CANCELLED
    assert storage.list_keys(child.key_prefix) != []
    with pytest.raises(StaleAttemptError):
        steps.store_result(job)
    assert len(await reexport_client.list_versions(report_id)) == 1

    with psycopg.connect(owner_url) as owner:
        moment = "UPDATE exports SET removal_started_at = removal_started_at - interval '6 minutes' WHERE id = %s"
        owner.execute(moment, [child.export_id])
    with open_retention(settings, job.org_id) as retention:
        retention.apply()
    assert storage.list_keys(child.key_prefix) == []
