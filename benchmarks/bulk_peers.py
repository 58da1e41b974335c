"""The two peers, each in its documented form for many small jobs, and with the chunks that ours has."""

import asyncio
from typing import Any, Self

from dbos import DBOS
from procrastinate import App, PsycopgConnector

from stafett import proxy_activities
from stafett.bulk.row import count
from stafett.domain.bulk_job import BulkJob, Chunk
from stafett.proxy_activities import Scope
from stafett.proxy_registration import ProxyRegistration, registered

_AT_ONCE = 4
Said = dict[str, Any]


def _register_item(registration: ProxyRegistration, job: BulkJob, chunk: int, position: int) -> None:
    with registration._database.transaction(job.org_id) as session:  # noqa: SLF001 - what nobody does but a peer here
        count(session, job, registered(session, Scope(job, chunk, position)))


def _items(registration: ProxyRegistration, job: BulkJob) -> list[tuple[int, int]]:
    """Every pending item, and its chunk."""
    chunks = registration.begin(job).chunks
    with registration._database.transaction(job.org_id) as session:  # noqa: SLF001 - the same
        return [(chunk, at) for chunk in chunks for at in proxy_activities.pending_in(session, Scope(job, chunk))]


class ByProcrastinate:
    """Jobs deferred together, and a worker that ends when there are none."""

    def __init__(self, url: str, registration: ProxyRegistration) -> None:
        self._registration = registration
        self._app = App(connector=PsycopgConnector(conninfo=url))
        self._chunk = self._app.task(name="chunk")(self._register_chunk)
        self._item = self._app.task(name="item")(self._register_item)

    async def __aenter__(self) -> Self:
        await self._app.open_async()
        await self._app.schema_manager.apply_schema_async()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._app.close_async()

    async def by_chunks(self, job: BulkJob) -> None:
        plan = await asyncio.to_thread(self._registration.begin, job)
        said = job.model_dump(mode="json")
        tasks: list[Said] = [{"said": said, "number": number} for number in plan.chunks]
        await self._chunk.batch_defer_async(*tasks)
        await self._worked_off(job)

    async def by_items(self, job: BulkJob) -> None:
        items, said = await asyncio.to_thread(_items, self._registration, job), job.model_dump(mode="json")
        tasks: list[Said] = [{"said": said, "chunk": chunk, "at": at} for chunk, at in items]
        await self._item.batch_defer_async(*tasks)
        await self._worked_off(job)

    async def _worked_off(self, job: BulkJob) -> None:
        await self._app.run_worker_async(wait=False, concurrency=_AT_ONCE, install_signal_handlers=False)
        await asyncio.to_thread(self._registration.finish, job)

    async def _register_chunk(self, *, said: Said, number: int) -> None:
        chunk = Chunk(job=BulkJob.model_validate(said), number=number)
        await asyncio.to_thread(self._registration.register, chunk)

    async def _register_item(self, *, said: Said, chunk: int, at: int) -> None:
        job = BulkJob.model_validate(said)
        await asyncio.to_thread(_register_item, self._registration, job, chunk, at)


class ByDbos:
    """Workflows enqueued at a queue of limited concurrency, and waited for."""

    def __init__(self, url: str, registration: ProxyRegistration) -> None:
        self._registration = registration
        DBOS(config={"name": "bench", "system_database_url": url, "log_level": "ERROR"})
        step = DBOS.step()

        @step
        def chunk_step(said: Said, number: int) -> None:
            registration.register(Chunk(job=BulkJob.model_validate(said), number=number))

        @step
        def item_step(said: Said, chunk: int, at: int) -> None:
            _register_item(registration, BulkJob.model_validate(said), chunk, at)

        @DBOS.workflow()
        def chunk_workflow(said: Said, number: int) -> None:
            chunk_step(said, number)

        @DBOS.workflow()
        def item_workflow(said: Said, chunk: int, at: int) -> None:
            item_step(said, chunk, at)

        self._of_chunk, self._of_item = chunk_workflow, item_workflow

    async def __aenter__(self) -> Self:
        await asyncio.to_thread(self._launch)
        return self

    async def __aexit__(self, *_: object) -> None:
        await asyncio.to_thread(DBOS.destroy)

    def _launch(self) -> None:
        DBOS.launch()
        self._queue = DBOS.register_queue("bulk", worker_concurrency=_AT_ONCE, polling_interval_sec=0.02)

    async def by_chunks(self, job: BulkJob) -> None:
        await asyncio.to_thread(self._chunks, job)

    async def by_items(self, job: BulkJob) -> None:
        await asyncio.to_thread(self._alone, job)

    def _chunks(self, job: BulkJob) -> None:
        plan, said = self._registration.begin(job), job.model_dump(mode="json")
        for handle in [self._queue.enqueue(self._of_chunk, said, number) for number in plan.chunks]:
            handle.get_result()
        self._registration.finish(job)

    def _alone(self, job: BulkJob) -> None:
        items, said = _items(self._registration, job), job.model_dump(mode="json")
        for handle in [self._queue.enqueue(self._of_item, said, chunk, at) for chunk, at in items]:
            handle.get_result()
        self._registration.finish(job)
