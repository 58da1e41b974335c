"""A worker is suspended between its check and its clean-up, another one takes over, and the first one continues."""

from collections.abc import Iterator
from datetime import timedelta
from uuid import UUID

import httpx
import pytest

from activities.exports import ExportOutcomeActivities
from stafett.audit import trail as audit_trail
from stafett.database.maintenance import MaintenanceDatabase
from stafett.database.session import Database
from stafett.database.tables import Export
from stafett.domain.errors import StaleAttemptError
from stafett.domain.export_job import ExportJob, RetentionReport
from stafett.domain.export_status import ExportStatus
from stafett.exports.completion import ExportCompletion
from stafett.exports.file_removal import FileRemoval
from stafett.exports.stage_runner import StageRunner
from stafett.exports.stage_store import StageStore
from stafett.settings import Settings, require_setting
from stafett.storage.files import FileStorage
from stafett.testing import ActivityFactory, ExportClient, Json
from tests.support.exports import (
    EXPORTS,
    drop_trigger,
    fail_export_at_event,
    fetch_events,
    retry_export,
)
from tests.support.fixture_types import RunWorker
from tests.support.retention import backdate_completion, open_retention
from tests.support.suspended_storage import SuspendedStorage, connect_to_unavailable_storage, suspend_clean_up


@pytest.fixture
def suspended_storage(settings: Settings) -> SuspendedStorage:
    return SuspendedStorage(settings)


@pytest.fixture
def maintenance(settings: Settings) -> Iterator[Database]:
    database = MaintenanceDatabase(require_setting(settings.database.maintenance_url, "maintenance"), pool_size=2)
    yield database
    database.close()


def load_job(database: Database, export_id: str, org_id: str) -> ExportJob:
    with database.transaction(org_id) as session:
        return session.get_one(Export, UUID(export_id)).job


async def assert_downloadable(export_client: ExportClient, export_id: str) -> None:
    job = await export_client.get_export(export_id)
    assert job["status"] == "completed"
    async with httpx.AsyncClient() as http_client:
        assert (await http_client.get(job["download_url"])).status_code == 200


async def complete_next_attempt(export_client: ExportClient, export_id: str) -> Json:
    """Retry the export and wait for its file; a worker must be running."""
    response = await retry_export(export_client, export_id)
    assert response.status_code == 202, response.text
    job = await export_client.wait_for_completion(export_id)
    assert (job["status"], len(job["attempts"])) == ("completed", 2)
    return job


async def create_cancelled_export(export_client: ExportClient, run_worker: RunWorker) -> str:
    export_id = await export_client.start_export()
    await export_client.http_client.put(f"{EXPORTS}/{export_id}/cancel", headers=export_client.headers)
    async with run_worker():
        assert (await export_client.wait_for_completion(export_id))["status"] == "cancelled"
    return export_id


async def test_suspended_cancellation_spares_the_next_attempts_file(
    export_client: ExportClient,
    activity_factory: ActivityFactory,
    run_worker: RunWorker,
    worker_database: Database,
    suspended_storage: SuspendedStorage,
    owner_url: str,
) -> None:
    activity_factory.create_activity(activity_factory.create_mentor())
    export_id = await export_client.start_export()
    await export_client.http_client.put(f"{EXPORTS}/{export_id}/cancel", headers=export_client.headers)
    job = load_job(worker_database, export_id, export_client.org_id)
    stages = StageRunner(StageStore(worker_database), suspended_storage, raise_if_cancelled=lambda: None)
    outcomes = ExportOutcomeActivities(stages, ExportCompletion(worker_database), suspended_storage)
    cancellation = suspend_clean_up(suspended_storage, lambda: outcomes.record_cancellation(job), owner_url)
    async with run_worker(), cancellation as result:
        assert (await export_client.wait_for_completion(export_id))["status"] == "cancelled"
        await complete_next_attempt(export_client, export_id)
    assert isinstance(result.exception(), StaleAttemptError)
    await assert_downloadable(export_client, export_id)


async def test_cancel_ends_without_storage_and_retention_deletes_the_objects(
    export_client: ExportClient,
    worker_database: Database,
    storage: FileStorage,
    settings: Settings,
    owner_url: str,
) -> None:
    export_id = await export_client.start_export()
    job = load_job(worker_database, export_id, export_client.org_id)
    storage.write(f"{job.key_prefix}1-querying_activities-00000000/part-00000.arrow", [b"rows"])
    await export_client.http_client.put(f"{EXPORTS}/{export_id}/cancel", headers=export_client.headers)
    unavailable_storage = connect_to_unavailable_storage(settings)
    stages = StageRunner(StageStore(worker_database), unavailable_storage, raise_if_cancelled=lambda: None)
    outcomes = ExportOutcomeActivities(stages, ExportCompletion(worker_database), unavailable_storage)
    assert outcomes.record_cancellation(job).status is ExportStatus.CANCELLED
    assert len(storage.list_keys(job.key_prefix)) == 1

    backdate_completion(owner_url, export_id, timedelta(minutes=6))
    with open_retention(settings, export_client.org_id) as retention:
        retention.apply()
    assert storage.list_keys(job.key_prefix) == []


async def test_suspended_file_removal_spares_the_next_attempts_file(
    export_client: ExportClient,
    activity_factory: ActivityFactory,
    run_worker: RunWorker,
    maintenance: Database,
    suspended_storage: SuspendedStorage,
    owner_url: str,
) -> None:
    activity_factory.create_activity(activity_factory.create_mentor())
    async with run_worker():
        export_id = await fail_export_at_event(export_client, owner_url, "export_completed")
        drop_trigger(owner_url)
        job = load_job(maintenance, export_id, export_client.org_id)
        removal = FileRemoval(maintenance, suspended_storage, actor=audit_trail.RETENTION_ACTOR)
        async with suspend_clean_up(suspended_storage, lambda: removal.remove(job), owner_url) as result:
            retried = await complete_next_attempt(export_client, export_id)
    assert retried["attempts"][1]["stages_reused"] == []
    assert result.result() is False
    assert "files_removed" not in fetch_events(owner_url, export_id)
    await assert_downloadable(export_client, export_id)


async def test_suspended_staging_clean_up_spares_the_next_attempts_file(
    export_client: ExportClient,
    activity_factory: ActivityFactory,
    run_worker: RunWorker,
    suspended_storage: SuspendedStorage,
    settings: Settings,
    owner_url: str,
) -> None:
    activity_factory.create_activity(activity_factory.create_mentor())
    export_id = await create_cancelled_export(export_client, run_worker)
    backdate_completion(owner_url, export_id, timedelta(hours=1))
    with open_retention(settings, export_client.org_id, suspended_storage) as retention:
        async with suspend_clean_up(suspended_storage, retention.apply, owner_url) as result, run_worker():
            await complete_next_attempt(export_client, export_id)
    assert result.result() == RetentionReport()
    await assert_downloadable(export_client, export_id)
