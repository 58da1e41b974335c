"""Connections of clients that send requests slowly, incompletely or ambiguously, on a real socket."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import pytest
from structlog.testing import capture_logs

from api.app import create_app
from stafett.settings import ConnectionSettings, Settings
from tests.support.http_server import serve_app

_PROMPT = ConnectionSettings(head_timeout_seconds=0.3, body_grace_seconds=0.3)
_HALF_HEAD = b"GET /healthz HTTP/1.1\r\nHost: test\r\nX-Slow: "
_HALF_BODY = b"POST /healthz HTTP/1.1\r\nHost: test\r\nContent-Length: 1000\r\n\r\nabc"
_BOTH_LENGTHS = (
    b"POST /api/v1/bufdir-exports HTTP/1.1\r\nHost: test\r\nContent-Length: 3\r\n"
    b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /healthz HTTP/1.1\r\nHost: test\r\n\r\n"
)


@asynccontextmanager
async def serve(settings: Settings, connections: ConnectionSettings) -> AsyncIterator[httpx.URL]:
    async with serve_app(create_app(settings), connections) as url:
        yield httpx.URL(url)


async def send_and_read_to_end(url: httpx.URL, content: bytes) -> bytes:
    """Send bytes, and return what the server sends until it closes the connection."""
    reader, writer = await asyncio.open_connection(url.host, url.port)
    try:
        writer.write(content)
        async with asyncio.timeout(120):
            return await reader.read()
    except ConnectionResetError:
        return b""
    finally:
        writer.close()


async def is_alive(url: httpx.URL) -> bool:
    async with httpx.AsyncClient(base_url=url, timeout=60) as client:
        return (await client.get("/healthz")).status_code == 200


@pytest.mark.parametrize("content", [b"", _HALF_HEAD])
async def test_incomplete_request_head_times_out(settings: Settings, content: bytes) -> None:
    async with serve(settings, _PROMPT) as url:
        received = await send_and_read_to_end(url, content)
    assert received.startswith(b"HTTP/1.1 408 ")


async def test_incomplete_head_on_a_reused_connection_times_out(settings: Settings) -> None:
    complete = b"GET /healthz HTTP/1.1\r\nHost: test\r\n\r\n"
    async with serve(settings, _PROMPT) as url:
        received = await send_and_read_to_end(url, complete + _HALF_HEAD)
    assert received.startswith(b"HTTP/1.1 200 ")


async def test_body_that_stops_arriving_closes_the_connection(settings: Settings) -> None:
    async with serve(settings, _PROMPT) as url:
        await send_and_read_to_end(url, _HALF_BODY)
        assert await is_alive(url)


async def test_idle_connections_make_room_for_a_new_request(settings: Settings) -> None:
    async with serve(settings, ConnectionSettings(max_connections=20)) as url:
        idle = await asyncio.gather(*(asyncio.open_connection(url.host, url.port) for _ in range(100)))
        for _, writer in idle:
            writer.write(_HALF_HEAD)
        assert await is_alive(url)
        for _, writer in idle:
            writer.close()


async def test_refused_connections_are_logged_as_counts(settings: Settings) -> None:
    with capture_logs() as logs:
        async with serve(settings, _PROMPT) as url:
            await asyncio.gather(*(send_and_read_to_end(url, _HALF_HEAD) for _ in range(50)))
    counts = [entry["count"] for entry in logs if entry["event"] == "request_heads_timed_out"]
    assert counts[0] == 1
    assert len(counts) < 10  # one at once, and one count for each interval that a slow machine needs


async def test_content_length_with_transfer_encoding_is_refused(settings: Settings) -> None:
    async with serve(settings, _PROMPT) as url:
        received = await send_and_read_to_end(url, _BOTH_LENGTHS)
    assert received.startswith(b"HTTP/1.1 400 ")
    assert b"application/problem+json" in received
    assert received.count(b"HTTP/1.1 ") == 1  # the rest of the connection is not interpreted as a request
