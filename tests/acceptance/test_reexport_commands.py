"""`stafett reexport`: re-exports of a report from the command line."""

from pathlib import Path

import pytest

from stafett.testing import ActivityFactory, Tenant
from tests.support.dev_stack import CommandResult, DevStack, Tokens, run_stafett


class CoordinatorCli:
    """Runs commands as a coordinator who has only the API's URL and a token."""

    def __init__(self, dev_stack: DevStack, token: str) -> None:
        self._env = {"STAFETT_API_URL": dev_stack.stack_json["api_url"], "STAFETT_TOKEN": token}

    async def run(self, *args: object) -> CommandResult:
        return await run_stafett(*args, env=self._env)


@pytest.fixture
def cli(dev_stack: DevStack, tenant: Tenant, tokens: Tokens) -> CoordinatorCli:
    return CoordinatorCli(dev_stack, tokens.create_token(tenant.coordinator, tenant.org_id, "coordinator"))


async def test_report_is_reexported_listed_shown_watched_and_downloaded(
    cli: CoordinatorCli, tenant: Tenant, activity_factory: ActivityFactory, empty_folder: Path
) -> None:
    activity_factory.create_activity(activity_factory.create_mentor())
    period = ("--start", "2026-01-01", "--end", "2026-12-31")
    export = (await cli.run("export", "start", "--org", tenant.org_id, *period, "--watch", "--json")).json
    options = ("--source", "same_snapshot", "--reason", "It was lost.", "--watch", "--json")
    job = (await cli.run("reexport", "start", export["report_id"], *options)).json
    assert (job["status"], job["file"], job["file_version"]) == ("completed", export["file"], 2)
    listed = (await cli.run("reexport", "list", "--report", export["report_id"], "--json")).json
    assert [item["id"] for item in listed["items"]] == [job["id"]]
    shown = (await cli.run("reexport", "show", job["id"])).require_success().stdout
    assert "version 2 of the report" in shown
    assert (await cli.run("reexport", "watch", job["id"], "--json")).json["status"] == "completed"
    downloaded = (await cli.run("reexport", "download", job["id"], "-o", f"{empty_folder}/", "--json")).json
    (await cli.run("export", "verify", downloaded["path"], "--id", job["export_id"])).require_success()
    (await cli.run("reexport", "cancel", job["id"])).assert_one_line_error("there is nothing to cancel")
    other = (await cli.run("reexport", "start", export["report_id"], "--format", "xlsx", "--watch", "--json")).json
    assert other["file"]["name"].endswith(".xlsx")


async def test_reexport_on_a_development_stack_needs_no_organisation(dev_stack: DevStack) -> None:
    options = ("--org", "hlf", "--start", "2025-01-01", "--end", "2025-12-31", "--watch", "--json")
    seed = ("seed", "--org", "hlf", "--activities", "20", "--year", "2025", "--seed", "3")
    (await dev_stack.run(*seed)).require_success()
    export = (await dev_stack.run("export", "start", *options)).json
    job = (await dev_stack.run("reexport", "start", export["report_id"], "--watch", "--json")).json
    assert (job["status"], job["org_id"]) == ("completed", "hlf")


async def test_reexport_of_an_unknown_report_is_a_one_line_error(cli: CoordinatorCli) -> None:
    (await cli.run("reexport", "start", "00000000-0000-4000-8000-000000000000")).assert_one_line_error("no such report")
