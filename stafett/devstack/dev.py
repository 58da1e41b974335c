"""``stafett dev``: runs the servers, the API and the workers, and supervises them until Ctrl-C."""

import asyncio
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AbstractContextManager, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from stafett.devstack.child_process import ChildProcess, ProcessSpec
from stafett.devstack.mail_server import MailFolder, run_mail_server
from stafett.devstack.options import AppName, StackAddresses, StackOptions
from stafett.devstack.privileges import parent_death_prefix
from stafett.devstack.stack import (
    PrintStatus,
    RunningServers,
    environment_without_stafett,
    run_servers,
    start_all,
    stop_all,
)
from stafett.devstack.stack_file import StackFile, StackPids
from stafett.devstack.supervisor import Supervisor

PrepareStack = Callable[[StackAddresses], Awaitable[Mapping[str, str]]]
ServeIssuer = Callable[[int], AbstractContextManager[object]]
"""Serves the issuer at a port for the duration of the block."""

_STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@dataclass(frozen=True)
class AppProcess:
    """One of our own processes; its environment lacks ``excluded_variables``."""

    name: AppName
    argv: tuple[str, ...]
    readiness_probe: Callable[[StackAddresses, int], Awaitable[bool]] | None = None
    excluded_variables: frozenset[str] = frozenset()

    def process_spec(
        self, running_servers: RunningServers, environment: Mapping[str, str], log_name: str
    ) -> ProcessSpec:
        return ProcessSpec(
            name=self.name,
            argv=(*parent_death_prefix(signal.SIGKILL), *self.argv),
            environment={
                **{name: value for name, value in environment.items() if name not in self.excluded_variables},
                "STAFETT_METRICS__PORT": str(running_servers.addresses.metrics_port(self.name)),
            },
            cwd=Path.cwd(),
            log_file=running_servers.folder.log_file(log_name),
            readiness_probe=partial(self._is_ready, running_servers.addresses),
            stop_signals=((signal.SIGTERM, 5.0),),
        )

    async def _is_ready(self, addresses: StackAddresses, pid: int) -> bool:
        return self.readiness_probe is None or await self.readiness_probe(addresses, pid)


async def run_stack(
    options: StackOptions,
    prepare: PrepareStack,
    app_processes: tuple[AppProcess, ...],
    serve_issuer: ServeIssuer,
    print_status: PrintStatus = print,
) -> None:
    """Run everything until SIGINT, SIGTERM or SIGHUP, and return when all processes have exited."""
    stack = asyncio.ensure_future(_run_until_cancelled(options, prepare, app_processes, serve_issuer, print_status))
    loop = asyncio.get_running_loop()
    interrupted: list[signal.Signals] = []
    for number in _STOP_SIGNALS:
        loop.add_signal_handler(number, _cancel_once, stack, number, interrupted)
    try:
        await stack
    except asyncio.CancelledError:
        if not interrupted:
            raise
        print_status("Stopped.")
    finally:
        for number in _STOP_SIGNALS:
            loop.remove_signal_handler(number)


def _cancel_once(stack: asyncio.Future[None], number: signal.Signals, interrupted: list[signal.Signals]) -> None:
    # Cancel once: a second Ctrl-C would cancel the cleanup, which takes only seconds.
    if not interrupted:
        interrupted.append(number)
        stack.cancel()


async def _run_until_cancelled(
    options: StackOptions,
    prepare: PrepareStack,
    app_processes: tuple[AppProcess, ...],
    serve_issuer: ServeIssuer,
    print_status: PrintStatus,
) -> None:
    async with run_servers(options, print_status) as running:
        extra = await prepare(running.addresses)
        environment = environment_without_stafett() | running.addresses.environment() | dict(extra)
        mail = run_mail_server(MailFolder(running.folder.mail), running.addresses.mail_port)
        with serve_issuer(running.addresses.issuer_port):
            async with mail, _run_app_processes(app_processes, running, environment) as children:
                await _supervise(running, children, print_status)


@asynccontextmanager
async def _run_app_processes(
    app_processes: tuple[AppProcess, ...], running_servers: RunningServers, environment: Mapping[str, str]
) -> AsyncIterator[list[ChildProcess]]:
    """Run the processes during the block. The supervisor updates the yielded list, so that current ones are stopped."""
    names = [process.name for process in app_processes]
    log_names = [f"{name}-{number}" if names.count(name) > 1 else name for number, name in enumerate(names, 1)]
    specs = [
        process.process_spec(running_servers, environment, log_name)
        for process, log_name in zip(app_processes, log_names, strict=True)
    ]
    children = await start_all(specs)
    try:
        yield children
    finally:
        await stop_all(children)


async def _supervise(
    running_servers: RunningServers, app_children: list[ChildProcess], print_status: PrintStatus
) -> None:
    all_children = [*running_servers.children.values(), *app_children]

    def on_replaced(index: int, child: ChildProcess) -> None:
        if child.name in running_servers.children:
            running_servers.children[child.name] = child
        else:
            app_children[index - len(running_servers.children)] = child
        write_stack_file()

    def write_stack_file() -> None:
        running_servers.record_pids(additional=app_children)
        StackFile.from_addresses(running_servers.addresses, _collect_pids(running_servers, app_children)).write(
            running_servers.folder
        )

    write_stack_file()
    _print_addresses(running_servers.addresses, running_servers.folder.path, print_status)
    try:
        await Supervisor(all_children, print_status, on_replaced).watch()
    finally:
        running_servers.folder.stack_file.unlink(missing_ok=True)


def _collect_pids(running_servers: RunningServers, app_children: list[ChildProcess]) -> StackPids:
    workers = [child.pid for child in app_children if child.name == "worker"]
    api = next((child.pid for child in app_children if child.name == "api"), 0)
    return StackPids.model_validate({**running_servers.pids, "api": api, "worker": workers})


def _print_addresses(addresses: StackAddresses, data_dir: Path, print_status: PrintStatus) -> None:
    print_status(f"Console      {addresses.console_url}")
    print_status(f"API          {addresses.api_url}")
    print_status(f"API docs     {addresses.api_url}/docs")
    print_status(f"Temporal     {addresses.temporal_address} (namespace {addresses.temporal_namespace})")
    print_status(f"Temporal UI  {addresses.temporal_ui_url}")
    print_status(f"S3           {addresses.s3_endpoint} (bucket {addresses.s3_bucket})")
    print_status(f"Issuer       {addresses.issuer_url}/.well-known/openid-configuration")
    print_status(f"Mail         {data_dir / 'mail'}")
    print_status(f"Metrics      {addresses.metrics_url('api')}, {addresses.metrics_url('worker')}")
    print_status(f"Data         {data_dir}")
    print_status("Ready. Ctrl-C stops everything.")
