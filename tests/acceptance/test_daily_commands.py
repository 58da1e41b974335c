"""The command line in daily use: a report from its preview to its versions, a batch, and administration."""

import csv
import io
import json
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from stafett.domain.membership import Role
from stafett.testing import ActivityFactory, Json, Tenant
from tests.support.dev_stack import CommandResult, DevStack, Tokens, run_stafett

_EMPTY_YEAR = ("--start", "01.01.2019", "--end", "31.12.2019")
_YEAR = ("--start", "01.01.2026", "--end", "31.12.2026")


class UserCli:
    """Runs commands as a user who has only the API's URL and a token."""

    def __init__(self, dev_stack: DevStack, tenant: Tenant, tokens: Tokens, role: Role) -> None:
        token = tokens.create_token(tenant.users[role], tenant.org_id, role)
        self._env = {"STAFETT_API_URL": dev_stack.stack_json["api_url"], "STAFETT_TOKEN": token}
        self.org = ("--org", tenant.org_id)

    async def run(self, *args: object) -> CommandResult:
        return await run_stafett(*args, env=self._env)

    async def print(self, *args: object) -> str:
        return (await self.run(*args)).require_success().stdout


def _list_names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


@pytest.fixture
def coordinator(dev_stack: DevStack, tenant: Tenant, tokens: Tokens) -> UserCli:
    return UserCli(dev_stack, tenant, tokens, Role.COORDINATOR)


@pytest.fixture
def admin(dev_stack: DevStack, tenant: Tenant, tokens: Tokens) -> UserCli:
    return UserCli(dev_stack, tenant, tokens, Role.ADMIN)


@pytest.fixture
def auditor(dev_stack: DevStack, tenant: Tenant, tokens: Tokens) -> UserCli:
    return UserCli(dev_stack, tenant, tokens, Role.AUDITOR)


async def test_report_is_shown_with_its_versions_and_each_has_a_file_name_of_its_own(
    coordinator: UserCli, activity_factory: ActivityFactory, empty_folder: Path
) -> None:
    mentor = activity_factory.create_mentor("Åse Ødegård")
    activity_factory.create_activity(mentor)
    watched = await coordinator.run("export", "start", *coordinator.org, *_YEAR, "--watch")
    export_id = watched.require_success().stdout.split()[1]
    assert watched.stderr.startswith(f"Export {export_id} ({coordinator.org[1]}, 2026, csv)")
    export: Json = (await coordinator.run("export", "show", export_id, "--json")).json
    report = ("report", "show", export["report_id"], *coordinator.org)
    activity_factory.create_activity(mentor)
    reexport: Json = (
        await coordinator.run("reexport", "start", export["report_id"], "--reason", "Lost.", "--watch", "--json")
    ).json
    shown = await coordinator.print(*report)
    for text in (export_id, reexport["export_id"], "Lost.", "1 rows added, 0 removed, 0 changed", "period        2026"):
        assert text in shown, text
    shown = await coordinator.print("reexport", "show", reexport["id"])
    for text in ("Lost.", "csv", "1 rows added", "version 2 of the report", reexport["export_id"]):
        assert text in shown, text
    changes = ("report", "changes", export["report_id"], *coordinator.org)
    heading, line = (await coordinator.print(*changes)).splitlines()
    assert (heading.split()[0], line.split()[0]) == ("change", "added")
    assert "Åse Ødegård" in line
    (row,) = (await coordinator.run(*changes, "--from", "1", "--to", "2", "--json")).json["items"]
    assert (row["change"], row["row_before"]) == ("added", "")
    unknown = "'--to': there is no such version; the report has versions 1 to 2"
    (await coordinator.run(*changes, "--to", "9")).assert_one_line_error(unknown)
    saved = await coordinator.print(*changes, "-o", empty_folder / "changes.csv")
    assert saved == f"{empty_folder / 'changes.csv'} (1 activities)\n"
    (empty_folder / "changes.csv").unlink()
    for command in (("download", export["report_id"]), ("download", export["report_id"], "--version", "1")):
        await coordinator.print("report", *command, *coordinator.org, "-o", f"{empty_folder}/")
    name = Path(export["file"]["name"])
    assert _list_names(empty_folder) == {name.name, f"{name.stem}-version-2{name.suffix}"}
    await coordinator.print("reexport", "download", reexport["id"], "-o", f"{empty_folder}/", "--force")
    child_events = await coordinator.print("export", "audit", reexport["export_id"])
    assert child_events.count("file_downloaded") == 2
    events = await coordinator.print("export", "audit", export_id)
    assert events.count("file_downloaded") == 1
    assert "initialised" in events
    assert "completed" in events


