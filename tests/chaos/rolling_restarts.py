"""API processes and workers that are restarted one after the other, and a load balancer in front of the API."""

import asyncio
import random
import signal
import sys
import time
from collections import Counter, deque
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from itertools import cycle
from typing import IO
from uuid import uuid4

import httpx
import psutil  # type: ignore[import-untyped]  # the package ships no types

from stafett.devstack.ports import PortReservations
from stafett.testing import wait_until
from tests.support.dev_stack import DevStack

_PROCESSES_OF_EACH_KIND = 2
_STOP_SECONDS = 120


class Replica:
    """A `stafett api` or `stafett worker` process with the environment of the stack's own, and a queue beside it."""

    def __init__(self, kind: str, url: str, environment: dict[str, str], log: IO[bytes]) -> None:
        self.kind, self.url = kind, url
        self._environment, self._log = environment, log
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        """Start the process, and return when it is ready."""
        command = (sys.executable, "-m", "stafett", self.kind)
        self._process = await asyncio.create_subprocess_exec(
            *command, env=self._environment, stdout=self._log, stderr=self._log
        )
        async with httpx.AsyncClient(trust_env=False) as client:

            async def is_ready() -> bool:
                try:
                    return (await client.get(f"{self.url}/readyz")).is_success
                except httpx.TransportError:
                    return False

            await wait_until(is_ready, bool)

    async def stop(self) -> int:
        """Send SIGTERM, as every rollout does, and return the exit code."""
        if self._process is None:
            return 0
        if self._process.returncode is None:
            self._process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(_STOP_SECONDS):
            return await self._process.wait()


class LoadBalancer(httpx.AsyncBaseTransport):
    """Sends each request to the next API process in rotation, and notes what no client should see."""

    def __init__(self) -> None:
        self._transport = httpx.AsyncHTTPTransport()
        self._rotation = deque[httpx.URL]()
        self._in_progress = Counter[httpx.URL]()
        self.violations = list[str]()
        self.counts = Counter[str]()

    def add(self, url: str) -> None:
        self._rotation.append(httpx.URL(url))

    async def remove(self, url: str) -> None:
        """Send no further request to a process, and wait until it has answered those that it has."""
        target = httpx.URL(url)
        self._rotation.remove(target)

        async def count_requests() -> int:
            return self._in_progress[target]

        await wait_until(count_requests, lambda count: count == 0)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        target = self._rotation[0]
        self._rotation.rotate()
        name = f"{request.method} {request.url.path}"
        request.url = request.url.copy_with(host=target.host, port=target.port)
        self._in_progress[target] += 1
        try:
            response = await self._transport.handle_async_request(request)
        except httpx.TransportError as error:
            self.violations.append(f"{name}: {type(error).__name__}")
            raise
        finally:
            self._in_progress[target] -= 1
        self._check(name, response)
        return response

    async def aclose(self) -> None:
        await self._transport.aclose()

    def _check(self, name: str, response: httpx.Response) -> None:
        self.counts[f"responses {response.status_code // 100}xx"] += 1
        is_announced = response.status_code == httpx.codes.SERVICE_UNAVAILABLE and "Retry-After" in response.headers
        if response.is_server_error and not is_announced:
            self.violations.append(f"{name}: {response.status_code}")


class BalancedStack(DevStack):
    """A running stack whose API clients use the processes behind a load balancer."""

    def __init__(self, stack: DevStack, balancer: LoadBalancer) -> None:
        super().__init__(stack.data_dir, *stack.options)
        self._client = httpx.AsyncClient(transport=balancer, base_url=stack.stack_json["api_url"], timeout=60)

    @asynccontextmanager
    async def api_client(self) -> AsyncIterator[httpx.AsyncClient]:
        """Yield the client that all requests share, as they share the load balancer."""
        yield self._client


async def restart_until(
    deadline: float, replicas: Sequence[Replica], seconds: float, balancer: LoadBalancer, counts: Counter[str]
) -> None:
    """Restart the next process every few seconds, or when the one before it is ready if that takes longer."""
    for replica in cycle(replicas):
        started = time.monotonic()
        if started > deadline:
            return
        if replica.kind == "api":
            await balancer.remove(replica.url)
        assert await replica.stop() in {0, -signal.SIGTERM}, replica.kind
        await replica.start()
        if replica.kind == "api":
            balancer.add(replica.url)
        counts[f"restarts of {replica.kind}"] += 1
        await asyncio.sleep(max(0, started + seconds - time.monotonic()))  # the time between two restarts


@asynccontextmanager
async def run_replicas(stack: DevStack) -> AsyncIterator[tuple[dict[str, list[Replica]], LoadBalancer]]:
    """Run API processes and workers for the length of the block, and yield them by kind."""
    queue = {"STAFETT_TEMPORAL__TASK_QUEUE": f"rolling-{uuid4().hex}"}
    pids = stack.stack_json["pids"]
    replicas: dict[str, list[Replica]] = {"api": [], "worker": []}
    async with AsyncExitStack() as exits:
        balancer = await exits.enter_async_context(LoadBalancer())
        reservations = exits.enter_context(PortReservations())
        for number in range(_PROCESSES_OF_EACH_KIND):
            for kind, pid in (("api", pids["api"]), ("worker", pids["worker"][0])):
                port, metrics_port = _reserve(reservations), _reserve(reservations)
                own = queue | {"STAFETT_METRICS__PORT": str(metrics_port), "STAFETT_API__PORT": str(port)}
                log_file = stack.data_dir / "logs" / f"{kind}-{number}.log"
                log = exits.enter_context(log_file.open("ab"))
                url = f"http://127.0.0.1:{port if kind == 'api' else metrics_port}"
                replica = Replica(kind, url, psutil.Process(pid).environ() | own, log)
                exits.push_async_callback(replica.stop)
                replicas[kind].append(replica)
                await replica.start()
        for replica in replicas["api"]:
            balancer.add(replica.url)
        yield replicas, balancer


def _reserve(reservations: PortReservations) -> int:
    ports = iter(lambda: random.randint(11_000, 22_700), None)  # noqa: S311 - a port is no secret
    return next(port for port in ports if reservations.reserve(port))
