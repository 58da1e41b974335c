"""`stafett reexport`: a lost report, made again from a terminal."""

from pathlib import Path

import pytest

from stafett.testing import ActivityFactory, Tenant
from tests.acceptance.dev_stack import DevStack, Finished, Tokens, run


class Desk:
    """A coordinator's terminal: an address and a token are all it has."""

    def __init__(self, dev: DevStack, token: str) -> None:
        self._env = {"STAFETT_API_URL": dev.facts["api_url"], "STAFETT_TOKEN": token}

    async def run(self, *words: object) -> Finished:
        return await run(*words, env=self._env)


@pytest.fixture
def desk(dev: DevStack, tenant: Tenant, tokens: Tokens) -> Desk:
    return Desk(dev, tokens.token(tenant.coordinator, tenant.org_id, "coordinator"))


async def test_a_report_is_made_again_listed_watched_and_downloaded(
    desk: Desk, tenant: Tenant, diary: ActivityFactory, folder: Path
) -> None:
    diary.create_activity(diary.create_mentor())
    period = ("--start", "2026-01-01", "--end", "2026-12-31")
    export = (await desk.run("export", "start", "--org", tenant.org_id, *period, "--watch", "--json")).json
    same = ("--source", "same_snapshot", "--reason", "It was lost.", "--watch", "--json")
    job = (await desk.run("reexport", "start", export["report_id"], *same)).json
    assert (job["status"], job["file"], job["file_version"]) == ("completed", export["file"], 2)
    listed = (await desk.run("reexport", "list", "--report", export["report_id"], "--json")).json
    assert [item["id"] for item in listed["items"]] == [job["id"]]
    shown = (await desk.run("reexport", "show", job["id"])).done().out
    assert "version 2 of the report" in shown
    assert (await desk.run("reexport", "watch", job["id"], "--json")).json["status"] == "completed"
    saved = (await desk.run("reexport", "download", job["id"], "-o", f"{folder}/", "--json")).json
    (await desk.run("export", "verify", saved["path"], "--id", job["export_id"])).done()
    (await desk.run("reexport", "cancel", job["id"])).refused_in_a_sentence("there is nothing to cancel")
    other = (await desk.run("reexport", "start", export["report_id"], "--format", "xlsx", "--watch", "--json")).json
    assert other["file"]["name"].endswith(".xlsx")


async def test_on_a_development_stack_nobody_need_say_whose_report_it_is(dev: DevStack) -> None:
    asked = ("--org", "hlf", "--start", "2025-01-01", "--end", "2025-12-31", "--watch", "--json")
    (await dev.run("seed", "--org", "hlf", "--activities", "20", "--year", "2025", "--seed", "3")).done()
    export = (await dev.run("export", "start", *asked)).json
    job = (await dev.run("reexport", "start", export["report_id"], "--watch", "--json")).json
    assert (job["status"], job["org_id"]) == ("completed", "hlf")


async def test_a_report_that_is_not_there_is_a_sentence(desk: Desk) -> None:
    (await desk.run("reexport", "start", "00000000-0000-4000-8000-000000000000")).refused_in_a_sentence(
        "no such report"
    )
