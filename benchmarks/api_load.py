"""Latency of the API on a `stafett dev` stack: a single client, then many concurrent clients."""

import asyncio
import json
import random
import socket
import ssl
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID, uuid4

import httpx
import psycopg

from benchmarks.cores import Cores, run_on
from benchmarks.keep_alive_client import open_keep_alive_client
from benchmarks.measurement import read_environment
from stafett.cli.demo import run_stafett, running_stack
from stafett.cli.terminal import make_console
from stafett.devstack.issuer import DevIssuer
from stafett.devstack.stack_file import load_stack_file
from stafett.testing import wait_until

_ORGANISATION, _YEAR, _ROWS = "nhf", 2025, 20


@dataclass(frozen=True)
class ApiLoad:
    """Numbers of clients and requests, and the length of the measurements."""

    single_client_requests: int
    pollers: int
    watchers: int
    starters: int
    load_seconds: float
    full_speed_seconds: float
    poll_interval_seconds: float
    start_interval_seconds: float

    @property
    def clients(self) -> int:
        return self.pollers + self.watchers + self.starters

    def __str__(self) -> str:
        return (
            f"{self.pollers} clients poll every {self.poll_interval_seconds:g} s with `If-None-Match`, "
            f"{self.watchers} follow event streams, "
            f"{self.starters} start an export every {self.start_interval_seconds:g} s.\n"
            "The worker runs these exports during the measurement.\n"
        )


FULL = ApiLoad(
    single_client_requests=200,
    pollers=150,
    watchers=40,
    starters=10,
    load_seconds=20,
    full_speed_seconds=10,
    poll_interval_seconds=1,
    start_interval_seconds=4,
)
TINY = ApiLoad(
    single_client_requests=20,
    pollers=3,
    watchers=1,
    starters=2,
    load_seconds=1.5,
    full_speed_seconds=0.5,
    poll_interval_seconds=0.1,
    start_interval_seconds=0.3,
)
_EXPORTS_PATH = "/api/v1/bufdir-exports"
_GET, _POST = "`GET` an export", "`POST` an export"
_EVENT_LATENCY = "events (SSE): from the commit of a transition to its event"
_TLS_CONTEXT = ssl.create_default_context()


@dataclass
class LatencyRecorder:
    """Durations and numbers of errors by kind of request."""

    durations: defaultdict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    errors: defaultdict[str, int] = field(default_factory=lambda: defaultdict(int))

    async def time_request(self, kind: str, request: Callable[[], Awaitable[httpx.Response]]) -> httpx.Response | None:
        started = time.perf_counter()
        try:
            response = await request()
        except httpx.HTTPError:
            self.errors[kind] += 1
            return None
        if response.status_code >= httpx.codes.BAD_REQUEST:
            print(response.text)
        self.durations[kind].append(time.perf_counter() - started)
        self.errors[kind] += response.status_code >= httpx.codes.BAD_REQUEST
        return response if response.status_code < httpx.codes.BAD_REQUEST else None

    def format_rows(self, seconds: float) -> list[str]:
        return [
            f"| {kind} | {len(durations) / seconds:,.0f} | {_format_percentile(durations, 50)} | "
            f"{_format_percentile(durations, 99)} | {self.errors[kind]} |"
            for kind, durations in self.durations.items()
        ]


def _format_percentile(durations: Sequence[float], percent: int) -> str:
    return f"{1000 * statistics.quantiles(durations, n=100)[percent - 1]:.1f}"


@dataclass(frozen=True)
class SimulatedClient:
    """One user's requests, with their durations recorded."""

    http: httpx.AsyncClient
    headers: dict[str, str]
    recorder: LatencyRecorder

    async def start_export(self) -> str | None:
        period = {"start": f"{_YEAR}-01-01", "end": f"{_YEAR}-12-31"}
        body = {"org_id": _ORGANISATION, "reporting_period": period, "export_format": "csv"}
        headers = self.headers | {"Idempotency-Key": str(uuid4())}
        response = await self.recorder.time_request(
            _POST, lambda: self.http.post(_EXPORTS_PATH, json=body, headers=headers)
        )
        return str(response.json()["id"]) if response else None

    async def poll_export(self, export_id: str, etag: str = "") -> str:
        headers = self.headers | ({"If-None-Match": etag} if etag else {})
        response = await self.recorder.time_request(
            _GET, lambda: self.http.get(f"{_EXPORTS_PATH}/{export_id}", headers=headers)
        )
        return response.headers["ETag"] if response else etag

    async def watch_events(self, export_id: str) -> None:
        """Follow the events until the export ends; records the time from each transition's commit to its event."""
        try:
            async with self.http.stream(
                "GET", f"{_EXPORTS_PATH}/{export_id}/events", headers=self.headers, timeout=None
            ) as events:
                async for line in events.aiter_lines():
                    event = json.loads(line[6:]) if line.startswith("data:") else {}
                    if "at" in event:
                        latency = datetime.now(UTC) - datetime.fromisoformat(event["at"])
                        self.recorder.durations[_EVENT_LATENCY].append(latency.total_seconds())
        except httpx.HTTPError:
            self.recorder.errors[_EVENT_LATENCY] += 1


