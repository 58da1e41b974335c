"""`stafett dev` and the `stafett` commands as processes, seen from outside: files, output and exit codes."""

import asyncio
import json
import os
import pty
import re
import signal
import ssl
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import jwt
import psutil  # type: ignore[import-untyped]  # the package ships no types

from stafett.testing import Json, wait_until
from tests.support.commands import execute_command

EXPORTS = "/api/v1/bufdir-exports"
_TLS = ssl.create_default_context()  # created once, because that takes longer than a request
_STAFETT = (sys.executable, "-m", "stafett")
PROCESS_COMMANDS = {"api", "demo", "dev", "migrate", "worker"}
"""Commands that configure the logging and the signals of their process."""


@dataclass(frozen=True)
class CommandResult:
    """Exit code and output of a finished command."""

    exit_code: int
    stdout: str
    stderr: str

    @property
    def json(self) -> Any:
        assert self.exit_code in {0, 3}, self
        return json.loads(self.stdout)

    def require_success(self) -> "CommandResult":
        assert self.exit_code == 0, self
        return self

    def assert_one_line_error(self, text: str) -> None:
        """Check for a non-zero exit code, an empty stdout, and one line on stderr that contains the text."""
        assert self.exit_code != 0, self
        assert "Traceback" not in self.stderr, self.stderr.splitlines()[-1]
        assert self.stdout == "", self
        lines = [line for line in self.stderr.splitlines() if line and not re.match(r"Usage: |Try '", line)]
        assert len(lines) == 1, self
        assert text in lines[0], self


async def run_stafett(*args: object, env: Mapping[str, str] | None = None) -> CommandResult:
    """Run one `stafett` command in this process; its only `STAFETT_` variables are those of `env`."""
    arguments = list(map(str, args))
    if arguments[0] in PROCESS_COMMANDS:
        return await run_stafett_process(*arguments, env=env)
    return CommandResult(*await execute_command(arguments, env or {}))


