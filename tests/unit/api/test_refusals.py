"""Counts of refusals in the log, instead of a line for each."""

import asyncio
import logging

from structlog.testing import capture_logs

from api.refusals import RefusalLog, RepetitionFilter
from stafett.testing import wait_until


async def test_flood_of_refusals_is_logged_as_one_line_and_a_count() -> None:
    refusals = RefusalLog(interval_seconds=0.05)
    with capture_logs() as logs:
        for _ in range(1000):
            refusals.record("requests_refused")

        async def count_lines() -> int:
            return len(logs)

        await wait_until(count_lines, lambda count: count == 2)
    assert [entry["count"] for entry in logs] == [1, 999]


async def test_kinds_of_refusals_are_counted_separately() -> None:
    refusals = RefusalLog(interval_seconds=60)
    with capture_logs() as logs:
        refusals.record("requests_refused")
        refusals.record("connections_refused")
    await asyncio.sleep(0)
    assert [entry["event"] for entry in logs] == ["requests_refused", "connections_refused"]


def _create_record(message: str, level: int = logging.WARNING) -> logging.LogRecord:
    return logging.LogRecord("uvicorn.error", level, __file__, 1, message, None, None)


def test_repeated_message_of_a_library_passes_once_per_interval() -> None:
    now = 0.0
    repetitions = RepetitionFilter(interval_seconds=10, clock=lambda: now)
    passed = [repetitions.filter(_create_record("Invalid HTTP request received.\nsocket 7")) for _ in range(100)]
    assert passed == [True, *[False] * 99]
    now = 11.0
    record = _create_record("Invalid HTTP request received.\nsocket 8")
    assert repetitions.filter(record)
    assert record.__dict__["repetitions"] == 99


def test_different_messages_and_information_always_pass() -> None:
    repetitions = RepetitionFilter(interval_seconds=10, clock=lambda: 0.0)
    assert all(repetitions.filter(_create_record(f"error {number}")) for number in range(3))
    assert all(repetitions.filter(_create_record("started", logging.INFO)) for _ in range(3))
