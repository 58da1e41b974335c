"""A worker whose thread hangs can be stopped and its export cancelled; one that pauses for seconds keeps its work."""

import asyncio
import os
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import psutil  # type: ignore[import-untyped]  # the package ships no types
from temporalio.api.workflow.v1 import PendingActivityInfo
from temporalio.client import Client

from stafett.devstack.stack import RunningServers
from stafett.settings import Settings
from stafett.testing import ActivityFactory, ExportClient, Json, wait_until
from tests.chaos.hanging_worker import HANGING
from tests.support.dev_stack import freeze_processes
from tests.support.exports import fetch_pending_activities

_GRACE_PERIOD = timedelta(seconds=30)
"""The grace period of `deploy/compose.yaml`."""

_PAUSE = timedelta(seconds=7)


@asynccontextmanager
async def run_hanging_worker(stack: RunningServers, settings: Settings, *args: object) -> AsyncIterator[Process]:
    command = (sys.executable, "-m", "tests.chaos.hanging_worker", settings.temporal.task_queue, *map(str, args))
    environment = os.environ | stack.addresses.environment()
    worker = await asyncio.create_subprocess_exec(*command, env=environment, stdout=PIPE, stderr=PIPE)
    try:
        yield worker
    finally:
        if worker.returncode is None:
            worker.kill()
        await worker.communicate()


async def wait_until_hanging(worker: Process) -> None:
    assert worker.stdout is not None
    async with asyncio.timeout(120):
        assert (await worker.stdout.readline()).decode().strip() == HANGING


async def test_sigterm_ends_a_worker_whose_thread_hangs(
    stack: RunningServers, settings: Settings, export_client: ExportClient, activity_factory: ActivityFactory
) -> None:
    activity_factory.create_activity(activity_factory.create_mentor())
    async with run_hanging_worker(stack, settings) as worker:
        await export_client.start_export()
        await wait_until_hanging(worker)
        worker.send_signal(signal.SIGTERM)
        async with asyncio.timeout(120):
            _, log = await worker.communicate()
    assert worker.returncode == 1
    last_line = log.decode().strip().splitlines()[-1]
    assert "worker_stopped_with_hanging_threads" in last_line
    assert '"threads": 1' in last_line


async def test_cancel_is_final_while_the_worker_hangs(
    stack: RunningServers, settings: Settings, export_client: ExportClient, activity_factory: ActivityFactory
) -> None:
    activity_factory.create_activity(activity_factory.create_mentor())
    async with run_hanging_worker(stack, settings) as worker:
        export_id = await export_client.start_export()
        await wait_until_hanging(worker)
        url = f"/api/v1/bufdir-exports/{export_id}/cancel"
        assert (await export_client.http_client.put(url, headers=export_client.headers)).is_success

        async def load_export() -> Json:
            return await export_client.get_export(export_id)

        await wait_until(load_export, lambda export: export["status"] == "cancelled")


async def test_worker_that_pauses_for_seven_seconds_keeps_its_execution(
    stack: RunningServers,
    settings: Settings,
    export_client: ExportClient,
    activity_factory: ActivityFactory,
    temporal: Client,
    tmp_path: Path,
) -> None:
    """Neither the pause of the worker nor that of PostgreSQL starts a second execution of the stage."""
    activity_factory.create_activity(activity_factory.create_mentor())
    release = tmp_path / "release"
    async with run_hanging_worker(stack, settings, release) as worker:
        export_id = await export_client.start_export()
        await wait_until_hanging(worker)  # from here on, the stage needs no answer from PostgreSQL

        async def load_execution() -> PendingActivityInfo | None:
            pending = await fetch_pending_activities(temporal, export_id)
            return pending[0] if pending else None

        postmaster = psutil.Process(stack.pids["postgres"])
        for pids in ([worker.pid], [postmaster.pid, *(child.pid for child in postmaster.children(recursive=True))]):
            await wait_until(load_execution, partial(is_alive, datetime.min.replace(tzinfo=UTC)))
            with freeze_processes(*pids):
                await asyncio.sleep(_PAUSE.total_seconds())  # the length of the fault, not a wait for a result
            resumed_at = datetime.now(UTC)
            execution = await wait_until(load_execution, partial(is_alive, resumed_at))
            assert execution is not None
            assert (execution.activity_type.name, execution.attempt) == ("query_activities", 1)
        release.touch()
        assert (await export_client.wait_for_completion(export_id))["status"] == "completed"


def is_alive(since: datetime, execution: PendingActivityInfo | None) -> bool:
    """Return whether the execution has sent a heartbeat since then, or is not the first one."""
    if execution is None:
        return False
    return execution.attempt > 1 or execution.last_heartbeat_time.ToDatetime(UTC) > since
