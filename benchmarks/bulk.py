"""Bulk registration, compared with a sequential loop, Procrastinate and DBOS Transact on one PostgreSQL server.

All write the same rows with durable commits: one activity and one outcome per item, 5 % of them of unknown mentors.
The time is measured from the accepted batch, whose items are in PostgreSQL, to the commit of its completion.
"""

import asyncio
import statistics
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

import httpx
import psycopg
from psycopg import sql

import worker
from api.app import create_app
from benchmarks.bulk_peers import DbosPeer, ProcrastinatePeer
from benchmarks.measurement import ComparisonTable, Measurement
from stafett.bulk.registration import BatchProcessor
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


@dataclass(frozen=True)
class BulkSizes:
    """Items of a batch, and rounds of a measurement."""

    large_batch: int
    medium_batch: int
    small_batch: int
    large_batch_rounds: int
    small_batch_rounds: int


FULL = BulkSizes(10_000, 1_000, 50, large_batch_rounds=7, small_batch_rounds=21)
TINY = BulkSizes(40, 20, 20, large_batch_rounds=1, small_batch_rounds=1)


class BulkBenchmark:
    """Creates batches of a new organisation and measures them."""

    def __init__(self, settings: Settings) -> None:
        self.owner_url = require_setting(settings.database.owner_url, "owner")
        self.tenant: Tenant = create_tenant(self.owner_url)
        self.database = Database(require_setting(settings.database.worker_url, "worker"), pool_size=16)
        self.api_database = Database(require_setting(settings.database.api_url, "api"), pool_size=4)
        self.registration = BatchProcessor(self.database)

    def create_body(self, items: int) -> dict[str, Any]:
        mentors = [uuid4() for _ in range(items)]
        existing = mentors[: items - items // 20]
        with psycopg.connect(self.owner_url) as connection:
            connection.execute(
                "INSERT INTO peer_mentors SELECT unnest(%s::uuid[]), %s, 'Likeperson', true",
                [existing, self.tenant.org_id],
            )
        batch_items = [{"mentor_id": str(mentor)} for mentor in mentors]
        return {"org_id": self.tenant.org_id, "activity": _ACTIVITY, "items": batch_items}

    def accept_batch(self, items: int) -> BulkJob:
        caller = Caller(user_id=self.tenant.coordinator, org_id=self.tenant.org_id, role=Role.COORDINATOR)
        request = BulkRequest.model_validate(self.create_body(items))
        return BulkService(self.api_database).accept(caller, request).batch.job

    async def time_batches(self, run_batch: BatchRunner, items: int, batches: int = 1) -> float:
        """Run the batches concurrently and return the seconds until all are completed."""
        jobs = [await asyncio.to_thread(self.accept_batch, items) for _ in range(batches)]
        started = time.perf_counter()
        await asyncio.gather(*map(run_batch, jobs))
        duration = time.perf_counter() - started
        for counts in (self.registration.load_outcome(job).counts for job in jobs):
            assert counts.registered == items - items // 20, counts  # noqa: S101 - only complete batches are comparable
        return duration

    def close(self) -> None:
        self.database.close()
        self.api_database.close()


async def run(settings: Settings, issuer: DevIssuer, sizes: BulkSizes) -> list[ComparisonTable | str]:
    client = await connect(settings.temporal)
    large_batch, small_batch = sizes.large_batch, sizes.small_batch
    settings = settings.model_copy(update={"auth": AuthSettings(jwks_file=issuer.jwks_file, subject_is_user_id=True)})
    with (
        closing(BulkBenchmark(settings)) as benchmark,
        _create_peer_database(benchmark, "procrastinate") as procrastinate_url,
        _create_peer_database(benchmark, "dbos") as dbos_url,
    ):

        async def wait_until_finished(job: BulkJob) -> None:
            """Wait for the completion in PostgreSQL, in the same way as a client who waits at the API."""
            with notifier.subscribe(job.batch_id) as subscription:
                while not (await asyncio.to_thread(benchmark.registration.load_outcome, job)).status.is_final:
                    await subscription.wait_for_change(max_wait=1)

        async def run_with_temporal(job: BulkJob) -> None:
            await start_job(client, job, settings.temporal.task_queue)
            await wait_until_finished(job)

        async def run_in_loop(job: BulkJob) -> None:
            await asyncio.to_thread(_register_in_loop, benchmark.registration, job)

        notifier = JobNotifier(require_setting(settings.database.api_url, "api"))
        async with notifier.run(), worker.run_queue_workers(client, settings):
            peer = ProcrastinatePeer(procrastinate_url, benchmark.registration, wait_until_finished)
            async with peer as procrastinate:
                runners: dict[str, BatchRunner] = {
                    _STAFETT_LABEL: run_with_temporal,
                    "Sequential loop, chunks of 500": run_in_loop,
                }
                runners["Procrastinate, chunks of 500"] = procrastinate.run_by_chunks
                large_batches = await _measure_runners(benchmark, runners, large_batch, sizes.large_batch_rounds)
                small_batches = await _measure_runners(benchmark, runners, small_batch, sizes.small_batch_rounds)
                runners = {
                    _STAFETT_LABEL: run_with_temporal,
                    "Procrastinate, one job per item": procrastinate.run_by_items,
                }
                job_per_item = await _measure_runners(benchmark, runners, large_batch, 1, warmup_items=small_batch)
            # DBOS runs after the others, because its frequent polling would slow them down.
            async with DbosPeer(dbos_url, benchmark.registration) as dbos:
                runners = {"DBOS Transact, chunks of 500": dbos.run_by_chunks}
                large_batches += await _measure_runners(benchmark, runners, large_batch, sizes.large_batch_rounds)
                small_batches += await _measure_runners(benchmark, runners, small_batch, sizes.small_batch_rounds)
                runners = {"DBOS Transact, one workflow per item": dbos.run_by_items}
                job_per_item += await _measure_runners(benchmark, runners, large_batch, 1, warmup_items=small_batch)
            return [
                ComparisonTable(
                    f"Registering a batch of {large_batch:,} items in chunks",
                    "10k-chunks",
                    large_batches,
                    by_wall_time=True,
                ),
                ComparisonTable(
                    f"Registering a batch of {large_batch:,} items: Stafett's chunks and the peers' one job per item",
                    "10k-job-per-item",
                    job_per_item,
                    by_wall_time=True,
                ),
                ComparisonTable(f"Registering a batch of {small_batch} items", "50", small_batches, by_wall_time=True),
                await _measure_api_latency(benchmark, settings, issuer, sizes),
                await _measure_scaling(benchmark, run_with_temporal, sizes),
            ]


async def _measure_runners(
    benchmark: BulkBenchmark,
    runners: Mapping[str, BatchRunner],
    items: int,
    rounds: int,
    *,
    warmup_items: int | None = None,
) -> list[Measurement]:
    """Run the batches in turn by wall time, which includes waiting for commits; the first round is not counted."""
    wall: dict[str, list[float]] = {name: [] for name in runners}
    cpu: dict[str, list[float]] = {name: [] for name in runners}
    for round_number in range(-1, rounds):
        for name, run_batch in runners.items():
            cpu_before = time.process_time()
            seconds = await benchmark.time_batches(run_batch, items if round_number >= 0 else warmup_items or items)
            if round_number >= 0:
                wall[name].append(seconds)
                cpu[name].append(time.process_time() - cpu_before)
    return [Measurement(name, statistics.median(cpu[name]), statistics.median(wall[name])) for name in runners]


async def _measure_api_latency(
    benchmark: BulkBenchmark, settings: Settings, issuer: DevIssuer, sizes: BulkSizes
) -> str:
    app, headers = create_app(settings), {"Authorization": f"Bearer {_create_token(benchmark, issuer)}"}
    transport = httpx.ASGITransport(app)
    async with app.router.lifespan_context(app), httpx.AsyncClient(transport=transport, base_url="http://b") as client:
        responses, completions = list[float](), list[float]()
        for _ in range(sizes.small_batch_rounds):
            for prefer, durations in (({}, responses), ({"Prefer": "wait=30"}, completions)):
                body = benchmark.create_body(sizes.small_batch)
                started = time.perf_counter()
                response = await client.post("/api/v1/bulk-registrations", json=body, headers=headers | prefer)
                durations.append(time.perf_counter() - started)
                assert response.status_code == (200 if prefer else 202), response.text  # noqa: S101 - as above
                await _wait_until_completed(client, response.json()["id"], headers)
    lines = [
        f"### Latency of a batch of {sizes.small_batch} items through the API",
        "",
        "| from the request | median, ms | slowest, ms |",
        "| --- | --- | --- |",
    ]
    for name, durations in (("to its response", responses), ("to the batch's completion", completions)):
        lines.append(f"| {name} | {1000 * statistics.median(durations):.0f} | {1000 * max(durations):.0f} |")
    return "\n".join([*lines, ""])


async def _wait_until_completed(client: httpx.AsyncClient, batch_id: str, headers: dict[str, str]) -> None:
    """Wait until nothing of the batch runs while the next one is measured."""

    async def get_completed_at() -> object:
        response = await client.get(f"/api/v1/bulk-registrations/{batch_id}", headers=headers)
        return response.json()["completed_at"]

    await wait_until(get_completed_at, lambda at: at is not None)


async def _measure_scaling(benchmark: BulkBenchmark, run_batch: BatchRunner, sizes: BulkSizes) -> str:
    medium, large = sizes.medium_batch, sizes.large_batch
    head = f"| items | concurrent batches | items/s | relative to {large:,} items (same batch size) |"
    lines = ["### Throughput by number of items", "", head, "| --- | --- | --- | --- |"]
    for size in (medium, large):
        rates = dict[int, float]()
        for items in (medium, 5 * medium, large, 5 * large):
            if items >= size:
                durations = [
                    await benchmark.time_batches(run_batch, size, items // size)
                    for _ in range(sizes.large_batch_rounds)
                ]
                rates[items] = items / statistics.median(durations)
        for items, rate in rates.items():
            lines.append(f"| {items:,} | {items // size} of {size:,} | {rate:,.0f} | {rate / rates[large]:.2f} |")
    return "\n".join([*lines, ""])


def _register_in_loop(registration: BatchProcessor, job: BulkJob) -> None:
    for number in registration.start_attempt(job).pending_chunks:
        registration.register_chunk(Chunk(job=job, number=number))
    registration.finish(job)


def _create_token(benchmark: BulkBenchmark, issuer: DevIssuer) -> str:
    return issuer.create_token(benchmark.tenant.coordinator, benchmark.tenant.org_id, "coordinator")


@contextmanager
def _create_peer_database(benchmark: BulkBenchmark, peer: str) -> Iterator[str]:
    """Create a database for a peer on the same server, and return its URL."""
    name = f"{peer}_{UUID(int=0).hex[:4]}"
    with psycopg.connect(benchmark.owner_url, autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    yield benchmark.owner_url.rpartition("/")[0] + f"/{name}"
