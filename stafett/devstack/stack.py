"""The three servers as one unit: started together and stopped together."""

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial

from stafett.allocator import POLARS_ALLOCATOR_VARIABLE
from stafett.devstack import processes
from stafett.devstack.child_process import ChildProcess, ProcessSpec
from stafett.devstack.credentials import load_or_create_credentials
from stafett.devstack.data_folder import DataFolder
from stafett.devstack.errors import ProcessExitedError
from stafett.devstack.loopback import HOST
from stafett.devstack.options import BUCKET, NAMESPACE, StackAddresses, StackOptions
from stafett.devstack.ports import GRPC_OFFSET, PortReservations, Ports, choose_ports, is_port_free
from stafett.devstack.postgres import PostgresServer
from stafett.devstack.s3 import S3Server
from stafett.devstack.temporal import TemporalServer
from stafett.domain.errors import StafettError

PrintStatus = Callable[[str], None]

_MAX_PORT_ATTEMPTS = 3


@dataclass(frozen=True)
class StackPlan:
    """The servers of one data folder, with the ports and credentials of this start."""

    postgres: PostgresServer
    temporal: TemporalServer
    s3: S3Server
    api_port: int
    mail_port: int
    issuer_port: int
    api_metrics_port: int
    worker_metrics_port: int

    @classmethod
    def from_options(cls, folder: DataFolder, options: StackOptions, reservations: PortReservations) -> "StackPlan":
        credentials = load_or_create_credentials(folder)
        ports = choose_ports(folder, options.api_port, reservations)
        return cls(
            PostgresServer(folder, credentials, ports["postgres"], options.durable),
            TemporalServer(folder, ports, _build_temporal_args(options, ports), options.durable),
            S3Server(folder, credentials, ports, options.durable),
            ports["api"],
            ports["mail"],
            ports["issuer"],
            ports["api_metrics"],
            ports["worker_metrics"],
        )

    def process_specs(self) -> tuple[ProcessSpec, ...]:
        return (self.postgres.process_spec(), self.temporal.process_spec(), self.s3.process_spec())

    def addresses(self) -> StackAddresses:
        return StackAddresses(
            postgres_url=self.postgres.url(),
            api_database_url=self.postgres.url("stafett_api"),
            worker_database_url=self.postgres.url("stafett_worker"),
            maintenance_database_url=self.postgres.url("stafett_maintenance"),
            temporal_address=self.temporal.address,
            temporal_ui_url=self.temporal.ui_url,
            temporal_namespace=NAMESPACE,
            s3_endpoint=self.s3.endpoint,
            s3_access_key=self.s3.credentials.s3_access_key,
            s3_secret_key=self.s3.credentials.s3_secret_key,
            s3_bucket=BUCKET,
            api_port=self.api_port,
            mail_port=self.mail_port,
            issuer_port=self.issuer_port,
            api_metrics_port=self.api_metrics_port,
            worker_metrics_port=self.worker_metrics_port,
        )


def _build_temporal_args(options: StackOptions, ports: Ports) -> tuple[str, ...]:
    if options.codec_path is None:
        return options.temporal_args
    return (*options.temporal_args, "--ui-codec-endpoint", f"http://{HOST}:{ports['api']}{options.codec_path}")


class RunningServers:
    """The running servers; tests inject failures with ``kill`` and ``restart``."""

    def __init__(self, folder: DataFolder, plan: StackPlan, children: Iterable[ChildProcess]) -> None:
        self.folder = folder
        self.addresses = plan.addresses()
        self.children = {child.name: child for child in children}
        self._plan = plan

    @property
    def pids(self) -> dict[str, int]:
        return {name: child.pid for name, child in self.children.items()}

    async def kill(self, name: str) -> None:
        """Send SIGKILL to a server and wait until it has exited."""
        self.children[name].kill()
        await self.children[name].wait()

    async def restart(self, name: str) -> None:
        """Start a server that has exited again, on the same ports."""
        (self.children[name],) = await start_all((self.children[name].spec,))
        self.record_pids()

    def record_pids(self, additional: Iterable[ChildProcess] = ()) -> None:
        """Store the pids, so that the next start can stop what this one may leave running."""
        processes.record_pids(self.folder, [child.pid for child in (*self.children.values(), *additional)])

    async def stop(self) -> None:
        await stop_all(self.children.values())
        self._plan.s3.remove_sockets()
        self.folder.pids_file.unlink(missing_ok=True)


@asynccontextmanager
async def run_servers(options: StackOptions, print_status: PrintStatus = print) -> AsyncIterator[RunningServers]:
    """Run PostgreSQL, Temporal and S3 on a data folder for the duration of the block."""
    folder = DataFolder.from_path(options.data_dir)
    with folder.acquire_lock(), PortReservations() as reservations:
        for pid in await asyncio.to_thread(processes.stop_leftover_processes, folder):
            print_status(f"Stopped a process that an earlier stack left running (pid {pid}).")
        running = await _start_servers(folder, options, reservations)
        try:
            running.record_pids()
            yield running
        finally:
            await running.stop()


async def _start_servers(folder: DataFolder, options: StackOptions, reservations: PortReservations) -> RunningServers:
    """Start the servers; choose new ports if another program takes one between our choice and the server's bind."""
    for attempt in range(1, _MAX_PORT_ATTEMPTS + 1):
        plan = StackPlan.from_options(folder, options, reservations)
        try:
            children = await start_all(plan.process_specs(), partial(processes.record_pids, folder))
            return RunningServers(folder, plan, children)
        except ProcessExitedError:
            if attempt == _MAX_PORT_ATTEMPTS or _are_ports_free(plan.s3.ports):
                raise
    raise AssertionError


def _are_ports_free(ports: Ports) -> bool:
    paired = (port + GRPC_OFFSET for name, port in ports.items() if name.startswith("s3"))
    return all(is_port_free(port) for port in (*ports.values(), *paired))


async def start_all(
    specs: Iterable[ProcessSpec], record_pids: Callable[[Iterable[int]], None] = lambda _pids: None
) -> list[ChildProcess]:
    """Start processes in parallel and record each pid at once; if one fails, stop the others."""
    children: list[ChildProcess] = []
    try:
        async with asyncio.TaskGroup() as starting:
            for spec in specs:
                starting.create_task(_start_one(spec, children, record_pids))
    except BaseException as failure:
        await stop_all(children)
        if isinstance(failure, BaseExceptionGroup):
            raise _find_stafett_error(failure) from failure
        raise
    order = [spec.name for spec in specs]
    return sorted(children, key=lambda child: order.index(child.name))


async def _start_one(
    spec: ProcessSpec, children: list[ChildProcess], record_pids: Callable[[Iterable[int]], None]
) -> None:
    child = await ChildProcess.spawn(spec)
    children.append(child)
    record_pids(started.pid for started in children)
    await child.wait_until_ready()


def _find_stafett_error(failures: BaseExceptionGroup[BaseException]) -> BaseException:
    expected = failures.subgroup(StafettError)
    return (expected or failures).exceptions[0]


async def stop_all(children: Iterable[ChildProcess]) -> None:
    await asyncio.gather(*(child.stop() for child in children))


def environment_without_stafett() -> dict[str, str]:
    """Return our environment without variables for another installation and without Polars' allocator setting.

    The variables of the logs are not about an installation, and stay.
    """
    return {
        name: value
        for name, value in os.environ.items()
        if (not name.startswith("STAFETT_") or name.startswith("STAFETT_LOG__")) and name != POLARS_ALLOCATOR_VARIABLE
    }
