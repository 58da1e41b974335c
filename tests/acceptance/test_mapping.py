"""`stafett mapping` with a running stack, as an administrator uses it."""

import json
from pathlib import Path

import pytest

from stafett.domain.membership import Role
from stafett.testing import ActivityFactory, Tenant
from tests.support.dev_stack import CommandResult, DevStack, Tokens, run_stafett


class MappingCli:
    """Runs `stafett mapping` as a user of one organisation."""

    def __init__(self, dev_stack: DevStack, tenant: Tenant, token: str) -> None:
        self.org_id = tenant.org_id
        self._env = {"STAFETT_API_URL": dev_stack.stack_json["api_url"], "STAFETT_TOKEN": token}

    async def run(self, command: str, *args: object) -> CommandResult:
        return await run_stafett("mapping", command, "--org", self.org_id, *args, env=self._env)


@pytest.fixture
def admin(dev_stack: DevStack, tenant: Tenant, tokens: Tokens) -> MappingCli:
    return MappingCli(dev_stack, tenant, tokens.create_token(tenant.users[Role.ADMIN], tenant.org_id, "admin"))


async def test_mapping_is_shown_edited_checked_added_and_previewed(
    admin: MappingCli, activity_factory: ActivityFactory, empty_folder: Path
) -> None:
    mentor = activity_factory.create_mentor("Åse Ødegård")
    activity_factory.create_activity(mentor)
    activity_factory.create_activity(mentor, in_norway=False)
    shown = (await admin.run("show")).json
    shown["columns"][0]["header"]["nb"] = "Dag"
    edited = empty_folder / "mapping.json"
    edited.write_text(json.dumps(shown))
    checked = (await run_stafett("mapping", "check", edited)).require_success().stdout
    assert f"{len(shown['columns'])} columns" in checked
    added = (await admin.run("add", edited, "--based-on", 1, "--json")).json
    assert (added["version"], added["document"]) == (2, shown)
    (await admin.run("add", edited, "--based-on", 1)).require_success()
    period = ("--start", "2026-01-01", "--end", "2026-12-31")
    preview = (await admin.run("preview", *period, "--json")).json
    assert (preview["mapping"]["version"], preview["counts"]["countable"], preview["columns"][0]) == (2, 1, "Dag")
    output = (await admin.run("preview", *period)).require_success().stdout
    assert "Holdt utenfor Norge: 1" in output
    assert "Åse Ødegård" in output


async def test_adding_an_edit_of_an_outdated_version_is_rejected(admin: MappingCli, empty_folder: Path) -> None:
    document = (await admin.run("show")).json
    for number, title in enumerate(("one", "two")):
        (empty_folder / "mapping.json").write_text(json.dumps(document | {"title": title}))
        result = await admin.run("add", empty_folder / "mapping.json", "--based-on", 1)
        if number == 0:
            result.require_success()
        else:
            result.assert_one_line_error("has changed since the version")


async def test_adding_an_invalid_document_names_the_error(admin: MappingCli, empty_folder: Path) -> None:
    (empty_folder / "mapping.json").write_text('{"format": 1}')
    result = await admin.run("add", empty_folder / "mapping.json")
    assert result.exit_code == 1
    assert "  /columns: “columns” is missing." in result.stderr.splitlines()


async def test_coordinator_can_show_but_not_add_a_mapping(
    dev_stack: DevStack, tenant: Tenant, tokens: Tokens, empty_folder: Path
) -> None:
    coordinator = MappingCli(dev_stack, tenant, tokens.create_token(tenant.coordinator, tenant.org_id, "coordinator"))
    (empty_folder / "mapping.json").write_text(json.dumps((await coordinator.run("show")).json | {"title": "x"}))
    result = await coordinator.run("add", empty_folder / "mapping.json")
    result.assert_one_line_error("administrator")


async def test_standard_mapping_is_valid(empty_folder: Path) -> None:
    standard = empty_folder / "mapping.json"
    standard.write_text((await run_stafett("mapping", "standard")).require_success().stdout)
    (await run_stafett("mapping", "check", standard)).require_success()