async def test_hand_ins_are_recorded_corrected_and_taken_back(
    coordinator: UserCli, activity_factory: ActivityFactory
) -> None:
    activity_factory.create_activity(activity_factory.create_mentor())
    export: Json = (await coordinator.run("export", "start", *coordinator.org, *_YEAR, "--watch", "--json")).json
    reexport = ("reexport", "start", export["report_id"], "--source", "same_snapshot", "--watch")
    await coordinator.print(*reexport)
    mark = ("report", "submitted", export["report_id"], *coordinator.org)
    result = (await coordinator.run(*mark, "--at", "1.2.2026")).require_success()
    submitted = result.stdout
    assert "Warning: This day is before the end of the period, 31.12.2026." in result.stderr
    assert f"({coordinator.org[1]}, 2026) is recorded as submitted at 01.02.2026 00:00." in submitted
    assert "version 2 is marked now. It is the newest, because --version was not given." in submitted
    assert "in the future" not in submitted + result.stderr
    again = await coordinator.print(*mark, "--reference", "Bufdir 27/1")
    assert "is recorded as submitted at 01.02.2026 00:00." in again
    assert "Recorded for version 2 before: 01.02.2026 00:00, without a reference." in again
    await coordinator.print(*mark, "--reference", "Bufdir 27/1", "--version", "2")
    first = await coordinator.print(*mark, "--version", "1")
    assert "Version 2 was marked before (01.02.2026 00:00, Bufdir 27/1)" in first
    in_the_future = (datetime.now(UTC) + timedelta(days=2)).strftime("%d.%m.%Y")
    result = await coordinator.run(*mark, "--at", in_the_future, "--version", "2")
    assert "Warning: This day is in the future." in result.require_success().stderr
    withdraw = ("report", "not-submitted", export["report_id"], *coordinator.org)
    withdrawn = await coordinator.print(*withdraw, "--version", "2")
    assert re.search(r"Version 2 of .* is no longer recorded as submitted; it was: .*, Bufdir 27/1\.\n", withdrawn)
    assert "Version 1 is still recorded as submitted" in withdrawn
    (await coordinator.run(*withdraw, "--version", "2")).assert_one_line_error("is not recorded as submitted")
    assert "Version 1 of " in await coordinator.print(*withdraw)
    (await coordinator.run(*withdraw)).assert_one_line_error("No version of report")


async def test_preview_prints_rows_as_in_the_file_also_with_a_mapping_that_is_not_stored(
    admin: UserCli, coordinator: UserCli, activity_factory: ActivityFactory, empty_folder: Path
) -> None:
    activity_factory.create_activity(activity_factory.create_mentor("Åse Ødegård"))
    document: Json = (await admin.run("mapping", "show", *admin.org)).json
    document["columns"][0]["header"]["nb"] = "Dag"
    (file := empty_folder / "mapping.json").write_text(json.dumps(document))
    stored, tried = [
        await admin.print("export", "preview", *admin.org, *_YEAR, *options) for options in ((), ("--mapping", file))
    ]
    assert ("version 1" in stored, str(file) in tried) == (True, True)
    assert ("  Dag " in stored, "  Dag " in tried) == (False, True)
    (row,) = [line for line in tried.splitlines() if line.startswith("  Dag ")]
    assert row.split()[1].endswith(".2026")
    result = await coordinator.run("export", "preview", *admin.org, *_YEAR, "--mapping", file)
    result.assert_one_line_error("permission_denied")
    file.write_text('{"format": 1}')
    result = await admin.run("export", "preview", *admin.org, *_YEAR, "--mapping", file)
    assert "  /mapping/columns: “columns” is missing." in result.stderr.splitlines()


