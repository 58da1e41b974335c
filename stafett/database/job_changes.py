"""Notifications about changed jobs and lost access, over one LISTEN connection for all waiting requests.

A commit that notifies waits for all others that do. Triggers therefore notify of what changes a job's state, and the
listener looks once a second for progress: one statement for all jobs that requests follow.
"""

import asyncio
import time
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from uuid import UUID

import psycopg
import structlog
from psycopg.conninfo import make_conninfo

from stafett.database.session import CONNECTION_OPTIONS

JOB_CHANGED_CHANNEL = "job_changed"
"""The channel that the tables' triggers notify of a job's state, with the job's id as payload."""

ACCESS_CHANGED_CHANNEL = "access_changed"
"""The channel that is notified when a user or an API key loses access, with its id as payload."""

_LISTEN_STATEMENT = f"LISTEN {JOB_CHANGED_CHANNEL}; LISTEN {ACCESS_CHANGED_CHANNEL}"
_BECOME_OPERATOR = "SELECT set_config('app.operator', 'on', false)"
"""For the session: the connection reads the counters of any job, and no column that a user writes."""

SELECT_CHANGES = "SELECT id, changes FROM job_revisions WHERE id = ANY(%s)"
_INITIAL_BACKOFF, _MAX_BACKOFF = 0.5, 10.0
_POLL_INTERVAL = 1.0
_RESPONSE_TIMEOUT = 16.0  # of a statement; a stopped backend never answers
_MALFORMED_LOG_INTERVAL = 60.0
_log = structlog.get_logger("stafett.job_changes")


class Subscription:
    """Subscription of one waiting request to one job, and to the access of its client."""

    def __init__(self, notifier: "JobNotifier") -> None:
        self._notifier = notifier
        self._notified = asyncio.Event()
        self.may_have_lost_access = False

    def notify(self) -> None:
        self._notified.set()

    async def wait_for_change(self, max_wait: float) -> bool:
        """Wait at most ``max_wait`` seconds, and return whether the job may have changed since the last call."""
        # Changes are missed while the connection is down, so callers then poll the job.
        seconds = max_wait if self._notifier.is_listening else min(max_wait, _POLL_INTERVAL)
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._notified.wait()
        may_have_changed = self._notified.is_set() or not self._notifier.is_listening
        self._notified.clear()
        return may_have_changed


class JobNotifier:
    """Dispatcher of notifications to subscriptions. After a reconnect it notifies all, so that no change is missed."""

    def __init__(self, url: str) -> None:
        self._conninfo = make_conninfo(url, **CONNECTION_OPTIONS)
        self._subscriptions: defaultdict[UUID, set[Subscription]] = defaultdict(set)
        self._followed_jobs: Counter[UUID] = Counter()
        self._changes: dict[UUID, int] = {}
        self.is_listening = False
        self.is_closing = False
        self._malformed_count, self._malformed_logged_at = 0, float("-inf")

    @contextmanager
    def subscribe(self, job_id: UUID, *client_ids: UUID) -> Iterator[Subscription]:
        """Subscribe to a job, and to a client's access, for the duration of the block; no change in it is missed."""
        subscription = Subscription(self)
        self._followed_jobs[job_id] += 1
        for subject_id in (job_id, *client_ids):
            self._subscriptions[subject_id].add(subscription)
        try:
            yield subscription
        finally:
            self._followed_jobs -= Counter([job_id])
            for subject_id in (job_id, *client_ids):
                self._subscriptions[subject_id].discard(subscription)
                if not self._subscriptions[subject_id]:
                    del self._subscriptions[subject_id]

    def close(self) -> None:
        """Stop all waiting, because the API shuts down."""
        self.is_closing = True
        self._notify_all()

    @asynccontextmanager
    async def run(self) -> AsyncIterator[None]:
        listener = asyncio.create_task(self._listen_and_reconnect())
        try:
            yield
        finally:
            listener.cancel()
            await asyncio.gather(listener, return_exceptions=True)

    async def _listen_and_reconnect(self) -> None:
        backoff = _INITIAL_BACKOFF
        while True:
            try:
                await self._listen()
            except (psycopg.Error, TimeoutError) as error:
                _log.warning("listen_connection_lost", error=type(error).__name__)
            except Exception:  # noqa: BLE001 - after any other error, the listener must start again too
                _log.exception("job_listener_failed")
            finally:
                backoff = _INITIAL_BACKOFF if self.is_listening else min(2 * backoff, _MAX_BACKOFF)
                self.is_listening = False
                self._notify_all()
            await asyncio.sleep(backoff)

    async def _listen(self) -> None:
        async with await psycopg.AsyncConnection.connect(self._conninfo, autocommit=True) as connection:
            await connection.execute(_LISTEN_STATEMENT)
            await connection.execute(_BECOME_OPERATOR)
            self.is_listening = True
            self._notify_all()
            while True:
                async for notification in connection.notifies(timeout=_POLL_INTERVAL):
                    self._dispatch(notification.channel, notification.payload)
                await self._look_for_progress(connection)

    async def _look_for_progress(self, connection: psycopg.AsyncConnection) -> None:
        """Notify the subscriptions to jobs whose counters have changed, or are read for the first time."""
        followed = [*self._followed_jobs]
        if not followed:
            self._changes = {}
            return
        async with asyncio.timeout(_RESPONSE_TIMEOUT):
            result = await connection.execute(SELECT_CHANGES, [followed])
            changes: dict[UUID, int] = dict(await result.fetchall())
        earlier, self._changes = self._changes, changes
        for job_id, count in changes.items():
            if count != earlier.get(job_id):
                self._notify_subscriptions(job_id)

    def _dispatch(self, channel: str, payload: str) -> None:
        try:
            subject_id = UUID(payload)
        except ValueError:
            self._log_malformed()
            return
        self._notify_subscriptions(subject_id, has_lost_access=channel == ACCESS_CHANGED_CHANNEL)

    def _notify_subscriptions(self, subject_id: UUID, *, has_lost_access: bool = False) -> None:
        for subscription in self._subscriptions.get(subject_id, ()):
            subscription.may_have_lost_access |= has_lost_access
            subscription.notify()

    def _log_malformed(self) -> None:
        """Log ignored payloads at most once a minute, because any role that may connect can send them."""
        self._malformed_count += 1
        if time.monotonic() - self._malformed_logged_at >= _MALFORMED_LOG_INTERVAL:
            _log.warning("malformed_job_notifications", count=self._malformed_count)
            self._malformed_count, self._malformed_logged_at = 0, time.monotonic()

    def _notify_all(self) -> None:
        for subscriptions in self._subscriptions.values():
            for subscription in subscriptions:
                subscription.may_have_lost_access = True
                subscription.notify()
