"""An HTTP server for the API, with a real socket in the test's own process."""

import asyncio
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, nullcontext
from dataclasses import dataclass

import uvicorn
from fastapi import FastAPI

from api.http_protocol import create_http_protocol
from stafett.settings import ConnectionSettings
from stafett.testing import wait_until


@dataclass(frozen=True, slots=True)
class ReservedPort:
    """A port of this machine that no other process gets."""

    listener: socket.socket

    @property
    def origin(self) -> str:
        host, port = self.listener.getsockname()
        return f"http://{host}:{port}"


@contextmanager
def reserve_port() -> Iterator[ReservedPort]:
    """Reserve a free port for a block, so that an application has an address before it is served."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        yield ReservedPort(listener)


class _Server(uvicorn.Server):
    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signal handling to pytest."""
        yield


@asynccontextmanager
async def serve_app(
    app: FastAPI, connections: ConnectionSettings | None = None, *, port: ReservedPort | None = None
) -> AsyncIterator[str]:
    """Serve the application during a block and yield its base URL."""
    protocol = create_http_protocol(connections or ConnectionSettings())
    config = uvicorn.Config(app, http=protocol, log_config=None, access_log=False, timeout_graceful_shutdown=1)
    server = _Server(config)
    with nullcontext(port) if port else reserve_port() as reserved:
        serving = asyncio.create_task(_serve(server, reserved.listener))

        async def has_started() -> bool:
            return server.started or serving.done()

        try:
            await wait_until(has_started, bool)
            if server.started:
                yield reserved.origin
        finally:
            server.should_exit = True
            await serving


async def _serve(server: uvicorn.Server, listener: socket.socket) -> None:
    """Serve until the server stops; an application that does not start must not end the test process."""
    try:
        await server.serve([listener])
    except SystemExit as error:
        raise RuntimeError("The application did not start.") from error
