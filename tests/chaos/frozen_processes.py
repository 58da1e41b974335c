"""Processes that tests suspend and resume: a worker that stops at a point, and the servers with their children."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psutil  # type: ignore[import-untyped]  # the package ships no types
import psycopg

from stafett.devstack.stack import RunningServers
from stafett.settings import Settings
from stafett.testing import wait_until

_COUNT_OF_WRITING = "SELECT count(*) FROM pg_stat_activity WHERE pid = ANY (%s) AND backend_xid IS NOT NULL"
_BACKENDS_OF_CLIENT = "SELECT pid FROM pg_stat_activity WHERE backend_type = 'client backend' AND client_port = ANY(%s)"


@dataclass(frozen=True)
class FreezingWorker:
    """A `tests.chaos.freezing_worker` process."""

    process: asyncio.subprocess.Process

    @property
    def pid(self) -> int:
        return self.process.pid

    async def wait_until_suspended(self) -> None:
        async def get_status() -> str:
            return str(psutil.Process(self.pid).status())

        await wait_until(get_status, lambda status: status == psutil.STATUS_STOPPED)

    def resume(self) -> None:
        self.process.send_signal(signal.SIGCONT)

    async def finish(self) -> None:
        """Resume the worker and wait until it has ended all that it was doing; nothing of it comes later."""
        self.resume()
        self.process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(120):
            await self.process.wait()


@asynccontextmanager
async def run_freezing_worker(
    stack: RunningServers, settings: Settings, stage: str, point: str, project: Path
) -> AsyncIterator[FreezingWorker]:
    """Run the worker for the length of the block; it is resumed and killed at the end."""
    command = (sys.executable, "-m", "tests.chaos.freezing_worker", settings.temporal.task_queue, stage, point)
    environment = os.environ | stack.addresses.environment()
    process = await asyncio.create_subprocess_exec(*command, env=environment, cwd=project)
    try:
        yield FreezingWorker(process)
    finally:
        if process.returncode is None:
            process.kill()  # ends a suspended process too
        await process.wait()


def list_process_group(pid: int) -> list[int]:
    """List a server and its children, the server first, so that it starts no further child that stays awake."""
    with suppress(psutil.NoSuchProcess):
        return [pid, *(child.pid for child in psutil.Process(pid).children(recursive=True))]
    return []


def list_backends_of(owner_url: str, *client_pids: int) -> list[int]:
    """List the PostgreSQL backends that work for these processes."""
    with psycopg.connect(owner_url) as connection:
        ports = list[int]()
        for pid in client_pids:
            with suppress(psutil.NoSuchProcess):
                ports += [
                    tcp.laddr.port
                    for tcp in psutil.Process(pid).net_connections("tcp")
                    if tcp.raddr and tcp.raddr.port == connection.info.port
                ]
        return [pid for (pid,) in connection.execute(_BACKENDS_OF_CLIENT, [ports]).fetchall()]


def count_writing_backends(owner_url: str, pids: Sequence[int]) -> int:
    """Count those of the backends whose transaction has locked or changed a row."""
    with psycopg.connect(owner_url) as connection:
        row = connection.execute(_COUNT_OF_WRITING, [list(pids)]).fetchone()
    assert row is not None
    return int(row[0])
