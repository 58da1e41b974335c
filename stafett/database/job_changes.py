"""Who waits for a job hears of its changes: one connection listens, however many wait."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from uuid import UUID

import psycopg
import structlog
from psycopg.conninfo import make_conninfo

from stafett.database.session import KEEPALIVE_OPTIONS

JOB_CHANGED_CHANNEL = "job_changed"
"""What the tables' triggers notify, with the job's id."""

_LISTEN_STATEMENT = f"LISTEN {JOB_CHANGED_CHANNEL}"
_INITIAL_BACKOFF, _MAX_BACKOFF = 0.5, 10.0
_POLL_INTERVAL = 1.0
_log = structlog.get_logger("stafett.job_changes")


class Subscription:
    """One job, watched by one waiter."""

    def __init__(self, notifier: "JobNotifier") -> None:
        self._notifier = notifier
        self._notified = asyncio.Event()

    def notify(self) -> None:
        self._notified.set()

    async def wait_for_change(self, max_wait: float) -> bool:
        """Whether the job may have changed since it was last asked; while nobody listens, that is soon."""
        seconds = max_wait if self._notifier.is_listening else min(max_wait, _POLL_INTERVAL)
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._notified.wait()
        may_have = self._notified.is_set() or not self._notifier.is_listening
        self._notified.clear()
        return may_have


class JobNotifier:
    """A connection that is lost is made anew, and then everybody looks again: nothing is missed."""

    def __init__(self, url: str) -> None:
        self._conninfo = make_conninfo(url, **KEEPALIVE_OPTIONS)
        self._subscriptions: defaultdict[UUID, set[Subscription]] = defaultdict(set)
        self.is_listening = False
        self.is_closing = False

    @contextmanager
    def subscribe(self, job_id: UUID) -> Iterator[Subscription]:
        """From the beginning of the block on no change is missed."""
        watch = Subscription(self)
        self._subscriptions[job_id].add(watch)
        try:
            yield watch
        finally:
            self._subscriptions[job_id].discard(watch)
            if not self._subscriptions[job_id]:
                del self._subscriptions[job_id]

    def close(self) -> None:
        """Let nobody wait any longer: the gateway is about to go."""
        self.is_closing = True
        self._notify_all()

    @asynccontextmanager
    async def run(self) -> AsyncIterator[None]:
        listening = asyncio.create_task(self._listen_and_reconnect())
        try:
            yield
        finally:
            listening.cancel()
            await asyncio.gather(listening, return_exceptions=True)

    async def _listen_and_reconnect(self) -> None:
        pause = _INITIAL_BACKOFF
        while True:
            try:
                await self._listen()
            except psycopg.Error as error:
                pause = _INITIAL_BACKOFF if self.is_listening else min(2 * pause, _MAX_BACKOFF)
                _log.warning("listen_connection_lost", error=type(error).__name__)
            finally:
                self.is_listening = False
                self._notify_all()
            await asyncio.sleep(pause)

    async def _listen(self) -> None:
        async with await psycopg.AsyncConnection.connect(self._conninfo, autocommit=True) as connection:
            await connection.execute(_LISTEN_STATEMENT)
            self.is_listening = True
            self._notify_all()
            async for told in connection.notifies():
                for watch in self._subscriptions.get(UUID(told.payload), ()):
                    watch.notify()

    def _notify_all(self) -> None:
        for watches in self._subscriptions.values():
            for watch in watches:
                watch.notify()
