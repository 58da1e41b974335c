"""The `stafett` program: for people, for programs, and for those who mistype."""

import asyncio
import csv
import hashlib
import io
import json
import os
import pty
import re
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest

from stafett.testing import ActivityFactory, Json, Tenant, wait_until
from tests.acceptance.dev_stack import DevStack, Finished, Tokens, frozen, kill, run

_LOOKS_OF_OURS = 3  # finding the job takes two; more of them is watching
_RUNNING: Json = {
    "id": "00000000-0000-4000-8000-000000000000",
    "org_id": "nhf",
    "status": "mapping_columns",
    "progress": None,
    "reporting_period": {"start": "2026-01-01", "end": "2026-12-31"},
    "export_format": "csv",
    "counts": None,
    "not_countable": None,
    "warnings": [],
    "partial_failure_count": 0,
    "file": None,
    "error": None,
}


class Desk:
    """A coordinator's terminal, away from the stack's folder: an address and a token are all it has."""

    def __init__(self, dev: DevStack, tenant: Tenant, token: str) -> None:
        self.start = ("export", "start", "--org", tenant.org_id, "--start", "2026-01-01", "--end", "2026-12-31")
        self.env = {"STAFETT_API_URL": dev.facts["api_url"], "STAFETT_TOKEN": token}

    async def run(self, *words: object, **env: str) -> Finished:
        return await run(*words, env=self.env | env)

    async def finished(self, *options: str) -> Json:
        job: Json = (await self.run(*self.start, "--watch", "--json", *options)).json
        return job


@pytest.fixture
def desk(dev: DevStack, tenant: Tenant, tokens: Tokens) -> Desk:
    return Desk(dev, tenant, tokens.token(tenant.coordinator, tenant.org_id, "coordinator"))


async def test_from_seed_to_a_file_whose_hash_is_right(dev: DevStack, folder: Path, owner: psycopg.Connection) -> None:
    (await dev.run("seed", "--org", "blindeforbundet", "--activities", "500", "--year", "2025")).done()
    period = ("--start", "2025-01-01", "--end", "2025-12-31")
    job: Json = (await dev.run("export", "start", "--org", "blindeforbundet", *period, "--watch", "--json")).json
    assert job["status"] == "completed", job["error"]
    (await dev.run("export", "download", job["id"], "--org", "blindeforbundet", "--output", folder)).done()
    assert _names(folder) == [job["file"]["name"]]
    content = (folder / job["file"]["name"]).read_bytes()
    assert hashlib.sha256(content).hexdigest() == job["file"]["sha256"]
    row = owner.execute(
        "SELECT count(*) FROM activities WHERE org_id = 'blindeforbundet' AND deleted_at IS NULL"
        " AND extract(year FROM starts_at AT TIME ZONE 'Europe/Oslo') = 2025"
    ).fetchone()
    assert row is not None
    rows = list(csv.reader(io.StringIO(content.decode("utf-8-sig"), newline=""), delimiter=";"))[1:]
    assert len(rows) == job["row_count"] == job["counts"]["queried"] == row[0] == 500


async def test_every_verb_speaks_json_alone(desk: Desk, diary: ActivityFactory, folder: Path) -> None:
    diary.create_activity(diary.create_mentor())
    started: Json = (await desk.run(*desk.start, "--json")).json
    watched: Json = (await desk.run("export", "watch", started["id"], "--json")).json
    shown, listed, saved = await asyncio.gather(
        desk.run("export", "show", started["id"], "--json"),
        desk.run("export", "list", "--json"),
        desk.run("export", "download", started["id"], "--output", folder, "--json"),
    )
    assert watched["status"] == shown.json["status"] == "completed"
    assert [item["id"] for item in listed.json["items"]] == [shown.json["id"]] == [started["id"]]
    assert saved.json["sha256"] == shown.json["file"]["sha256"]


async def test_a_person_reads_ids_that_can_be_used(desk: Desk) -> None:
    hours = ("--start", "2026-01-01T00:00:00.25+01:00", "--end", "2026-02-01T00:00:00.75+01:00")
    started = (await desk.run(*desk.start, *hours)).done().out
    (export_id,) = set(re.findall(r"[0-9a-f]{8}-[0-9a-f-]{27}", started))
    shown, listed = await asyncio.gather(desk.run("export", "show", export_id), desk.run("export", "list"))
    assert export_id in shown.done().out
    assert export_id in listed.done().out


