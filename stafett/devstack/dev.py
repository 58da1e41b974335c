"""``stafett dev``: servers, programs, and a watch over all of them until Ctrl-C."""

import asyncio
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AbstractContextManager, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

from stafett.devstack.child_process import Child, Launch
from stafett.devstack.mail_server import MailFolder, catching_mail
from stafett.devstack.options import StackAddresses, StackOptions
from stafett.devstack.privileges import die_with_us
from stafett.devstack.stack import (
    Report,
    RunningServers,
    environment_without_stafett,
    servers,
    start_together,
    stop_together,
)
from stafett.devstack.stack_file import StackFile, StackPids
from stafett.devstack.supervisor import Supervisor

Prepare = Callable[[StackAddresses], Awaitable[Mapping[str, str]]]
Publishing = Callable[[int], AbstractContextManager[None]]
"""The issuer at a port, for as long as the programs run."""

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@dataclass(frozen=True)
class Program:
    """One of our own processes; ``ready`` is given its pid; ``withheld`` names variables it must not see."""

    name: Literal["api", "worker"]
    argv: tuple[str, ...]
    ready: Callable[[StackAddresses, int], Awaitable[bool]] | None = None
    withheld: frozenset[str] = frozenset()

    def launch(self, running: RunningServers, environment: Mapping[str, str], log_name: str) -> Launch:
        return Launch(
            name=self.name,
            argv=(*die_with_us(signal.SIGKILL), *self.argv),
            environment={name: value for name, value in environment.items() if name not in self.withheld},
            cwd=Path.cwd(),
            log=running.folder.log(log_name),
            ready=partial(self._answers, running.addresses),
            stop=((signal.SIGTERM, 5.0),),
        )

    async def _answers(self, addresses: StackAddresses, pid: int) -> bool:
        return self.ready is None or await self.ready(addresses, pid)


async def run_stack(
    options: StackOptions,
    prepare: Prepare,
    programs: tuple[Program, ...],
    publishing: Publishing,
    report: Report = print,
) -> None:
    """Run everything until SIGINT, SIGTERM or SIGHUP; returns when nothing is left running."""
    stack = asyncio.ensure_future(_run(options, prepare, programs, publishing, report))
    loop = asyncio.get_running_loop()
    interrupted: list[signal.Signals] = []
    for number in _SIGNALS:
        loop.add_signal_handler(number, _interrupt, stack, number, interrupted)
    try:
        await stack
    except asyncio.CancelledError:
        if not interrupted:
            raise
        report("Stopped.")
    finally:
        for number in _SIGNALS:
            loop.remove_signal_handler(number)


def _interrupt(stack: asyncio.Future[None], number: signal.Signals, interrupted: list[signal.Signals]) -> None:
    # Once: a second Ctrl-C would cancel the cleaning up, which ends by itself within seconds.
    if not interrupted:
        interrupted.append(number)
        stack.cancel()


async def _run(
    options: StackOptions, prepare: Prepare, programs: tuple[Program, ...], publishing: Publishing, report: Report
) -> None:
    async with servers(options, report) as running:
        extra = await prepare(running.addresses)
        environment = environment_without_stafett() | running.addresses.environment() | dict(extra)
        mail = catching_mail(MailFolder(running.folder.mail), running.addresses.mail_port)
        with publishing(running.addresses.issuer_port):
            async with mail, _started(programs, running, environment) as children:
                await _supervise(running, children, report)


@asynccontextmanager
async def _started(
    programs: tuple[Program, ...], running: RunningServers, environment: Mapping[str, str]
) -> AsyncIterator[list[Child]]:
    """The list is the supervisor's too, so that what is stopped at the end is what runs by then."""
    names = [program.name for program in programs]
    logs = [f"{name}-{place}" if names.count(name) > 1 else name for place, name in enumerate(names, 1)]
    launches = [program.launch(running, environment, log) for program, log in zip(programs, logs, strict=True)]
    children = await start_together(launches)
    try:
        yield children
    finally:
        await stop_together(children)


async def _supervise(running: RunningServers, programs: list[Child], report: Report) -> None:
    everyone = [*running.children.values(), *programs]

    def replaced(place: int, child: Child) -> None:
        if child.name in running.children:
            running.children[child.name] = child
        else:
            programs[place - len(running.children)] = child
        publish()

    def publish() -> None:
        running.record(also=programs)
        StackFile.describing(running.addresses, _pids(running, programs)).write(running.folder)

    publish()
    _announce(running.addresses, running.folder.path, report)
    try:
        await Supervisor(everyone, report, replaced).watch()
    finally:
        running.folder.stack_file.unlink(missing_ok=True)


def _pids(running: RunningServers, programs: list[Child]) -> StackPids:
    workers = [child.pid for child in programs if child.name == "worker"]
    api = next((child.pid for child in programs if child.name == "api"), 0)
    return StackPids.model_validate({**running.pids, "api": api, "worker": workers})


def _announce(addresses: StackAddresses, data_dir: Path, report: Report) -> None:
    report(f"API          {addresses.api_url}")
    report(f"API docs     {addresses.api_url}/docs")
    report(f"Temporal UI  {addresses.temporal_ui_url}")
    report(f"S3           {addresses.s3_endpoint} (bucket {addresses.s3_bucket})")
    report(f"Issuer       {addresses.issuer_url}/.well-known/openid-configuration")
    report(f"Mail         {data_dir / 'mail'}")
    report(f"Data         {data_dir}")
    report("Ready. Ctrl-C stops everything.")
