"""The two peers, each in its documented form for many small jobs, and with the chunks that ours has.

Their batches are as durable as ours: beginning and ending one is their engine's work too.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Self

from dbos import DBOS
from procrastinate import App, PsycopgConnector

from stafett.bulk import items
from stafett.bulk.items import ItemSelection
from stafett.bulk.registration import ProxyRegistration, register_with_fallback
from stafett.bulk.state import add_counts
from stafett.domain.bulk_job import BulkJob, Chunk

_CONCURRENCY = 4
JobPayload = dict[str, Any]
WaitForBatch = Callable[[BulkJob], Awaitable[None]]


def _register_item(registration: ProxyRegistration, job: BulkJob, chunk: int, position: int) -> None:
    with registration._database.transaction(job.org_id) as session:  # noqa: SLF001 - what nobody does but a peer here
        counts = add_counts(session, job, register_with_fallback(session, ItemSelection(job, chunk, position)))
    if counts.pending == 0:  # whoever was the last ends the batch, as with a chunk
        registration.finish(job)


def _list_pending_items(registration: ProxyRegistration, job: BulkJob) -> list[tuple[int, int]]:
    """Every pending item, and its chunk."""
    chunks = registration.start_attempt(job).pending_chunks
    with registration._database.transaction(job.org_id) as session:  # noqa: SLF001 - the same
        return [
            (chunk, at) for chunk in chunks for at in items.list_pending_positions(session, ItemSelection(job, chunk))
        ]


class ProcrastinatePeer:
    """Jobs deferred together, and a worker that is told of them; ``over`` waits for the batch's end."""

    def __init__(self, url: str, registration: ProxyRegistration, wait_for_batch: WaitForBatch) -> None:
        self._registration = registration
        self._wait_for_batch = wait_for_batch
        self._app = App(connector=PsycopgConnector(conninfo=url))
        self._batch_task = self._app.task(name="batch")(self._register_batch)
        self._chunk_task = self._app.task(name="chunk")(self._register_chunk)
        self._item_task = self._app.task(name="item")(self._register_item)

    async def __aenter__(self) -> Self:
        await self._app.open_async()
        await self._app.schema_manager.apply_schema_async()
        working = self._app.run_worker_async(concurrency=_CONCURRENCY, install_signal_handlers=False)
        self._worker_task = asyncio.create_task(working)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._worker_task.cancel()
        await asyncio.gather(self._worker_task, return_exceptions=True)
        await self._app.close_async()

    async def run_by_chunks(self, job: BulkJob) -> None:
        await self._batch_task.defer_async(payload=job.model_dump(mode="json"), by_items=False)
        await self._wait_for_batch(job)

    async def run_by_items(self, job: BulkJob) -> None:
        await self._batch_task.defer_async(payload=job.model_dump(mode="json"), by_items=True)
        await self._wait_for_batch(job)

    async def _register_batch(self, *, payload: JobPayload, by_items: bool) -> None:
        """Its items or chunks are deferred together."""
        job = BulkJob.model_validate(payload)
        if by_items:
            items = await asyncio.to_thread(_list_pending_items, self._registration, job)
            alone: list[JobPayload] = [{"payload": payload, "chunk": chunk, "position": at} for chunk, at in items]
            await self._item_task.batch_defer_async(*alone)
        else:
            plan = await asyncio.to_thread(self._registration.start_attempt, job)
            together: list[JobPayload] = [{"payload": payload, "number": number} for number in plan.pending_chunks]
            await self._chunk_task.batch_defer_async(*together)

    async def _register_chunk(self, *, payload: JobPayload, number: int) -> None:
        chunk = Chunk(job=BulkJob.model_validate(payload), number=number)
        await asyncio.to_thread(self._registration.register_chunk, chunk)

    async def _register_item(self, *, payload: JobPayload, chunk: int, position: int) -> None:
        job = BulkJob.model_validate(payload)
        await asyncio.to_thread(_register_item, self._registration, job, chunk, position)


class DbosPeer:
    """Workflows enqueued at a queue of limited concurrency, and waited for."""

    def __init__(self, url: str, registration: ProxyRegistration) -> None:
        DBOS(config={"name": "bench", "system_database_url": url, "log_level": "ERROR"})
        step = DBOS.step()

        @step
        def chunk_step(payload: JobPayload, number: int) -> None:
            registration.register_chunk(Chunk(job=BulkJob.model_validate(payload), number=number))

        @step
        def item_step(payload: JobPayload, chunk: int, position: int) -> None:
            _register_item(registration, BulkJob.model_validate(payload), chunk, position)

        @step
        def begin_step(payload: JobPayload, *, by_items: bool) -> list[tuple[int, ...]]:
            job = BulkJob.model_validate(payload)
            return (
                list(_list_pending_items(registration, job))
                if by_items
                else [(at,) for at in registration.start_attempt(job).pending_chunks]
            )

        @DBOS.workflow()
        def chunk_workflow(payload: JobPayload, number: int) -> None:
            chunk_step(payload, number)

        @DBOS.workflow()
        def item_workflow(payload: JobPayload, chunk: int, position: int) -> None:
            item_step(payload, chunk, position)

        @DBOS.workflow()
        def batch_workflow(payload: JobPayload, *, by_items: bool) -> None:
            one: Callable[..., None] = item_workflow if by_items else chunk_workflow
            for handle in [
                self._queue.enqueue(one, payload, *where) for where in begin_step(payload, by_items=by_items)
            ]:
                handle.get_result()

        self._batch_workflow = batch_workflow

    async def __aenter__(self) -> Self:
        await asyncio.to_thread(self._launch)
        return self

    async def __aexit__(self, *_: object) -> None:
        await asyncio.to_thread(DBOS.destroy)

    def _launch(self) -> None:
        DBOS.launch()
        self._queue = DBOS.register_queue("bulk", worker_concurrency=_CONCURRENCY, polling_interval_sec=0.02)

    async def run_by_chunks(self, job: BulkJob) -> None:
        await asyncio.to_thread(self._batch_workflow, job.model_dump(mode="json"), by_items=False)

    async def run_by_items(self, job: BulkJob) -> None:
        await asyncio.to_thread(self._batch_workflow, job.model_dump(mode="json"), by_items=True)
