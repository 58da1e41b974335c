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
from stafett.devstack.stack_file import read_stack

_ORGANISATION, _YEAR, _ROWS = "nhf", 2025, 20
_ALONE = 200
_POLLERS, _WATCHERS, _STARTERS = 150, 40, 10
_SECONDS, _BETWEEN_POLLS, _BETWEEN_STARTS = 20.0, 1.0, 4.0
_AT_FULL_SPEED = 10.0
_EXPORTS = "/api/v1/bufdir-exports"
_TLS = ssl.create_default_context()


@dataclass
class Tally:
    """How long answers took, by their kind, and what was no answer."""

    taken: defaultdict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    errors: defaultdict[str, int] = field(default_factory=lambda: defaultdict(int))

    async def timed(self, kind: str, request: Callable[[], Awaitable[httpx.Response]]) -> httpx.Response | None:
        began = time.perf_counter()
        try:
            answer = await request()
        except httpx.HTTPError:
            self.errors[kind] += 1
            return None
        if answer.status_code >= httpx.codes.BAD_REQUEST:
            print(answer.text)
        self.taken[kind].append(time.perf_counter() - began)
        self.errors[kind] += answer.status_code >= httpx.codes.BAD_REQUEST
        return answer if answer.status_code < httpx.codes.BAD_REQUEST else None

    def rows(self, seconds: float) -> list[str]:
        return [
            f"| {kind} | {len(taken) / seconds:,.0f} | {_ms(taken, 50)} | {_ms(taken, 99)} | {self.errors[kind]} |"
            for kind, taken in self.taken.items()
        ]


def _ms(taken: Sequence[float], percent: int) -> str:
    return f"{1000 * statistics.quantiles(taken, n=100)[percent - 1]:.1f}"


@dataclass(frozen=True)
class Client:
    """One user, whoever else there is."""

    http: httpx.AsyncClient
    headers: dict[str, str]
    tally: Tally

    async def start(self) -> str | None:
        period = {"start": f"{_YEAR}-01-01", "end": f"{_YEAR}-12-31"}
        body = {"org_id": _ORGANISATION, "reporting_period": period, "export_format": "csv"}
        headers = self.headers | {"Idempotency-Key": str(uuid4())}
        answer = await self.tally.timed("start", lambda: self.http.post(_EXPORTS, json=body, headers=headers))
        return str(answer.json()["id"]) if answer else None

    async def poll(self, job: str, tag: str = "") -> str:
        headers = self.headers | ({"If-None-Match": tag} if tag else {})
        answer = await self.tally.timed("poll", lambda: self.http.get(f"{_EXPORTS}/{job}", headers=headers))
        return answer.headers["ETag"] if answer else tag

    async def watch(self, job: str) -> None:
        """To its end; what is timed is how long after its commit each step is known."""
        try:
            async with self.http.stream(
                "GET", f"{_EXPORTS}/{job}/events", headers=self.headers, timeout=None
            ) as events:
                async for line in events.aiter_lines():
                    said = json.loads(line[6:]) if line.startswith("data:") else {}
                    if "at" in said:
                        late = datetime.now(UTC) - datetime.fromisoformat(said["at"])
                        self.tally.taken["step seen by a watcher"].append(late.total_seconds())
        except httpx.HTTPError:
            self.tally.errors["step seen by a watcher"] += 1


async def run() -> list[str]:
    with tempfile.TemporaryDirectory(prefix="stafett-bench-") as name, running_stack(Path(name), make_console()):
        folder = Path(name)
        run_stafett("seed", "--org", _ORGANISATION, "--activities", str(_ROWS), "--year", str(_YEAR), data_dir=folder)
        users = _users(read_stack(folder).database_url, _POLLERS + _WATCHERS + _STARTERS)
        issuer = DevIssuer(folder)
        tokens = [issuer.token(user, _ORGANISATION, "coordinator") for user in users]
        return await _measured(str(read_stack(folder).api_url), tokens)


def _users(database_url: str, count: int) -> list[UUID]:
    users = [uuid4() for _ in range(count)]
    with psycopg.connect(database_url) as connection, connection.cursor() as cursor:
        cursor.executemany("INSERT INTO users VALUES (%s, %s, 'Last', false)", [[u, f"{u}@example.org"] for u in users])
        cursor.executemany(
            "INSERT INTO memberships VALUES (%s, %s, 'coordinator')", [[u, _ORGANISATION] for u in users]
        )
    return users


