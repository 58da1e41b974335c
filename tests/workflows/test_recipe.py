from temporalio.client import Client

from stafett.domain.export_job import ExportJob
from stafett.domain.export_status import ExportStatus
from tests.support.fake_stages import FakeStages, run_export


async def test_export_without_rows_completes_empty(temporal: Client, job: ExportJob) -> None:
    stages = FakeStages(rows=0)
    async with run_export(temporal, job, stages) as run:
        outcome = await run.result()
    assert outcome.status is ExportStatus.COMPLETED_EMPTY
    assert stages.called == ["query_activities", "record_empty_completion"]
