"""Start and shutdown of SDK workers."""

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

import structlog
from temporalio.worker import Worker

_SHUTDOWN_TIMEOUT = timedelta(seconds=20)
_log = structlog.get_logger("stafett.worker")


@asynccontextmanager
async def run_workers(*workers: Worker) -> AsyncIterator[None]:
    """Run the workers during a block and stop them together; a fatal error of a worker ends the block.

    The SDK sometimes waits for ever for a poll that the server never answers (temporalio/sdk-rust#1297), so that the
    shutdown has a timeout.
    """
    for worker in workers:
        await worker.__aenter__()
    try:
        yield
    finally:
        error_type = sys.exc_info()[0]
        shutdowns = [asyncio.create_task(worker.__aexit__(error_type)) for worker in workers]
        stopped, hanging = await asyncio.wait(shutdowns, timeout=_SHUTDOWN_TIMEOUT.total_seconds())
        if hanging:
            _log.warning("worker_shutdown_timed_out", hanging_workers=len(hanging))
            for shutdown in hanging:
                shutdown.cancel()
        for shutdown in stopped:
            shutdown.result()
