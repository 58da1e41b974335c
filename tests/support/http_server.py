"""An HTTP server for the API, with a real socket in the test's own process."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

import uvicorn
from fastapi import FastAPI

from api.http_protocol import create_http_protocol
from stafett.settings import ConnectionSettings
from stafett.testing import wait_until


class _Server(uvicorn.Server):
    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signal handling to pytest."""
        yield


@asynccontextmanager
async def serve_app(
    app: FastAPI, connections: ConnectionSettings | None = None, *, port: int = 0
) -> AsyncIterator[str]:
    """Serve the application during a block and yield its base URL."""
    protocol = create_http_protocol(connections or ConnectionSettings())
    config = uvicorn.Config(
        app, http=protocol, port=port, log_config=None, access_log=False, timeout_graceful_shutdown=1
    )
    server = _Server(config)
    serving = asyncio.create_task(server.serve())

    async def has_started() -> bool:
        return server.started or serving.done()

    try:
        await wait_until(has_started, bool)
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        await serving
