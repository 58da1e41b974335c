"""Calls Temporal for accepted jobs in the background, and defers to the sweeper what Temporal could not take."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from typing import Any

import structlog
from fastapi.concurrency import run_in_threadpool
from pydantic import BaseModel
from temporalio.client import Client, WorkflowUpdateFailedError, WorkflowUpdateRPCTimeoutOrCancelledError
from temporalio.service import RPCError

from stafett.domain.errors import ServiceUnavailableError
from stafett.domain.export_job import ExportJob
from stafett.domain.job import Job
from stafett.temporal.client import WorkflowRun, cancel_job, send_edit_update, start_attempt
from stafett.temporal.codec import PayloadDecryptionError
from stafett.temporal.namespace import trigger_sweep, trigger_verification

_INITIAL_BACKOFF_SECONDS, _MAX_BACKOFF_SECONDS = 1.0, 30.0
_SHUTDOWN_TIMEOUT_SECONDS = 5.0
_log = structlog.get_logger("stafett.api")


class JobDispatcher:
    """Starts workflows in the background; after a failed call, triggers the sweeper until a trigger succeeds."""

    def __init__(self, client: Client, task_queue: str, record_unavailable: Callable[[ExportJob, str], None]) -> None:
        self._client = client
        self._task_queue = task_queue
        self._record_unavailable = record_unavailable
        self._tasks: set[asyncio.Task[None]] = set()
        self._sweep_needed = asyncio.Event()
        self._sweep_needed.set()  # an earlier process may have ended between accepting and starting

    def start(self, job: Job) -> None:
        """Start the workflow of an accepted job; the caller does not wait for Temporal."""
        self._in_background(self._call_or_defer(job, start_attempt(self._client, job, self._task_queue)))

    def cancel(self, job: Job) -> None:
        """Signal the workflow to stop; its row is `cancelling` already, so the sweeper does it if this call fails."""
        self._in_background(self._call_or_defer(job, cancel_job(self._client, job)))

    def send_edit(self, run: WorkflowRun, edit: BaseModel) -> None:
        """Send the run an update for an edit that is committed already; a lost update does no harm."""
        self._in_background(self._update_run(run, edit))

    def verify_audit_chains(self) -> None:
        """Start the verification of the audit chains that are due; if the call fails, the schedule does it later."""
        self._in_background(self._trigger_verification())

    def _in_background(self, call: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(call)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    @asynccontextmanager
    async def run(self) -> AsyncIterator[None]:
        """Trigger a sweep at the start and after failed calls; at the end, give calls in progress a few seconds."""
        sweep_retry = asyncio.create_task(self._sweep_when_needed())
        try:
            yield
        finally:
            sweep_retry.cancel()
            await asyncio.wait({sweep_retry, *self._tasks}, timeout=_SHUTDOWN_TIMEOUT_SECONDS)

    async def _call_or_defer(self, job: Job, call: Awaitable[object]) -> None:
        try:
            await call
        except (RPCError, RuntimeError, TimeoutError, PayloadDecryptionError) as error:
            _log.warning("temporal_call_deferred", workflow_id=job.workflow_id, error=type(error).__name__)
            self._sweep_needed.set()
            await self._record_waiting(job)

    async def _record_waiting(self, job: Job) -> None:
        """Let the status of an export name Temporal, which its start waits for, instead of a worker."""
        if isinstance(job, ExportJob):
            with suppress(ServiceUnavailableError):
                await run_in_threadpool(self._record_unavailable, job, "Temporal")

    async def _update_run(self, run: WorkflowRun, edit: BaseModel) -> None:
        try:
            await send_edit_update(self._client, run, edit)
        except (RPCError, WorkflowUpdateFailedError, WorkflowUpdateRPCTimeoutOrCancelledError) as error:
            _log.info("run_update_failed", workflow_id=run.workflow_id, error=type(error).__name__)

    async def _trigger_verification(self) -> None:
        try:
            await trigger_verification(self._client)
        except (RPCError, RuntimeError, TimeoutError) as error:
            _log.warning("verification_trigger_failed", error=type(error).__name__)

    async def _sweep_when_needed(self) -> None:
        """Trigger the sweeper whenever a call was deferred, with exponential backoff until it succeeds."""
        while True:
            await self._sweep_needed.wait()
            self._sweep_needed.clear()
            backoff = _INITIAL_BACKOFF_SECONDS
            while not await self._trigger_sweep():
                await asyncio.sleep(backoff)
                backoff = min(2 * backoff, _MAX_BACKOFF_SECONDS)

    async def _trigger_sweep(self) -> bool:
        try:
            await trigger_sweep(self._client)
        except Exception as error:  # noqa: BLE001 - the retry loop must survive any error
            _log.info("sweep_trigger_failed", error=type(error).__name__)
            return False
        return True