async def run(load: ApiLoad) -> list[str]:
    cores = Cores.from_machine()
    with tempfile.TemporaryDirectory(prefix="stafett-bench-") as name, run_quiet_stack(Path(name), cores) as api_url:
        folder = Path(name)
        run_stafett("seed", "--org", _ORGANISATION, "--activities", str(_ROWS), "--year", str(_YEAR), data_dir=folder)
        users = create_users(load_stack_file(folder).database_url, load.clients)
        issuer = DevIssuer(folder)
        tokens = [issuer.create_token(user, _ORGANISATION, "coordinator") for user in users]
        await wait_until_healthy(api_url)
        with run_on(cores.clients):
            tables = await _measure_api(api_url, tokens, load)
    return [f"{cores}\nThe API writes no request log during the measurements.\n", *tables]


@contextmanager
def run_quiet_stack(folder: Path, cores: Cores) -> Iterator[str]:
    """Run a stack, and an API of it without a request log, on the stack's cores; yield the URL of that API."""
    with run_on(cores.stack), running_stack(folder, make_console()):
        port = _find_free_port()
        url = f"http://127.0.0.1:{port}"
        own = {"STAFETT_LOG__LEVEL": "WARNING", "STAFETT_API__PORT": str(port), "STAFETT_SIGN_IN__PUBLIC_URL": url}
        environment = read_environment(load_stack_file(folder).pids.api) | own
        with subprocess.Popen([sys.executable, "-m", "stafett", "api"], env=environment) as api:
            try:
                yield url
            finally:
                api.terminate()


def _find_free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


async def wait_until_healthy(api_url: str) -> None:
    async def is_healthy() -> bool:
        async with httpx.AsyncClient(base_url=api_url, verify=_TLS_CONTEXT) as client:
            try:
                return (await client.get("/healthz")).is_success
            except httpx.TransportError:
                return False

    await wait_until(is_healthy, bool)


def create_users(database_url: str, count: int) -> list[UUID]:
    users = [uuid4() for _ in range(count)]
    with psycopg.connect(database_url) as connection, connection.cursor() as cursor:
        cursor.executemany("INSERT INTO users VALUES (%s, %s, 'Last', false)", [[u, f"{u}@example.org"] for u in users])
        cursor.executemany(
            "INSERT INTO memberships VALUES (%s, %s, 'coordinator')", [[u, _ORGANISATION] for u in users]
        )
    return users


async def _measure_api(api_url: str, tokens: Sequence[str], load: ApiLoad) -> list[str]:
    async with open_clients(api_url, tokens) as (clients, recorder):
        single_table = await _measure_single_client(clients[0], recorder, load.single_client_requests)
    async with open_clients(api_url, tokens) as (clients, recorder):
        jobs = await _run_concurrent_clients(clients, load)
        concurrent_table = _format_table(
            f"{load.clients} clients with pauses, for {load.load_seconds:g} s", recorder, load.load_seconds, str(load)
        )
    recorder = LatencyRecorder()
    await _poll_at_full_speed(api_url, tokens, jobs, load.full_speed_seconds, recorder)
    full_speed_table = _format_table(
        f"{load.clients} clients that poll without pause, for {load.full_speed_seconds:g} s",
        recorder,
        load.full_speed_seconds,
        "Each has the tag of its job from a request before, and a connection that stays open.\n",
    )
    return [single_table, concurrent_table, full_speed_table]


@asynccontextmanager
async def open_clients(
    api_url: str, tokens: Sequence[str]
) -> AsyncIterator[tuple[list[SimulatedClient], LatencyRecorder]]:
    """Open clients with separate connection pools, because httpx searches a shared pool at every request."""
    recorder = LatencyRecorder()
    async with AsyncExitStack() as stack:
        connections = [httpx.AsyncClient(base_url=api_url, timeout=30, verify=_TLS_CONTEXT) for _ in tokens]
        for connection in connections:
            await stack.enter_async_context(connection)
        headers = [{"Authorization": f"Bearer {token}"} for token in tokens]
        yield [SimulatedClient(*args, recorder) for args in zip(connections, headers, strict=True)], recorder