async def test_watching_goes_on_when_the_api_comes_back(dev: DevStack, desk: Desk) -> None:
    with frozen(*dev.facts["pids"]["worker"]):
        started: Json = (await desk.run(*desk.start, "--json")).json
        watching = asyncio.create_task(desk.run("export", "watch", started["id"], "--json"))
        look = f'"path": "/api/v1/bufdir-exports/{started["id"]}"'
        await wait_until(dev.api_log, lambda log: log.count(look) > _LOOKS_OF_OURS)
        killed = dev.facts["pids"]["api"]
        kill(killed)
        await wait_until(dev.said, lambda said: f"api (pid {killed}) ended with signal 9; restarted" in said)
    watched = (await watching).done()
    assert watched.json["status"] == "completed_empty"
    assert watched.err.count("waiting") == 1, watched.err


@pytest.mark.parametrize(("status", "retry_after"), [(503, "1"), (502, "Wed, 21 Oct 2026 07:28:00 GMT")])
async def test_watching_waits_as_long_as_it_is_asked_to(status: int, retry_after: str) -> None:
    async with _gateway(
        (200, _RUNNING), (status, {}), (200, _RUNNING | {"status": "failed"}), retry_after=retry_after
    ) as env:
        watched = await run("export", "watch", _RUNNING["id"], "--json", env=env)
    assert (watched.code, watched.json["status"]) == (3, "failed")
    assert watched.err.count("waiting") == 1, watched.err


async def test_watching_gives_up_on_an_api_that_asks_for_too_much_patience() -> None:
    async with _gateway((200, _RUNNING), (503, {}), retry_after="3600") as env:
        watched = await run("export", "watch", _RUNNING["id"], "--json", env=env)
    watched.refused_in_a_sentence("503")
    assert watched.code == 1


async def test_nothing_is_coloured_where_no_terminal_is(desk: Desk) -> None:
    watched = (await desk.run(*desk.start, "--watch")).done()
    assert "\x1b" not in watched.out + watched.err


async def test_no_color_is_honoured_at_a_terminal(desk: Desk, diary: ActivityFactory) -> None:
    diary.create_activity(diary.create_mentor())
    seen = await _at_a_terminal(*desk.start, "--watch", env=desk.env | {"NO_COLOR": "1"})
    assert "completed" in seen
    colours = re.compile(r"\x1b\[(\d+;)*(3[0-8]|4[0-8]|9[0-7]|10[0-7])(;\d+)*m")
    assert not colours.search(seen), repr(seen)


async def test_a_download_overwrites_nothing_unless_told_to(desk: Desk, diary: ActivityFactory, folder: Path) -> None:
    diary.create_activity(diary.create_mentor())
    job = await desk.finished()
    precious = folder / job["file"]["name"]
    precious.write_text("precious")
    download = ("export", "download", job["id"], "--output", folder)
    (await desk.run(*download)).refused_in_a_sentence(job["file"]["name"])
    assert precious.read_text() == "precious"
    (await desk.run(*download, "--force")).done()
    assert hashlib.sha256(precious.read_bytes()).hexdigest() == job["file"]["sha256"]


async def test_an_export_without_a_file_has_nothing_to_download(desk: Desk, folder: Path) -> None:
    job = await desk.finished()
    assert job["status"] == "completed_empty"
    (await desk.run("export", "download", job["id"], "--output", folder)).refused_in_a_sentence("file")
    assert _names(folder) == []


async def test_an_export_that_fails_has_its_own_exit_code(desk: Desk) -> None:
    failed = await desk.run(*desk.start, "--watch", "--fail-on-empty", "--json")
    assert (failed.code, failed.json["status"], failed.json["error"]["code"]) == (3, "failed", "no_data_for_period")


async def test_the_same_key_on_the_command_line_is_the_same_export(desk: Desk) -> None:
    key = str(uuid4())
    twice = await asyncio.gather(*(desk.run(*desk.start, "--key", key, "--json") for _ in range(2)))
    assert len({answer.json["id"] for answer in twice}) == 1


async def test_migrating_twice_at_once_and_again_is_safe(dev: DevStack) -> None:
    owner = {"STAFETT_DATABASE__OWNER_URL": dev.database_url}
    at_once = await asyncio.gather(*(run("migrate", env=owner) for _ in range(2)))
    assert [answer.code for answer in at_once] == [0, 0], at_once


@pytest.mark.parametrize(
    ("words", "about"),
    [
        (("fly",), "fly"),
        (("dev",), "--data-dir"),
        (("dev", "--data-dir", "x", "--api-port", "http"), "--api-port"),
        (("export", "start", "--org", "nhf", "--end", "2026-12-31"), "--start"),
        (("export", "show"), "ID"),
        (("seed", "--org", "nhf", "--activities", "many", "--year", "2025"), "--activities"),
    ],
    ids=" ".join,
)
async def test_a_mistyped_command_is_told_what_is_wrong(words: tuple[str, ...], about: str) -> None:
    answer = await run(*words)
    answer.refused_in_a_sentence(about)
    assert answer.code == 2


