"""Unexpected errors, rejected bodies and error pointers, in a small application with our handlers."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from datetime import date
from typing import Annotated

import httpx
import pytest
import structlog
from fastapi import Body, FastAPI
from fastapi.responses import StreamingResponse
from pydantic import AwareDatetime
from starlette.types import Message

from api import problems
from api.middleware import RequestContextMiddleware
from api.problems import MAX_BODY_BYTES
from stafett.domain.frozen import FrozenModel

_PERSONAL_DATA = "Åse Ødegård 01017012345"  # must not be logged


class Member(FrozenModel):
    """A body with each kind of field that an error pointer can lead to."""

    name: str
    born: AwareDatetime | date = date(1970, 1, 1)
    friends: tuple["Member", ...] = ()
    choice: dict[str, int] | list[int] | None = None


def create_failing_app() -> FastAPI:
    app = FastAPI()
    problems.register_exception_handlers(app)
    app.add_middleware(RequestContextMiddleware)

    @app.get("/error")
    async def error() -> None:
        raise LookupError(_PERSONAL_DATA)

    @app.get("/error-group")
    async def error_group() -> None:
        raise ExceptionGroup(_PERSONAL_DATA, [ValueError(_PERSONAL_DATA)])

    @app.get("/broken-stream")
    async def broken_stream() -> StreamingResponse:
        async def chunks() -> AsyncIterator[bytes]:
            yield b"partial"
            raise LookupError(_PERSONAL_DATA)

        return StreamingResponse(chunks())

    @app.post("/members")
    async def add_member(member: Annotated[Member, Body()]) -> str:
        return member.name

    return app


@pytest.fixture
def client() -> httpx.AsyncClient:
    """Create a client that raises exceptions which the application does not handle."""
    return httpx.AsyncClient(transport=httpx.ASGITransport(create_failing_app()), base_url="http://test")


Lines = list[structlog.typing.EventDict]


@pytest.fixture
def lines() -> Iterator[Lines]:
    with structlog.testing.capture_logs() as lines:
        yield lines


@pytest.mark.parametrize("path", ["/error", "/error-group"])
async def test_unexpected_error_is_answered_and_logged_without_its_text(
    client: httpx.AsyncClient,
    lines: Lines,
    path: str,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    response = await client.get(path, headers={"X-Request-ID": "mine"})
    assert response.status_code == 500
    assert response.headers["Content-Type"] == problems.MEDIA_TYPE
    assert response.headers["X-Request-ID"] == response.json()["trace_id"] == "mine"
    assert response.headers["X-Content-Type-Options"] == "nosniff"
    assert (response.json()["code"], response.json()["instance"], response.json()["retryable"]) == (
        "internal",
        path,
        False,
    )

    failed, request = lines
    assert (failed["event"], request["event"], request["status"]) == ("request_failed", "request", 500)
    assert "test_problems.py" in failed["location"]
    assert not any(
        word in f"{response.text}{lines}{caplog.text}{capfd.readouterr()}" for word in _PERSONAL_DATA.split()
    )


async def test_error_in_a_streaming_response_leaves_it_incomplete_and_is_logged(lines: Lines) -> None:
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    async def receive() -> Message:
        await asyncio.Event().wait()  # the client stays connected and sends nothing more
        return {"type": "http.disconnect"}

    scope = {"type": "http", "method": "GET", "path": "/broken-stream", "headers": [], "query_string": b""}
    await create_failing_app()(scope, receive, send)
    assert sent[0]["status"] == 200
    assert all(message.get("more_body", True) for message in sent)
    assert [line["event"] for line in lines] == ["request_failed", "request"]
    assert _PERSONAL_DATA not in str(lines)


async def _stream_body(size: int) -> AsyncIterator[bytes]:
    yield b'{"name": "'
    for _ in range(size // 2**16):
        yield b"x" * 2**16
    yield b'"}'


async def test_streamed_body_over_the_limit_is_rejected(client: httpx.AsyncClient, lines: Lines) -> None:
    headers = {"Content-Type": "application/json"}
    response = await client.post("/members", content=_stream_body(MAX_BODY_BYTES), headers=headers)
    assert (response.status_code, response.json()["code"]) == (413, "body_too_large")
    assert response.json()["detail"] == "The request body is larger than 8 MiB (8,388,608 bytes)."
    assert response.headers["X-Request-ID"] == response.json()["trace_id"]
    assert (
        await client.post("/members", content=_stream_body(MAX_BODY_BYTES // 2), headers=headers)
    ).status_code == 200
    assert [line["status"] for line in lines] == [413, 200]


async def test_too_large_content_length_is_rejected_before_the_body_is_read(client: httpx.AsyncClient) -> None:
    response = await client.post("/members", content=b"{}", headers={"Content-Length": str(MAX_BODY_BYTES + 1)})
    assert (response.status_code, response.json()["code"]) == (413, "body_too_large")


@pytest.mark.parametrize(
    ("body", "pointers"),
    [
        ({"name": "a", "date": 1, "datetime": 2}, ["/date", "/datetime"]),
        ({"name": "a", "born": "soon"}, ["/born"]),
        ({"name": "a", "born": "2026-01-01T10:00:00"}, ["/born"]),
        ({"name": "a", "friends": [{"name": "b"}, {"date": 1}]}, ["/friends/1/name", "/friends/1/date"]),
        ({"name": "a", "friends": [{"name": "b", "born": {"day": 1}}]}, ["/friends/0/born"]),
        ({"name": "a", "choice": {"x": "y"}}, ["/choice/x", "/choice"]),
        ({"name": "a", "choice": [1, "x"]}, ["/choice/1", "/choice"]),
        ({"name": "a", "a/b~c": 1}, ["/a~1b~0c"]),
        ({"name": "a", "function-before[x]": 1}, ["/function-before[x]"]),
        ({"name": "a", "": 1}, ["/"]),
        ({}, ["/name"]),
        ([], [""]),
        (None, [""]),
    ],
    ids=str,
)
async def test_invalid_body_error_points_to_the_field(
    client: httpx.AsyncClient, body: object, pointers: list[str]
) -> None:
    response = await client.post("/members", json=body)
    assert response.status_code == 422
    assert {error["pointer"] for error in response.json()["errors"]} == set(pointers)


@pytest.mark.parametrize("content", [b'{"name": "a", "\\ud800": 1}', b"{", b"", b"\xff"])
async def test_undecodable_body_is_a_client_error(client: httpx.AsyncClient, content: bytes) -> None:
    response = await client.post("/members", content=content, headers={"Content-Type": "application/json"})
    assert response.status_code in {400, 422}
    assert response.headers["Content-Type"] == problems.MEDIA_TYPE


async def test_deeply_nested_body_is_a_client_error(client: httpx.AsyncClient) -> None:
    response = await client.post("/members", content=b"[" * 100_000, headers={"Content-Type": "application/json"})
    assert response.status_code in {400, 422}


@pytest.mark.parametrize("host", ["[", "a b", "test:port", "[::1"])
async def test_invalid_host_header_does_not_break_the_error_response(client: httpx.AsyncClient, host: str) -> None:
    response = await client.get("/no%20such%20path", headers={"Host": host})
    assert (response.status_code, response.json()["instance"]) == (404, "/no%20such%20path")


@pytest.mark.parametrize(
    ("traceparent", "trace_id"),
    [
        ("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", "4bf92f3577b34da6a3ce929d0e0e4736"),
        (f"00-{'0' * 32}-00f067aa0ba902b7-01", None),
        ("00-4bf92f3577b34da6a3ce929d0e0e4736", None),
        ("invalid", None),
    ],
)
async def test_problem_has_the_trace_id_of_a_valid_traceparent(
    client: httpx.AsyncClient, traceparent: str, trace_id: str | None
) -> None:
    response = await client.get("/nowhere", headers={"traceparent": traceparent})
    assert (response.json()["trace_id"] == trace_id) is (trace_id is not None)
    assert len(response.json()["trace_id"]) == 32