async def run_stafett_process(*args: object, env: Mapping[str, str] | None = None) -> CommandResult:
    """Run one `stafett` command as a process of its own."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("STAFETT_", "NO_COLOR"))}
    command = await asyncio.create_subprocess_exec(
        *_STAFETT,
        *map(str, args),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=clean | dict(env or {}),
    )
    out, err = await command.communicate()
    return CommandResult(command.returncode or 0, out.decode(), err.decode())


async def run_at_a_terminal(*args: object, env: Mapping[str, str], typed: str = "") -> tuple[int, str]:
    """Run a command on a pseudo-terminal where a user has typed this; return the exit code and what it displays."""
    controller, terminal = pty.openpty()
    with os.fdopen(controller, "r+b", buffering=0) as screen:
        clean = {name: value for name, value in os.environ.items() if not name.startswith("STAFETT_")}
        command = await asyncio.create_subprocess_exec(
            *_STAFETT,
            *map(str, args),
            stdin=terminal,
            stdout=terminal,
            stderr=terminal,
            env=clean | {"TERM": "xterm-256color"} | dict(env),
        )
        os.close(terminal)
        screen.write(typed.encode())
        output = await asyncio.to_thread(_read_screen, screen.fileno())
        return await command.wait(), output


def _read_screen(screen: int) -> str:
    content = b""
    while True:
        try:
            chunk = os.read(screen, 65536)
        except OSError:
            return content.decode()  # Linux raises when the terminal is closed
        if not chunk:
            return content.decode()
        content += chunk


def is_gone(pid: int) -> bool:
    try:
        return not _is_running(psutil.Process(pid))
    except psutil.NoSuchProcess:
        return True


def _is_running(process: psutil.Process) -> bool:
    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


async def wait_until_gone(processes: Sequence[psutil.Process]) -> None:
    async def list_running() -> list[psutil.Process]:
        return [process for process in processes if _is_running(process)]

    await wait_until(list_running, lambda running: not running)


class DevStack:
    """One `stafett dev` with its data folder; tests start, stop and kill it."""

    def __init__(self, data_dir: Path, *options: str) -> None:
        self.data_dir, self.options = data_dir, options
        self._log = data_dir.with_name(f"{data_dir.name}.log")
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        old_text = self._read_stack_json()
        with self._log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *_STAFETT, "dev", "--data-dir", str(self.data_dir), *self.options, stdout=log, stderr=log
            )
        await wait_until(
            self._read_stack_json_while_running, lambda text: text not in {"", old_text}, timeout_seconds=300
        )

    async def stop(self, stop_signal: signal.Signals = signal.SIGTERM) -> int:
        """Send the signal, wait for the end of the process and return its exit code."""
        if self._process is None:
            return 0
        if self._process.returncode is None:
            self._process.send_signal(stop_signal)
        return await self._process.wait()

    async def kill_supervisor(self) -> None:
        assert self._process is not None
        self._process.kill()
        await self._process.wait()

    async def kill_everything(self) -> None:
        """Kill every process with SIGKILL, the supervisor first, so that it restarts none."""
        pids, processes = self.all_pids(), self.processes()
        await self.kill_supervisor()
        for pid in pids:
            kill(pid)
        await wait_until_gone(processes)

    @property
    def stack_json(self) -> Json:
        """The current content of `stack.json`."""
        content: Json = json.loads(self._read_stack_json())
        return content

    @property
    def database_url(self) -> str:
        return str(self.stack_json["database_url"])

    def all_pids(self) -> list[int]:
        pids = self.stack_json["pids"]
        return [pids["postgres"], pids["temporal"], pids["s3"], pids["api"], *pids["worker"]]

    def processes(self) -> list[psutil.Process]:
        """The supervisor and every process it has started, whether or not `stack.json` has its pid."""
        assert self._process is not None
        supervisor = psutil.Process(self._process.pid)
        return [supervisor, *supervisor.children(recursive=True)]

    async def read_output(self) -> str:
        """Read the output of `stafett dev`, which a user sees in the terminal."""
        return self._log.read_text()

    async def read_api_log(self) -> str:
        """Read the log of the API process."""
        return (self.data_dir / "logs" / "api.log").read_text()

    async def run(self, *args: object, env: Mapping[str, str] | None = None) -> CommandResult:
        return await run_stafett(*args, "--data-dir", self.data_dir, env=env)

    @asynccontextmanager
    async def api_client(self) -> AsyncIterator[httpx.AsyncClient]:
        async with open_http_client(self.stack_json["api_url"]) as client:
            yield client

    async def _read_stack_json_while_running(self) -> str:
        assert self._process is not None
        assert self._process.returncode is None, self._log.read_text()
        return self._read_stack_json()

    def _read_stack_json(self) -> str:
        path = self.data_dir / "stack.json"
        return path.read_text() if path.exists() else ""


def open_http_client(base_url: str = "") -> httpx.AsyncClient:
    return httpx.AsyncClient(base_url=base_url, timeout=60, verify=_TLS)


def kill(pid: int) -> None:
    if not is_gone(pid):
        os.kill(pid, signal.SIGKILL)


async def repeat_while_unavailable(send: Callable[[], Awaitable[httpx.Response]]) -> httpx.Response:
    """Send a request again while it is answered with 503, as clients should."""
    return await wait_until(send, lambda response: response.status_code != HTTPStatus.SERVICE_UNAVAILABLE)


@contextmanager
def freeze_processes(*pids: int) -> Iterator[None]:
    """Suspend the processes: they exist and do not respond, for the length of the block."""
    try:
        for pid in pids:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGSTOP)
        yield
    finally:
        for pid in pids:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)


@asynccontextmanager
async def run_dev_stack(data_dir: Path, *options: str) -> AsyncIterator[DevStack]:
    """Run a stack for the length of the block, and check that it exits with 0 and leaves no process."""
    stack, processes = DevStack(data_dir, *options), list[psutil.Process]()
    try:
        await stack.start()
        yield stack
        processes = stack.processes()
    finally:
        exit_code = await stack.stop()
    assert exit_code == 0, await stack.read_output()
    await wait_until_gone(processes)


@dataclass(frozen=True)
class Tokens:
    """Creates valid and forged tokens with the development issuer's private key, which is in the stack's folder."""

    private_key: str
    jwks: Json
    header: Json
    claims: Json

    @classmethod
    async def from_stack(cls, stack: DevStack) -> "Tokens":
        """Take header and claims from a token that `stafett token` prints."""
        args = ("token", "--user", "coordinator@nhf.example", "--org", "nhf", "--role", "coordinator")
        token = (await stack.run(*args)).require_success().stdout.strip()
        claims = jwt.decode(token, options={"verify_signature": False})
        issuer = stack.data_dir / "issuer"
        key, jwks = (issuer / "private.pem").read_text(), json.loads((issuer / "jwks.json").read_text())
        return cls(key, jwks, jwt.get_unverified_header(token), claims)

    def build_claims(self, user_id: UUID | str, org_id: str | None, role: str, **overrides: object) -> Json:
        now = datetime.now(UTC)
        times = {"iat": now, "exp": now + timedelta(hours=1)}
        return self.claims | times | {"sub": str(user_id), "org": org_id, "role": role} | overrides

    def create_token(self, user_id: UUID | str, org_id: str | None, role: str, **overrides: object) -> str:
        claims = self.build_claims(user_id, org_id, role, **overrides)
        return jwt.encode(claims, self.private_key, self.header["alg"], headers={"kid": self.header["kid"]})

    def create_headers(self, user_id: UUID | str, org_id: str | None, role: str, **overrides: object) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.create_token(user_id, org_id, role, **overrides)}"}


def assert_problem(response: httpx.Response, status: int, code: str | None = None) -> Json:
    """Check for an RFC 9457 problem that has all fields of the contract and no internals such as SQL or a traceback."""
    assert response.status_code == status, response.text
    assert response.headers["Content-Type"].split(";")[0] == "application/problem+json"
    problem: Json = response.json()
    missing = {"type", "title", "status", "detail", "instance", "code", "retryable", "trace_id"} - problem.keys()
    assert not missing, problem
    assert problem["status"] == status
    assert problem["instance"] == response.request.url.path
    assert isinstance(problem["retryable"], bool)
    assert problem["trace_id"]
    assert problem["code"] == (code or problem["code"])
    assert not re.search(r"Traceback|SELECT |INSERT |psycopg|\.py\b", response.text)
    return problem
