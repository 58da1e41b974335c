"""Who waits for a job hears of its changes: one connection listens, however many wait."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from uuid import UUID

import psycopg
import structlog
from psycopg.conninfo import make_conninfo

from stafett.database.session import NOTICES_A_DEAD_PEER

CHANNEL = "job_changed"
"""What the tables' triggers notify, with the job's id."""

_LISTEN = f"LISTEN {CHANNEL}"
_FIRST_PAUSE, _LONGEST_PAUSE = 0.5, 10.0
_DEAF_PAUSE = 1.0
_log = structlog.get_logger("stafett.changes")


class Watch:
    """One job, watched by one waiter."""

    def __init__(self, changes: "JobChanges") -> None:
        self._changes = changes
        self._told = asyncio.Event()

    def tell(self) -> None:
        self._told.set()

    async def changed(self, within: float) -> bool:
        """Whether the job may have changed since it was last asked; while nobody listens, that is soon."""
        seconds = within if self._changes.hears else min(within, _DEAF_PAUSE)
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._told.wait()
        may_have = self._told.is_set() or not self._changes.hears
        self._told.clear()
        return may_have


class JobChanges:
    """A connection that is lost is made anew, and then everybody looks again: nothing is missed."""

    def __init__(self, url: str) -> None:
        self._conninfo = make_conninfo(url, **NOTICES_A_DEAD_PEER)
        self._watches: defaultdict[UUID, set[Watch]] = defaultdict(set)
        self.hears = False
        self.is_closing = False

    @contextmanager
    def of(self, job_id: UUID) -> Iterator[Watch]:
        """From the beginning of the block on no change is missed."""
        watch = Watch(self)
        self._watches[job_id].add(watch)
        try:
            yield watch
        finally:
            self._watches[job_id].discard(watch)
            if not self._watches[job_id]:
                del self._watches[job_id]

    def close(self) -> None:
        """Let nobody wait any longer: the gateway is about to go."""
        self.is_closing = True
        self._tell_all()

    @asynccontextmanager
    async def at_work(self) -> AsyncIterator[None]:
        listening = asyncio.create_task(self._listen_for_ever())
        try:
            yield
        finally:
            listening.cancel()
            await asyncio.gather(listening, return_exceptions=True)

    async def _listen_for_ever(self) -> None:
        pause = _FIRST_PAUSE
        while True:
            try:
                await self._listen()
            except psycopg.Error as error:
                pause = _FIRST_PAUSE if self.hears else min(2 * pause, _LONGEST_PAUSE)
                _log.warning("changes_not_heard", error=type(error).__name__)
            finally:
                self.hears = False
                self._tell_all()
            await asyncio.sleep(pause)

    async def _listen(self) -> None:
        async with await psycopg.AsyncConnection.connect(self._conninfo, autocommit=True) as connection:
            await connection.execute(_LISTEN)
            self.hears = True
            self._tell_all()
            async for told in connection.notifies():
                for watch in self._watches.get(UUID(told.payload), ()):
                    watch.tell()

    def _tell_all(self) -> None:
        for watches in self._watches.values():
            for watch in watches:
                watch.tell()
