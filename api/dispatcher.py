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

_FIRST_PAUSE, _LONGEST_PAUSE = 1.0, 30.0
_LAST_CALLS_WITHIN = 5.0
_log = structlog.get_logger("stafett.api")


class JobStarter:
    """Starts runs behind the caller's back, and has the sweeper called for as long as a start is owed."""

    def __init__(self, client: Client, task_queue: str) -> None:
        self._client = client
        self._task_queue = task_queue
        self._starting: set[asyncio.Task[None]] = set()
        self._owed = asyncio.Event()
        self._owed.set()  # an earlier gateway may have gone between accepting and starting

    def start(self, job: Job) -> None:
        """The job is accepted already, and whoever asked for it need not wait for Temporal."""
        self._behind_the_callers_back(self._made(job, start_attempt(self._client, job, self._task_queue)))

    def stop(self, job: Job) -> None:
        """It is written down that the job is to stop; its run hears of it from here, or from the sweeper."""
        self._behind_the_callers_back(self._made(job, cancel_job(self._client, job)))

    def tell(self, run: WorkflowRun, edited: BaseModel) -> None:
        """What people have written down on a job is told to its run, which may as well not hear of it."""
        self._behind_the_callers_back(self._told(run, edited))

    def _behind_the_callers_back(self, call: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(call)
        self._starting.add(task)
        task.add_done_callback(self._starting.discard)

    @asynccontextmanager
    async def at_work(self) -> AsyncIterator[None]:
        """For the length of the gateway's life; calls under way have a few seconds more, and are owed then."""
        promises = asyncio.create_task(self._keep_promises())
        try:
            yield
        finally:
            promises.cancel()
            await asyncio.wait({promises, *self._starting}, timeout=_LAST_CALLS_WITHIN)

    async def _made(self, job: Job, call: Awaitable[object]) -> None:
        try:
            await call
        except (RPCError, RuntimeError, TimeoutError) as error:
            _log.warning("call_owed", workflow_id=job.workflow_id, error=type(error).__name__)
            self._owed.set()

    async def _told(self, run: WorkflowRun, edited: BaseModel) -> None:
        try:
            await send_edit_update(self._client, run, edited)
        except (RPCError, WorkflowUpdateFailedError, WorkflowUpdateRPCTimeoutOrCancelledError) as error:
            _log.info("run_not_told", workflow_id=run.workflow_id, error=type(error).__name__)

    async def _keep_promises(self) -> None:
        """Call the sweeper whenever something is owed, until it has been reached."""
        while True:
            await self._owed.wait()
            self._owed.clear()
            pause = _FIRST_PAUSE
            while not await self._sweeper_called():
                await asyncio.sleep(pause)
                pause = min(2 * pause, _LONGEST_PAUSE)

    async def _sweeper_called(self) -> bool:
        try:
            await trigger_sweep(self._client)
        except Exception as error:  # noqa: BLE001 - whatever it is, a promise is kept later and not forgotten
            _log.info("sweeper_not_reached", error=type(error).__name__)
            return False
        return True
