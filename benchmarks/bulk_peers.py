"""Bulk registration with Procrastinate and DBOS Transact, by chunks as in Stafett and with one job per item.

Each is used as its documentation describes for many small jobs. Starting and completing a batch are durable jobs too.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Self

from dbos import DBOS
from procrastinate import App, PsycopgConnector

from stafett.bulk import items
from stafett.bulk.items import ItemSelection
from stafett.bulk.registration import BatchProcessor, add_counts, register_with_fallback
from stafett.domain.bulk_job import BulkJob, Chunk

_CONCURRENCY = 4
JobPayload = dict[str, Any]
WaitForBatch = Callable[[BulkJob], Awaitable[None]]


def _register_item(registration: BatchProcessor, job: BulkJob, chunk: int, position: int) -> None:
    with registration._database.transaction(job.org_id) as session:  # noqa: SLF001 - the product registers no single items
        counts = add_counts(session, job, register_with_fallback(session, ItemSelection(job, chunk, position)))
    if counts.pending == 0:  # the last item completes the batch, like the last chunk
        registration.finish(job)


def _list_pending_items(registration: BatchProcessor, job: BulkJob) -> list[tuple[int, int]]:
    """List chunk and position of every pending item."""
    chunks = registration.start_attempt(job).pending_chunks
    with registration._database.transaction(job.org_id) as session:  # noqa: SLF001 - as above
        return [
            (chunk, position)
            for chunk in chunks
            for position in items.list_pending_positions(session, ItemSelection(job, chunk))
        ]


class ProcrastinatePeer:
    """Batches as Procrastinate jobs, which a worker in this process runs when PostgreSQL notifies it."""

    def __init__(self, url: str, registration: BatchProcessor, wait_for_batch: WaitForBatch) -> None:
        self._registration = registration
        self._wait_for_batch = wait_for_batch
        self._app = App(connector=PsycopgConnector(conninfo=url))
        self._batch_task = self._app.task(name="batch")(self._register_batch)
        self._chunk_task = self._app.task(name="chunk")(self._register_chunk)
        self._item_task = self._app.task(name="item")(self._register_item)

    async def __aenter__(self) -> Self:
        await self._app.open_async()
        await self._app.schema_manager.apply_schema_async()
        run_worker = self._app.run_worker_async(concurrency=_CONCURRENCY, install_signal_handlers=False)
        self._worker_task = asyncio.create_task(run_worker)
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
        """Defer a job for each item or chunk, all in one call."""
        job = BulkJob.model_validate(payload)
        if by_items:
            items = await asyncio.to_thread(_list_pending_items, self._registration, job)
            item_args: list[JobPayload] = [
                {"payload": payload, "chunk": chunk, "position": position} for chunk, position in items
            ]
            await self._item_task.batch_defer_async(*item_args)
        else:
            plan = await asyncio.to_thread(self._registration.start_attempt, job)
            chunk_args: list[JobPayload] = [{"payload": payload, "number": number} for number in plan.pending_chunks]
            await self._chunk_task.batch_defer_async(*chunk_args)

    async def _register_chunk(self, *, payload: JobPayload, number: int) -> None:
        chunk = Chunk(job=BulkJob.model_validate(payload), number=number)
        await asyncio.to_thread(self._registration.register_chunk, chunk)

    async def _register_item(self, *, payload: JobPayload, chunk: int, position: int) -> None:
        job = BulkJob.model_validate(payload)
        await asyncio.to_thread(_register_item, self._registration, job, chunk, position)


class DbosPeer:
    """Batches as DBOS workflows, whose child workflows run in a queue with limited concurrency."""

    def __init__(self, url: str, registration: BatchProcessor) -> None:
        DBOS(config={"name": "bench", "system_database_url": url, "log_level": "ERROR"})
        step = DBOS.step()

        @step
        def chunk_step(payload: JobPayload, number: int) -> None:
            registration.register_chunk(Chunk(job=BulkJob.model_validate(payload), number=number))

        @step
        def item_step(payload: JobPayload, chunk: int, position: int) -> None:
            _register_item(registration, BulkJob.model_validate(payload), chunk, position)

        @step
        def start_step(payload: JobPayload, *, by_items: bool) -> list[tuple[int, ...]]:
            job = BulkJob.model_validate(payload)
            return (
                list(_list_pending_items(registration, job))
                if by_items
                else [(number,) for number in registration.start_attempt(job).pending_chunks]
            )

        @DBOS.workflow()
        def chunk_workflow(payload: JobPayload, number: int) -> None:
            chunk_step(payload, number)

        @DBOS.workflow()
        def item_workflow(payload: JobPayload, chunk: int, position: int) -> None:
            item_step(payload, chunk, position)

        @DBOS.workflow()
        def batch_workflow(payload: JobPayload, *, by_items: bool) -> None:
            child_workflow: Callable[..., None] = item_workflow if by_items else chunk_workflow
            for handle in [
                self._queue.enqueue(child_workflow, payload, *args) for args in start_step(payload, by_items=by_items)
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
