"""A psycopg connection that waits for the server's answer no longer than its deadline.

A stopped backend keeps its socket open, and the kernel acknowledges what is sent to it. No timeout of the server and
no TCP keepalive ends such a wait.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from time import monotonic
from typing import Any, TypeVar

import psycopg
from psycopg import Copy
from psycopg.abc import PQGen
from psycopg.rows import TupleRow

from stafett.domain.thread_progress import MAX_SILENCE, allow_silence, record_step

ReturnValue = TypeVar("ReturnValue")
_CHECK_INTERVAL_SECONDS = 0.1
_RECORDS_PER_WAIT = 1000


class DeadlineConnection(psycopg.Connection[TupleRow]):
    """Connection whose every wait, for a statement or for the next block of a ``COPY``, has a deadline."""

    response_timeout: timedelta | None = None
    on_timeout: Callable[[], None] | None = None

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.opened_at = monotonic()

    @contextmanager
    def allow_extra_time(self, extra: timedelta) -> Iterator[None]:
        """Declare that an answer may take longer during the block, because the server has rows to sort first."""
        if self.response_timeout is None:
            yield
            return
        earlier, self.response_timeout = self.response_timeout, self.response_timeout + extra
        try:
            with allow_silence(MAX_SILENCE + extra):
                yield
        finally:
            self.response_timeout = earlier

    def read_records(self, copy: Copy) -> Iterator[bytes]:
        """Yield the records of a ``COPY``. psycopg waits for each one, which takes longer than to read it."""
        while records := self.wait(_read_some(copy)):
            yield from records

    def wait(
        self, gen: PQGen[ReturnValue], interval: float = _CHECK_INTERVAL_SECONDS, timeout: float | None = None
    ) -> ReturnValue:
        """Wait for the server; close the connection and raise ``OperationalError`` when the deadline has passed."""
        record_step()
        if timeout is not None or self.response_timeout is None:
            return super().wait(gen, interval, timeout)
        deadline = self.response_timeout.total_seconds()
        started_at = monotonic()
        try:
            result = super().wait(gen, interval, deadline)
        except psycopg.OperationalError as error:
            if not self.closed and monotonic() - started_at >= deadline:
                if self.on_timeout:
                    self.on_timeout()
                self.pgconn.finish()  # its state is unknown; closing the socket needs no answer from the server
                raise psycopg.OperationalError("PostgreSQL did not answer in time.") from error
            raise
        record_step()
        return result


def _read_some(copy: Copy) -> PQGen[list[bytes]]:
    """Read up to some number of records, as psycopg reads one; return none at the end."""
    records = list[bytes]()
    while len(records) < _RECORDS_PER_WAIT and (record := (yield from copy._read_gen())):  # noqa: SLF001 - psycopg has no public generator
        records.append(bytes(record))
    return records