async def test_preview_and_deviations_are_short_unless_all_is_requested(
    coordinator: UserCli, activity_factory: ActivityFactory
) -> None:
    mentor = activity_factory.create_mentor()
    for _ in range(22):
        activity_factory.create_activity(mentor, activity_type="annet")
    preview = ("export", "preview", *coordinator.org, *_YEAR)
    lines = (await coordinator.print(*preview)).splitlines()
    assert re.fullmatch(r"\d+ more rows: --all prints them, --json has them for programs\.", lines[-1]), lines
    assert len(lines[lines.index("Row 1") :]) <= 21
    assert "Row 20" in (await coordinator.print(*preview, "--all")).splitlines()
    export: Json = (await coordinator.run("export", "start", *coordinator.org, *_YEAR, "--watch", "--json")).json
    deviations = ("export", "deviations", export["id"])
    first, *_, last, _correction, _new_version = (await coordinator.print(*deviations)).splitlines()
    assert first.startswith("22 not countable: ")
    assert last == "2 more: --all prints them, --output FILE writes them as CSV."
    assert "2 more" not in await coordinator.print(*deviations, "--all")


async def test_batch_is_filled_in_validated_and_its_failed_items_are_named(
    coordinator: UserCli, activity_factory: ActivityFactory, empty_folder: Path
) -> None:
    mentor = activity_factory.create_mentor("Åse Ødegård")
    file = empty_folder / "batch.csv"
    printed = await coordinator.run("bulk", "template", *coordinator.org, "-o", file, "--locale", "nn")
    assert printed.stdout == f"{file} (1 peer mentors)\n"
    assert f";{mentor};" in await coordinator.print("bulk", "template")
    assert "Éin av desse: Oppsøkjande samtale, Samtalegruppe" in printed.stderr
    cells = "Samtalegruppe;02.03.2026 10:00;{};5;1;Oslo;ja;ja;"
    template = file.read_text("utf-8-sig")
    assert f";{mentor};" in template

    def fill(minutes: int) -> None:
        text = template.replace(f"{mentor};;;;;;;;;;", f"{mentor};{cells.format(minutes)};")
        file.write_text(text, "utf-8", newline="")

    fill(60)
    validated = await coordinator.print("bulk", "start", file, *coordinator.org, "--validate-only")
    assert validated == "1 of 1 items would register, 0 would fail.\n"
    fill(0)
    validation = await coordinator.run("bulk", "start", file, *coordinator.org, "--validate-only", "--locale", "en")
    assert validation.exit_code == 3
    assert "0 of 1 items would register, 1 would fail." in validation.stdout
    assert f"  line 2, {mentor}, Åse Ødegård: duration_minutes must be at least 1. The file has" in validation.stdout
    assert "The file has duration_minutes '0'. (invalid_activity)" in validation.stdout
    in_norwegian = await coordinator.run("bulk", "start", file, *coordinator.org, "--validate-only")
    assert f"  linje 2, {mentor}, Åse Ødegård: duration_minutes må være minst 1. Filen har" in in_norwegian.stdout
    batch: Json = (await coordinator.run("bulk", "start", file, *coordinator.org, "--watch", "--json")).json
    assert batch["status"] == "failed"
    content = await coordinator.print("bulk", "failed", batch["id"], "--locale", "nn")
    (line,) = csv.DictReader(io.StringIO(content, newline=""), delimiter=";")
    assert (line["mentor_name"], line["starts_at"]) == ("Åse Ødegård", "02.03.2026 10:00")
    assert line["error_message"] == "duration_minutes må vere minst 1."
    assert "corrected" not in await coordinator.print("bulk", "list", *coordinator.org)
    retried = await coordinator.run("bulk", "retry", batch["id"], "--watch")
    assert retried.exit_code == 3
    assert "tried again as they are, none of them was registered" in retried.stdout
    assert f"{mentor}, Åse Ødegård: " in await coordinator.print("bulk", "show", batch["id"])
    saved = await coordinator.run("bulk", "failed", batch["id"], "-o", file)
    command = f"stafett bulk start {file} --org {coordinator.org[1]} --corrects {batch['id']}"
    assert saved.require_success().stderr == f"When it is corrected: {command}\n"
    file.write_text(file.read_text("utf-8-sig").replace("10:00;0;", "10:00;60;"), "utf-8", newline="")
    correction: Json = (await coordinator.run(*command.split()[1:], "--watch", "--json")).json
    assert (correction["status"], correction["corrects"]) == ("completed", batch["id"])
    assert f"corrected by  {correction['id']}" in await coordinator.print("bulk", "show", batch["id"])
    for options in ((), ("--status", "failed")):
        listed = (await coordinator.print("bulk", "list", *coordinator.org, *options)).splitlines()
        assert ["1, corrected" in line for line in listed if line.startswith(batch["id"][:8])] == [True]
    again = await coordinator.run("bulk", "retry", batch["id"], "--watch")
    again.assert_one_line_error(f"Batch {correction['id']} corrects this batch")


