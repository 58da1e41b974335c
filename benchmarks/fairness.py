"""Latency of twenty users alone, and beside one user who does the worst that the API's limits permit."""

import asyncio
import json
import os
import random
import signal
import statistics
import tempfile
import time
from collections.abc import Callable, Coroutine, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import httpx

from benchmarks.api_load import LatencyRecorder, SimulatedClient, create_users, open_clients
from stafett.cli.demo import run_stafett, running_stack
from stafett.cli.terminal import make_console
from stafett.devstack.issuer import DevIssuer
from stafett.devstack.stack_file import load_stack_file

_ORGANISATION, _YEAR, _ROWS = "nhf", 2025, 200
_MAX_RATIO, _MAX_P99_SECONDS = 2.0, 1.0
_EXPORTS, _BATCHES = "/api/v1/bufdir-exports", "/api/v1/bulk-registrations"
_HEALTH = "`GET /healthz`"
_UNKNOWN_KEYS = b"{" + b",".join(b'"k%d":1' % number for number in range(560_000)) + b"}"
_PERIOD = {"start": f"{_YEAR}-01-01", "end": f"{_YEAR}-12-31"}
_EXPORT_BODY = json.dumps({"org_id": _ORGANISATION, "reporting_period": _PERIOD, "export_format": "csv"}).encode()


@dataclass(frozen=True)
class FairnessLoad:
    """The users' pace, and how many requests of each kind the greedy user keeps open."""

    users: int
    seconds: float
    warm_up_seconds: float
    pause_seconds: float
    streams: int
    waits: int
    previews: int
    lists: int
    bodies: int
    validations: int

    def __str__(self) -> str:
        return (
            f"The {self.users} users poll and list exports, with pauses of {self.pause_seconds:g} s.\n"
            f"One more user tries to keep {self.streams} event streams, {self.waits} waits, {self.previews} previews, "
            f"{self.lists} lists of 200 exports,\n{self.bodies} bodies of 6 MB and {self.validations} validations of "
            "10,000 items open, and repeats a refused request when `Retry-After` permits.\n"
            "The worker is paused, so that no job ends."
        )


FULL = FairnessLoad(
    users=20,
    seconds=25,
    warm_up_seconds=5,
    pause_seconds=0.5,
    streams=600,
    waits=100,
    previews=64,
    lists=8,
    bodies=8,
    validations=8,
)
TINY = FairnessLoad(
    users=2,
    seconds=2,
    warm_up_seconds=0.2,
    pause_seconds=0.1,
    streams=2,
    waits=1,
    previews=1,
    lists=1,
    bodies=1,
    validations=1,
)


async def run(load: FairnessLoad) -> list[str]:
    with tempfile.TemporaryDirectory(prefix="stafett-bench-") as name, running_stack(Path(name), make_console()):
        folder = Path(name)
        run_stafett("seed", "--org", _ORGANISATION, "--activities", str(_ROWS), "--year", str(_YEAR), data_dir=folder)
        stack = load_stack_file(folder)
        issuer = DevIssuer(folder)
        users = create_users(stack.database_url, load.users + 1)
        greedy, *others = [issuer.create_token(user, _ORGANISATION, "coordinator") for user in users]
        api_url = str(stack.api_url)
        # Without a worker no job finishes, so that streams and waits stay open, and the page measures the API alone.
        for worker in stack.pids.worker:
            os.kill(worker, signal.SIGSTOP)
        try:
            alone = await _measure_others(api_url, others, load)
            # The greedy user has a process of its own with the lowest priority, because it would be on another machine:
            # its own work must not delay the API and the measured clients.
            with ProcessPoolExecutor(1, initializer=os.nice, initargs=(19,)) as pool:
                responses = asyncio.wrap_future(pool.submit(_run_greedy_user, api_url, greedy, load))
                beside = await _measure_others(api_url, others, load)
                page = _format_page(load, alone, beside, await responses)
        finally:
            for worker in stack.pids.worker:
                os.kill(worker, signal.SIGCONT)
    return [page]


