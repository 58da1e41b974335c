from stafett.testing import ActivityFactory, ExportClient
from tests.support.fixture_types import RunWorker


async def test_export_of_one_activity_has_one_row(
    export_client: ExportClient, activity_factory: ActivityFactory, run_worker: RunWorker
) -> None:
    activity_factory.create_activity(activity_factory.create_mentor())
    async with run_worker():
        export = await export_client.wait_for_completion(await export_client.start_export(export_format="csv"))
    assert (export["status"], export["row_count"]) == ("completed", 1)