async def test_deviating_activity_is_found_corrected_and_in_the_next_version(
    coordinator: UserCli, activity_factory: ActivityFactory, empty_folder: Path
) -> None:
    mentor = activity_factory.create_mentor("Åse Ødegård")
    starts_at, ends_at = datetime(2026, 3, 2, 9, tzinfo=UTC), datetime(2026, 3, 2, 9, 30, tzinfo=UTC)
    short = activity_factory.create_activity(mentor, starts_at=starts_at, ends_at=ends_at)
    twice = activity_factory.create_activity(mentor, starts_at=datetime(2026, 3, 3, 9, tzinfo=UTC))
    export: Json = (await coordinator.run("export", "start", *coordinator.org, *_YEAR, "--watch", "--json")).json
    await coordinator.print("export", "deviations", export["id"], "-o", file := empty_folder / "deviations.csv")
    (deviation,) = csv.DictReader(io.StringIO(file.read_text("utf-8-sig"), newline=""), delimiter=";")
    assert (deviation["activity_id"], deviation["outcome"]) == (str(short), "not_countable")
    listed = await coordinator.print("activity", "list", *coordinator.org, "--start", "2.3.2026", "--end", "2.3.2026")
    assert (str(short) in listed, str(twice) in listed) == (True, False)
    title = f"Activity {short} ({coordinator.org[1]}, 02.03.2026 10:00, samtalegruppe, Åse Ødegård)"
    corrected = await coordinator.print("activity", "correct", short, "--duration", "45", "--place", "Bodø")
    assert corrected.splitlines()[0] == f"{title} is corrected."
    assert "  duration minutes: 30 → 45" in corrected.splitlines()
    assert "→ Bodø" in corrected
    assert "stafett reexport start REPORT" in corrected
    shown = await coordinator.print("activity", "show", short)
    assert ("45 minutes" in shown, "Bodø" in shown, str(mentor) in shown) == (True, True, True)
    assert "samtalegruppe (" in shown
    next_year = datetime.now(UTC).year + 1
    later = await coordinator.run("activity", "correct", short, "--start", f"01.02.{next_year} 10:00", "--no-note")
    assert f"Warning: the activity leaves the base year 2026 and is in {next_year} now." in later.stderr
    assert "Warning: the activity starts in the future now." in later.stderr
    assert f"starts at: 02.03.2026 10:00 → 01.02.{next_year} 10:00" in later.require_success().stdout
    back = await coordinator.run("activity", "correct", short, "--start", "02.03.2026 10:00")
    assert "future" not in back.require_success().stderr
    wrong = await coordinator.run("activity", "correct", short, "--participants", "0")
    assert "Invalid value for '--new-participants': more new participants than participants" in wrong.stderr
    moved = await coordinator.run("activity", "correct", twice, "--start", "02.03.2026 10:30")
    moved.assert_one_line_error("The peer mentor has another activity at that time.")
    unconfirmed = await coordinator.run("activity", "delete", twice)
    assert (unconfirmed.exit_code, f"Delete activity {twice} (" in unconfirmed.stderr) == (1, True)
    assert f"Activity {twice} (" in await coordinator.print("activity", "delete", twice, "--yes")
    reexport: Json = (await coordinator.run("reexport", "start", export["report_id"], "--watch", "--json")).json
    version: Json = (await coordinator.run("export", "show", reexport["export_id"], "--json")).json
    assert (version["counts"]["queried"], version["counts"]["countable"]) == (1, 1)


