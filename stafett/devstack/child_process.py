"""One supervised process: started, awaited until it answers, stopped."""

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from stafett.devstack.errors import DevStackError, ProcessEndedError, folder_faults, last_words

_POLL_SECONDS = 0.02
_LOG_LIMIT_BYTES = 20_000_000
_TAIL_BYTES = 2000


@dataclass(frozen=True)
class Launch:
    """How a process is started, what shows that it is ready, and how it is asked to end."""

    name: str
    argv: tuple[str, ...]
    environment: Mapping[str, str]
    cwd: Path
    log: Path
    ready: Callable[[int], Awaitable[bool]]
    """Given the pid; false as long as it does not answer."""
    patience: float = 60.0
    stop: tuple[tuple[signal.Signals, float], ...] = ((signal.SIGTERM, 5.0),)
    """Signals in turn, each with the seconds it is given; SIGKILL comes after the last."""
    prepare: Callable[[], Awaitable[None]] | None = None


class Child:
    """Only what `spawn` returns: a process that exists."""

    def __init__(self, launch: Launch, process: asyncio.subprocess.Process, log_start: int) -> None:
        self.launch = launch
        self._process = process
        self._log_start = log_start

    @classmethod
    async def spawn(cls, launch: Launch) -> "Child":
        """Start it in a session of its own, so that Ctrl-C in the terminal reaches us alone."""
        if launch.prepare:
            await launch.prepare()
        with folder_faults(launch.log):
            log = _open_log(launch.log)
        with log:
            return cls(launch, await _execute(launch, log), log.tell())

    @property
    def name(self) -> str:
        return self.launch.name

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def is_running(self) -> bool:
        return self._process.returncode is None

    async def wait(self) -> int:
        return await self._process.wait()

    async def wait_ready(self) -> None:
        """Return once it answers; fail at once if it ends, or when patience does."""
        ended = asyncio.ensure_future(self._process.wait())
        answers = asyncio.ensure_future(self._until_it_answers())
        try:
            await asyncio.wait((ended, answers), timeout=self.launch.patience, return_when=asyncio.FIRST_COMPLETED)
            if not self.is_running:
                raise ProcessEndedError(f"{self.name} {self.obituary()} before it was ready. {self._tail()}")
            if not answers.done():
                raise DevStackError(
                    f"{self.name} did not answer within {self.launch.patience:.0f} seconds. {self._tail()}"
                )
            answers.result()
        finally:
            ended.cancel()
            answers.cancel()
            await asyncio.gather(ended, answers, return_exceptions=True)

    def obituary(self) -> str:
        """How it ended, in words."""
        code = self._process.returncode
        if code is None:
            return "is running"
        return f"ended with signal {-code}" if code < 0 else f"ended with status {code}"

    async def stop(self) -> None:
        """Ask, ask louder, then take it and its descendants away."""
        for asked, seconds in self.launch.stop:
            if not self.is_running:
                break
            with suppress(ProcessLookupError):
                self._process.send_signal(asked)
            with suppress(TimeoutError):
                await asyncio.wait_for(self._process.wait(), seconds)
        self.kill()
        await self._process.wait()

    def kill(self) -> None:
        """SIGKILL to the whole group, also when its leader is gone already."""
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)

    async def _until_it_answers(self) -> None:
        while not await self.launch.ready(self.pid):
            await asyncio.sleep(_POLL_SECONDS)

    def _tail(self) -> str:
        with self.launch.log.open("rb") as log:
            log.seek(max(self._log_start, self.launch.log.stat().st_size - _TAIL_BYTES))
            return f"{last_words(log.read())} ({self.launch.log})."


async def _execute(launch: Launch, log: IO[bytes]) -> asyncio.subprocess.Process:
    try:
        return await asyncio.create_subprocess_exec(
            *launch.argv,
            cwd=launch.cwd,
            env=dict(launch.environment),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    except OSError as fault:
        raise DevStackError(
            f"{launch.name} cannot be started ({fault.strerror}: {fault.filename}); run `make setup`."
        ) from fault


def _open_log(path: Path) -> IO[bytes]:
    if path.exists() and path.stat().st_size > _LOG_LIMIT_BYTES:
        path.replace(path.with_suffix(".log.1"))
    log = path.open("ab")
    log.seek(0, os.SEEK_END)
    return log
