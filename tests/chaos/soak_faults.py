"""Random kills and freezes of the processes of a development stack, drawn from a seeded generator."""

import asyncio
import signal
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from random import Random

import psutil  # type: ignore[import-untyped]  # the package ships no types
import psycopg

from tests.chaos.frozen_processes import list_backends_of, list_process_group
from tests.support.dev_stack import DevStack, freeze_processes, is_gone, kill

_SERVERS = ("postgres", "temporal", "s3", "api")
_WORKERS = ("worker", "second worker")
_KILLED = (*_SERVERS, *_WORKERS)
_FROZEN = (*_SERVERS, *_WORKERS, "backends")
_MAX_FREEZE_SECONDS, _MAX_PAUSE_SECONDS = 20, 15


class SecondWorker:
    """A worker beside the stack's own, with its environment; it takes over what the other one does not finish.

    The port of the metrics is taken by the other one.
    """

    def __init__(self, dev_stack: DevStack) -> None:
        self._dev_stack = dev_stack
        environment: dict[str, str] = psutil.Process(dev_stack.stack_json["pids"]["worker"][0]).environ()
        self._environment = {name: value for name, value in environment.items() if name != "STAFETT_METRICS__PORT"}
        self._process: asyncio.subprocess.Process | None = None

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    async def start(self) -> None:
        log_file = self._dev_stack.data_dir / "logs" / "second-worker.log"
        with log_file.open("ab") as log:
            command = (sys.executable, "-m", "stafett", "worker")
            self._process = await asyncio.create_subprocess_exec(
                *command, env=self._environment, stdout=log, stderr=log
            )

    async def restart_if_ended(self) -> None:
        if self._process is None or self._process.returncode is not None:
            await self.start()

    async def stop(self) -> None:
        if self._process is not None and self._process.returncode is None:
            self._process.send_signal(signal.SIGCONT)
            self._process.kill()
            await self._process.wait()


class FaultInjector:
    """Kills and freezes processes until a deadline, one loop of each, so that both happen at once."""

    def __init__(self, dev_stack: DevStack, second_worker: SecondWorker, seed: int) -> None:
        self._dev_stack, self._second_worker = dev_stack, second_worker
        # A generator for each loop: the order in which the loops wake up changes no draw.
        self._kills, self._freezes = Random(f"kills {seed}"), Random(f"freezes {seed}")  # noqa: S311 - repeatable
        self.counts = Counter[str]()

    async def run_until(self, deadline: float) -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._kill_until(deadline))
            tasks.create_task(self._freeze_until(deadline))
        await self._second_worker.restart_if_ended()

    async def _kill_until(self, deadline: float) -> None:
        while await self._pause(self._kills, deadline):
            names = self._kills.sample(_KILLED, self._kills.randint(1, 2))
            for name in names:
                for pid in await self._list_pids(name):
                    kill(pid)
                self.counts[f"{name} killed"] += 1
            await self._second_worker.restart_if_ended()

    async def _freeze_until(self, deadline: float) -> None:
        while await self._pause(self._freezes, deadline):
            name, seconds = self._freezes.choice(_FROZEN), self._freezes.randint(1, _MAX_FREEZE_SECONDS)
            pids = await self._list_pids(name)
            group = [member for pid in pids for member in (list_process_group(pid) if name == "postgres" else [pid])]
            with freeze_processes(*group):
                self.counts[f"{name} frozen"] += 1
                self.counts["seconds frozen"] += seconds
                await asyncio.sleep(seconds)  # the length of the fault

    async def _pause(self, random: Random, deadline: float) -> bool:
        """Wait for a random time; return false at the deadline."""
        seconds = random.uniform(1, _MAX_PAUSE_SECONDS)
        if time.monotonic() + seconds > deadline:
            return False
        await asyncio.sleep(seconds)  # the time between two faults
        return True

    async def _list_pids(self, name: str) -> list[int]:
        """List the processes of that name which exist now; none while the stack restarts them."""
        if name == "second worker":
            return [self._second_worker.pid]
        if name == "backends":
            return await asyncio.to_thread(self._list_worker_backends)
        pids = self._dev_stack.stack_json["pids"][name]
        return [pid for pid in (pids if isinstance(pids, list) else [pids]) if not is_gone(pid)]

    def _list_worker_backends(self) -> list[int]:
        pids = [*self._dev_stack.stack_json["pids"]["worker"], self._second_worker.pid]
        try:
            return list_backends_of(f"{self._dev_stack.database_url}?connect_timeout=3", *pids)
        except psycopg.OperationalError:  # PostgreSQL was killed, or has not started yet
            return []


@asynccontextmanager
async def run_second_worker(dev_stack: DevStack) -> AsyncIterator[SecondWorker]:
    worker = SecondWorker(dev_stack)
    await worker.start()
    try:
        yield worker
    finally:
        await worker.stop()
