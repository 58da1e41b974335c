"""The `stafett` program: output for users and for scripts, and errors in one line."""

import asyncio
import csv
import hashlib
import io
import json
import os
import re
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest

from stafett.testing import ActivityFactory, Json, Tenant, wait_until
from tests.support.bulk import build_batch, create_mentors
from tests.support.dev_stack import (
    CommandResult,
    DevStack,
    Tokens,
    freeze_processes,
    kill,
    run_at_a_terminal,
    run_stafett,
    run_stafett_process,
)

_REQUESTS_BEFORE_WATCHING = 3  # at most; two of them find the job, and more requests show that it is watched
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
    "partial_failures": [],
    "partial_failure_count": 0,
    "file": None,
    "error": None,
}


class CoordinatorCli:
    """Runs commands as a coordinator who has only the API's URL and a token."""

    def __init__(self, dev_stack: DevStack, tenant: Tenant, token: str) -> None:
        self.export_start = ("export", "start", "--org", tenant.org_id, "--start", "2026-01-01", "--end", "2026-12-31")
        self.env = {"STAFETT_API_URL": dev_stack.stack_json["api_url"], "STAFETT_TOKEN": token}

    async def run(self, *args: object, **env: str) -> CommandResult:
        return await run_stafett(*args, env=self.env | env)

    async def run_export(self, *options: str) -> Json:
        job: Json = (await self.run(*self.export_start, "--watch", "--json", *options)).json
        return job


@pytest.fixture
def cli(dev_stack: DevStack, tenant: Tenant, tokens: Tokens) -> CoordinatorCli:
    return CoordinatorCli(dev_stack, tenant, tokens.create_token(tenant.coordinator, tenant.org_id, "coordinator"))


async def test_seed_export_and_download_produce_a_file_with_the_recorded_hash(
    dev_stack: DevStack, empty_folder: Path, owner_connection: psycopg.Connection
) -> None:
    (await dev_stack.run("seed", "--org", "blindeforbundet", "--activities", "500", "--year", "2025")).require_success()
    period = ("--start", "2025-01-01", "--end", "2025-12-31")
    job: Json = (await dev_stack.run("export", "start", "--org", "blindeforbundet", *period, "--watch", "--json")).json
    assert job["status"] == "completed", job["error"]
    download = ("export", "download", job["id"], "--org", "blindeforbundet", "--output", empty_folder)
    (await dev_stack.run(*download)).require_success()
    assert _list_names(empty_folder) == [job["file"]["name"]]
    content = (empty_folder / job["file"]["name"]).read_bytes()
    assert hashlib.sha256(content).hexdigest() == job["file"]["sha256"]
    row = owner_connection.execute(
        "SELECT count(*) FROM activities WHERE org_id = 'blindeforbundet' AND deleted_at IS NULL"
        " AND extract(year FROM starts_at AT TIME ZONE 'Europe/Oslo') = 2025"
    ).fetchone()
    assert row is not None
    rows = list(csv.reader(io.StringIO(content.decode("utf-8-sig"), newline=""), delimiter=";"))[1:]
    assert len(rows) == job["row_count"] == job["counts"]["queried"] == row[0] == 500


async def test_every_export_command_prints_only_json_with_json_option(
    cli: CoordinatorCli, activity_factory: ActivityFactory, empty_folder: Path
) -> None:
    activity_factory.create_activity(activity_factory.create_mentor())
    started: Json = (await cli.run(*cli.export_start, "--json")).json
    watched: Json = (await cli.run("export", "watch", started["id"], "--json")).json
    shown, listed, downloaded = await asyncio.gather(
        cli.run("export", "show", started["id"], "--json"),
        cli.run("export", "list", "--json"),
        cli.run("export", "download", started["id"], "--output", empty_folder, "--json"),
    )
    assert watched["status"] == shown.json["status"] == "completed"
    assert [item["id"] for item in listed.json["items"]] == [shown.json["id"]] == [started["id"]]
    assert downloaded.json["sha256"] == shown.json["file"]["sha256"]


async def test_ids_in_readable_output_are_complete(cli: CoordinatorCli) -> None:
    period = ("--start", "2026-01-01T00:00:00.25+01:00", "--end", "2026-02-01T00:00:00.75+01:00")
    started = (await cli.run(*cli.export_start, *period)).require_success().stdout
    (export_id,) = set(re.findall(r"[0-9a-f]{8}-[0-9a-f-]{27}", started))
    shown, listed = await asyncio.gather(cli.run("export", "show", export_id), cli.run("export", "list"))
    assert export_id in shown.require_success().stdout
    assert export_id in listed.require_success().stdout


