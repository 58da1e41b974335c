"""Supervision of child processes: those that die are restarted, whatever their readiness check raises."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import psutil  # type: ignore[import-untyped]  # the package ships no types

from stafett.devstack.child_process import ChildProcess, ProcessSpec
from stafett.devstack.supervisor import Supervisor
from stafett.domain.errors import ServiceUnavailableError
from stafett.testing import wait_until

ReadyCheck = Callable[[int], Awaitable[bool]]


def _build_sleep_spec(name: str, folder: Path, ready: ReadyCheck) -> ProcessSpec:
    return ProcessSpec(
        name, ("sleep", "60"), {"PATH": "/usr/bin:/bin"}, folder, folder / f"{name}.log", ready, stop_signals=()
    )


async def _is_ready_at_once(_pid: int) -> bool:
    return True


@asynccontextmanager
async def _supervise(*specs: ProcessSpec) -> AsyncIterator[tuple[list[ChildProcess], list[str]]]:
    """Supervise the processes; yield the current children and the reported messages."""
    children, messages = [await ChildProcess.spawn(spec) for spec in specs], list[str]()
    watching = asyncio.create_task(Supervisor(children, messages.append, children.__setitem__).watch())
    try:
        yield children, messages
    finally:
        watching.cancel()
        with suppress(asyncio.CancelledError):
            await watching
        await asyncio.gather(*(child.stop() for child in children))


async def test_two_processes_that_die_at_once_are_both_restarted(tmp_path: Path) -> None:
    checked: list[int] = []

    async def is_ready_once_temporal_is(pid: int) -> bool:
        checked.append(pid)
        if len(checked) == 1:
            raise ServiceUnavailableError("Temporal")
        return True

    specs = (
        _build_sleep_spec("temporal", tmp_path, _is_ready_at_once),
        _build_sleep_spec("worker", tmp_path, is_ready_once_temporal_is),
    )
    async with _supervise(*specs) as (children, messages):
        killed = [child.pid for child in children]
        for pid in killed:
            psutil.Process(pid).kill()

        async def pids() -> list[int]:
            return [child.pid for child in children if child.is_running]

        restarted = await wait_until(pids, lambda pids: len(pids) == 2 and not set(pids) & set(killed))
        await wait_until(
            _poll_messages(messages), lambda messages: sum("restarted as pid" in line for line in messages) == 2
        )
    assert len(set(restarted)) == 2
    assert any("Temporal is unavailable. Next attempt in" in line for line in messages)
    assert not any(map(psutil.pid_exists, [*restarted, *checked]))


def _poll_messages(messages: list[str]) -> Callable[[], Awaitable[list[str]]]:
    async def poll() -> list[str]:
        return list(messages)

    return poll
