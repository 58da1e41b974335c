"""`stafett erase-person`: its text output, its JSON output and its errors."""

import re
from contextlib import closing
from uuid import UUID, uuid4

import psycopg
import pytest

from stafett.database.migrate import ERASURE_ROLE
from stafett.database.session import Database
from stafett.domain.erasure import Person, PersonKind
from stafett.domain.errors import HandedInError
from stafett.erasure.export_scan import ExportScanner
from stafett.erasure.journal import ErasureJournal
from stafett.erasure.mentors import MentorErasure
from stafett.settings import Settings, require_setting
from stafett.storage.files import FileStorage
from stafett.testing import ActivityFactory, ExportClient, Json, Tenant
from tests.support.dev_stack import CommandResult, run_at_a_terminal, run_stafett
from tests.support.erasure import ignore_progress
from tests.support.exports import fetch_events
from tests.support.fixture_types import RunWorker

UNREACHABLE_URL = "http://127.0.0.1:9"


class EraseCommand:
    """Runs `stafett erase-person` for one organisation, with the settings that an operator needs."""

    def __init__(self, settings: Settings, org_id: str) -> None:
        self.org_id = org_id
        self.env = {
            "STAFETT_DATABASE__OWNER_URL": require_setting(settings.database.owner_url, "owner"),
            "STAFETT_S3__ENDPOINT": str(settings.s3.endpoint),
            "STAFETT_S3__ACCESS_KEY": settings.s3.access_key,
            "STAFETT_S3__SECRET_KEY": settings.s3.secret_key.get_secret_value(),
            "STAFETT_S3__BUCKET": settings.s3.bucket,
        }

    async def run(self, *arguments: object, **overrides: str) -> CommandResult:
        return await run_stafett("erase-person", "--org", self.org_id, *arguments, env=self.env | overrides)

    async def run_at_a_terminal(self, *arguments: object, typed: str) -> tuple[int, str]:
        return await run_at_a_terminal("erase-person", "--org", self.org_id, *arguments, env=self.env, typed=typed)


@pytest.fixture
def erase_command(settings: Settings, org_id: str) -> EraseCommand:
    return EraseCommand(settings, org_id)


@pytest.fixture
def name() -> str:
    return f"Ågot Ærlig{uuid4().hex[:10]}"


@pytest.fixture
def mentor(activity_factory: ActivityFactory, name: str) -> UUID:
    mentor = activity_factory.create_mentor(name)
    activity_factory.create_activity(mentor, note="Fortrolig")
    return mentor


def load_display_name(owner_url: str, mentor: UUID) -> str:
    with psycopg.connect(owner_url) as connection:
        row = connection.execute("SELECT display_name FROM peer_mentors WHERE id = %s", [mentor]).fetchone()
    assert row is not None
    return str(row[0])


async def test_json_output_lists_ids_and_counts_without_personal_data(
    erase_command: EraseCommand, mentor: UUID, name: str, activity_factory: ActivityFactory, owner_url: str
) -> None:
    mentioning = activity_factory.create_activity(activity_factory.create_mentor("Per Hansen"), note=f"Takk til {name}")
    erased = await erase_command.run("--mentor", mentor, "--yes", "--json")
    assert erased.exit_code == 0, erased.stderr
    report = erased.json
    assert report["person"] == {"kind": "mentor", "id": str(mentor), "org_id": erase_command.org_id}
    assert (report["dry_run"], report["already_erased"]) == (False, False)
    assert report["finished_at"].endswith("Z")
    assert report["summary"] == {
        "notes_cleared": 1,
        "texts_cleared": 0,
        "idempotency_keys_removed": 0,
        "attachments_removed": 0,
        "exports_emptied": [],
        "memberships_removed": 0,
        "emails_given_up": 0,
        "activities_to_review": [str(mentioning)],
        "exports_to_review": [],
        "batches_to_review": [],
        "reexports_to_review": [],
        "reports_to_review": [],
        "webhooks_to_review": [],
        "mappings_to_review": [],
        "mentors_to_review": [],
    }
    places = [copy["place"].partition(":")[0] for copy in report["remaining_copies"]]
    assert places[:3] == ["volumes of the S3 server", "a bucket with versioning", "pages of PostgreSQL"]
    assert "volume.vacuum" in report["remaining_copies"][0]["removed_by"]
    assert (report["running_export_ids"], report["account_retained_for"]) == ([], [])
    assert name not in erased.stdout + erased.stderr
    assert load_display_name(owner_url, mentor) != name