async def test_label_of_another_user_cannot_control_the_terminal(
    cli: CoordinatorCli, dev_stack: DevStack, tenant: Tenant, tmp_path: Path
) -> None:
    label, escaped = "\x1b[2J\x1b]0;title\x07\x9b31m[bold]\nBatch 2", r"\x1b[2J\x1b]0;title\x07\x9b31m[bold]\nBatch 2"
    (mentor,) = create_mentors(dev_stack.database_url, tenant.org_id, 1)
    file = tmp_path / "batch.json"
    file.write_text(json.dumps(build_batch(tenant.org_id, [mentor], label=label), default=str))
    batch: Json = (await cli.run("bulk", "start", file, "--watch", "--json")).json
    assert batch["label"] == label
    shown, listed, as_json = await asyncio.gather(
        cli.run("bulk", "show", batch["id"]), cli.run("bulk", "list"), cli.run("bulk", "list", "--json")
    )
    for result in (shown, listed):
        assert escaped in result.require_success().stdout
    for result in (shown, listed, as_json):
        assert [text for text in result.stdout if not text.isprintable() and text != "\n"] == []
    assert as_json.json["items"][0]["label"] == label


async def test_watch_continues_after_the_api_restarts(dev_stack: DevStack, cli: CoordinatorCli) -> None:
    with freeze_processes(*dev_stack.stack_json["pids"]["worker"]):
        started: Json = (await cli.run(*cli.export_start, "--json")).json
        watching = asyncio.create_task(cli.run("export", "watch", started["id"], "--json"))
        request = f'"path": "/api/v1/bufdir-exports/{started["id"]}"'
        await wait_until(dev_stack.read_api_log, lambda log: log.count(request) > _REQUESTS_BEFORE_WATCHING)
        killed_pid = dev_stack.stack_json["pids"]["api"]
        kill(killed_pid)
        await wait_until(
            dev_stack.read_output,
            lambda output: f"api (pid {killed_pid}) was terminated by signal 9; restarted" in output,
        )
    watched = (await watching).require_success()
    assert watched.json["status"] == "completed_empty"
    assert watched.stderr.count("waiting") == 1, watched.stderr


async def test_ctrl_c_ends_a_watch_at_once_and_explains_how_to_follow_the_job(
    dev_stack: DevStack, cli: CoordinatorCli
) -> None:
    with freeze_processes(*dev_stack.stack_json["pids"]["worker"]):
        command = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "stafett", *cli.export_start, "--watch"),
            stderr=asyncio.subprocess.PIPE,
            env=os.environ | cli.env,
        )
        assert command.stderr is not None
        title = (await command.stderr.readline()).decode()
        command.send_signal(signal.SIGINT)
        _, errors = await command.communicate()
    export_id = title.split()[1]
    assert command.returncode == 130
    hint = f"The export continues; follow it with `stafett export watch {export_id}`."
    assert errors.decode().splitlines()[-1] == f"stafett: Interrupted. {hint}"


@pytest.mark.parametrize(("status", "retry_after"), [(503, "1"), (502, "Wed, 21 Oct 2026 07:28:00 GMT")])
async def test_watch_waits_as_long_as_retry_after_requests(status: int, retry_after: str) -> None:
    async with _run_fake_api(
        (200, _RUNNING), (status, {}), (200, _RUNNING | {"status": "failed"}), retry_after=retry_after
    ) as env:
        watched = await run_stafett("export", "watch", _RUNNING["id"], "--json", env=env)
    assert (watched.exit_code, watched.json["status"]) == (3, "failed")
    assert watched.stderr.count("waiting") == 1, watched.stderr


async def test_watch_fails_if_retry_after_is_too_long() -> None:
    async with _run_fake_api((200, _RUNNING), (503, {}), retry_after="3600") as env:
        watched = await run_stafett("export", "watch", _RUNNING["id"], "--json", env=env)
    watched.assert_one_line_error("503")
    assert watched.exit_code == 1


async def test_output_without_a_terminal_has_no_escape_sequences(cli: CoordinatorCli) -> None:
    watched = (await cli.run(*cli.export_start, "--watch")).require_success()
    assert "\x1b" not in watched.stdout + watched.stderr


