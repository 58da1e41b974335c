"""The service that an accepted export waits for, before its first stage has started."""

import pytest

from stafett.database.session import Database
from stafett.database.tables import Export
from stafett.domain.errors import ServiceUnavailableError
from stafett.domain.export_job import ExportJob
from stafett.domain.export_outputs import StageOutputs
from stafett.domain.export_status import ExportStatus
from stafett.exports.stage_inputs import StageInputs
from stafett.exports.stage_runner import StageContext, StageRunner
from stafett.exports.stage_store import StageStore
from stafett.settings import Settings
from stafett.storage.files import FileStorage
from stafett.testing import ExportClient, Json, wait_until


class UnavailableStageStore(StageStore):
    """A store whose first transaction fails, as it does when the backend of its connection has stopped."""

    def start_stage(self, job: ExportJob, stage: ExportStatus, *, is_isolated: bool = False) -> StageInputs:
        del job, stage, is_isolated
        raise ServiceUnavailableError("PostgreSQL")


@pytest.fixture
def temporal_address() -> str:
    return ""


@pytest.fixture
def settings(settings: Settings, temporal_address: str) -> Settings:
    if not temporal_address:
        return settings
    temporal = settings.temporal.model_copy(update={"address": temporal_address})
    return settings.model_copy(update={"temporal": temporal})


def raise_unexpected_call(_job: ExportJob, _context: StageContext) -> StageOutputs:
    raise AssertionError("The stage has not started.")


async def test_accepted_export_waits_for_a_worker(export_client: ExportClient) -> None:
    export_id = await export_client.start_export()
    assert (await export_client.get_export(export_id))["progress"]["waiting_for"] == "worker"


@pytest.mark.parametrize("temporal_address", ["127.0.0.1:1"])
async def test_export_that_temporal_does_not_start_waits_for_temporal(export_client: ExportClient) -> None:
    export_id = await export_client.start_export()

    async def load_export() -> Json:
        return await export_client.get_export(export_id)

    await wait_until(load_export, lambda export: export["progress"]["waiting_for"] == "Temporal")


async def test_export_whose_first_stage_cannot_start_names_the_service(
    export_client: ExportClient, worker_database: Database, storage: FileStorage
) -> None:
    export_id = await export_client.start_export()
    with worker_database.transaction(export_client.org_id) as session:
        job = session.get_one(Export, export_id).job
    stages = StageRunner(UnavailableStageStore(worker_database), storage, raise_if_cancelled=lambda: None)
    with pytest.raises(ServiceUnavailableError):
        stages.run(job, ExportStatus.QUERYING_ACTIVITIES, raise_unexpected_call)
    assert (await export_client.get_export(export_id))["progress"]["waiting_for"] == "PostgreSQL"
