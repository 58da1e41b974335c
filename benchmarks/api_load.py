"""The gateway on the stack that `stafett dev` brings up: one client on an idle stack, then two hundred at once."""

import asyncio
import json
import random
import ssl
import statistics
import tempfile
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID, uuid4

import httpx
import psycopg

from stafett.cli.demo import run_stafett, running_stack
from stafett.cli.terminal import make_console
from stafett.devstack.issuer import DevIssuer
from stafett.devstack.stack_file import load_stack_file

_ORGANISATION, _YEAR, _ROWS = "nhf", 2025, 20
_SINGLE_CLIENT_REQUESTS = 200
_POLLERS, _WATCHERS, _STARTERS = 150, 40, 10
_LOAD_SECONDS, _POLL_INTERVAL_SECONDS, _START_INTERVAL_SECONDS = 20.0, 1.0, 4.0
_FULL_SPEED_SECONDS = 10.0
_EXPORTS_PATH = "/api/v1/bufdir-exports"
_TLS_CONTEXT = ssl.create_default_context()


@dataclass
class LatencyRecorder:
    """How long answers took, by their kind, and what was no answer."""

    durations: defaultdict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    errors: defaultdict[str, int] = field(default_factory=lambda: defaultdict(int))

    async def time_request(self, kind: str, request: Callable[[], Awaitable[httpx.Response]]) -> httpx.Response | None:
        began = time.perf_counter()
        try:
            answer = await request()
        except httpx.HTTPError:
            self.errors[kind] += 1
            return None
        if answer.status_code >= httpx.codes.BAD_REQUEST:
            print(answer.text)
        self.durations[kind].append(time.perf_counter() - began)
        self.errors[kind] += answer.status_code >= httpx.codes.BAD_REQUEST
        return answer if answer.status_code < httpx.codes.BAD_REQUEST else None

    def format_rows(self, seconds: float) -> list[str]:
        return [
            f"| {kind} | {len(taken) / seconds:,.0f} | {_format_percentile(taken, 50)} | "
            f"{_format_percentile(taken, 99)} | {self.errors[kind]} |"
            for kind, taken in self.durations.items()
        ]


def _format_percentile(durations: Sequence[float], percent: int) -> str:
    return f"{1000 * statistics.quantiles(durations, n=100)[percent - 1]:.1f}"


@dataclass(frozen=True)
class SimulatedClient:
    """One user, whoever else there is."""

    http: httpx.AsyncClient
    headers: dict[str, str]
    recorder: LatencyRecorder

    async def start_export(self) -> str | None:
        period = {"start": f"{_YEAR}-01-01", "end": f"{_YEAR}-12-31"}
        body = {"org_id": _ORGANISATION, "reporting_period": period, "export_format": "csv"}
        headers = self.headers | {"Idempotency-Key": str(uuid4())}
        answer = await self.recorder.time_request(
            "start", lambda: self.http.post(_EXPORTS_PATH, json=body, headers=headers)
        )
        return str(answer.json()["id"]) if answer else None

    async def poll_export(self, export_id: str, etag: str = "") -> str:
        headers = self.headers | ({"If-None-Match": etag} if etag else {})
        answer = await self.recorder.time_request(
            "poll", lambda: self.http.get(f"{_EXPORTS_PATH}/{export_id}", headers=headers)
        )
        return answer.headers["ETag"] if answer else etag

    async def watch_events(self, export_id: str) -> None:
        """To its end; what is timed is how long after its commit each step is known."""
        try:
            async with self.http.stream(
                "GET", f"{_EXPORTS_PATH}/{export_id}/events", headers=self.headers, timeout=None
            ) as events:
                async for line in events.aiter_lines():
                    said = json.loads(line[6:]) if line.startswith("data:") else {}
                    if "at" in said:
                        late = datetime.now(UTC) - datetime.fromisoformat(said["at"])
                        self.recorder.durations["step seen by a watcher"].append(late.total_seconds())
        except httpx.HTTPError:
            self.recorder.errors["step seen by a watcher"] += 1


async def run() -> list[str]:
    with tempfile.TemporaryDirectory(prefix="stafett-bench-") as name, running_stack(Path(name), make_console()):
        folder = Path(name)
        run_stafett("seed", "--org", _ORGANISATION, "--activities", str(_ROWS), "--year", str(_YEAR), data_dir=folder)
        users = _create_users(load_stack_file(folder).database_url, _POLLERS + _WATCHERS + _STARTERS)
        issuer = DevIssuer(folder)
        tokens = [issuer.create_token(user, _ORGANISATION, "coordinator") for user in users]
        return await _measure_api(str(load_stack_file(folder).api_url), tokens)


def _create_users(database_url: str, count: int) -> list[UUID]:
    users = [uuid4() for _ in range(count)]
    with psycopg.connect(database_url) as connection, connection.cursor() as cursor:
        cursor.executemany("INSERT INTO users VALUES (%s, %s, 'Last', false)", [[u, f"{u}@example.org"] for u in users])
        cursor.executemany(
            "INSERT INTO memberships VALUES (%s, %s, 'coordinator')", [[u, _ORGANISATION] for u in users]
        )
    return users


