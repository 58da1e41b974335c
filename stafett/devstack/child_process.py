"""A supervised process: starting it, waiting until it is ready, and stopping it."""

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from stafett.devstack.errors import DevStackError, ProcessExitedError, summarise_output, translate_folder_errors

_MIN_READINESS_POLL_SECONDS, _MAX_READINESS_POLL_SECONDS = 0.02, 0.25
_MAX_LOG_BYTES = 20_000_000
_LOG_TAIL_BYTES = 2000


@dataclass(frozen=True)
class ProcessSpec:
    """How to start a process, how to check that it is ready, and how to stop it."""

    name: str
    argv: tuple[str, ...]
    environment: Mapping[str, str]
    cwd: Path
    log_file: Path
    readiness_probe: Callable[[int], Awaitable[bool]]
    """Called with the pid; returns False until the process is ready."""
    readiness_timeout_seconds: float = 180.0
    stop_signals: tuple[tuple[signal.Signals, float], ...] = ((signal.SIGTERM, 5.0),)
    """Signals in order, each with the seconds to wait for the exit; SIGKILL follows the last one."""
    prepare: Callable[[], Awaitable[None]] | None = None


class ChildProcess:
    """A process that has been started; only ``spawn`` creates one."""

    def __init__(self, spec: ProcessSpec, process: asyncio.subprocess.Process, log_offset: int) -> None:
        self.spec = spec
        self._process = process
        self._log_offset = log_offset

    @classmethod
    async def spawn(cls, spec: ProcessSpec) -> "ChildProcess":
        """Start the process in a session of its own, so that Ctrl-C in the terminal reaches only the parent."""
        if spec.prepare:
            await spec.prepare()
        with translate_folder_errors(spec.log_file):
            log = _open_log(spec.log_file)
        with log:
            log_offset = log.tell()  # before the process writes, because it shares our position in the file
            return cls(spec, await _create_process(spec, log), log_offset)

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
        """Return once the process is ready; raise if it exits before, or when the timeout expires."""
        exited = asyncio.ensure_future(self._process.wait())
        ready = asyncio.ensure_future(self._poll_until_ready())
        try:
            await asyncio.wait(
                (exited, ready), timeout=self.spec.readiness_timeout_seconds, return_when=asyncio.FIRST_COMPLETED
            )
            if not self.is_running:
                raise ProcessExitedError(
                    f"{self.name} {self.describe_exit()} before it was ready. {self._describe_log_tail()}"
                )
            if not ready.done():
                raise DevStackError(
                    f"{self.name} was not ready within {self.spec.readiness_timeout_seconds:.0f} seconds. "
                    f"{self._describe_log_tail()}"
                )
            ready.result()
        finally:
            exited.cancel()
            ready.cancel()
            await asyncio.gather(exited, ready, return_exceptions=True)

    def describe_exit(self) -> str:
        """Describe how the process exited, as the end of a sentence."""
        code = self._process.returncode
        if code is None:
            return "is running"
        return f"was terminated by signal {-code}" if code < 0 else f"exited with status {code}"

    async def stop(self) -> None:
        """Send the stop signals in order until the process exits, then SIGKILL what is left of its group."""
        for stop_signal, seconds in self.spec.stop_signals:
            if not self.is_running:
                break
            with suppress(ProcessLookupError):
                self._process.send_signal(stop_signal)
            with suppress(TimeoutError):
                await asyncio.wait_for(self._process.wait(), seconds)
        self.kill()
        await self._process.wait()

    def kill(self) -> None:
        """Send SIGKILL to the whole process group, even if its leader has exited already."""
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)

    async def _poll_until_ready(self) -> None:
        """Poll less and less often, because a probe takes processor time that a starting server needs."""
        interval = _MIN_READINESS_POLL_SECONDS
        while not await self.spec.readiness_probe(self.pid):
            await asyncio.sleep(interval)
            interval = min(interval * 1.3, _MAX_READINESS_POLL_SECONDS)

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
    except OSError as error:
        raise DevStackError(
            f"{spec.name} cannot be started ({error.strerror}: {error.filename}); run `make setup`."
        ) from error


def _open_log(path: Path) -> IO[bytes]:
    if path.exists() and path.stat().st_size > _MAX_LOG_BYTES:
        path.replace(path.with_suffix(".log.1"))
    log = path.open("ab")
    log.seek(0, os.SEEK_END)
    return log
