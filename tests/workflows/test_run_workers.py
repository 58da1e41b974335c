"""Workers of the SDK that fail while they run."""

import asyncio

import pytest
from temporalio.client import Client
from temporalio.worker import Worker

from stafett.settings import Settings
from stafett.temporal.workers import run_workers
from workflows.maintenance import SweepJobs


async def test_worker_that_fails_ends_the_block_with_its_error(settings: Settings) -> None:
    client = await Client.connect(settings.temporal.address, namespace="nowhere")
    with pytest.raises(RuntimeError, match="nowhere"):
        async with asyncio.timeout(120), run_workers(Worker(client, task_queue="unused-queue", workflows=[SweepJobs])):
            await asyncio.Event().wait()
