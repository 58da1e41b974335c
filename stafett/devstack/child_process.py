"""One supervised process: started, awaited until it answers, stopped."""

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from stafett.devstack.errors import DevStackError, ProcessExitedError, summarise_output, translate_folder_errors

_READINESS_POLL_SECONDS = 0.02
_MAX_LOG_BYTES = 20_000_000
_LOG_TAIL_BYTES = 2000


@dataclass(frozen=True)
class ProcessSpec:
    """How a process is started, what shows that it is ready, and how it is asked to end."""

    name: str
    argv: tuple[str, ...]
    environment: Mapping[str, str]
    cwd: Path
    log_file: Path
    readiness_probe: Callable[[int], Awaitable[bool]]
    """Given the pid; false as long as it does not answer."""
    readiness_timeout_seconds: float = 60.0
    stop_signals: tuple[tuple[signal.Signals, float], ...] = ((signal.SIGTERM, 5.0),)
    """Signals in turn, each with the seconds it is given; SIGKILL comes after the last."""
    prepare: Callable[[], Awaitable[None]] | None = None


class ChildProcess:
    """Only what `spawn` returns: a process that exists."""

    def __init__(self, spec: ProcessSpec, process: asyncio.subprocess.Process, log_offset: int) -> None:
        self.spec = spec
        self._process = process
        self._log_offset = log_offset

    @classmethod
    async def spawn(cls, spec: ProcessSpec) -> "ChildProcess":
        """Start it in a session of its own, so that Ctrl-C in the terminal reaches us alone."""
        if spec.prepare:
            await spec.prepare()
        with translate_folder_errors(spec.log_file):
            log = _open_log(spec.log_file)
        with log:
            return cls(spec, await _create_process(spec, log), log.tell())

    @property
    def name(self) -> str:
        return self.spec.name

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def is_running(self) -> bool:
        return self._process.returncode is None

    async def wait(self) -> int:
        return await self._process.wait()

    async def wait_until_ready(self) -> None:
        """Return once it answers; fail at once if it ends, or when patience does."""
        ended = asyncio.ensure_future(self._process.wait())
        answers = asyncio.ensure_future(self._poll_until_ready())
        try:
            await asyncio.wait(
                (ended, answers), timeout=self.spec.readiness_timeout_seconds, return_when=asyncio.FIRST_COMPLETED
            )
            if not self.is_running:
                raise ProcessExitedError(
                    f"{self.name} {self.describe_exit()} before it was ready. {self._describe_log_tail()}"
                )
            if not answers.done():
                raise DevStackError(
                    f"{self.name} did not answer within {self.spec.readiness_timeout_seconds:.0f} seconds. "
                    f"{self._describe_log_tail()}"
                )
            answers.result()
        finally:
            ended.cancel()
            answers.cancel()
            await asyncio.gather(ended, answers, return_exceptions=True)

    def describe_exit(self) -> str:
        """How it ended, in words."""
        code = self._process.returncode
        if code is None:
            return "is running"
        return f"ended with signal {-code}" if code < 0 else f"ended with status {code}"

    async def stop(self) -> None:
        """Ask, ask louder, then take it and its descendants away."""
        for asked, seconds in self.spec.stop_signals:
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

    async def _poll_until_ready(self) -> None:
        while not await self.spec.readiness_probe(self.pid):  # noqa: ASYNC110 - a server sets no event of ours
            await asyncio.sleep(_READINESS_POLL_SECONDS)

    def _describe_log_tail(self) -> str:
        with self.spec.log_file.open("rb") as log:
            log.seek(max(self._log_offset, self.spec.log_file.stat().st_size - _LOG_TAIL_BYTES))
            return f"{summarise_output(log.read())} ({self.spec.log_file})."


async def _create_process(spec: ProcessSpec, log_stream: IO[bytes]) -> asyncio.subprocess.Process:
    try:
        return await asyncio.create_subprocess_exec(
            *spec.argv,
            cwd=spec.cwd,
            env=dict(spec.environment),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=log_stream,
            stderr=log_stream,
            start_new_session=True,
        )
    except OSError as fault:
        raise DevStackError(
            f"{spec.name} cannot be started ({fault.strerror}: {fault.filename}); run `make setup`."
        ) from fault


def _open_log(path: Path) -> IO[bytes]:
    if path.exists() and path.stat().st_size > _MAX_LOG_BYTES:
        path.replace(path.with_suffix(".log.1"))
    log = path.open("ab")
    log.seek(0, os.SEEK_END)
    return log
