"""`stafett dev` and its commands as a user has them: processes, files and exit codes, nothing imported from within."""

import asyncio
import json
import os
import re
import signal
import ssl
import sys
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import jwt
import psutil  # type: ignore[import-untyped]  # the package ships no types

from stafett.testing import Json, wait_until

EXPORTS = "/api/v1/bufdir-exports"
_TLS = ssl.create_default_context()  # made once: it costs more than a request
_STAFETT = (sys.executable, "-m", "stafett")


@dataclass(frozen=True)
class Finished:
    """What a command left behind."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        assert self.code in {0, 3}, self
        return json.loads(self.out)

    def done(self) -> "Finished":
        assert self.code == 0, self
        return self

    def refused_in_a_sentence(self, about: str) -> None:
        """Nothing on stdout, one clear sentence on stderr, no traceback, a non-zero exit."""
        assert self.code != 0, self
        assert "Traceback" not in self.err, self.err.splitlines()[-1]
        assert self.out == "", self
        said = [line for line in self.err.splitlines() if line and not re.match(r"Usage: |Try '", line)]
        assert len(said) == 1, self
        assert about in said[0], self


async def run(*words: object, env: Mapping[str, str] | None = None) -> Finished:
    """One `stafett` command in an environment that says nothing about Stafett but what `env` says."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("STAFETT_", "NO_COLOR"))}
    command = await asyncio.create_subprocess_exec(
        *_STAFETT,
        *map(str, words),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=clean | dict(env or {}),
    )
    out, err = await command.communicate()
    return Finished(command.returncode or 0, out.decode(), err.decode())


def is_gone(pid: int) -> bool:
    try:
        return not _runs(psutil.Process(pid))
    except psutil.NoSuchProcess:
        return True


def _runs(process: psutil.Process) -> bool:
    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


async def all_gone(processes: Sequence[psutil.Process], *, within: float = 10) -> None:
    async def left() -> list[psutil.Process]:
        return [process for process in processes if _runs(process)]

    await wait_until(left, lambda processes: not processes, timeout_seconds=within)


class DevStack:
    """One `stafett dev` on one folder; started, ended, killed and started again."""

    def __init__(self, data_dir: Path, *options: str) -> None:
        self.data_dir, self.options = data_dir, options
        self._log = data_dir.with_name(f"{data_dir.name}.log")
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        before = self._stack_json()
        with self._log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *_STAFETT, "dev", "--data-dir", str(self.data_dir), *self.options, stdout=log, stderr=log
            )
        await wait_until(self._written, lambda text: text not in {"", before}, timeout_seconds=60)

    async def end(self, request: signal.Signals = signal.SIGTERM) -> int:
        """Ask it to stop, wait until it has, and say its exit code."""
        if self._process is None:
            return 0
        if self._process.returncode is None:
            self._process.send_signal(request)
        return await self._process.wait()

    async def kill_supervisor(self) -> None:
        assert self._process is not None
        self._process.kill()
        await self._process.wait()

    async def kill_everything(self) -> None:
        """`kill -9` of every process: the supervisor first, so that nothing is resurrected."""
        victims, family = self.all_pids(), self.family()
        await self.kill_supervisor()
        for pid in victims:
            kill(pid)
        await all_gone(family)

    @property
    def facts(self) -> Json:
        """`stack.json` as it is now."""
        facts: Json = json.loads(self._stack_json())
        return facts

    @property
    def database_url(self) -> str:
        return str(self.facts["database_url"])

    def all_pids(self) -> list[int]:
        pids = self.facts["pids"]
        return [pids["postgres"], pids["temporal"], pids["s3"], pids["api"], *pids["worker"]]

    def family(self) -> list[psutil.Process]:
        """Every process it has started, named in `stack.json` or not, and itself."""
        assert self._process is not None
        supervisor = psutil.Process(self._process.pid)
        return [supervisor, *supervisor.children(recursive=True)]

    async def said(self) -> str:
        """What it told the person before the terminal."""
        return self._log.read_text()

    async def api_log(self) -> str:
        """What the API wrote down about requests."""
        return (self.data_dir / "logs" / "api.log").read_text()

    async def run(self, *words: object, env: Mapping[str, str] | None = None) -> Finished:
        return await run(*words, "--data-dir", self.data_dir, env=env)

    @asynccontextmanager
    async def gateway(self) -> AsyncIterator[httpx.AsyncClient]:
        async with browser(self.facts["api_url"]) as client:
            yield client

    async def _written(self) -> str:
        assert self._process is not None
        assert self._process.returncode is None, self._log.read_text()
        return self._stack_json()

    def _stack_json(self) -> str:
        path = self.data_dir / "stack.json"
        return path.read_text() if path.exists() else ""


