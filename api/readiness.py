"""Readiness probes of PostgreSQL, Temporal and S3."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Literal

from anyio import CapacityLimiter, to_thread
from temporalio.client import Client

from stafett.database.session import Database
from stafett.storage.files import FileStorage

ProbeState = Literal["ok", "away"]
_PROBE_TIMEOUT = timedelta(seconds=3)


class Probe:
    """A health check of one dependency. Concurrent callers share one ping, so that polling cannot pile up pings."""

    def __init__(self, ping: Callable[[], Awaitable[object]], timeout: timedelta = _PROBE_TIMEOUT) -> None:
        self._ping = ping
        self._timeout_seconds = timeout.total_seconds()
        self._pending: asyncio.Task[ProbeState] | None = None

    async def check(self) -> ProbeState:
        if self._pending is None or self._pending.done():
            self._pending = asyncio.create_task(self._run_ping())
        ping = self._pending  # a later caller may replace it during the wait
        await asyncio.wait({ping}, timeout=self._timeout_seconds)
        return ping.result() if ping.done() else "away"

    async def _run_ping(self) -> ProbeState:
        try:
            await self._ping()
        except Exception:  # noqa: BLE001 - any error means that the dependency is unavailable
            return "away"
        return "ok"


@dataclass(frozen=True)
class Probes:
    """The probes of one API process."""

    database: Probe
    temporal: Probe
    s3: Probe

    @classmethod
    def from_clients(cls, database: Database, temporal: Client, storage: FileStorage) -> "Probes":
        """Create the probes; each ping has its own thread, because requests that hang occupy all of the others."""
        ping_database = partial(to_thread.run_sync, database.ping, limiter=CapacityLimiter(1))
        ping_s3 = partial(to_thread.run_sync, storage.ping, limiter=CapacityLimiter(1))
        return cls(
            database=Probe(ping_database),
            temporal=Probe(lambda: temporal.service_client.check_health(timeout=_PROBE_TIMEOUT)),
            s3=Probe(ping_s3),
        )