async def _measured(url: str, tokens: Sequence[str]) -> list[str]:
    async with _clients(url, tokens) as (clients, tally):
        alone = await _alone(clients[0], tally)
    async with _clients(url, tokens) as (clients, tally):
        jobs = await _together(clients)
        together = _table(f"{len(clients)} clients at once, for {_SECONDS:.0f} s", tally, _SECONDS, _WHO)
    async with _clients(url, tokens) as (clients, tally):
        await _as_fast_as_answered(clients, jobs)
        fast = _table(f"{len(clients)} clients that poll as fast as they are answered", tally, _AT_FULL_SPEED, "")
    return [alone, together, fast]


_WHO = (
    f"{_POLLERS} poll every {_BETWEEN_POLLS:.0f} s with the tag they have, {_WATCHERS} watch one job after the other,"
    f" {_STARTERS} start an export every {_BETWEEN_STARTS:.0f} s, which the worker makes meanwhile.\n"
)


@asynccontextmanager
async def _clients(url: str, tokens: Sequence[str]) -> AsyncIterator[tuple[list[Client], Tally]]:
    """Each with connections of its own: one pool for all would be looked through at every request."""
    tally = Tally()
    async with AsyncExitStack() as opened:
        connections = [httpx.AsyncClient(base_url=url, timeout=30, verify=_TLS) for _ in tokens]
        for one in connections:
            await opened.enter_async_context(one)
        headers = [{"Authorization": f"Bearer {token}"} for token in tokens]
        yield [Client(http, said, tally) for http, said in zip(connections, headers, strict=True)], tally


async def _alone(client: Client, tally: Tally) -> str:
    job = await client.start()
    assert job is not None  # noqa: S101 - there is nothing to measure otherwise
    await client.watch(job)
    tally.taken.clear()
    for _ in range(_ALONE):
        await client.poll(job)
    tally.taken["the whole job"] = tally.taken.pop("poll")
    tag = await client.poll(job)
    tally.taken.clear() if not tag else tally.taken.pop("poll")
    for _ in range(_ALONE):
        await client.poll(job, tag)
    tally.taken["nothing new (304)"] = tally.taken.pop("poll")
    for _ in range(_ALONE // 10):
        started = await client.start()
        await client.watch(str(started))
    tally.taken.pop("step seen by a watcher")
    lines = [f"| {kind} | {_ms(taken, 50)} | {_ms(taken, 90)} |" for kind, taken in tally.taken.items()]
    head = ["### One client, nobody else", "", "| | p50, ms | p90, ms |", "| --- | --- | --- |"]
    return "\n".join([*head, *lines, ""])


async def _together(clients: Sequence[Client]) -> list[str]:
    """The jobs that were started."""
    first = await clients[0].start()
    assert first is not None  # noqa: S101 - the same
    jobs, until = [first], time.monotonic() + _SECONDS

    async def starts(client: Client) -> None:
        await asyncio.sleep(random.uniform(0, _BETWEEN_STARTS))  # noqa: S311 - so that they do not walk in step
        while time.monotonic() < until:
            if job := await client.start():
                jobs.append(job)
            await asyncio.sleep(_BETWEEN_STARTS)

    async def polls(client: Client) -> None:
        await asyncio.sleep(random.uniform(0, _BETWEEN_POLLS))  # noqa: S311 - the same
        job, tag = "", ""
        while time.monotonic() < until:
            job, tag = (job, tag) if job == jobs[-1] else (jobs[-1], "")
            tag = await client.poll(job, tag)
            await asyncio.sleep(_BETWEEN_POLLS)

    async def watches(client: Client) -> None:
        seen = ""
        while time.monotonic() < until:
            if (job := jobs[-1]) != seen:
                await client.watch(seen := job)
            await asyncio.sleep(0.05)

    kinds = [polls] * _POLLERS + [watches] * _WATCHERS + [starts] * _STARTERS
    await asyncio.gather(*(does(client) for does, client in zip(kinds, clients, strict=True)))
    return jobs


async def _as_fast_as_answered(clients: Sequence[Client], jobs: Sequence[str]) -> None:
    until = time.monotonic() + _AT_FULL_SPEED

    async def polls(client: Client, job: str) -> None:
        tag = ""
        while time.monotonic() < until:
            tag = await client.poll(job, tag)

    await asyncio.gather(*(polls(client, jobs[number % len(jobs)]) for number, client in enumerate(clients)))


def _table(title: str, tally: Tally, seconds: float, who: str) -> str:
    head = [f"### {title}", "", *([who] if who else []), "| | a second | p50, ms | p99, ms | errors |"]
    return "\n".join([*head, "| --- | --- | --- | --- | --- |", *tally.rows(seconds), ""])
