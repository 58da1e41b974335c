"""Logs refused requests and connections as counts per interval, so that a flood of them cannot fill the disk."""

import asyncio
import logging
import time
from collections.abc import Callable

import structlog

REPORT_INTERVAL_SECONDS = 10.0
_log = structlog.get_logger("stafett.api")


class RefusalLog:
    """Logs the first refusal of a kind at once, and further ones as a count at the end of each interval."""

    def __init__(self, interval_seconds: float = REPORT_INTERVAL_SECONDS) -> None:
        self._interval_seconds = interval_seconds
        self._counts: dict[str, int] = {}

    def record(self, event: str) -> None:
        """Count a refusal; it is called on the event loop."""
        if event in self._counts:
            self._counts[event] += 1
            return
        _log.warning(event, count=1)
        self._start_interval(event)

    def _start_interval(self, event: str) -> None:
        self._counts[event] = 0
        asyncio.get_running_loop().call_later(self._interval_seconds, self._end_interval, event)

    def _end_interval(self, event: str) -> None:
        if count := self._counts.pop(event):
            _log.warning(event, count=count, interval_seconds=self._interval_seconds)
            self._start_interval(event)


class RepetitionFilter(logging.Filter):
    """A filter for libraries' loggers: it passes a message once per interval, with the number of its repetitions."""

    def __init__(
        self, interval_seconds: float = REPORT_INTERVAL_SECONDS, clock: Callable[[], float] = time.monotonic
    ) -> None:
        super().__init__()
        self._interval_seconds = interval_seconds
        self._clock = clock
        self._messages: dict[str, tuple[float, int]] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        if record.levelno < logging.WARNING:
            return True
        message = str(record.msg).partition("\n")[0]  # the further lines of asyncio's messages differ
        logged_at, repetitions = self._messages.get(message, (-self._interval_seconds, 0))
        if self._clock() - logged_at < self._interval_seconds:
            self._messages[message] = logged_at, repetitions + 1
            return False
        if repetitions:
            record.repetitions = repetitions
        self._messages[message] = self._clock(), 0
        return True


def limit_repetitions(*logger_names: str) -> None:
    """Limit the repetitions of messages that clients can cause in libraries."""
    for name in logger_names:
        logging.getLogger(name).addFilter(RepetitionFilter())