def browser(base_url: str = "") -> httpx.AsyncClient:
    return httpx.AsyncClient(base_url=base_url, timeout=20, verify=_TLS)


def kill(pid: int) -> None:
    if not is_gone(pid):
        os.kill(pid, signal.SIGKILL)


@contextmanager
def frozen(*pids: int) -> Iterator[None]:
    """Alive and silent, for the length of a block."""
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in pids:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)


@asynccontextmanager
async def a_stack_that_ends_well(data_dir: Path, *options: str) -> AsyncIterator[DevStack]:
    """Ended with 0 at the end of the block, and nothing of it left."""
    stack, family = DevStack(data_dir, *options), list[psutil.Process]()
    try:
        await stack.start()
        yield stack
        family = stack.family()
    finally:
        code = await stack.end()
    assert code == 0, await stack.said()
    await all_gone(family, within=0)


@dataclass(frozen=True)
class Tokens:
    """Tokens as the development issuer makes them, and such as nobody should: the key lies in the stack's folder."""

    private_key: str
    jwks: Json
    header: Json
    claims: Json

    @classmethod
    async def of(cls, stack: DevStack) -> "Tokens":
        """Learns what a token looks like from one that `stafett token` printed."""
        asked = ("token", "--user", "coordinator@nhf.example", "--org", "nhf", "--role", "coordinator")
        printed = (await stack.run(*asked)).done().out.strip()
        claims = jwt.decode(printed, options={"verify_signature": False})
        issuer = stack.data_dir / "issuer"
        key, jwks = (issuer / "private.pem").read_text(), json.loads((issuer / "jwks.json").read_text())
        return cls(key, jwks, jwt.get_unverified_header(printed), claims)

    def claims_of(self, user_id: UUID | str, org_id: str | None, role: str, **said: object) -> Json:
        now = datetime.now(UTC)
        times = {"iat": now, "exp": now + timedelta(hours=1)}
        return self.claims | times | {"sub": str(user_id), "org": org_id, "role": role} | said

    def token(self, user_id: UUID | str, org_id: str | None, role: str, **said: object) -> str:
        claims = self.claims_of(user_id, org_id, role, **said)
        return jwt.encode(claims, self.private_key, self.header["alg"], headers={"kid": self.header["kid"]})

    def bearer(self, user_id: UUID | str, org_id: str | None, role: str, **said: object) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token(user_id, org_id, role, **said)}"}


def assert_problem(answer: httpx.Response, status: int, code: str | None = None) -> Json:
    """An RFC 9457 problem with every field the contract names, and nothing of the machine room in it."""
    assert answer.status_code == status, answer.text
    assert answer.headers["Content-Type"].split(";")[0] == "application/problem+json"
    problem: Json = answer.json()
    missing = {"type", "title", "status", "detail", "instance", "code", "retryable", "trace_id"} - problem.keys()
    assert not missing, problem
    assert problem["status"] == status
    assert problem["instance"] == answer.request.url.path
    assert isinstance(problem["retryable"], bool)
    assert problem["trace_id"]
    assert problem["code"] == (code or problem["code"])
    assert not re.search(r"Traceback|SELECT |INSERT |psycopg|\.py\b", answer.text)
    return problem