async def test_administrator_lists_the_audit_events_of_the_organisation(
    admin: UserCli, coordinator: UserCli, empty_folder: Path
) -> None:
    export: Json = (await coordinator.run("export", "start", *coordinator.org, *_YEAR, "--json")).json
    listed = await admin.run("audit", "list", *admin.org, "--event", "export_requested", "--json")
    assert [event["subject_id"] for event in listed.json["items"]] == [export["id"]]
    printed = await admin.print("audit", "list", *admin.org)
    assert ("export_requested" in printed, "coordinator@" in printed) == (True, True)
    file = empty_folder / "events.csv"
    await admin.print("audit", "list", *admin.org, "--subject", export["id"], "-o", file)
    assert export["id"] in file.read_text("utf-8-sig")
    refused = await coordinator.run("audit", "list", *admin.org)
    refused.assert_one_line_error("permission_denied")
    assert f"Your role in {admin.org[1]} is coordinator." in refused.stderr
    (await admin.run("audit", "list", *admin.org, "--subject", "x")).assert_one_line_error("'--subject'")
    unknown = await admin.run("audit", "list", *admin.org, "--event", "export_request")
    unknown.assert_one_line_error("'export_request' is not the name of an event; the nearest are export_requested")
    assert unknown.exit_code == 2
    filters = ("--subject", export["id"][:8], "--event", "Export requested", "--json")
    for actor in (f"user:{listed.json['items'][0]['actor'][5:13]}", await _find_address(admin, "coordinator")):
        found = await admin.run("audit", "list", *admin.org, *filters, "--actor", actor)
        assert [event["subject_id"] for event in found.json["items"]] == [export["id"]]
    described = await admin.print("audit", "list", *admin.org, "--event", "export_requested", "--details")
    assert f"  export         {export['id']}\n" in described
    assert "  export format  csv\n" in described


async def test_auditor_reads_names_of_actors_and_downloads_no_file(
    auditor: UserCli, coordinator: UserCli, activity_factory: ActivityFactory
) -> None:
    activity_factory.create_activity(activity_factory.create_mentor())
    export: Json = (await coordinator.run("export", "start", *coordinator.org, *_YEAR, "--watch", "--json")).json
    refused = await auditor.run("export", "download", export["id"])
    refused.assert_one_line_error("You are auditor, a role that downloads no files")
    requested = ("audit", "list", *auditor.org, "--event", "export_requested")
    (event,) = (await auditor.run(*requested, "--json")).json["items"]
    assert f"  actor          {event['actor_name']} ({event['actor']})\n" in await auditor.print(
        *requested, "--details"
    )
    alone = await auditor.run("report", "changes", export["report_id"], *auditor.org)
    alone.assert_one_line_error("has one version only, so there is nothing to compare it with")


async def _find_address(admin: UserCli, role: str) -> str:
    members = (await admin.run("member", "list", *admin.org, "--json")).json["items"]
    (address,) = {str(member["address"]) for member in members if member["role"] == role}
    return address


async def test_audit_events_of_a_deleted_export_are_listed_by_its_short_id(
    admin: UserCli, coordinator: UserCli, activity_factory: ActivityFactory
) -> None:
    activity_factory.create_activity(activity_factory.create_mentor())
    export: Json = (await coordinator.run("export", "start", *coordinator.org, *_YEAR, "--watch", "--json")).json
    await admin.print("export", "delete", export["id"], "--yes")
    for user, export_id in ((coordinator, export["id"]), (admin, export["id"][:8])):
        events = (await user.run("export", "audit", export_id, "--json")).json["items"]
        assert (events[0]["event"], events[-1]["event"]) == ("export_requested", "files_removed")
    empty: Json = (await coordinator.run("export", "start", *coordinator.org, *_EMPTY_YEAR, "--watch", "--json")).json
    await admin.print("export", "delete", empty["id"], "--yes")
    assert "export_deleted" in await coordinator.print("export", "audit", empty["id"])
    unknown = await coordinator.run("export", "audit", "00000000")
    unknown.assert_one_line_error("with `stafett audit list --subject 00000000`.")


