"""A TCP proxy in front of PostgreSQL, which makes the server unavailable for the processes that use it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from pydantic import SecretStr
from sqlalchemy import make_url

from stafett.settings import Settings, require_setting

_BUFFER_BYTES = 65536


class PostgresProxy:
    """Forwards connections to PostgreSQL until it is cut off, and again after it is restored."""

    def __init__(self, host: str, port: int) -> None:
        self._host, self._port = host, port
        self._loop = asyncio.get_running_loop()
        self._writers: set[asyncio.StreamWriter] = set()
        self._is_cut_off = False

    async def handle_connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._is_cut_off:
            writer.transport.abort()
            return
        server_reader, server_writer = await asyncio.open_connection(self._host, self._port)
        self._writers |= {writer, server_writer}
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._forward(reader, server_writer))
            tasks.create_task(self._forward(server_reader, writer))
        self._writers -= {writer, server_writer}

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(_BUFFER_BYTES):
                writer.write(data)
                await writer.drain()
        except OSError:
            pass
        finally:
            writer.transport.abort()

    async def cut_off(self) -> None:
        """Abort all connections, and every new one."""
        self._is_cut_off = True
        for writer in self._writers:
            writer.transport.abort()

    def cut_off_from_thread(self) -> None:
        asyncio.run_coroutine_threadsafe(self.cut_off(), self._loop).result()

    def restore(self) -> None:
        self._is_cut_off = False


@asynccontextmanager
async def run_postgres_proxy(settings: Settings) -> AsyncIterator[tuple[PostgresProxy, Settings]]:
    """Run a proxy, and yield it with the settings of a worker whose connections it forwards."""
    url = make_url(require_setting(settings.database.worker_url, "worker"))
    assert url.host
    assert url.port
    proxy = PostgresProxy(url.host, url.port)
    server = await asyncio.start_server(proxy.handle_connection, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    proxied_url = SecretStr(url.set(host="127.0.0.1", port=port).render_as_string(hide_password=False))
    database = settings.database.model_copy(update={"worker_url": proxied_url})
    try:
        yield proxy, settings.model_copy(update={"database": database})
    finally:
        await proxy.cut_off()
        server.close()
