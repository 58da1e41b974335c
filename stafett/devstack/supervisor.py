"""Keeps processes alive: what dies is reported and started again."""

import asyncio
import time
from collections.abc import Callable, Iterable

from stafett.devstack.child_process import Child
from stafett.domain.errors import StafettError

_FIRST_PAUSE, _LONGEST_PAUSE = 0.1, 10.0
_STABLE_SECONDS = 60.0


class Supervisor:
    """Watches children, replaces those that end; ``replaced`` hears of it, with the place of the new one."""

    def __init__(
        self,
        children: Iterable[Child],
        report: Callable[[str], None],
        replaced: Callable[[int, Child], None],
    ) -> None:
        self._children = list(children)
        self._report = report
        self._replaced = replaced

    async def watch(self) -> None:
        """Never returns; cancel it before the children are stopped on purpose."""
        async with asyncio.TaskGroup() as watching:
            for place in range(len(self._children)):
                watching.create_task(self._keep_alive(place))

    async def _keep_alive(self, place: int) -> None:
        pause = _FIRST_PAUSE
        while True:
            child, since = self._children[place], time.monotonic()
            await child.wait()
            child.kill()  # what it started goes with it
            pause = _FIRST_PAUSE if time.monotonic() - since > _STABLE_SECONDS else pause
            pause = await self._replace(place, pause)

    async def _replace(self, place: int, pause: float) -> float:
        """Start it again until it stands; returns the pause before the next time."""
        fallen = self._children[place]
        story = f"{fallen.name} (pid {fallen.pid}) {fallen.obituary()}"
        self._report(f"{story}; it is being restarted.")
        while True:
            await asyncio.sleep(pause)
            pause = min(pause * 2, _LONGEST_PAUSE)
            try:
                self._children[place] = await self._start_again(fallen)
            except StafettError as fault:
                self._report(f"{fault} Next try in {pause:.1f} s.")
                continue
            self._report(f"{story}; restarted as pid {self._children[place].pid}.")
            self._tell_of_change(place)
            return pause

    def _tell_of_change(self, place: int) -> None:
        """A full disk must not take down what runs."""
        try:
            self._replaced(place, self._children[place])
        except StafettError as fault:
            self._report(str(fault))

    async def _start_again(self, fallen: Child) -> Child:
        child = await Child.spawn(fallen.launch)
        try:
            await child.wait_ready()
        except BaseException:
            await child.stop()
            raise
        return child
