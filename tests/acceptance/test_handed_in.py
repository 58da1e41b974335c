"""`stafett report submitted` and `stafett export delete`: what was handed in is deleted after its own confirmation."""

import re

from stafett.domain.membership import Role
from stafett.testing import ActivityFactory, Tenant
from tests.support.dev_stack import CommandResult, DevStack, Tokens, run_at_a_terminal, run_stafett


async def test_handed_in_version_is_shown_and_deleted_only_with_its_own_confirmation(
    dev_stack: DevStack, tenant: Tenant, tokens: Tokens, activity_factory: ActivityFactory
) -> None:
    def build_env(role: Role) -> dict[str, str]:
        token = tokens.create_token(tenant.users[role], tenant.org_id, role)
        return {"STAFETT_API_URL": dev_stack.stack_json["api_url"], "STAFETT_TOKEN": token}

    async def run(*args: object, role: Role = Role.COORDINATOR) -> CommandResult:
        return await run_stafett(*args, env=build_env(role))

    activity_factory.create_activity(activity_factory.create_mentor())
    period = ("--start", "2026-01-01", "--end", "2026-12-31")
    export = (await run("export", "start", "--org", tenant.org_id, *period, "--watch", "--json")).json
    report_id = export["report_id"]
    unchanged = await run("reexport", "start", report_id, "--watch")
    assert "nothing has changed since, so no version was added" in unchanged.require_success().stdout

    (await run("report", "submitted", report_id, "--version", "2")).assert_one_line_error("no such version")
    submitted = await run("report", "submitted", report_id, "--version", "1", "--reference", "Bufdir 27/1234")
    answer = submitted.require_success().stdout
    assert f"Version 1 of report {report_id} ({tenant.org_id}, 2026) is recorded as submitted at " in answer
    assert answer.endswith(" Its file is stored until 31.12.2033.\n")
    shown = (await run("report", "show", report_id)).require_success().stdout
    assert re.search(r"submitted +version 1, .*, Bufdir 27/1234\n +grant year +2028\n", shown), shown

    refused = await run("export", "delete", export["id"], "--yes", role=Role.ADMIN)
    refused.assert_one_line_error(f"Version 1 of report {report_id} was handed in to Bufdir")
    assert "--confirm-handed-in" in refused.stderr
    env = build_env(Role.ADMIN)
    exit_code, screen = await run_at_a_terminal("export", "delete", export["id"], env=env, typed="y\nn\n")
    assert exit_code == 1
    assert re.search(
        rf"Delete export {export['id']} .*\? .*was handed in.* Delete it all the same\? ", screen, re.DOTALL
    )
    assert "Not confirmed; nothing was changed." in screen
    assert (await run("export", "show", export["id"], "--json")).json["download_url"] is not None
    deletion = await run("export", "delete", export["id"], "--yes", "--confirm-handed-in", role=Role.ADMIN)
    assert deletion.require_success().stdout == f"Export {export['id']} ({tenant.org_id}, 2026, csv) is deleted.\n"
    shown = (await run("report", "show", report_id)).require_success().stdout
    assert "removed from storage" in shown
    assert export["file"]["sha256"] in shown
    assert re.search(r"\n +deleted +\d\d\.\d\d\.\d{4} \d\d:\d\d; its name, size and hashes are below\n", shown), shown
    assert "stored until" not in shown
    assert (await run("report", "show", report_id, "--json")).json["retained_until"] is None
    again = await run("report", "submitted", report_id, "--version", "1")
    assert again.require_success().stdout.endswith(" Its file has been deleted.\n")
