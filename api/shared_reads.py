"""Reads that concurrent requests share, so that many waiting clients cost one query and not many."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Generic, TypeVar

Key = TypeVar("Key")
Value = TypeVar("Value")


class BatchedRead(Generic[Key, Value]):
    """A read of the values of many keys.

    A caller that arrives during a run waits for the next one, which it shares with all others that arrived meanwhile.
    A value is therefore never older than the call. With ``max_wait_seconds``, the next run waits no longer for one that
    hangs.
    """

    def __init__(
        self, read: Callable[[Sequence[Key]], Awaitable[Sequence[Value]]], *, max_wait_seconds: float | None = None
    ) -> None:
        self._read = read
        self._max_wait_seconds = max_wait_seconds
        self._keys: dict[Key, None] = {}
        self._running: asyncio.Task[Mapping[Key, Value]] | None = None
        self._pending: asyncio.Task[Mapping[Key, Value]] | None = None

    async def get(self, key: Key) -> Value:
        """Return the key's value, read after this call."""
        self._keys[key] = None
        if self._pending is None:
            self._pending = asyncio.create_task(self._run_after(self._running))
            self._pending.add_done_callback(_retrieve_exception)
        values = await asyncio.shield(self._pending)  # a caller that is cancelled leaves the read to the others
        return values[key]

    async def _run_after(self, previous: "asyncio.Task[Mapping[Key, Value]] | None") -> Mapping[Key, Value]:
        if previous is not None:
            await asyncio.wait({previous}, timeout=self._max_wait_seconds)
        self._running, self._pending = self._pending, None
        keys, self._keys = tuple(self._keys), {}
        return dict(zip(keys, await self._read(keys), strict=True))


class SharedRead(Generic[Value]):
    """A read of one value that runs at most once at a time, for all callers that arrived before it."""

    def __init__(self, read: Callable[[], Awaitable[Value]]) -> None:
        async def read_one(_keys: Sequence[None]) -> Sequence[Value]:
            return [await read()]

        self._batch = BatchedRead[None, Value](read_one)

    async def get(self) -> Value:
        """Return a value that is read after this call."""
        return await self._batch.get(None)


def _retrieve_exception(task: "asyncio.Task[Value]") -> None:
    """Mark the exception as retrieved, because all of the callers may have been cancelled."""
    if not task.cancelled():
        task.exception()