async def test_no_color_variable_disables_colours_at_a_terminal(
    cli: CoordinatorCli, activity_factory: ActivityFactory
) -> None:
    activity_factory.create_activity(activity_factory.create_mentor())
    exit_code, output = await run_at_a_terminal(*cli.export_start, "--watch", env=cli.env | {"NO_COLOR": "1"})
    assert exit_code == 0, output
    assert "completed" in output
    colours = re.compile(r"\x1b\[(\d+;)*(3[0-8]|4[0-8]|9[0-7]|10[0-7])(;\d+)*m")
    assert not colours.search(output), repr(output)


async def test_download_overwrites_a_file_only_with_force(
    cli: CoordinatorCli, activity_factory: ActivityFactory, empty_folder: Path
) -> None:
    activity_factory.create_activity(activity_factory.create_mentor())
    job = await cli.run_export()
    precious = empty_folder / job["file"]["name"]
    precious.write_text("precious")
    download = ("export", "download", job["id"], "--output", empty_folder)
    (await cli.run(*download)).assert_one_line_error(job["file"]["name"])
    assert precious.read_text() == "precious"
    (await cli.run(*download, "--force")).require_success()
    assert hashlib.sha256(precious.read_bytes()).hexdigest() == job["file"]["sha256"]


async def test_download_of_an_export_without_a_file_fails(cli: CoordinatorCli, empty_folder: Path) -> None:
    job = await cli.run_export()
    assert job["status"] == "completed_empty"
    (await cli.run("export", "download", job["id"], "--output", empty_folder)).assert_one_line_error("file")
    assert _list_names(empty_folder) == []


async def test_watching_a_failed_export_exits_with_3(cli: CoordinatorCli) -> None:
    failed = await cli.run(*cli.export_start, "--watch", "--fail-on-empty", "--json")
    assert failed.exit_code == 3
    assert (failed.json["status"], failed.json["error"]["code"]) == ("failed", "no_data_for_period")


async def test_export_start_with_the_same_key_starts_one_export(cli: CoordinatorCli) -> None:
    command = (*cli.export_start, "--key", str(uuid4()), "--json")
    results = await asyncio.gather(*(run_stafett_process(*command, env=cli.env) for _ in range(2)))
    assert len({result.json["id"] for result in results}) == 1


async def test_concurrent_migrations_succeed(dev_stack: DevStack) -> None:
    env = {"STAFETT_DATABASE__OWNER_URL": dev_stack.database_url}
    results = await asyncio.gather(*(run_stafett("migrate", env=env) for _ in range(2)))
    assert [result.exit_code for result in results] == [0, 0], results