async def _measure_others(api_url: str, tokens: Sequence[str], load: FairnessLoad) -> LatencyRecorder:
    async with open_clients(api_url, tokens) as (clients, recorder):
        await asyncio.gather(*(_work(client, load.warm_up_seconds, load.pause_seconds) for client in clients))
        recorder.durations.clear()
        users = (_work(client, load.seconds, load.pause_seconds) for client in clients)
        await asyncio.gather(*users, _poll_health(clients[0], load))
        return recorder


async def _work(client: SimulatedClient, seconds: float, pause_seconds: float) -> None:
    """Start an export, then poll it and list exports, with a pause after each request."""
    deadline = time.monotonic() + seconds
    await asyncio.sleep(random.uniform(0, pause_seconds))  # noqa: S311 - so that they do not all start at once
    export_id = str(await client.start_export())
    while time.monotonic() < deadline:
        await client.poll_export(export_id)
        await asyncio.sleep(pause_seconds)
        await client.recorder.time_request("`GET` list", lambda: client.http.get(_EXPORTS, headers=client.headers))
        await asyncio.sleep(pause_seconds)


async def _poll_health(client: SimulatedClient, load: FairnessLoad) -> None:
    deadline = time.monotonic() + load.seconds
    while time.monotonic() < deadline:
        await client.recorder.time_request(_HEALTH, lambda: client.http.get("/healthz"))
        await asyncio.sleep(load.pause_seconds / 4)


def _run_greedy_user(api_url: str, token: str, load: FairnessLoad) -> dict[str, dict[int, int]]:
    return asyncio.run(_GreedyUser(api_url, token, load).run(load.warm_up_seconds + load.seconds))


class _GreedyUser:
    """A user with as many requests of each kind at once as the API accepts, and more."""

    def __init__(self, api_url: str, token: str, load: FairnessLoad) -> None:
        parts = urlsplit(api_url)
        self._host, self._port = str(parts.hostname), int(parts.port or 80)
        self._token, self._load = token, load
        self._statuses: dict[str, dict[int, int]] = {}
        self._export_id = ""

    async def run(self, seconds: float) -> dict[str, dict[int, int]]:
        """Send requests for some time, and return the numbers of responses by kind of request and by status."""
        response = await self._send("start", "POST", _EXPORTS, _EXPORT_BODY)
        self._export_id = json.loads(response)["id"]
        tasks = [asyncio.create_task(self._repeat(send)) for count, send in self._kinds for _ in range(count)]
        await asyncio.sleep(seconds)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        return self._statuses

    @property
    def _kinds(self) -> Sequence[tuple[int, Callable[[], Coroutine[Any, Any, bytes]]]]:
        events, items = f"{_EXPORTS}/{self._export_id}/events", [{"mentor_id": str(uuid4())} for _ in range(10_000)]
        shared = {"activity_type": "samtalegruppe", "starts_at": "2026-03-02T10:00:00+01:00", "duration_minutes": 60}
        shared |= {"participants": 5, "new_participants": 1, "place": "x", "in_person": True, "in_norway": True}
        batch = {"org_id": _ORGANISATION, "activity": shared, "items": items, "validate_only": True}
        validation = json.dumps(batch).encode()
        wait, load = {"Prefer": "wait=60", "Idempotency-Key": "greedy"}, self._load
        return (
            (load.streams, lambda: self._send("event streams", "GET", events)),
            (load.waits, lambda: self._send("waits", "POST", _EXPORTS, _EXPORT_BODY, **wait)),
            (load.previews, lambda: self._send("previews", "POST", f"{_EXPORTS}/preview", _EXPORT_BODY)),
            (load.lists, lambda: self._send("large lists", "GET", f"{_EXPORTS}?page_size=200")),
            (load.bodies, lambda: self._send("bodies of 6 MB", "POST", _EXPORTS, _UNKNOWN_KEYS)),
            (load.validations, lambda: self._send("validations", "POST", _BATCHES, validation)),
        )

    async def _repeat(self, send: Callable[[], Coroutine[Any, Any, bytes]]) -> None:
        """Send one request after the other, and wait as `Retry-After` requires when one is refused."""
        await asyncio.sleep(random.uniform(0, 2))  # noqa: S311 - as a client's timers do
        while True:
            try:
                await send()
            except OSError:
                await asyncio.sleep(1)

    async def _send(self, kind: str, method: str, path: str, body: bytes = b"", **headers: str) -> bytes:
        reader, writer = await asyncio.open_connection(self._host, self._port)
        lines = {"Host": "stafett", "Authorization": f"Bearer {self._token}", "Connection": "close"} | headers
        if body:
            lines |= {"Content-Type": "application/json", "Content-Length": str(len(body))}
        head = f"{method} {path} HTTP/1.1\r\n" + "".join(f"{name}: {value}\r\n" for name, value in lines.items())
        try:
            writer.write(f"{head}\r\n".encode() + body)
            await writer.drain()
            status_line, _, rest = (await reader.readuntil(b"\r\n\r\n")).partition(b"\r\n")
            status = int(status_line.split()[1])
            statuses = self._statuses.setdefault(kind, {})
            statuses[status] = statuses.get(status, 0) + 1
            content = await reader.read()
        finally:
            writer.close()
        if status == httpx.codes.TOO_MANY_REQUESTS:
            await asyncio.sleep(int(dict(_parse_headers(rest))["retry-after"]))
        return content