async def test_text_output_has_the_summary_and_reports_an_earlier_erasure(
    erase_command: EraseCommand, mentor: UUID, name: str, activity_factory: ActivityFactory
) -> None:
    mentioning = activity_factory.create_activity(activity_factory.create_mentor("Per Hansen"), note=f"Takk til {name}")
    first = await erase_command.run("--mentor", mentor, "--yes")
    second = await erase_command.run("--mentor", mentor, "--yes")
    assert (first.exit_code, second.exit_code) == (0, 0)
    assert first.stdout.startswith(f"Mentor {mentor} of {erase_command.org_id} is erased.\n")
    assert re.search(r"notes cleared +1 *\n", first.stdout)
    assert f"to review: activity {mentioning}" in first.stdout
    assert re.match(rf"Mentor {mentor} of {erase_command.org_id} was already erased at \d{{4}}-.*Z; ", second.stdout)
    assert first.stdout.splitlines()[1:] == second.stdout.splitlines()[1:]


async def test_dry_run_changes_nothing(erase_command: EraseCommand, mentor: UUID, name: str, owner_url: str) -> None:
    dry_run = await erase_command.run("--mentor", mentor, "--dry-run", "--json")
    assert (dry_run.exit_code, dry_run.json["dry_run"], dry_run.json["summary"]["notes_cleared"]) == (0, True, 1)
    assert "nothing is changed" in (await erase_command.run("--mentor", mentor, "--dry-run")).require_success().stdout
    assert load_display_name(owner_url, mentor) == name
    assert fetch_events(owner_url, str(mentor)) == []


async def test_without_confirmation_nothing_is_erased(
    erase_command: EraseCommand, mentor: UUID, name: str, owner_url: str
) -> None:
    rejected = await erase_command.run("--mentor", mentor)
    assert (rejected.exit_code, rejected.stdout.strip()) == (1, "")
    assert "notes cleared" in rejected.stderr
    assert "Traceback" not in rejected.stderr
    assert rejected.stderr.endswith("stafett: Not confirmed; nothing was changed.\n")
    assert load_display_name(owner_url, mentor) == name


async def hand_in_report(export_client: ExportClient, run_worker: RunWorker) -> tuple[str, str]:
    """Export a report with the mentor's rows, mark it as handed in, and return the ids of the export and the report."""
    async with run_worker():
        job = await export_client.wait_for_completion(await export_client.start_export())
    headers = export_client.headers | {"If-Match": "*"}
    path = f"/api/v1/reports/{job['report_id']}"
    (await export_client.http_client.put(path, json={"version": 1}, headers=headers)).raise_for_status()
    return job["id"], job["report_id"]


async def test_erasure_of_rows_that_were_handed_in_needs_its_own_confirmation(
    erase_command: EraseCommand,
    mentor: UUID,
    name: str,
    export_client: ExportClient,
    run_worker: RunWorker,
    owner_url: str,
) -> None:
    export_id, report_id = await hand_in_report(export_client, run_worker)
    emptied = [{"id": export_id, "report_id": report_id, "handed_in_version": 1}]
    dry_run = await erase_command.run("--mentor", mentor, "--dry-run", "--json")
    assert dry_run.json["summary"]["exports_emptied"] == emptied
    line = f"export {export_id}, report {report_id}, version 1, handed in to Bufdir"
    assert line in (await erase_command.run("--mentor", mentor, "--dry-run")).require_success().stdout

    rejected = await erase_command.run("--mentor", mentor, "--yes")
    assert rejected.exit_code == 1
    assert f"Version 1 of report {report_id} was handed in to Bufdir" in rejected.stderr
    assert "--confirm-handed-in" in rejected.stderr
    assert load_display_name(owner_url, mentor) == name
    assert fetch_events(owner_url, str(mentor)) == []
    assert (await export_client.get_export(export_id))["download_url"] is not None

    exit_code, screen = await erase_command.run_at_a_terminal("--mentor", mentor, typed="y\nn\n")
    assert exit_code == 1
    assert f"Erase Mentor {mentor} ({name}) of {erase_command.org_id} permanently? " in screen
    assert "Remove files that were handed in to Bufdir? " in screen
    assert "Not confirmed; nothing was changed." in screen
    assert load_display_name(owner_url, mentor) == name

    exit_code, screen = await erase_command.run_at_a_terminal("--mentor", mentor, typed="y\ny\n")
    assert exit_code == 0, screen
    erased = await erase_command.run("--mentor", mentor, "--yes", "--confirm-handed-in", "--json")
    assert erased.json["summary"]["exports_emptied"] == emptied
    assert (await export_client.get_export(export_id))["download_url"] is None
    report = (await export_client.http_client.get(f"/api/v1/reports/{report_id}", headers=export_client.headers)).json()
    assert report["files"][0]["file"] is None
    assert report["files"][0]["produced_file"]["sha256"]
    assert report["submitted_version"] == 1
    events = fetch_details(owner_url, export_id)
    assert events["files_removed"] == {
        "attempt": 1,
        "reason": "person_erased",
        "report_id": report_id,
        "handed_in_version": 1,
    }


