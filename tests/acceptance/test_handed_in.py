"""`stafett report submitted` and `stafett export delete`: what was handed in is deleted after its own confirmation."""

from stafett.domain.membership import Role
from stafett.testing import ActivityFactory, Tenant
from tests.support.dev_stack import CommandResult, DevStack, Tokens, run_stafett


async def test_handed_in_version_is_shown_and_deleted_only_with_its_own_confirmation(
    dev_stack: DevStack, tenant: Tenant, tokens: Tokens, activity_factory: ActivityFactory
) -> None:
    async def run(*args: object, role: Role = Role.COORDINATOR) -> CommandResult:
        token = tokens.create_token(tenant.users[role], tenant.org_id, role)
        env = {"STAFETT_API_URL": dev_stack.stack_json["api_url"], "STAFETT_TOKEN": token}
        return await run_stafett(*args, env=env)

    activity_factory.create_activity(activity_factory.create_mentor())
    period = ("--start", "2026-01-01", "--end", "2026-12-31")
    export = (await run("export", "start", "--org", tenant.org_id, *period, "--watch", "--json")).json
    report_id = export["report_id"]
    unchanged = await run("reexport", "start", report_id, "--watch")
    assert "nothing has changed since, so no version was added" in unchanged.require_success().stdout

    (await run("report", "submitted", report_id, "--version", "2")).assert_one_line_error("no such version")
    submitted = await run("report", "submitted", report_id, "--version", "1", "--reference", "Bufdir 27/1234")
    assert submitted.require_success().stdout == (
        f"Version 1 of report {report_id} is recorded as submitted. Its file is stored until 2033-12-31.\n"
    )
    shown = (await run("report", "show", report_id)).require_success().stdout
    assert "version 1, original, handed in: " in shown
    assert "Bufdir 27/1234, for the grant year 2028" in shown

    refused = await run("export", "delete", export["id"], "--yes", role=Role.ADMIN)
    refused.assert_one_line_error(f"Version 1 of report {report_id} was handed in to Bufdir")
    assert "--confirm-handed-in" in refused.stderr
    assert (await run("export", "show", export["id"], "--json")).json["download_url"] is not None
    deletion = await run("export", "delete", export["id"], "--yes", "--confirm-handed-in", role=Role.ADMIN)
    assert deletion.require_success().stdout == f"Export {export['id']} is deleted.\n"
    shown = (await run("report", "show", report_id)).require_success().stdout
    assert "removed from storage" in shown
    assert export["file"]["sha256"] in shown