def _parse_headers(head: bytes) -> Sequence[tuple[str, str]]:
    pairs = (line.partition(": ") for line in head.decode().split("\r\n") if line)
    return [(name.lower(), value) for name, _, value in pairs]


@dataclass(frozen=True)
class _Row:
    """The latency of one kind of request, alone and beside the greedy user."""

    kind: str
    alone: Sequence[float]
    beside: Sequence[float]

    def __str__(self) -> str:
        alone, beside = ([_percentile(values, percent) for percent in (50, 99)] for values in (self.alone, self.beside))
        cells = [*(f"{1000 * value:.1f}" for value in (*alone, *beside)), f"{beside[1] / alone[1]:.1f}"]
        return f"| {self.kind} | {' | '.join(cells)} |"


def _percentile(durations: Sequence[float], percent: int) -> float:
    return statistics.quantiles(durations, n=100)[percent - 1]


def _format_page(
    load: FairnessLoad, alone: LatencyRecorder, beside: LatencyRecorder, responses: dict[str, dict[int, int]]
) -> str:
    rows = [_Row(kind, alone.durations[kind], beside.durations[kind]) for kind in sorted(alone.durations)]
    total = _Row(
        "all requests", [each for row in rows for each in row.alone], [each for row in rows for each in row.beside]
    )
    p99_alone, p99_beside = _percentile(total.alone, 99), _percentile(total.beside, 99)
    result = "reached" if p99_beside <= min(_MAX_RATIO * p99_alone, _MAX_P99_SECONDS) else "missed"
    errors = f"{sum(alone.errors.values())} alone, {sum(beside.errors.values())} beside"
    return "\n".join(
        [
            f"### Latency of {load.users} users, alone and beside one greedy user of the same organisation",
            "",
            str(load),
            "",
            "| request | p50 alone, ms | p99 alone, ms | p50 beside, ms | p99 beside, ms | p99 ratio |",
            "| --- | --- | --- | --- | --- | --- |",
            *map(str, [*rows, total]),
            "",
            f"The goal, a p99 of at most {_MAX_RATIO:g} times that alone and of at most {_MAX_P99_SECONDS:g} s,",
            f"is {result}. Failed requests of the users: {errors}.",
            "",
            *_format_responses(responses),
        ]
    )


def _format_responses(responses: dict[str, dict[int, int]]) -> Sequence[str]:
    statuses = sorted({status for counts in responses.values() for status in counts})
    head: list[list[object]] = [["Responses to the greedy user", *statuses], ["---"] * (len(statuses) + 1)]
    rows: list[list[object]] = [
        [kind, *(counts.get(each, 0) for each in statuses)] for kind, counts in responses.items()
    ]
    return [f"| {' | '.join(str(cell) for cell in cells)} |" for cells in [*head, *rows]]
