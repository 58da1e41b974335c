"""PgBouncer in transaction mode in front of the session's PostgreSQL, with fewer server connections than clients."""

import asyncio
import signal
import socket
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import psycopg
from pydantic import SecretStr
from sqlalchemy import URL, make_url

from stafett.devstack.privileges import chown_to_unprivileged, unprivileged_prefix
from stafett.settings import DatabaseSettings, Settings, require_setting
from stafett.testing import wait_until

SERVER_CONNECTIONS_PER_ROLE = 3
_CONFIGURATION = """\
[databases]
{server.database} = host={server.host} port={server.port}

[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = scram-sha-256
auth_file = {users}
pool_mode = transaction
default_pool_size = {pool_size}
max_client_conn = 500
"""


@asynccontextmanager
async def run_pgbouncer(folder: Path, settings: Settings) -> AsyncIterator[Settings]:
    """Run PgBouncer, and yield the settings of a service whose three roles connect to it."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    pooled, urls = _lead_to(port, settings.database)
    users = "".join(f'"{url.username}" "{url.password}"\n' for url in urls)
    (folder / "users.txt").write_text(users)
    configuration = folder / "pgbouncer.ini"
    configuration.write_text(
        _CONFIGURATION.format(
            server=urls[0], port=port, users=folder / "users.txt", pool_size=SERVER_CONNECTIONS_PER_ROLE
        )
    )
    chown_to_unprivileged(folder)  # PgBouncer refuses root
    with (folder / "log").open("wb") as log:
        command = [*unprivileged_prefix(signal.SIGTERM), "pgbouncer", str(configuration)]
        process = await asyncio.create_subprocess_exec(*command, stdout=log, stderr=subprocess.STDOUT)
    try:
        await wait_until(lambda: _is_ready(process, pooled), bool)
        yield settings.model_copy(update={"database": pooled})
    finally:
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()


def _lead_to(port: int, database: DatabaseSettings) -> tuple[DatabaseSettings, list[URL]]:
    """Return the settings with PgBouncer's port, and the three URLs of the server itself."""
    names = ("api_url", "worker_url", "maintenance_url")
    urls = [make_url(require_setting(getattr(database, name), name)) for name in names]
    pooled = [SecretStr(url.set(port=port).render_as_string(hide_password=False)) for url in urls]
    update = {**dict(zip(names, pooled, strict=True)), "listen_url": database.api_url, "transaction_pooling": True}
    return database.model_copy(update=update), urls


async def _is_ready(process: asyncio.subprocess.Process, database: DatabaseSettings) -> bool:
    assert process.returncode is None, "PgBouncer has ended"
    try:
        await (await psycopg.AsyncConnection.connect(require_setting(database.api_url, "api"))).close()
    except psycopg.OperationalError:
        return False
    return True