async def _measure_single_client(client: SimulatedClient, recorder: LatencyRecorder, requests: int) -> str:
    job = await client.start_export()
    assert job is not None  # noqa: S101 - the first export must start
    await client.watch_events(job)
    recorder.durations.clear()
    for _ in range(requests):
        await client.poll_export(job)
    recorder.durations["`GET` an export (200)"] = recorder.durations.pop(_GET)
    etag = await client.poll_export(job)
    recorder.durations.clear() if not etag else recorder.durations.pop(_GET)
    for _ in range(requests):
        await client.poll_export(job, etag)
    recorder.durations["`GET` an unchanged export (304)"] = recorder.durations.pop(_GET)
    for _ in range(requests // 10):
        started = await client.start_export()
        await client.watch_events(str(started))
    recorder.durations.pop(_EVENT_LATENCY)
    lines = [
        f"| {kind} | {_format_percentile(durations, 50)} | {_format_percentile(durations, 90)} |"
        for kind, durations in recorder.durations.items()
    ]
    head = ["### Latency of one client", "", "| request | p50, ms | p90, ms |", "| --- | --- | --- |"]
    return "\n".join([*head, *lines, ""])


async def _run_concurrent_clients(clients: Sequence[SimulatedClient], load: ApiLoad) -> list[str]:
    """Run all clients for the duration of the load and return the ids of the exports they started."""
    first = await clients[0].start_export()
    assert first is not None  # noqa: S101 - as above
    jobs, deadline = [first], time.monotonic() + load.load_seconds

    async def start_repeatedly(client: SimulatedClient) -> None:
        await asyncio.sleep(random.uniform(0, load.start_interval_seconds))  # noqa: S311 - so that they do not all start at once
        while time.monotonic() < deadline:
            if job := await client.start_export():
                jobs.append(job)
            await asyncio.sleep(load.start_interval_seconds)

    async def poll_repeatedly(client: SimulatedClient) -> None:
        await asyncio.sleep(random.uniform(0, load.poll_interval_seconds))  # noqa: S311 - as above
        job, etag = "", ""
        while time.monotonic() < deadline:
            job, etag = (job, etag) if job == jobs[-1] else (jobs[-1], "")
            etag = await client.poll_export(job, etag)
            await asyncio.sleep(load.poll_interval_seconds)

    async def watch_repeatedly(client: SimulatedClient) -> None:
        watched = ""
        while time.monotonic() < deadline:
            if (job := jobs[-1]) != watched:
                await client.watch_events(watched := job)
            await asyncio.sleep(0.05)

    behaviours = (
        [poll_repeatedly] * load.pollers + [watch_repeatedly] * load.watchers + [start_repeatedly] * load.starters
    )
    await asyncio.gather(*(behave(client) for behave, client in zip(behaviours, clients, strict=True)))
    return jobs


async def _poll_at_full_speed(
    api_url: str, tokens: Sequence[str], export_ids: Sequence[str], seconds: float, recorder: LatencyRecorder
) -> None:
    async with AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(open_keep_alive_client(api_url)) for _ in tokens]

        async def poll(number: int, etag: str) -> str:
            path = f"{_EXPORTS_PATH}/{export_ids[number % len(export_ids)]}"
            headers = {"Authorization": f"Bearer {tokens[number]}", "If-None-Match": etag}
            started = time.perf_counter()
            status, received = await clients[number].get(path, headers)
            kind = f"`GET` an export ({status})"
            recorder.durations[kind].append(time.perf_counter() - started)
            recorder.errors[kind] += status >= httpx.codes.BAD_REQUEST
            return received.get("etag", etag)

        async def poll_repeatedly(number: int, etag: str) -> None:
            while time.monotonic() < deadline:
                etag = await poll(number, etag)

        tags = [await poll(number, '""') for number in range(len(clients))]
        recorder.durations.clear()
        deadline = time.monotonic() + seconds
        await asyncio.gather(*map(poll_repeatedly, range(len(clients)), tags))


def _format_table(title: str, recorder: LatencyRecorder, seconds: float, description: str) -> str:
    head = [
        f"### {title}",
        "",
        *([description] if description else []),
        "| request | per second | p50, ms | p99, ms | errors |",
    ]
    return "\n".join([*head, "| --- | --- | --- | --- | --- |", *recorder.format_rows(seconds), ""])
