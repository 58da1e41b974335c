"""Workers of the SDK, and how they are stopped."""

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
    """Workers for the length of a block, stopped all at once; one that cannot go on ends the block, and says why.

    Now and then the SDK waits for ever for a poll that the server does not answer any more (temporalio/sdk-rust#1297);
    then we do not.
    """
    for worker in workers:
        await worker.__aenter__()
    try:
        yield
    finally:
        broken_off_by = sys.exc_info()[0]
        stopping = [asyncio.create_task(worker.__aexit__(broken_off_by)) for worker in workers]
        stopped, hanging = await asyncio.wait(stopping, timeout=_SHUTDOWN_TIMEOUT.total_seconds())
        if hanging:
            _log.warning("worker_shutdown_timed_out", hanging=len(hanging))
            for one in hanging:
                one.cancel()
        for one in stopped:
            one.result()