@pytest.mark.parametrize(
    ("args", "expected_text"),
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
async def test_invalid_command_line_is_a_usage_error(args: tuple[str, ...], expected_text: str) -> None:
    result = await run_stafett(*args)
    result.assert_one_line_error(expected_text)
    assert result.exit_code == 2


@pytest.mark.parametrize(
    ("command", "variable"),
    [
        ("migrate", "STAFETT_DATABASE__OWNER_URL"),
        ("migrate", "STAFETT_S3__ENDPOINT"),
        ("migrate", "STAFETT_TEMPORAL"),
        ("api", "STAFETT_DATABASE__API_URL"),
    ],
)
async def test_invalid_setting_is_named_without_its_value(command: str, variable: str) -> None:
    valid = {"STAFETT_DATABASE__OWNER_URL": "postgresql://owner:hunter2@localhost:1/stafett"}
    result = await run_stafett(command, env=valid | {variable: "hunter2"})
    result.assert_one_line_error(variable)
    assert "hunter2" not in result.stderr


@pytest.mark.parametrize("token", ["not.a.token", "blåbær"])
async def test_invalid_token_is_a_one_line_error(cli: CoordinatorCli, token: str) -> None:
    result = await cli.run("export", "list", "--json", STAFETT_TOKEN=token)
    result.assert_one_line_error("stafett: ")
    assert token not in result.stderr


@pytest.mark.parametrize("command", ["api", "migrate"])
async def test_command_without_settings_names_a_missing_setting(command: str) -> None:
    (await run_stafett(command)).assert_one_line_error("STAFETT_")


async def test_client_command_without_url_or_folder_names_the_option() -> None:
    (await run_stafett("export", "list", "--json")).assert_one_line_error("--data-dir")


async def test_dev_rejects_a_folder_with_other_files(empty_folder: Path) -> None:
    (empty_folder / "thesis.txt").write_text("precious")
    (await run_stafett("dev", "--data-dir", empty_folder)).assert_one_line_error(str(empty_folder))
    assert _list_names(empty_folder) == ["thesis.txt"]


async def test_dev_rejects_a_file_as_data_folder(empty_folder: Path) -> None:
    (empty_folder / "file").write_text("precious")
    (await run_stafett("dev", "--data-dir", empty_folder / "file")).assert_one_line_error(str(empty_folder / "file"))
    assert (empty_folder / "file").read_text() == "precious"


async def test_client_command_names_a_folder_where_no_stack_runs(empty_folder: Path) -> None:
    (await run_stafett("export", "list", "--data-dir", empty_folder)).assert_one_line_error(str(empty_folder))


@pytest.mark.parametrize("export_id", ["not-an-id", "00000000-0000-4000-8000-000000000000", "../../../healthz", ""])
async def test_unknown_or_invalid_id_is_a_one_line_error(dev_stack: DevStack, export_id: str) -> None:
    (await dev_stack.run("export", "show", export_id, "--json")).assert_one_line_error("stafett: ")


async def test_rejected_request_names_the_invalid_field(dev_stack: DevStack) -> None:
    args = ("export", "start", "--org", "nhf", "--start", "2026-02-30", "--end", "2026-12-31", "--json")
    (await dev_stack.run(*args)).assert_one_line_error("Invalid value for '--start': expected a date")


async def test_seeding_a_development_stack_ignores_settings_of_the_environment(dev_stack: DevStack) -> None:
    seed = ("seed", "--org", "hlf", "--activities", "0", "--year", "2025", "--seed", "7")
    env = {"STAFETT_WORKER__THREADS": "many", "STAFETT_S3__REGION": "nowhere"}
    (await dev_stack.run(*seed, env=env)).require_success()


async def test_seeding_an_unknown_organisation_is_a_one_line_error(dev_stack: DevStack) -> None:
    result = await dev_stack.run("seed", "--org", "unknown", "--activities", "3", "--year", "2025")
    result.assert_one_line_error("unknown")


@asynccontextmanager
async def _run_fake_api(*responses: tuple[int, Json], retry_after: str) -> AsyncIterator[dict[str, str]]:
    """Run an API that gives one of these responses per request; yields a client's environment."""
    remaining = iter(responses)

    async def respond(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        status, body = next(remaining)
        content = json.dumps(body)
        head = f"HTTP/1.1 {status} -\r\nRetry-After: {retry_after}\r\nContent-Length: {len(content)}\r\n"
        writer.write(f"{head}Connection: close\r\n\r\n{content}".encode())
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(respond, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        yield {"STAFETT_API_URL": f"http://127.0.0.1:{port}", "STAFETT_TOKEN": "token"}


def _list_names(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


async def test_command_reports_that_it_acts_as_operator(dev_stack: DevStack) -> None:
    notice = "Acting as an operator, for every organisation. Specify --org for one.\n"
    assert (await dev_stack.run("export", "list", "--json")).require_success().stderr == notice
    for arguments in (("--org", "nhf"), ("--user", "operator@stafett.example")):
        assert (await dev_stack.run("export", "list", "--json", *arguments)).require_success().stderr == ""
    printed = await dev_stack.run("token", "--user", "operator@stafett.example", "--role", "operator")
    token = printed.require_success().stdout.strip()
    env = {"STAFETT_API_URL": dev_stack.stack_json["api_url"], "STAFETT_TOKEN": token}
    assert (await run_stafett("export", "list", "--json", env=env)).require_success().stderr == notice
    assert (await run_stafett("export", "list", "--json", "--org", "nhf", env=env)).require_success().stderr == ""


async def test_change_without_an_organisation_reports_who_makes_it(dev_stack: DevStack) -> None:
    period = ("--org", "hlf", "--start", "2019-01-01", "--end", "2019-01-31")
    started = (await dev_stack.run("export", "start", *period, "--watch", "--json")).json
    read = await dev_stack.run("export", "show", started["id"], "--json")
    assert read.require_success().stderr == ""
    named = await dev_stack.run("export", "delete", started["id"], "--yes", "--org", "nhf")
    named.assert_one_line_error("There is no such export.")
    deleted = await dev_stack.run("export", "delete", started["id"], "--yes")
    assert deleted.require_success().stderr == "Acting as admin@hlf.example, for hlf.\n"


@pytest.mark.parametrize("command", [("export", "list"), ("mentor", "list"), ("member", "list")], ids=" ".join)
async def test_unknown_organisation_is_named(dev_stack: DevStack, command: tuple[str, ...]) -> None:
    result = await dev_stack.run(*command, "--org", "finnes-ikke")
    result.assert_one_line_error("There is no organisation finnes-ikke on this development stack.")
