"""Surprises, refused bodies, and where a fault stands: on a small application of our kind."""

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
from api.middleware import MAX_BODY_BYTES, RequestContextMiddleware
from stafett.domain.frozen import FrozenModel

_SECRET = "Åse Ødegård 01017012345"  # noqa: S105 - a person, whom no log may know of


class Member(FrozenModel):
    """Every kind of place a fault can stand in."""

    name: str
    born: AwareDatetime | date = date(1970, 1, 1)
    friends: tuple["Member", ...] = ()
    choice: dict[str, int] | list[int] | None = None


def app_with_surprises() -> FastAPI:
    app = FastAPI()
    problems.register_exception_handlers(app)
    app.add_middleware(RequestContextMiddleware)

    @app.get("/surprise")
    async def surprise() -> None:
        raise LookupError(_SECRET)

    @app.get("/surprise-in-a-group")
    async def group() -> None:
        raise ExceptionGroup(_SECRET, [ValueError(_SECRET)])

    @app.get("/half-way")
    async def half_way() -> StreamingResponse:
        async def chunks() -> AsyncIterator[bytes]:
            yield b"half"
            raise LookupError(_SECRET)

        return StreamingResponse(chunks())

    @app.post("/members")
    async def add(member: Annotated[Member, Body()]) -> str:
        return member.name

    return app


@pytest.fixture
def client() -> httpx.AsyncClient:
    """Whatever the application does not deal with itself is the test's failure."""
    return httpx.AsyncClient(transport=httpx.ASGITransport(app_with_surprises()), base_url="http://test")


Lines = list[structlog.typing.EventDict]


@pytest.fixture
def lines() -> Iterator[Lines]:
    with structlog.testing.capture_logs() as lines:
        yield lines


@pytest.mark.parametrize("path", ["/surprise", "/surprise-in-a-group"])
async def test_a_surprise_is_a_problem_like_any_other_and_nobody_learns_what_it_said(
    client: httpx.AsyncClient,
    lines: Lines,
    path: str,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    answer = await client.get(path, headers={"X-Request-ID": "mine"})
    assert answer.status_code == 500
    assert answer.headers["Content-Type"] == problems.MEDIA_TYPE
    assert answer.headers["X-Request-ID"] == answer.json()["trace_id"] == "mine"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert (answer.json()["code"], answer.json()["instance"], answer.json()["retryable"]) == ("internal", path, False)

    failed, request = lines
    assert (failed["event"], request["event"], request["status"]) == ("request_failed", "request", 500)
    assert "test_api_problems.py" in failed["at"]
    assert not any(word in f"{answer.text}{lines}{caplog.text}{capfd.readouterr()}" for word in _SECRET.split())


async def test_an_answer_that_breaks_off_is_left_unfinished_and_its_request_is_in_the_log(lines: Lines) -> None:
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    async def receive() -> Message:
        await asyncio.Event().wait()  # the client stays, and has nothing more to say
        return {"type": "http.disconnect"}

    scope = {"type": "http", "method": "GET", "path": "/half-way", "headers": [], "query_string": b""}
    await app_with_surprises()(scope, receive, send)
    assert sent[0]["status"] == 200
    assert all(message.get("more_body", True) for message in sent)
    assert [line["event"] for line in lines] == ["request_failed", "request"]
    assert _SECRET not in str(lines)


async def _much(size: int) -> AsyncIterator[bytes]:
    yield b'{"name": "'
    for _ in range(size // 2**16):
        yield b"x" * 2**16
    yield b'"}'


async def test_a_body_of_no_announced_length_is_counted_as_it_comes(client: httpx.AsyncClient, lines: Lines) -> None:
    headers = {"Content-Type": "application/json"}
    refused = await client.post("/members", content=_much(MAX_BODY_BYTES), headers=headers)
    assert (refused.status_code, refused.json()["code"]) == (413, "body_too_large")
    assert refused.headers["X-Request-ID"] == refused.json()["trace_id"]
    assert (await client.post("/members", content=_much(MAX_BODY_BYTES // 2), headers=headers)).status_code == 200
    assert [line["status"] for line in lines] == [413, 200]


async def test_a_body_that_is_announced_as_too_large_is_not_waited_for(client: httpx.AsyncClient) -> None:
    refused = await client.post("/members", content=b"{}", headers={"Content-Length": str(MAX_BODY_BYTES + 1)})
    assert (refused.status_code, refused.json()["code"]) == (413, "body_too_large")


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
async def test_a_fault_is_pointed_at_where_it_stands_in_the_body(
    client: httpx.AsyncClient, body: object, pointers: list[str]
) -> None:
    answer = await client.post("/members", json=body)
    assert answer.status_code == 422
    assert {error["pointer"] for error in answer.json()["errors"]} == set(pointers)


@pytest.mark.parametrize("content", [b'{"name": "a", "\\ud800": 1}', b"{", b"", b"\xff"])
async def test_a_body_that_is_no_text_is_the_senders_fault(client: httpx.AsyncClient, content: bytes) -> None:
    answer = await client.post("/members", content=content, headers={"Content-Type": "application/json"})
    assert answer.status_code in {400, 422}
    assert answer.headers["Content-Type"] == problems.MEDIA_TYPE


async def test_a_body_nested_beyond_measure_is_the_senders_fault(client: httpx.AsyncClient) -> None:
    answer = await client.post("/members", content=b"[" * 100_000, headers={"Content-Type": "application/json"})
    assert answer.status_code in {400, 422}


@pytest.mark.parametrize("host", ["[", "a b", "test:port", "[::1"])
async def test_an_unreadable_host_breaks_no_refusal(client: httpx.AsyncClient, host: str) -> None:
    answer = await client.get("/nowhere%20at%20all", headers={"Host": host})
    assert (answer.status_code, answer.json()["instance"]) == (404, "/nowhere%20at%20all")


@pytest.mark.parametrize(
    ("traceparent", "trace_id"),
    [
        ("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", "4bf92f3577b34da6a3ce929d0e0e4736"),
        (f"00-{'0' * 32}-00f067aa0ba902b7-01", None),
        ("00-4bf92f3577b34da6a3ce929d0e0e4736", None),
        ("rubbish", None),
    ],
)
async def test_a_request_within_a_trace_is_called_by_the_trace(
    client: httpx.AsyncClient, traceparent: str, trace_id: str | None
) -> None:
    answer = await client.get("/nowhere", headers={"traceparent": traceparent})
    assert (answer.json()["trace_id"] == trace_id) is (trace_id is not None)
    assert len(answer.json()["trace_id"]) == 32
