"""``stafett erase-person``: for people, for programs, and for those who mistype."""

import re
from uuid import UUID, uuid4

import psycopg
import pytest

from stafett.settings import Settings, require_setting
from stafett.testing import ActivityFactory, ExportClient, Tenant
from tests.acceptance.dev_stack import Finished, run
from tests.integration.test_steering import events_of

NOWHERE = "http://127.0.0.1:9"


class Desk:
    """An operator's terminal: the owner's address of the database, and the storage's."""

    def __init__(self, settings: Settings, org_id: str) -> None:
        self.org_id = org_id
        self.env = {
            "STAFETT_DATABASE__OWNER_URL": require_setting(settings.database.owner_url, "owner"),
            "STAFETT_S3__ENDPOINT": str(settings.s3.endpoint),
            "STAFETT_S3__ACCESS_KEY": settings.s3.access_key,
            "STAFETT_S3__SECRET_KEY": settings.s3.secret_key.get_secret_value(),
            "STAFETT_S3__BUCKET": settings.s3.bucket,
        }

    async def erase(self, *words: object, **instead: str) -> Finished:
        return await run("erase-person", "--org", self.org_id, *words, env=self.env | instead)


@pytest.fixture
def desk(settings: Settings, org_id: str) -> Desk:
    return Desk(settings, org_id)


@pytest.fixture
def name() -> str:
    return f"Ågot Ærlig{uuid4().hex[:10]}"


@pytest.fixture
def mentor(diary: ActivityFactory, name: str) -> UUID:
    mentor = diary.create_mentor(name)
    diary.create_activity(mentor, note="Fortrolig")
    return mentor


def display_name(owner_url: str, mentor: UUID) -> str:
    with psycopg.connect(owner_url) as connection:
        row = connection.execute("SELECT display_name FROM peer_mentors WHERE id = %s", [mentor]).fetchone()
    assert row is not None
    return str(row[0])


async def test_programs_are_told_what_was_touched_in_ids_and_counts(
    desk: Desk, mentor: UUID, name: str, diary: ActivityFactory, owner_url: str
) -> None:
    mentioning = diary.create_activity(diary.create_mentor("Per Hansen"), note=f"Takk til {name}")
    erased = await desk.erase("--mentor", mentor, "--yes", "--json")
    assert erased.code == 0, erased.err
    report = erased.json
    assert report["person"] == {"kind": "mentor", "id": str(mentor), "org_id": desk.org_id}
    assert (report["dry_run"], report["already_erased"]) == (False, False)
    assert report["finished_at"].endswith("Z")
    assert report["summary"] == {
        "notes_cleared": 1,
        "attachments_removed": 0,
        "exports_emptied": [],
        "memberships_removed": 0,
        "emails_given_up": 0,
        "activities_to_review": [str(mentioning)],
        "exports_to_review": [],
        "batches_to_review": [],
    }
    assert (report["running_export_ids"], report["account_retained_for"]) == ([], [])
    assert name not in erased.out + erased.err
    assert display_name(owner_url, mentor) != name


async def test_people_are_told_the_same_and_that_there_is_nothing_more_to_do(
    desk: Desk, mentor: UUID, name: str, diary: ActivityFactory
) -> None:
    mentioning = diary.create_activity(diary.create_mentor("Per Hansen"), note=f"Takk til {name}")
    first, second = await desk.erase("--mentor", mentor, "--yes"), await desk.erase("--mentor", mentor, "--yes")
    assert (first.code, second.code) == (0, 0)
    assert first.out.startswith(f"Mentor {mentor} of {desk.org_id} is erased.\n")
    assert re.search(r"notes cleared +1 *\n", first.out)
    assert f"to be looked at: activity {mentioning}" in first.out
    assert re.match(rf"Mentor {mentor} of {desk.org_id} was erased already, \d{{4}}-.*Z; ", second.out)
    assert first.out.splitlines()[1:] == second.out.splitlines()[1:]


