"""From an accepted job to a running one; whatever cannot be started now is started later."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import structlog
from pydantic import BaseModel
from temporalio.client import Client, WorkflowUpdateFailedError, WorkflowUpdateRPCTimeoutOrCancelledError
from temporalio.service import RPCError

from stafett.domain.job import Job
from stafett.temporal.client import WorkflowRun, cancel_job, send_edit_update, start_attempt
from stafett.temporal.namespace import trigger_sweep

_INITIAL_BACKOFF_SECONDS, _MAX_BACKOFF_SECONDS = 1.0, 30.0
_SHUTDOWN_TIMEOUT_SECONDS = 5.0
_log = structlog.get_logger("stafett.api")


class JobDispatcher:
    """Starts runs behind the caller's back, and has the sweeper called for as long as a start is owed."""

    def __init__(self, client: Client, task_queue: str) -> None:
        self._client = client
        self._task_queue = task_queue
        self._tasks: set[asyncio.Task[None]] = set()
        self._sweep_needed = asyncio.Event()
        self._sweep_needed.set()  # an earlier gateway may have gone between accepting and starting

    def start(self, job: Job) -> None:
        """The job is accepted already, and whoever asked for it need not wait for Temporal."""
        self._in_background(self._call_or_defer(job, start_attempt(self._client, job, self._task_queue)))

    def cancel(self, job: Job) -> None:
        """It is written down that the job is to stop; its run hears of it from here, or from the sweeper."""
        self._in_background(self._call_or_defer(job, cancel_job(self._client, job)))

    def send_edit(self, run: WorkflowRun, edit: BaseModel) -> None:
        """What people have written down on a job is told to its run, which may as well not hear of it."""
        self._in_background(self._update_run(run, edit))

    def _in_background(self, call: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(call)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    @asynccontextmanager
    async def run(self) -> AsyncIterator[None]:
        """For the length of the gateway's life; calls under way have a few seconds more, and are owed then."""
        promises = asyncio.create_task(self._retry_sweep())
        try:
            yield
        finally:
            promises.cancel()
            await asyncio.wait({promises, *self._tasks}, timeout=_SHUTDOWN_TIMEOUT_SECONDS)

    async def _call_or_defer(self, job: Job, call: Awaitable[object]) -> None:
        try:
            await call
        except (RPCError, RuntimeError, TimeoutError) as error:
            _log.warning("temporal_call_deferred", workflow_id=job.workflow_id, error=type(error).__name__)
            self._sweep_needed.set()

    async def _update_run(self, run: WorkflowRun, edit: BaseModel) -> None:
        try:
            await send_edit_update(self._client, run, edit)
        except (RPCError, WorkflowUpdateFailedError, WorkflowUpdateRPCTimeoutOrCancelledError) as error:
            _log.info("run_update_failed", workflow_id=run.workflow_id, error=type(error).__name__)

    async def _retry_sweep(self) -> None:
        """Call the sweeper whenever something is owed, until it has been reached."""
        while True:
            await self._sweep_needed.wait()
            self._sweep_needed.clear()
            pause = _INITIAL_BACKOFF_SECONDS
            while not await self._trigger_sweep():
                await asyncio.sleep(pause)
                pause = min(2 * pause, _MAX_BACKOFF_SECONDS)

    async def _trigger_sweep(self) -> bool:
        try:
            await trigger_sweep(self._client)
        except Exception as error:  # noqa: BLE001 - whatever it is, a promise is kept later and not forgotten
            _log.info("sweep_trigger_failed", error=type(error).__name__)
            return False
        return True
