"""A client that repeats one request on one connection, and takes little CPU, so that many of them load a server."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from http import HTTPStatus
from urllib.parse import urlsplit

_END_OF_HEAD = b"\r\n\r\n"


class KeepAliveClient:
    """One HTTP/1.1 connection. Reads responses that state their length, or have no body."""

    def __init__(self, host: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._host = host
        self._reader, self._writer = reader, writer

    async def get(self, path: str, headers: Mapping[str, str]) -> tuple[int, Mapping[str, str]]:
        """Return the status and the headers, whose names are in lower case, of the response to a ``GET``."""
        lines = [f"GET {path} HTTP/1.1", f"Host: {self._host}", *(f"{name}: {text}" for name, text in headers.items())]
        self._writer.write("\r\n".join([*lines, "", ""]).encode())
        head = (await self._reader.readuntil(_END_OF_HEAD)).decode("latin-1")
        first, *fields = head.removesuffix("\r\n\r\n").split("\r\n")
        status = int(first.split()[1])
        received = {name.lower(): text.strip() for name, _, text in (field.partition(":") for field in fields)}
        if status != HTTPStatus.NOT_MODIFIED:
            await self._reader.readexactly(int(received["content-length"]))
        return status, received


@asynccontextmanager
async def open_keep_alive_client(url: str) -> AsyncIterator[KeepAliveClient]:
    address = urlsplit(url)
    reader, writer = await asyncio.open_connection(address.hostname, address.port)
    try:
        yield KeepAliveClient(address.netloc, reader, writer)
    finally:
        writer.close()
