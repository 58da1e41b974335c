"""Keeps processes alive: what dies is reported and started again."""

import asyncio
import time
from collections.abc import Callable, Iterable

from stafett.devstack.child_process import ChildProcess
from stafett.domain.errors import StafettError

_MIN_RESTART_DELAY, _MAX_RESTART_DELAY = 0.1, 10.0
_STABLE_SECONDS = 60.0


class Supervisor:
    """Watches children, replaces those that end; ``replaced`` hears of it, with the place of the new one."""

    def __init__(
        self,
        children: Iterable[ChildProcess],
        print_status: Callable[[str], None],
        on_replaced: Callable[[int, ChildProcess], None],
    ) -> None:
        self._children = list(children)
        self._print_status = print_status
        self._on_replaced = on_replaced

    async def watch(self) -> None:
        """Never returns; cancel it before the children are stopped on purpose."""
        async with asyncio.TaskGroup() as watching:
            for place in range(len(self._children)):
                watching.create_task(self._restart_on_exit(place))

    async def _restart_on_exit(self, index: int) -> None:
        pause = _MIN_RESTART_DELAY
        while True:
            child, since = self._children[index], time.monotonic()
            await child.wait()
            child.kill()  # what it started goes with it
            pause = _MIN_RESTART_DELAY if time.monotonic() - since > _STABLE_SECONDS else pause
            pause = await self._replace(index, pause)

    async def _replace(self, index: int, delay: float) -> float:
        """Start it again until it stands; returns the pause before the next time."""
        fallen = self._children[index]
        story = f"{fallen.name} (pid {fallen.pid}) {fallen.describe_exit()}"
        self._print_status(f"{story}; it is being restarted.")
        while True:
            await asyncio.sleep(delay)
            delay = min(delay * 2, _MAX_RESTART_DELAY)
            try:
                self._children[index] = await self._start_replacement(fallen)
            except StafettError as fault:
                self._print_status(f"{fault} Next try in {delay:.1f} s.")
                continue
            self._print_status(f"{story}; restarted as pid {self._children[index].pid}.")
            self._call_on_replaced(index)
            return delay

    def _call_on_replaced(self, index: int) -> None:
        """A full disk must not take down what runs."""
        try:
            self._on_replaced(index, self._children[index])
        except StafettError as fault:
            self._print_status(str(fault))

    async def _start_replacement(self, exited: ChildProcess) -> ChildProcess:
        child = await ChildProcess.spawn(exited.spec)
        try:
            await child.wait_until_ready()
        except BaseException:
            await child.stop()
            raise
        return child