@pytest.mark.parametrize(
    ("part", "variable"),
    [
        ("migrate", "STAFETT_DATABASE__OWNER_URL"),
        ("migrate", "STAFETT_S3__ENDPOINT"),
        ("migrate", "STAFETT_TEMPORAL"),
        ("api", "STAFETT_DATABASE__API_URL"),
    ],
)
async def test_a_bad_setting_is_named_and_its_value_is_not_shown(part: str, variable: str) -> None:
    good = {"STAFETT_DATABASE__OWNER_URL": "postgresql://somebody:hunter2@localhost:1/stafett"}
    answer = await run(part, env=good | {variable: "hunter2"})
    answer.refused_in_a_sentence(variable)
    assert "hunter2" not in answer.err


@pytest.mark.parametrize("token", ["not.a.token", "blåbær"])
async def test_a_bad_token_is_a_sentence(desk: Desk, token: str) -> None:
    answer = await desk.run("export", "list", "--json", STAFETT_TOKEN=token)
    answer.refused_in_a_sentence("stafett: ")
    assert token not in answer.err


@pytest.mark.parametrize("part", ["api", "migrate"])
async def test_a_part_without_settings_says_which_it_needs(part: str) -> None:
    (await run(part)).refused_in_a_sentence("STAFETT_")


async def test_a_client_without_a_stack_says_what_it_needs() -> None:
    (await run("export", "list", "--json")).refused_in_a_sentence("--data-dir")


async def test_a_foreign_folder_is_left_alone(folder: Path) -> None:
    (folder / "thesis.txt").write_text("precious")
    (await run("dev", "--data-dir", folder)).refused_in_a_sentence(str(folder))
    assert _names(folder) == ["thesis.txt"]


async def test_a_file_is_no_data_folder(folder: Path) -> None:
    (folder / "file").write_text("precious")
    (await run("dev", "--data-dir", folder / "file")).refused_in_a_sentence(str(folder / "file"))
    assert (folder / "file").read_text() == "precious"


async def test_a_folder_where_no_stack_runs_is_said_to_be_one(folder: Path) -> None:
    (await run("export", "list", "--data-dir", folder)).refused_in_a_sentence(str(folder))


@pytest.mark.parametrize("export_id", ["not-an-id", "00000000-0000-4000-8000-000000000000", "../../../healthz", ""])
async def test_a_bad_id_is_a_sentence(dev: DevStack, export_id: str) -> None:
    (await dev.run("export", "show", export_id, "--json")).refused_in_a_sentence("stafett: ")


async def test_a_refused_request_is_a_sentence_that_says_where(dev: DevStack) -> None:
    asked = ("export", "start", "--org", "nhf", "--start", "2026-02-30", "--end", "2026-12-31", "--json")
    (await dev.run(*asked)).refused_in_a_sentence("/reporting_period/start")


async def test_a_development_stack_is_seeded_whatever_the_environment_says(dev: DevStack) -> None:
    nothing = ("seed", "--org", "hlf", "--activities", "0", "--year", "2025", "--seed", "7")
    (await dev.run(*nothing, env={"STAFETT_WORKER__THREADS": "many", "STAFETT_S3__REGION": "nowhere"})).done()


async def test_an_unknown_organisation_is_a_sentence(dev: DevStack) -> None:
    answer = await dev.run("seed", "--org", "nobody", "--activities", "3", "--year", "2025")
    answer.refused_in_a_sentence("nobody")


@asynccontextmanager
async def _gateway(*answers: tuple[int, Json], retry_after: str) -> AsyncIterator[dict[str, str]]:
    """An API that gives these answers, one a request, and how a client finds it."""
    left = iter(answers)

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        status, body = next(left)
        content = json.dumps(body)
        head = f"HTTP/1.1 {status} -\r\nRetry-After: {retry_after}\r\nContent-Length: {len(content)}\r\n"
        writer.write(f"{head}Connection: close\r\n\r\n{content}".encode())
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        yield {"STAFETT_API_URL": f"http://127.0.0.1:{port}", "STAFETT_TOKEN": "token"}


def _names(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


async def _at_a_terminal(*words: object, env: dict[str, str]) -> str:
    """What a person sees: the command's output and errors on a terminal of their own."""
    ours, theirs = pty.openpty()
    with os.fdopen(ours, "rb", buffering=0) as screen:
        clean = {name: value for name, value in os.environ.items() if not name.startswith("STAFETT_")}
        command = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "stafett", *map(str, words)),
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            env=clean | {"TERM": "xterm-256color"} | env,
        )
        os.close(theirs)
        seen = await asyncio.to_thread(_all_of, screen.fileno())
        assert await command.wait() == 0, seen
    return seen


def _all_of(screen: int) -> str:
    seen = b""
    while True:
        try:
            chunk = os.read(screen, 65536)
        except OSError:
            return seen.decode()  # Linux says so when the other side is closed
        if not chunk:
            return seen.decode()
        seen += chunk