async def _measure_api(api_url: str, tokens: Sequence[str]) -> list[str]:
    async with _open_clients(api_url, tokens) as (clients, tally):
        alone = await _measure_single_client(clients[0], tally)
    async with _open_clients(api_url, tokens) as (clients, tally):
        jobs = await _run_concurrent_clients(clients)
        together = _format_table(
            f"{len(clients)} clients at once, for {_LOAD_SECONDS:.0f} s", tally, _LOAD_SECONDS, _LOAD_DESCRIPTION
        )
    async with _open_clients(api_url, tokens) as (clients, tally):
        await _poll_at_full_speed(clients, jobs)
        fast = _format_table(
            f"{len(clients)} clients that poll as fast as they are answered", tally, _FULL_SPEED_SECONDS, ""
        )
    return [alone, together, fast]


_LOAD_DESCRIPTION = (
    f"{_POLLERS} poll every {_POLL_INTERVAL_SECONDS:.0f} s with the tag they have, "
    f"{_WATCHERS} watch one job after the other,"
    f" {_STARTERS} start an export every {_START_INTERVAL_SECONDS:.0f} s, which the worker makes meanwhile.\n"
)


@asynccontextmanager
async def _open_clients(
    api_url: str, tokens: Sequence[str]
) -> AsyncIterator[tuple[list[SimulatedClient], LatencyRecorder]]:
    """Each with connections of its own: one pool for all would be looked through at every request."""
    tally = LatencyRecorder()
    async with AsyncExitStack() as opened:
        connections = [httpx.AsyncClient(base_url=api_url, timeout=30, verify=_TLS_CONTEXT) for _ in tokens]
        for one in connections:
            await opened.enter_async_context(one)
        headers = [{"Authorization": f"Bearer {token}"} for token in tokens]
        yield [SimulatedClient(http, said, tally) for http, said in zip(connections, headers, strict=True)], tally


async def _measure_single_client(client: SimulatedClient, recorder: LatencyRecorder) -> str:
    job = await client.start_export()
    assert job is not None  # noqa: S101 - there is nothing to measure otherwise
    await client.watch_events(job)
    recorder.durations.clear()
    for _ in range(_SINGLE_CLIENT_REQUESTS):
        await client.poll_export(job)
    recorder.durations["the whole job"] = recorder.durations.pop("poll")
    tag = await client.poll_export(job)
    recorder.durations.clear() if not tag else recorder.durations.pop("poll")
    for _ in range(_SINGLE_CLIENT_REQUESTS):
        await client.poll_export(job, tag)
    recorder.durations["nothing new (304)"] = recorder.durations.pop("poll")
    for _ in range(_SINGLE_CLIENT_REQUESTS // 10):
        started = await client.start_export()
        await client.watch_events(str(started))
    recorder.durations.pop("step seen by a watcher")
    lines = [
        f"| {kind} | {_format_percentile(taken, 50)} | {_format_percentile(taken, 90)} |"
        for kind, taken in recorder.durations.items()
    ]
    head = ["### One client, nobody else", "", "| | p50, ms | p90, ms |", "| --- | --- | --- |"]
    return "\n".join([*head, *lines, ""])


async def _run_concurrent_clients(clients: Sequence[SimulatedClient]) -> list[str]:
    """The jobs that were started."""
    first = await clients[0].start_export()
    assert first is not None  # noqa: S101 - the same
    jobs, until = [first], time.monotonic() + _LOAD_SECONDS

    async def start_repeatedly(client: SimulatedClient) -> None:
        await asyncio.sleep(random.uniform(0, _START_INTERVAL_SECONDS))  # noqa: S311 - so that they do not walk in step
        while time.monotonic() < until:
            if job := await client.start_export():
                jobs.append(job)
            await asyncio.sleep(_START_INTERVAL_SECONDS)

    async def poll_repeatedly(client: SimulatedClient) -> None:
        await asyncio.sleep(random.uniform(0, _POLL_INTERVAL_SECONDS))  # noqa: S311 - the same
        job, tag = "", ""
        while time.monotonic() < until:
            job, tag = (job, tag) if job == jobs[-1] else (jobs[-1], "")
            tag = await client.poll_export(job, tag)
            await asyncio.sleep(_POLL_INTERVAL_SECONDS)

    async def watch_repeatedly(client: SimulatedClient) -> None:
        seen = ""
        while time.monotonic() < until:
            if (job := jobs[-1]) != seen:
                await client.watch_events(seen := job)
            await asyncio.sleep(0.05)

    kinds = [poll_repeatedly] * _POLLERS + [watch_repeatedly] * _WATCHERS + [start_repeatedly] * _STARTERS
    await asyncio.gather(*(does(client) for does, client in zip(kinds, clients, strict=True)))
    return jobs


async def _poll_at_full_speed(clients: Sequence[SimulatedClient], export_ids: Sequence[str]) -> None:
    until = time.monotonic() + _FULL_SPEED_SECONDS

    async def poll_repeatedly(client: SimulatedClient, export_id: str) -> None:
        tag = ""
        while time.monotonic() < until:
            tag = await client.poll_export(export_id, tag)

    await asyncio.gather(
        *(poll_repeatedly(client, export_ids[number % len(export_ids)]) for number, client in enumerate(clients))
    )


def _format_table(title: str, recorder: LatencyRecorder, seconds: float, description: str) -> str:
    head = [f"### {title}", "", *([description] if description else []), "| | a second | p50, ms | p99, ms | errors |"]
    return "\n".join([*head, "| --- | --- | --- | --- | --- |", *recorder.format_rows(seconds), ""])
