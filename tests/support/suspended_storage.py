"""A clean-up that is suspended before its first deletion, like a worker that was stopped by SIGSTOP."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from threading import Event
from typing import Any

import psycopg
from pydantic import AnyHttpUrl

from stafett.settings import Settings
from stafett.storage.files import FileStorage
from stafett.storage.s3 import CANCELLATION_TIMEOUTS

_TIMEOUT_SECONDS = 120


class SuspendedStorage(FileStorage):
    """Storage that waits before it deletes a prefix, until the test resumes it."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings.s3)
        self.is_suspended, self.is_resumed = Event(), Event()

    def delete_prefix(self, prefix: str, **options: Any) -> None:
        self.is_suspended.set()
        assert self.is_resumed.wait(_TIMEOUT_SECONDS)
        super().delete_prefix(prefix, **options)


def connect_to_unavailable_storage(settings: Settings) -> FileStorage:
    """Return the storage of a cancellation, at an address where no server listens."""
    return FileStorage(
        settings.s3.model_copy(update={"endpoint": AnyHttpUrl("http://127.0.0.1:9")}), CANCELLATION_TIMEOUTS
    )


@asynccontextmanager
async def suspend_clean_up(
    storage: SuspendedStorage, clean_up: Callable[[], object], owner_url: str
) -> AsyncIterator[asyncio.Future[object]]:
    """Run the clean-up in a thread, suspended for the length of the block; the future is done after the block.

    PostgreSQL ends the transactions that it has open, as after ``idle_in_transaction_session_timeout``.
    """
    result = asyncio.ensure_future(asyncio.to_thread(clean_up))
    try:
        assert await asyncio.to_thread(storage.is_suspended.wait, _TIMEOUT_SECONDS)
        with psycopg.connect(owner_url, autocommit=True) as owner:
            owner.execute(
                "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
                " WHERE state = 'idle in transaction' AND pid <> pg_backend_pid()"
            )
        yield result
    finally:
        storage.is_resumed.set()
        await asyncio.wait([result])
