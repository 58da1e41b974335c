"""Bulk registration beside a loop without an engine and two other engines, on one PostgreSQL with durable commits.

Everybody writes the same: one activity and one outcome an item, five in a hundred of unknown mentors. What is timed
begins when the items are in PostgreSQL and ends when the batch has its end there.
"""

import asyncio
import statistics
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from typing import Any
from uuid import UUID, uuid4

import httpx
import psycopg
from psycopg import sql

import worker
from api.app import create_app
from benchmarks.bulk_peers import DbosPeer, ProcrastinatePeer
from benchmarks.measurement import ComparisonTable, Measurement
from stafett.bulk.registration import ProxyRegistration
from stafett.bulk.service import BulkService
from stafett.database.job_changes import JobNotifier
from stafett.database.session import Database
from stafett.devstack.issuer import DevIssuer
from stafett.domain.bulk import BulkRequest
from stafett.domain.bulk_job import BulkJob, Chunk
from stafett.domain.membership import Caller, Role
from stafett.settings import AuthSettings, Settings, require_setting
from stafett.temporal.client import connect, start_job
from stafett.testing import Tenant, create_tenant, wait_until

LARGE_BATCH, SMALL_BATCH, MEDIUM_BATCH = 10_000, 50, 1_000
_LARGE_BATCH_ROUNDS, _SMALL_BATCH_ROUNDS = 7, 21
_STAFETT_LABEL = "Stafett on Temporal, chunks of 500"
_ACTIVITY = {
    "activity_type": "samtalegruppe",
    "starts_at": "2026-03-02T10:00:00+01:00",
    "duration_minutes": 60,
    "participants": 5,
    "new_participants": 1,
    "place": "Oslo",
    "in_person": True,
    "in_norway": True,
}
BatchRunner = Callable[[BulkJob], Awaitable[None]]


