"""Whether what the gateway stands on answers."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Literal

from fastapi.concurrency import run_in_threadpool
from temporalio.client import Client

from stafett.database.session import Database
from stafett.storage.files import FileStorage

State = Literal["ok", "away"]
_PATIENCE = timedelta(seconds=3)


class Probe:
    """One question to one part, however many want to know: until it is answered, it is not asked again."""

    def __init__(self, ask: Callable[[], Awaitable[object]], patience: timedelta = _PATIENCE) -> None:
        self._ask = ask
        self._patience = patience.total_seconds()
        self._asked: asyncio.Task[State] | None = None

    async def state(self) -> State:
        if self._asked is None or self._asked.done():
            self._asked = asyncio.create_task(self._answer())
        asked = self._asked
        await asyncio.wait({asked}, timeout=self._patience)
        return asked.result() if asked.done() else "away"

    async def _answer(self) -> State:
        try:
            await self._ask()
        except Exception:  # noqa: BLE001 - whatever it is, the part cannot be relied on now
            return "away"
        return "ok"


@dataclass(frozen=True)
class Probes:
    """One of each part, for the length of the gateway's life."""

    database: Probe
    temporal: Probe
    s3: Probe

    @classmethod
    def of(cls, database: Database, temporal: Client, storage: FileStorage) -> "Probes":
        return cls(
            database=Probe(lambda: run_in_threadpool(database.ping)),
            temporal=Probe(lambda: temporal.service_client.check_health(timeout=_PATIENCE)),
            s3=Probe(lambda: run_in_threadpool(storage.ping)),
        )