async def test_erasure_that_meets_a_new_mark_stops_and_continues_with_a_confirmation(
    erase_command: EraseCommand,
    mentor: UUID,
    settings: Settings,
    export_client: ExportClient,
    run_worker: RunWorker,
    owner_url: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The version is marked after the check at the beginning, which finds nothing."""
    export_id, report_id = await hand_in_report(export_client, run_worker)
    monkeypatch.setattr(ExportScanner, "find_handed_in", lambda *_: None)
    person = Person(kind=PersonKind.MENTOR, id=mentor, org_id=erase_command.org_id)
    with closing(
        Database(erase_command.env["STAFETT_DATABASE__OWNER_URL"], pool_size=1, role=ERASURE_ROLE)
    ) as database:
        erasure = MentorErasure(database, FileStorage(settings.s3), ErasureJournal(database))
        with pytest.raises(HandedInError, match=report_id):
            erasure.erase(person, ignore_progress, None)
    assert (await export_client.get_export(export_id))["download_url"] is not None
    (await erase_command.run("--mentor", mentor, "--yes", "--confirm-handed-in")).require_success()
    assert fetch_events(owner_url, str(mentor)) == ["person_erasure_begun", "person_erased"]
    assert (await export_client.get_export(export_id))["download_url"] is None


def fetch_details(owner_url: str, export_id: str) -> dict[str, Json]:
    with psycopg.connect(owner_url) as connection:
        query = "SELECT event, detail FROM audit_events WHERE subject_id = %s"
        return dict(connection.execute(query, [export_id]).fetchall())


async def test_erasure_is_rejected_and_names_a_running_export(
    erase_command: EraseCommand, mentor: UUID, export_client: ExportClient, owner_url: str
) -> None:
    export_id = await export_client.start_export()
    with psycopg.connect(owner_url) as connection:
        connection.execute("UPDATE exports SET status = 'querying_activities' WHERE id = %s", [export_id])
    rejected = await erase_command.run("--mentor", mentor, "--yes")
    assert (rejected.exit_code, rejected.stdout) == (1, "")
    assert f"Export {export_id} has not ended" in rejected.stderr
    dry_run = await erase_command.run("--mentor", mentor, "--dry-run")
    assert f"still running: export {export_id}" in dry_run.require_success().stdout


async def test_user_is_erased(erase_command: EraseCommand, tenant: Tenant) -> None:
    report = (await erase_command.run("--user", tenant.coordinator, "--yes", "--json")).json
    assert report["person"]["kind"] == "user"
    assert report["summary"]["memberships_removed"] == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "either --mentor or --user"),
        (("--mentor", UUID(int=1), "--user", UUID(int=2)), "either --mentor or --user"),
        (("--mentor", "Ågot"), "must be a valid UUID"),
        (("--mentor", UUID(int=1), "--org", "Ikke En Org"), "an organisation's id is expected"),
    ],
    ids=["no person", "two persons", "name instead of id", "invalid organisation"],
)
async def test_invalid_arguments_are_rejected_with_an_explanation(
    erase_command: EraseCommand, arguments: tuple[object, ...], message: str
) -> None:
    rejected = await erase_command.run(*arguments, "--yes")
    assert rejected.exit_code == 2
    assert message in re.sub(r"[\s│]+", " ", rejected.stderr)


@pytest.mark.parametrize("kind", ["--mentor", "--user"])
async def test_unknown_person_or_organisation_is_rejected(erase_command: EraseCommand, kind: str) -> None:
    unknown = await erase_command.run(kind, uuid4(), "--yes")
    assert unknown.exit_code == 1
    assert f"stafett: {erase_command.org_id} has no " in unknown.stderr
    unknown_organisation = await erase_command.run(kind, uuid4(), "--yes", "--org", "finnes-ikke")
    assert (unknown_organisation.exit_code, unknown_organisation.stderr) == (
        1,
        "stafett: There is no organisation finnes-ikke.\n",
    )


async def test_unavailable_service_is_named_and_the_erasure_completed_later(
    erase_command: EraseCommand,
    mentor: UUID,
    activity_factory: ActivityFactory,
    owner_url: str,
    export_client: ExportClient,
) -> None:
    assert (await erase_command.run("--mentor", mentor, "--yes", STAFETT_DATABASE__OWNER_URL="")).stderr == (
        "stafett: STAFETT_DATABASE__OWNER_URL is not set.\n"
    )
    activity_factory.create_activity(activity_factory.create_mentor())
    export_id = await export_client.start_export()
    with psycopg.connect(owner_url) as connection:
        connection.execute(
            "UPDATE exports SET status = 'failed', completed_at = now(), error = '{}' WHERE id = %s", [export_id]
        )
    without_s3 = await erase_command.run("--mentor", mentor, "--yes", STAFETT_S3__ENDPOINT=UNREACHABLE_URL)
    assert (without_s3.exit_code, without_s3.stderr) == (1, "stafett: S3 is unavailable.\n")
    assert fetch_events(owner_url, str(mentor)) == ["person_erasure_begun"]
    (await erase_command.run("--mentor", mentor, "--yes")).require_success()
    assert fetch_events(owner_url, str(mentor)) == ["person_erasure_begun", "person_erased"]
