"""What dies is started again, whatever its ready check meets on the way."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import psutil  # type: ignore[import-untyped]  # the package ships no types

from stafett.devstack.child_process import ChildProcess, ProcessSpec
from stafett.devstack.supervisor import Supervisor
from stafett.domain.errors import ServiceUnavailableError
from stafett.testing import wait_until

Ready = Callable[[int], Awaitable[bool]]


def _sleeper(name: str, folder: Path, ready: Ready) -> ProcessSpec:
    return ProcessSpec(
        name, ("sleep", "60"), {"PATH": "/usr/bin:/bin"}, folder, folder / f"{name}.log", ready, stop_signals=()
    )


async def _at_once(_pid: int) -> bool:
    return True


@asynccontextmanager
async def _watched(*launches: ProcessSpec) -> AsyncIterator[tuple[list[ChildProcess], list[str]]]:
    """The children that stand at each place now, and what was reported."""
    standing, said = [await ChildProcess.spawn(launch) for launch in launches], list[str]()
    watching = asyncio.create_task(Supervisor(standing, said.append, standing.__setitem__).watch())
    try:
        yield standing, said
    finally:
        watching.cancel()
        with suppress(asyncio.CancelledError):
            await watching
        await asyncio.gather(*(child.stop() for child in standing))


async def test_two_that_die_at_once_are_both_replaced_though_one_finds_the_other_away(tmp_path: Path) -> None:
    tries: list[int] = []

    async def ready_with_the_server(pid: int) -> bool:
        tries.append(pid)
        if len(tries) == 1:
            raise ServiceUnavailableError("Temporal")
        return True

    launches = (_sleeper("temporal", tmp_path, _at_once), _sleeper("worker", tmp_path, ready_with_the_server))
    async with _watched(*launches) as (standing, said):
        fallen = [child.pid for child in standing]
        for pid in fallen:
            psutil.Process(pid).kill()

        async def pids() -> list[int]:
            return [child.pid for child in standing if child.is_running]

        stand = await wait_until(pids, lambda pids: len(pids) == 2 and not set(pids) & set(fallen), timeout_seconds=10)
        await wait_until(
            _all_of(said), lambda said: sum("restarted as pid" in line for line in said) == 2, timeout_seconds=10
        )
    assert len(set(stand)) == 2
    assert any("Temporal cannot be reached just now. Next try in" in line for line in said)
    assert not any(map(psutil.pid_exists, [*stand, *tries]))


def _all_of(said: list[str]) -> Callable[[], Awaitable[list[str]]]:
    async def look() -> list[str]:
        return list(said)

    return look