async def test_second_export_of_a_period_names_the_report_that_there_is(
    coordinator: UserCli, activity_factory: ActivityFactory
) -> None:
    activity_factory.create_activity(activity_factory.create_mentor())
    start = ("export", "start", *coordinator.org, *_YEAR)
    first = await coordinator.run(*start, "--watch", "--key", "first")
    assert "Warning" not in first.require_success().stderr
    first_id = first.stdout.split()[1]
    assert "Warning" not in (await coordinator.run(*start, "--key", "first")).require_success().stderr
    report_id = (await coordinator.run("export", "show", first_id, "--json")).json["report_id"]
    second = (await coordinator.run(*start)).require_success()
    warning, accepted = second.stderr.splitlines()
    assert warning.startswith(f"Warning: {coordinator.org[1]} has a report of 2026 already: {report_id} (made on ")
    assert f"by export {first_id}). `stafett reexport start {report_id}` adds" in warning
    assert accepted.startswith(f"Export {second.stdout.strip()} (")
    other = await coordinator.run("export", "start", *coordinator.org, "--start", "1.1.2026", "--end", "30.6.2026")
    assert "Warning" not in other.require_success().stderr


async def test_id_of_the_wrong_kind_names_the_report_or_its_export(
    coordinator: UserCli, activity_factory: ActivityFactory
) -> None:
    activity_factory.create_activity(activity_factory.create_mentor())
    export: Json = (await coordinator.run("export", "start", *coordinator.org, *_YEAR, "--watch", "--json")).json
    report_id = export["report_id"]
    for wrong in (export["id"], export["id"][:8]):
        result = await coordinator.run("reexport", "start", wrong)
        result.assert_one_line_error(f"{wrong} is an export; its report is {report_id}.")
    for name in ("show", "audit", "download"):
        result = await coordinator.run("export", name, report_id)
        result.assert_one_line_error(f"{report_id} is a report: `stafett report show {report_id}`.")
    for command in (("reexport", "start"), ("report", "download"), ("report", "submitted")):
        result = await coordinator.run(*command, report_id, "--version", "2")
        result.assert_one_line_error("'--version': there is no such version; the report has version 1 only")
        assert result.exit_code == 2


async def test_deviations_are_selected_by_kind_and_mentor(
    coordinator: UserCli, activity_factory: ActivityFactory, empty_folder: Path
) -> None:
    for name in ("Åse Ødegård", "Kari Nordmann"):
        activity_factory.create_activity(activity_factory.create_mentor(name), activity_type="annet")
    export: Json = (await coordinator.run("export", "start", *coordinator.org, *_YEAR, "--watch", "--json")).json
    deviations = ("export", "deviations", export["id"])
    everything = (await coordinator.run(*deviations, "--json")).json["items"]
    chosen = (await coordinator.run(*deviations, "--kind", "not_countable", "--mentor", "åse", "--json")).json["items"]
    assert chosen == [row for row in everything if row["mentor"] == "Åse Ødegård"] != everything
    await coordinator.print(*deviations, "--mentor", "åse", "-o", file := empty_folder / "deviations.csv")
    (row,) = csv.DictReader(io.StringIO(file.read_text("utf-8-sig"), newline=""), delimiter=";")
    assert row["mentor"] == "Åse Ødegård"
    none = f"None of the {len(everything)} deviations is of the kind rejected.\n"
    assert await coordinator.print(*deviations, "--kind", "rejected") == none
    (await coordinator.run(*deviations, "--kind", "wrong")).assert_one_line_error("is not one of 'rejected'")