class BulkBenchmark:
    """Fresh batches of an organisation of its own."""

    def __init__(self, settings: Settings) -> None:
        self.owner_url = require_setting(settings.database.owner_url, "owner")
        self.tenant: Tenant = create_tenant(self.owner_url)
        self.database = Database(require_setting(settings.database.worker_url, "worker"), pool_size=16)
        self.api_database = Database(require_setting(settings.database.api_url, "api"), pool_size=4)
        self.registration = ProxyRegistration(self.database)

    def create_body(self, items: int) -> dict[str, Any]:
        mentors = [uuid4() for _ in range(items)]
        known = mentors[: items - items // 20]
        with psycopg.connect(self.owner_url) as connection:
            connection.execute(
                "INSERT INTO peer_mentors SELECT unnest(%s::uuid[]), %s, 'Likeperson', true",
                [known, self.tenant.org_id],
            )
        asked = [{"mentor_id": str(mentor)} for mentor in mentors]
        return {"org_id": self.tenant.org_id, "activity": _ACTIVITY, "items": asked}

    def accept_batch(self, items: int) -> BulkJob:
        caller = Caller(user_id=self.tenant.coordinator, org_id=self.tenant.org_id, role=Role.COORDINATOR)
        request = BulkRequest.model_validate(self.create_body(items))
        return BulkService(self.api_database).accept(caller, request).batch.job

    async def time_batches(self, run_batch: BatchRunner, items: int, batches: int = 1) -> float:
        """All of them at once."""
        jobs = [await asyncio.to_thread(self.accept_batch, items) for _ in range(batches)]
        began = time.perf_counter()
        await asyncio.gather(*map(run_batch, jobs))
        taken = time.perf_counter() - began
        for counts in (self.registration.load_outcome(job).counts for job in jobs):
            assert counts.registered == items - items // 20, counts  # noqa: S101 - of something else it is no figure
        return taken

    def close(self) -> None:
        self.database.close()
        self.api_database.close()


async def run(settings: Settings, issuer: DevIssuer) -> list[ComparisonTable | str]:
    client = await connect(settings.temporal)
    settings = settings.model_copy(update={"auth": AuthSettings(jwks_file=issuer.jwks_file)})
    with (
        closing(BulkBenchmark(settings)) as bench,
        _create_peer_database(bench, "procrastinate") as one,
        _create_peer_database(bench, "dbos") as other,
    ):

        async def wait_until_finished(job: BulkJob) -> None:
            """Ended in PostgreSQL, as somebody hears of it who waits for the batch at the gateway."""
            with changes.subscribe(job.batch_id) as watch:
                while not (await asyncio.to_thread(bench.registration.load_outcome, job)).status.is_final:
                    await watch.wait_for_change(max_wait=1)

        async def run_with_temporal(job: BulkJob) -> None:
            await start_job(client, job, settings.temporal.task_queue)
            await wait_until_finished(job)

        async def run_without_engine(job: BulkJob) -> None:
            await asyncio.to_thread(_register_in_loop, bench.registration, job)

        changes = JobNotifier(require_setting(settings.database.api_url, "api"))
        async with changes.run(), worker.run_queue_workers(client, settings):
            async with ProcrastinatePeer(one, bench.registration, wait_until_finished) as procrastinate:
                ways: dict[str, BatchRunner] = {
                    _STAFETT_LABEL: run_with_temporal,
                    "no engine, chunks of 500, one after another": run_without_engine,
                }
                ways["Procrastinate, the same chunks"] = procrastinate.run_by_chunks
                many = await _measure_runners(bench, ways, LARGE_BATCH, _LARGE_BATCH_ROUNDS)
                few = await _measure_runners(bench, ways, SMALL_BATCH, _SMALL_BATCH_ROUNDS)
                ways = {_STAFETT_LABEL: run_with_temporal, "Procrastinate, a job an item": procrastinate.run_by_items}
                one_by_one = await _measure_runners(bench, ways, LARGE_BATCH, 1, warmup_items=SMALL_BATCH)
            async with DbosPeer(other, bench.registration) as dbos:  # asks its queue so often that all would pay for it
                ways = {"DBOS Transact, the same chunks": dbos.run_by_chunks}
                many += await _measure_runners(bench, ways, LARGE_BATCH, _LARGE_BATCH_ROUNDS)
                few += await _measure_runners(bench, ways, SMALL_BATCH, _SMALL_BATCH_ROUNDS)
                ways = {"DBOS Transact, a workflow an item": dbos.run_by_items}
                one_by_one += await _measure_runners(bench, ways, LARGE_BATCH, 1, warmup_items=SMALL_BATCH)
            return [
                ComparisonTable(f"{LARGE_BATCH:,} items", many, by_wall_time=True),
                ComparisonTable(f"{LARGE_BATCH:,} items, one by one", one_by_one, by_wall_time=True),
                ComparisonTable(f"{SMALL_BATCH} items", few, by_wall_time=True),
                await _measure_api_latency(bench, settings, issuer),
                await _measure_scaling(bench, run_with_temporal),
            ]


async def _measure_runners(
    benchmark: BulkBenchmark,
    runners: Mapping[str, BatchRunner],
    items: int,
    rounds: int,
    *,
    warmup_items: int | None = None,
) -> list[Measurement]:
    """A B C, A B C, …; the first round is not counted. What counts is the wall: commits are waited for."""
    taken: dict[str, list[float]] = {name: [] for name in runners}
    used: dict[str, list[float]] = {name: [] for name in runners}
    for counted in range(-1, rounds):
        for name, way in runners.items():
            cpu, seconds = (
                time.process_time(),
                await benchmark.time_batches(way, items if counted >= 0 else warmup_items or items),
            )
            if counted >= 0:
                taken[name].append(seconds)
                used[name].append(time.process_time() - cpu)
    return [Measurement(name, statistics.median(used[name]), statistics.median(taken[name])) for name in runners]


async def _measure_api_latency(benchmark: BulkBenchmark, settings: Settings, issuer: DevIssuer) -> str:
    app, headers = create_app(settings), {"Authorization": f"Bearer {_create_token(benchmark, issuer)}"}
    transport = httpx.ASGITransport(app)
    async with app.router.lifespan_context(app), httpx.AsyncClient(transport=transport, base_url="http://b") as client:
        answers, ends = list[float](), list[float]()
        for _ in range(_SMALL_BATCH_ROUNDS):
            for prefer, taken in (({}, answers), ({"Prefer": "wait=30"}, ends)):
                body = benchmark.create_body(SMALL_BATCH)
                began = time.perf_counter()
                answer = await client.post("/api/v1/bulk-registrations", json=body, headers=headers | prefer)
                taken.append(time.perf_counter() - began)
                assert answer.status_code == (200 if prefer else 202), answer.text  # noqa: S101 - as above
                await _wait_until_completed(client, answer.json()["id"], headers)
    lines = [
        f"### {SMALL_BATCH} items through the gateway, milliseconds",
        "",
        "| | median | slowest |",
        "| --- | --- | --- |",
    ]
    for name, taken in (("the `POST` until its answer", answers), ("the `POST` until the batch's end", ends)):
        lines.append(f"| {name} | {1000 * statistics.median(taken):.0f} | {1000 * max(taken):.0f} |")
    return "\n".join([*lines, ""])


async def _wait_until_completed(client: httpx.AsyncClient, batch_id: str, headers: dict[str, str]) -> None:
    """Nothing of it is left to run while the next one is timed."""

    async def get_completed_at() -> object:
        answer = await client.get(f"/api/v1/bulk-registrations/{batch_id}", headers=headers)
        return answer.json()["completed_at"]

    await wait_until(get_completed_at, lambda at: at is not None)


async def _measure_scaling(benchmark: BulkBenchmark, run_batch: BatchRunner) -> str:
    head = "| items | batches at once | items/s | of the rate at 10,000 in as large batches |"
    lines = ["### However many there are", "", head, "| --- | --- | --- | --- |"]
    for size in (MEDIUM_BATCH, LARGE_BATCH):
        rates = dict[int, float]()
        for items in (MEDIUM_BATCH, 5 * MEDIUM_BATCH, LARGE_BATCH, 5 * LARGE_BATCH):
            if items >= size:
                taken = [
                    await benchmark.time_batches(run_batch, size, items // size) for _ in range(_LARGE_BATCH_ROUNDS)
                ]
                rates[items] = items / statistics.median(taken)
        for items, rate in rates.items():
            lines.append(f"| {items:,} | {items // size} of {size:,} | {rate:,.0f} | {rate / rates[LARGE_BATCH]:.2f} |")
    return "\n".join([*lines, ""])


def _register_in_loop(registration: ProxyRegistration, job: BulkJob) -> None:
    for number in registration.start_attempt(job).pending_chunks:
        registration.register_chunk(Chunk(job=job, number=number))
    registration.finish(job)


def _create_token(benchmark: BulkBenchmark, issuer: DevIssuer) -> str:
    return issuer.create_token(benchmark.tenant.coordinator, benchmark.tenant.org_id, "coordinator")


@contextmanager
def _create_peer_database(benchmark: BulkBenchmark, peer: str) -> Iterator[str]:
    """The peer's own, on the same server."""
    fresh = f"{peer}_{UUID(int=0).hex[:4]}"
    with psycopg.connect(benchmark.owner_url, autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(fresh)))
    yield benchmark.owner_url.rpartition("/")[0] + f"/{fresh}"