async def test_a_dry_run_changes_nothing(desk: Desk, mentor: UUID, name: str, owner_url: str) -> None:
    looked = await desk.erase("--mentor", mentor, "--dry-run", "--json")
    assert (looked.code, looked.json["dry_run"], looked.json["summary"]["notes_cleared"]) == (0, True, 1)
    assert "nothing is changed" in (await desk.erase("--mentor", mentor, "--dry-run")).done().out
    assert display_name(owner_url, mentor) == name
    assert events_of(owner_url, str(mentor)) == []


async def test_without_a_yes_it_asks_and_no_answer_is_a_no(desk: Desk, mentor: UUID, name: str, owner_url: str) -> None:
    refused = await desk.erase("--mentor", mentor)
    assert (refused.code, refused.out.strip()) == (1, "")
    assert "notes cleared" in refused.err
    assert "Traceback" not in refused.err
    assert refused.err.endswith("stafett: Not confirmed; nothing was changed.\n")
    assert display_name(owner_url, mentor) == name


async def test_an_export_that_runs_is_named(desk: Desk, mentor: UUID, button: ExportClient, owner_url: str) -> None:
    export_id = await button.start_export()
    with psycopg.connect(owner_url) as connection:
        connection.execute("UPDATE exports SET status = 'querying_activities' WHERE id = %s", [export_id])
    refused = await desk.erase("--mentor", mentor, "--yes")
    assert (refused.code, refused.out) == (1, "")
    assert f"Export {export_id} has not ended" in refused.err
    looked = await desk.erase("--mentor", mentor, "--dry-run")
    assert f"to be waited for: export {export_id}" in looked.done().out


async def test_a_user_is_erased_as_well(desk: Desk, tenant: Tenant) -> None:
    report = (await desk.erase("--user", tenant.coordinator, "--yes", "--json")).json
    assert report["person"]["kind"] == "user"
    assert report["summary"]["memberships_removed"] == 1


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "either --mentor or --user"),
        (("--mentor", UUID(int=1), "--user", UUID(int=2)), "either --mentor or --user"),
        (("--mentor", "Ågot"), "Input should be a valid UUID"),
        (("--mentor", UUID(int=1), "--org", "Ikke En Org"), "an organisation's id is expected"),
    ],
    ids=["nobody", "two", "name", "organisation"],
)
async def test_who_asks_wrongly_is_told_how(desk: Desk, words: tuple[object, ...], said: str) -> None:
    refused = await desk.erase(*words, "--yes")
    assert refused.code == 2
    assert said in re.sub(r"[\s│]+", " ", refused.err)


@pytest.mark.parametrize("kind", ["--mentor", "--user"])
async def test_somebody_unknown_cannot_be_erased(desk: Desk, kind: str) -> None:
    unknown = await desk.erase(kind, uuid4(), "--yes")
    assert unknown.code == 1
    assert f"stafett: {desk.org_id} has no " in unknown.err
    nowhere = await desk.erase(kind, uuid4(), "--yes", "--org", "finnes-ikke")
    assert (nowhere.code, nowhere.err) == (1, "stafett: There is no organisation finnes-ikke.\n")


async def test_what_is_away_is_named_and_what_was_begun_is_gone_on_with(
    desk: Desk, mentor: UUID, diary: ActivityFactory, owner_url: str, button: ExportClient
) -> None:
    assert (await desk.erase("--mentor", mentor, "--yes", STAFETT_DATABASE__OWNER_URL="")).err == (
        "stafett: STAFETT_DATABASE__OWNER_URL is not set.\n"
    )
    diary.create_activity(diary.create_mentor())
    export_id = await button.start_export()
    with psycopg.connect(owner_url) as connection:
        connection.execute(
            "UPDATE exports SET status = 'failed', completed_at = now(), error = '{}' WHERE id = %s", [export_id]
        )
    away = await desk.erase("--mentor", mentor, "--yes", STAFETT_S3__ENDPOINT=NOWHERE)
    assert (away.code, away.err) == (1, "stafett: S3 cannot be reached just now.\n")
    assert events_of(owner_url, str(mentor)) == ["person_erasure_begun"]
    (await desk.erase("--mentor", mentor, "--yes")).done()
    assert events_of(owner_url, str(mentor)) == ["person_erasure_begun", "person_erased"]
