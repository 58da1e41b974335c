"""Fixtures of the tests of re-exports."""

import pytest

from stafett.testing import ActivityFactory, ExportClient
from tests.support.fixture_types import RunWorker
from tests.support.reexports import ReexportClient


@pytest.fixture
def reexport_client(export_client: ExportClient) -> ReexportClient:
    return ReexportClient(export_client)


@pytest.fixture
async def report_id(reexport_client: ReexportClient, activity_factory: ActivityFactory, run_worker: RunWorker) -> str:
    activity_factory.create_activity(activity_factory.create_mentor())
    async with run_worker():
        return await reexport_client.create_report()
