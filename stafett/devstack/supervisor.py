"""Restarts processes that exit, and reports each restart."""

import asyncio
import time
from collections.abc import Callable, Iterable

from stafett.devstack.child_process import ChildProcess
from stafett.domain.errors import StafettError

_MIN_RESTART_DELAY, _MAX_RESTART_DELAY = 0.1, 10.0
_STABLE_SECONDS = 60.0


class Supervisor:
    """Watches children and replaces those that exit; ``on_replaced`` gets the index and the new child."""

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
        """Watch until cancelled; cancel it before stopping the children on purpose."""
        async with asyncio.TaskGroup() as watching:
            for index in range(len(self._children)):
                watching.create_task(self._restart_on_exit(index))

    async def _restart_on_exit(self, index: int) -> None:
        delay = _MIN_RESTART_DELAY
        while True:
            child, since = self._children[index], time.monotonic()
            await child.wait()
            child.kill()  # its descendants end with it
            delay = _MIN_RESTART_DELAY if time.monotonic() - since > _STABLE_SECONDS else delay
            delay = await self._replace(index, delay)

    async def _replace(self, index: int, delay: float) -> float:
        """Restart a child until it is ready, and return the delay before its next restart."""
        exited = self._children[index]
        exit_message = f"{exited.name} (pid {exited.pid}) {exited.describe_exit()}"
        self._print_status(f"{exit_message}; restarting it.")
        while True:
            await asyncio.sleep(delay)
            delay = min(delay * 2, _MAX_RESTART_DELAY)
            try:
                self._children[index] = await self._start_replacement(exited)
            except StafettError as error:
                self._print_status(f"{error} Next attempt in {delay:.1f} s.")
                continue
            self._print_status(f"{exit_message}; restarted as pid {self._children[index].pid}.")
            self._call_on_replaced(index)
            return delay

    def _call_on_replaced(self, index: int) -> None:
        """Call ``on_replaced``; its failure, such as a full disk, must not stop the supervisor."""
        try:
            self._on_replaced(index, self._children[index])
        except StafettError as error:
            self._print_status(str(error))

    async def _start_replacement(self, exited: ChildProcess) -> ChildProcess:
        child = await ChildProcess.spawn(exited.spec)
        try:
            await child.wait_until_ready()
        except BaseException:
            await child.stop()
            raise
        return child
