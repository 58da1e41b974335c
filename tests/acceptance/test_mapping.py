"""`stafett mapping` beside a running stack, as an organisation's administrator works."""

import json
from pathlib import Path

import pytest

from stafett.domain.membership import Role
from stafett.testing import ActivityFactory, Tenant
from tests.acceptance.dev_stack import DevStack, Finished, Tokens, run


class Terminal:
    """Somebody's terminal, at home in one organisation."""

    def __init__(self, dev: DevStack, tenant: Tenant, token: str) -> None:
        self.org_id = tenant.org_id
        self._env = {"STAFETT_API_URL": dev.facts["api_url"], "STAFETT_TOKEN": token}

    async def mapping(self, verb: str, *words: object) -> Finished:
        return await run("mapping", verb, "--org", self.org_id, *words, env=self._env)


@pytest.fixture
def admin(dev: DevStack, tenant: Tenant, tokens: Tokens) -> Terminal:
    return Terminal(dev, tenant, tokens.token(tenant.users[Role.ADMIN], tenant.org_id, "admin"))


async def test_a_mapping_is_read_edited_checked_added_and_looked_at(
    admin: Terminal, diary: ActivityFactory, folder: Path
) -> None:
    mentor = diary.create_mentor("Åse Ødegård")
    diary.create_activity(mentor)
    diary.create_activity(mentor, in_norway=False)
    shown = (await admin.mapping("show")).json
    shown["columns"][0]["header"]["nb"] = "Dag"
    edited = folder / "mapping.json"
    edited.write_text(json.dumps(shown))
    assert f"{len(shown['columns'])} columns" in (await run("mapping", "check", edited)).done().out
    added = (await admin.mapping("add", edited, "--based-on", 1, "--json")).json
    assert (added["version"], added["document"]) == (2, shown)
    (await admin.mapping("add", edited, "--based-on", 1)).done()
    period = ("--start", "2026-01-01", "--end", "2026-12-31")
    preview = (await admin.mapping("preview", *period, "--json")).json
    assert (preview["mapping"]["version"], preview["counts"]["countable"], preview["columns"][0]) == (2, 1, "Dag")
    told = (await admin.mapping("preview", *period)).done().out
    assert "Holdt utenfor Norge: 1" in told
    assert "Åse Ødegård" in told


async def test_an_edit_of_an_old_version_is_refused_in_a_sentence(admin: Terminal, folder: Path) -> None:
    document = (await admin.mapping("show")).json
    for number, title in enumerate(("one", "two")):
        (folder / "mapping.json").write_text(json.dumps(document | {"title": title}))
        finished = await admin.mapping("add", folder / "mapping.json", "--based-on", 1)
        if number == 0:
            finished.done()
        else:
            finished.refused_in_a_sentence("other versions")


async def test_a_faulty_document_is_refused_with_its_faults(admin: Terminal, folder: Path) -> None:
    (folder / "mapping.json").write_text('{"format": 1}')
    (await admin.mapping("add", folder / "mapping.json")).refused_in_a_sentence("/columns")


async def test_a_coordinator_looks_and_does_not_edit(
    dev: DevStack, tenant: Tenant, tokens: Tokens, folder: Path
) -> None:
    coordinator = Terminal(dev, tenant, tokens.token(tenant.coordinator, tenant.org_id, "coordinator"))
    (folder / "mapping.json").write_text(json.dumps((await coordinator.mapping("show")).json | {"title": "x"}))
    refused = await coordinator.mapping("add", folder / "mapping.json")
    refused.refused_in_a_sentence("administrator")


async def test_a_plain_document_to_begin_with_is_sound(folder: Path) -> None:
    standard = folder / "mapping.json"
    standard.write_text((await run("mapping", "standard")).done().out)
    (await run("mapping", "check", standard)).done()
