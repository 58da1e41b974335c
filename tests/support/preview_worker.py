"""A worker that builds previews and does nothing else."""

from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, closing

from temporalio.client import Client
from temporalio.worker import UnsandboxedWorkflowRunner, Worker

from activities.previews import PreviewActivities
from stafett.column_mapper.versions import MappingVersions
from stafett.database.session import Database
from stafett.exports.preview import PreviewBuilder
from stafett.settings import Settings, require_setting
from stafett.temporal.queues import preview_queue
from stafett.temporal.workers import run_workers
from worker import WORKFLOWS


@asynccontextmanager
async def run_preview_worker(client: Client, settings: Settings) -> AsyncIterator[None]:
    """Run the worker for the length of a block. All jobs stay in the state that requests have given them."""
    queue, url = settings.temporal.task_queue, require_setting(settings.database.worker_url, "worker")
    with closing(Database(url, pool_size=2)) as database, ThreadPoolExecutor(1) as threads:
        builder = PreviewBuilder(database, MappingVersions(database), raise_if_cancelled=lambda: None)
        previews = Worker(
            client,
            task_queue=preview_queue(queue),
            activities=[PreviewActivities(builder).preview_export],
            activity_executor=threads,
            max_concurrent_activities=1,
        )
        workflows = Worker(client, task_queue=queue, workflows=WORKFLOWS, workflow_runner=UnsandboxedWorkflowRunner())
        async with run_workers(previews, workflows):
            yield
