"""What commands find out by themselves: the caller's organisation, and the rest of a shortened id."""

import json
from pathlib import Path

import pytest

from stafett.domain.membership import Role
from stafett.testing import ActivityFactory, Json, Tenant
from tests.support.bulk import build_batch
from tests.support.dev_stack import CommandResult, DevStack, Tokens, run_stafett

_YEAR = ("--start", "01.01.2026", "--end", "31.12.2026")


class MemberCli:
    """Runs commands as a member of one organisation, without naming it."""

    def __init__(self, dev_stack: DevStack, token: str) -> None:
        self._env = {"STAFETT_API_URL": dev_stack.stack_json["api_url"], "STAFETT_TOKEN": token}

    async def run(self, *args: object) -> CommandResult:
        return (await run_stafett(*args, env=self._env)).require_success()


@pytest.fixture
def coordinator(dev_stack: DevStack, tenant: Tenant, tokens: Tokens) -> MemberCli:
    return MemberCli(dev_stack, tokens.create_token(tenant.coordinator, tenant.org_id, "coordinator"))


@pytest.fixture
def admin(dev_stack: DevStack, tenant: Tenant, tokens: Tokens) -> MemberCli:
    return MemberCli(dev_stack, tokens.create_token(tenant.users[Role.ADMIN], tenant.org_id, "admin"))


async def test_organisation_of_a_member_is_the_default_of_every_command(
    coordinator: MemberCli, admin: MemberCli, tenant: Tenant, activity_factory: ActivityFactory
) -> None:
    activity_factory.create_activity(activity_factory.create_mentor("Åse Ødegård"))
    assert "Åse Ødegård" in (await coordinator.run("mentor", "list")).stdout
    export: Json = (await coordinator.run("export", "start", *_YEAR, "--watch", "--json")).json
    assert (export["org_id"], export["status"]) == (tenant.org_id, "completed")
    assert f"Preview of {tenant.org_id}\n" in (await coordinator.run("export", "preview", *_YEAR)).stdout
    (report,) = (await coordinator.run("report", "list", "--json")).json["items"]
    assert report["id"] == export["report_id"]
    assert "coordinator" in (await admin.run("member", "list")).stdout
    await admin.run("api-key", "add", "Nightly export", "--role", "coordinator")


async def test_organisation_is_taken_from_the_environment_or_the_user(dev_stack: DevStack) -> None:
    mentor: Json = (await dev_stack.run("mentor", "add", "Kari Nordmann", "--org", "hlf", "--json")).json
    by_variable = await dev_stack.run("mentor", "list", "--name", "Kari", "--json", env={"STAFETT_ORG": "hlf"})
    assert mentor["id"] in by_variable.require_success().stdout
    by_user = await dev_stack.run("mentor", "list", "--name", "Kari", "--json", "--user", "coordinator@hlf.example")
    assert by_user.json == by_variable.json
    other = await dev_stack.run("mentor", "list", "--org", "nhf", "--json", env={"STAFETT_ORG": "hlf"})
    assert mentor["id"] not in other.require_success().stdout


async def test_report_on_a_development_stack_is_found_without_its_organisation(
    dev_stack: DevStack, empty_folder: Path
) -> None:
    folder = f"{empty_folder}/"
    seed = ("seed", "--org", "hlf", "--activities", "5", "--year", "2021", "--seed", "9")
    (await dev_stack.run(*seed)).require_success()
    period = ("--org", "hlf", "--start", "2021-01-01", "--end", "2021-12-31")
    export: Json = (await dev_stack.run("export", "start", *period, "--watch", "--json")).json
    shown = (await dev_stack.run("report", "show", export["report_id"])).require_success().stdout
    assert "organisation  hlf" in shown
    downloaded: Json = (await dev_stack.run("report", "download", export["report_id"], "-o", folder, "--json")).json
    verify = ("export", "verify", downloaded["path"], "--id", export["id"])
    assert "matches the record" in (await dev_stack.run(*verify)).require_success().stdout
    (await dev_stack.run("export", "delete", export["id"], "--yes")).require_success()
    assert f"version 1 of report {export['report_id']}" in (await dev_stack.run(*verify)).require_success().stdout


async def test_ids_can_be_shortened_to_their_first_eight_characters(
    coordinator: MemberCli, admin: MemberCli, activity_factory: ActivityFactory
) -> None:
    mentor = str(activity_factory.create_mentor())
    activity_factory.create_activity(activity_factory.create_mentor())
    export: Json = (await coordinator.run("export", "start", *_YEAR, "--watch", "--json")).json
    report_id = export["report_id"]
    shown: Json = (await coordinator.run("export", "show", export["id"][:8].upper(), "--json")).json
    assert shown["id"] == export["id"]
    assert (await coordinator.run("report", "show", report_id[:13], "--json")).json["id"] == report_id
    reexport: Json = (await coordinator.run("reexport", "start", report_id[:8], "--watch", "--json")).json
    assert reexport["report_id"] == report_id
    (listed,) = (await coordinator.run("reexport", "list", "--report", report_id[:8], "--json")).json["items"]
    assert listed["id"] == reexport["id"]
    renamed = await coordinator.run("mentor", "rename", mentor[:8], "Kari Hansen")
    assert renamed.stdout.startswith(f"Peer mentor {mentor} ")
    (notification, *_) = (await coordinator.run("notification", "list", "--json")).json["items"]
    assert notification["id"] in (await coordinator.run("notification", "read", notification["id"][:8])).stdout
    webhook: Json = (await admin.run("webhook", "add", "https://hooks.example/stafett", "--json")).json
    assert webhook["id"] in (await admin.run("webhook", "remove", webhook["id"][:8], "--yes")).stdout
    key: Json = (await admin.run("api-key", "add", "Nightly", "--role", "coordinator", "--json")).json
    assert key["id"] in (await admin.run("api-key", "revoke", key["id"][:8], "--yes")).stdout


async def test_started_job_is_its_id_alone_on_standard_output(
    coordinator: MemberCli, tenant: Tenant, activity_factory: ActivityFactory, empty_folder: Path
) -> None:
    mentor = activity_factory.create_mentor()
    activity_factory.create_activity(mentor)
    started = await coordinator.run("export", "start", *_YEAR)
    export_id = started.stdout.removesuffix("\n")
    sentence = f"Export {export_id} ({tenant.org_id}, 2026, csv) is accepted."
    assert started.stderr == f"{sentence} Follow it with `stafett export watch {export_id}`.\n"
    export: Json = (await coordinator.run("export", "watch", export_id, "--json")).json
    reexport_id = (await coordinator.run("reexport", "start", export["report_id"])).stdout.removesuffix("\n")
    assert (await coordinator.run("reexport", "watch", reexport_id, "--json")).json["id"] == reexport_id
    batch = build_batch(tenant.org_id, [mentor])
    del batch["org_id"]
    (file := empty_folder / "batch.json").write_text(json.dumps(batch, default=str))
    batch_id = (await coordinator.run("bulk", "start", file)).stdout.removesuffix("\n")
    assert (await coordinator.run("bulk", "watch", batch_id, "--json")).json["org_id"] == tenant.org_id