async def test_activity_is_moved_between_events(coordinator: UserCli, activity_factory: ActivityFactory) -> None:
    mentors = [activity_factory.create_mentor() for _ in range(2)]
    first, second = [str(activity_factory.create_activity(mentor)) for mentor in mentors]

    async def correct(activity_id: str, *options: str) -> str:
        return await coordinator.print("activity", "correct", activity_id, *options)

    async def find_event(activity_id: str) -> str | None:
        activity: Json = (await coordinator.run("activity", "show", activity_id, "--json")).json
        event_id: str | None = activity["event_id"]
        return event_id

    await correct(first, "--event", "new")
    event_id = await find_event(first)
    assert event_id is not None
    assert f"It is part of event {event_id}." in await correct(second, "--event", event_id[:8])
    listed = await coordinator.print("activity", "list", *coordinator.org, "--event", event_id[:8])
    assert (first in listed, second in listed) == (True, True)
    stays = f"It stays a part of event {event_id}: --event new or --event none takes it out."
    assert stays in await correct(second, "--start", "15.06.2026 10:00")
    assert stays not in await correct(second, "--participants", "7")
    assert "It is part of no event." in await correct(second, "--event", "none")
    assert await find_event(second) is None
    for wrong, message in (("x", "new and none are possible"), ("00000000", "no activity has an event that starts")):
        result = await coordinator.run("activity", "correct", second, "--event", wrong)
        result.assert_one_line_error(message)
        assert result.exit_code == 2


async def test_administrator_manages_webhooks_and_api_keys(admin: UserCli) -> None:
    url = "https://hooks.example/stafett"
    webhook: Json = (await admin.run("webhook", "add", url, *admin.org, "--json")).json
    assert webhook["secret"].startswith("whsec_")
    title = f"Webhook {webhook['id']} ({admin.org[1]}, {url})"
    assert webhook["id"] in await admin.print("webhook", "list", *admin.org)
    assert f"{title} is active." in await admin.print("webhook", "enable", webhook["id"], *admin.org)
    assert f"{title} has a new secret: whsec_" in await admin.print(
        "webhook", "rotate-secret", webhook["id"], *admin.org
    )
    assert f"{title} is sent a test message" in await admin.print("webhook", "test", webhook["id"], *admin.org)
    assert "delivery" in await admin.print("webhook", "show", webhook["id"], *admin.org)
    assert f"{title} is removed." in await admin.print("webhook", "remove", webhook["id"], *admin.org, "--yes")
    key: Json = (
        await admin.run("api-key", "add", "Nightly export", *admin.org, "--role", "coordinator", "--json")
    ).json
    assert key["id"] in await admin.print("api-key", "list", *admin.org)
    revoked = await admin.print("api-key", "revoke", key["id"], *admin.org, "--yes")
    assert revoked == f"API key {key['id']} ({admin.org[1]}, Nightly export) is revoked.\n"
    assert key["id"] not in await admin.print("api-key", "list", *admin.org)


async def test_notification_of_a_finished_export_is_listed_and_read(coordinator: UserCli) -> None:
    export: Json = (await coordinator.run("export", "start", *coordinator.org, *_YEAR, "--watch", "--json")).json
    unread: Json = (await coordinator.run("notification", "list", "--unread", "--json")).json
    (notification,) = unread["items"]
    read = await coordinator.print("notification", "read", notification["id"])
    assert read == f"Notification {notification['id']} (export {export['id']}) is marked as read.\n"
    assert notification["id"] in await coordinator.print("notification", "list", "--read")


async def test_confirmations_have_names_beside_ids(admin: UserCli) -> None:
    added: Json = (await admin.run("mentor", "add", "Kari Nordmann", *admin.org, "--json")).json
    renamed = await admin.print("mentor", "rename", added["id"], "Kari Hansen", *admin.org)
    assert renamed == f"Peer mentor {added['id']} ({admin.org[1]}, Kari Hansen) is renamed.\n"
    address = "ola@member.example"
    invited = await admin.print("member", "add", address, *admin.org, "--role", "auditor", "--name", "Ola Nordmann")
    assert f"({admin.org[1]}, Ola Nordmann, {address}) is invited, with the role auditor." in invited


async def test_doctor_makes_a_real_call_of_the_api(dev_stack: DevStack) -> None:
    findings: list[Json] = (await dev_stack.run("doctor", "--json")).json
    (call,) = [finding for finding in findings if finding["subject"] == "api call"]
    assert (call["ok"], call["message"]) == (True, "The API lists exports for an operator.")
