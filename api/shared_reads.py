"""Reads that concurrent requests share, so that many waiting clients cost one query and not many."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

Value = TypeVar("Value")


class SharedRead(Generic[Value]):
    """A read that runs at most once at a time.

    A caller that arrives during a run waits for the next one, which it shares with all others that arrived meanwhile.
    The value is therefore never older than the call.
    """

    def __init__(self, read: Callable[[], Awaitable[Value]]) -> None:
        self._read = read
        self._running: asyncio.Task[Value] | None = None
        self._pending: asyncio.Task[Value] | None = None

    async def get(self) -> Value:
        """Return a value that is read after this call."""
        if self._pending is None:
            self._pending = asyncio.create_task(self._run_after(self._running))
            self._pending.add_done_callback(_retrieve_exception)
        return await asyncio.shield(self._pending)  # a caller that is cancelled leaves the read to the others

    async def _run_after(self, previous: "asyncio.Task[Value] | None") -> Value:
        if previous is not None:
            await asyncio.wait({previous})
        self._running, self._pending = self._pending, None
        return await self._read()


def _retrieve_exception(task: "asyncio.Task[Value]") -> None:
    """Mark the exception as retrieved, because all of the callers may have been cancelled."""
    if not task.cancelled():
        task.exception()
