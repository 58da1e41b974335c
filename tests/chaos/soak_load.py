"""Users who export, re-export, register batches, cancel and retry while faults happen."""

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime, timedelta
from random import Random
from uuid import UUID, uuid4

import httpx

from stafett.testing import Json
from tests.chaos.fault_injection import BIG_YEAR, Year
from tests.support.bulk import ACTIVITY, BATCHES, build_batch
from tests.support.dev_stack import EXPORTS, DevStack
from tests.support.reexports import REEXPORTS

SMALL_YEAR = Year(2023, 400)
_FINAL = {"completed", "completed_empty", "completed_with_failures", "failed", "cancelled"}
_RETRYABLE = {"failed", "cancelled", "completed_with_failures"}
_NAMES = {EXPORTS: "exports", REEXPORTS: "re-exports", BATCHES: "batches"}
_POLL_SECONDS, _UNAVAILABLE_PAUSE_SECONDS = 0.5, 0.5
_CANCELLED_SHARE, _RETRIED_SHARE, _BIG_SHARE = 0.3, 0.7, 0.2
_EXPORTING_USERS = 3


async def seed_years(dev_stack: DevStack) -> None:
    for year, attachments in ((BIG_YEAR, 0), (SMALL_YEAR, 5)):
        rows = ("--activities", year.rows, "--year", year.year, "--attachments", attachments)
        (await dev_stack.run("seed", "--org", "nhf", *rows)).require_success()


class Load:
    """The jobs that the users have started, by kind; each was accepted by the API."""

    def __init__(self, dev_stack: DevStack, headers: dict[str, str], mentors: Sequence[UUID], seed: int) -> None:
        self._dev_stack, self._headers, self._mentors, self._seed = dev_stack, headers, mentors, seed
        self._batch_start = datetime(2031, 1, 1, 9, tzinfo=UTC)
        self._report_ids = list[str]()
        self.jobs: dict[str, set[str]] = {EXPORTS: set(), REEXPORTS: set(), BATCHES: set()}
        self.counts = Counter[str]()

    async def run_until(self, deadline: float) -> None:
        """Run all users; each of them completes the job that it follows at the deadline."""
        users = [self._export] * _EXPORTING_USERS + [self._reexport, self._register]
        async with asyncio.TaskGroup() as tasks:
            for number, user in enumerate(users):
                random = Random(f"{self._seed} {number}")  # noqa: S311 - a seed makes the run repeatable
                tasks.create_task(self._repeat_until(deadline, user, random))

    async def load_job(self, resource: str, job_id: str) -> Json:
        job: Json = (await self.send("GET", f"{resource}/{job_id}")).raise_for_status().json()
        return job

    async def wait_for_job(self, resource: str, job_id: str) -> Json:
        while True:
            job = await self.load_job(resource, job_id)
            if job["status"] in _FINAL:
                return job
            await asyncio.sleep(_POLL_SECONDS)

    async def retry_failures(self) -> None:
        """Retry what failed because of the faults, after they have stopped."""
        for resource in (EXPORTS, BATCHES):
            for job_id in sorted(self.jobs[resource]):
                job = await self.wait_for_job(resource, job_id)
                if job["status"] in _RETRYABLE - {"cancelled"}:
                    self.counts[f"{_NAMES[resource]} failed during the faults"] += 1
                    await self._retry(resource, job_id)
                    await self.wait_for_job(resource, job_id)

    async def send(self, method: str, path: str, body: Json | None = None, key: str | None = None) -> httpx.Response:
        """Send the request until the API answers it; a key makes the repetition safe."""
        headers = self._headers | ({"Idempotency-Key": key} if key else {})
        while True:
            try:
                async with self._dev_stack.api_client() as client:
                    response = await client.request(method, path, json=body, headers=headers)
                if not response.is_server_error and response.status_code != httpx.codes.TOO_MANY_REQUESTS:
                    return response
                self.counts["responses 5xx or 429"] += 1
            except httpx.TransportError:
                self.counts["requests without a response"] += 1
            await asyncio.sleep(_UNAVAILABLE_PAUSE_SECONDS)

    async def _repeat_until(self, deadline: float, user: Callable[[Random], Awaitable[None]], random: Random) -> None:
        while time.monotonic() < deadline:
            await user(random)

    async def _export(self, random: Random) -> None:
        year = BIG_YEAR if random.random() < _BIG_SHARE else SMALL_YEAR
        body = {
            "org_id": "nhf",
            "reporting_period": {"start": f"{year.year}-01-01", "end": f"{year.year}-12-31"},
            "export_format": random.choice(("csv", "xlsx")),
            "csv_profile": "machine",
            "include_attachments": year is SMALL_YEAR and random.random() < 0.5,
        }
        job = await self._start_and_follow(EXPORTS, body, random, ("PUT", "/cancel"))
        if job["status"] == "completed":
            self._report_ids.append(job["report_id"])

    async def _reexport(self, random: Random) -> None:
        if not self._report_ids:
            await asyncio.sleep(_POLL_SECONDS)
            return
        source = random.choice(("same_snapshot", "current_data"))
        body = {"report_id": random.choice(self._report_ids), "source": source}
        await self._start_and_follow(REEXPORTS, body, random, ("DELETE", ""))

    async def _register(self, random: Random) -> None:
        """Register the same mentors at another time in each batch, so that no two activities overlap."""
        self._batch_start += timedelta(hours=2)
        body = build_batch("nhf", self._mentors, activity=ACTIVITY | {"starts_at": self._batch_start.isoformat()})
        await self._start_and_follow(BATCHES, body, random, ("POST", "/cancel"))

    async def _start_and_follow(self, resource: str, body: Json, random: Random, cancel: tuple[str, str]) -> Json:
        is_cancelled, is_retried = random.random() < _CANCELLED_SHARE, random.random() < _RETRIED_SHARE
        response = await self.send("POST", resource, body, str(uuid4()))
        assert response.status_code == 202, response.text
        job_id = str(response.json()["id"])
        self.jobs[resource].add(job_id)
        if is_cancelled:
            await asyncio.sleep(random.uniform(0, 3))  # so that the cancel comes at any point of the job
            method, path = cancel
            if (await self.send(method, f"{resource}/{job_id}{path}")).is_success:
                self.counts[f"{_NAMES[resource]} with a cancel request"] += 1
        job = await self.wait_for_job(resource, job_id)
        if job["status"] == "failed":
            self.counts[f"{_NAMES[resource]} failed at first"] += 1
        if is_retried and job["status"] in _RETRYABLE and resource != REEXPORTS:
            await self._retry(resource, job_id)
            job = await self.wait_for_job(resource, job_id)
        return job

    async def _retry(self, resource: str, job_id: str) -> None:
        if (await self.send("POST", f"{resource}/{job_id}/retry", key=str(uuid4()))).is_success:
            self.counts[f"{_NAMES[resource]} retried"] += 1
