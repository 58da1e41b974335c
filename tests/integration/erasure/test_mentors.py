"""Erasure of a peer mentor: all tables, objects and histories are searched for the name and the note afterwards."""

import asyncio
import io
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import NamedTuple
from uuid import UUID, uuid4
from zipfile import BadZipFile, ZipFile

import httpx
import psycopg
import pytest
from temporalio.client import Client

from stafett.activity_frames import frame_from_arrow
from stafett.database.migrate import ERASURE_ROLE
from stafett.database.session import Database
from stafett.domain.erasure import ERASED_NAME, EmptiedExport, ErasureReport, Person, PersonKind
from stafett.domain.errors import InvalidStateError, NotFoundError
from stafett.domain.membership import Role
from stafett.erasure.service import ErasureService, vacuum_erased_tables
from stafett.settings import Settings
from stafett.storage.files import FileStorage, ListedObject
from stafett.testing import ActivityFactory, ExportClient, Json, Tenant
from tests.support.audit import verify_audit_chain
from tests.support.bulk import BulkHarness, build_item
from tests.support.erasure import find_rows_containing, ignore_progress
from tests.support.exports import drop_trigger, export_prefix, fail_export_at_event, fetch_events, retry_export
from tests.support.fixture_types import Bearer, RunWorker

EXPORTS = "/api/v1/bufdir-exports"
SPRING = {"start": "2026-01-01", "end": "2026-06-30"}
AUTUMN = {"start": "2026-07-01", "end": "2026-12-31"}
IN_SPRING, IN_AUTUMN = datetime(2026, 3, 2, 10, tzinfo=UTC), datetime(2026, 9, 7, 10, tzinfo=UTC)


@dataclass
class MentorScenario:
    """Two mentors, one of whom is to be erased; her name and her note occur nowhere else in the database."""

    org_id: str
    mentor: UUID
    other_mentor: UUID
    name: str
    note: str
    activities: list[UUID]
    mentioning_activity: UUID

    @property
    def person(self) -> Person:
        return Person(kind=PersonKind.MENTOR, id=self.mentor, org_id=self.org_id)

    @property
    def personal_texts(self) -> tuple[str, ...]:
        return self.name.casefold(), self.note.casefold()


@pytest.fixture
def scenario(activity_factory: ActivityFactory, storage: FileStorage) -> MentorScenario:
    """Both mentors have activities in spring; in autumn only the other one, with a note that mentions the name."""
    suffix = uuid4().hex[:10]
    name, note = f"Ågot Ærlig{suffix}", f"Hun har fortalt om {suffix}-sykdommen sin"
    mentor, other_mentor = activity_factory.create_mentor(name), activity_factory.create_mentor("Per Hansen")
    activities = [
        activity_factory.create_activity(mentor, note=note, starts_at=IN_SPRING),
        activity_factory.create_activity(mentor),
    ]
    activity_factory.create_activity(other_mentor, note="Kaffe og vafler")
    activity_factory.create_attachment(storage, activities[0], f"%PDF {note}".encode(), f"Referat {name}.pdf")
    mentioning_activity = activity_factory.create_activity(
        other_mentor, note=f"Sammen med  {name.upper()}, takk!", starts_at=IN_AUTUMN
    )
    return MentorScenario(activity_factory.org_id, mentor, other_mentor, name, note, activities, mentioning_activity)


@pytest.fixture
def database(owner_url: str) -> Iterator[Database]:
    with closing(Database(owner_url, pool_size=1, role=ERASURE_ROLE)) as database:
        yield database


@pytest.fixture
def erasure_service(database: Database, storage: FileStorage) -> ErasureService:
    return ErasureService(database, storage)


def find_objects_containing(storage: FileStorage, org_id: str, texts: tuple[str, ...]) -> set[str]:
    """Return the organisation's objects that contain one of the texts, also inside ZIP and Arrow files."""
    keys = [key for top in ("exports", "attachments") for key in storage.list_keys(f"{top}/{org_id}/")]
    return {key for key in keys if any(text in extract_text(key, storage.read(key)) for text in texts)}


def extract_text(key: str, content: bytes) -> str:
    if key.endswith(".arrow"):
        return str(frame_from_arrow(content).rows()).casefold()
    try:
        with ZipFile(io.BytesIO(content)) as archive:
            members = [extract_text(name, archive.read(name)) for name in archive.namelist()]
            return "\n".join([*map(str.casefold, archive.namelist()), *members])
    except BadZipFile:
        return content.decode("utf-8-sig", "replace").casefold()


async def fetch_histories(temporal: Client, export_ids: list[str]) -> str:
    histories = [
        (await temporal.get_workflow_handle(f"bufdir-export/{export_id}").fetch_history()).to_json()
        for export_id in export_ids
    ]
    return "\n".join(histories).casefold()


class ScenarioExports(NamedTuple):
    """Exports with the mentor's rows, of two formats and three outcomes, and one of autumn, without them."""

    csv: Json
    bundle: Json
    failed: str
    deleted: str
    autumn: Json


async def create_exports(export_client: ExportClient, owner_url: str, admin: dict[str, str]) -> ScenarioExports:
    failed = await fail_export_at_event(export_client, owner_url, "export_completed")
    drop_trigger(owner_url)
    csv = await export_client.wait_for_completion(await export_client.start_export(reporting_period=SPRING))
    bundle = await export_client.wait_for_completion(
        await export_client.start_export(export_format="xlsx", include_attachments=True)
    )
    autumn = await export_client.wait_for_completion(await export_client.start_export(reporting_period=AUTUMN))
    deleted = (await export_client.wait_for_completion(await export_client.start_export()))["id"]
    (await export_client.http_client.delete(f"{EXPORTS}/{deleted}", headers=admin)).raise_for_status()
    return ScenarioExports(csv, bundle, failed, deleted, autumn)


@pytest.fixture
def admin(bearer: Bearer, tenant: Tenant) -> dict[str, str]:
    return bearer(tenant.users[Role.ADMIN], role="admin")


async def test_erased_mentor_remains_only_in_activities_and_exports_to_review(
    scenario: MentorScenario,
    export_client: ExportClient,
    run_worker: RunWorker,
    admin: dict[str, str],
    owner_url: str,
    storage: FileStorage,
    erasure_service: ErasureService,
    temporal: Client,
    settings: Settings,
) -> None:
    async with run_worker():
        exports = await create_exports(export_client, owner_url, admin)
        with psycopg.connect(owner_url, autocommit=True) as connection:
            connection.execute("ANALYZE peer_mentors, activities, attachments")
        assert {"peer_mentors", "activities", "attachments"} <= {
            table for table, _ in find_rows_containing(owner_url, scenario.personal_texts)
        }
        assert len(find_objects_containing(storage, scenario.org_id, scenario.personal_texts)) > 4
        report = await asyncio.to_thread(erasure_service.erase, scenario.person, ignore_progress)
        assert vacuum_erased_tables(owner_url)

        summary = report.summary
        assert (summary.notes_cleared, summary.attachments_removed) == (1, 1)
        assert set(summary.exports_emptied) == {
            *(EmptiedExport(id=job["id"], report_id=job["report_id"]) for job in (exports.csv, exports.bundle)),
            EmptiedExport(id=UUID(exports.failed)),
        }
        assert summary.activities_to_review == (scenario.mentioning_activity,)
        assert summary.exports_to_review == (UUID(exports.autumn["id"]),)

        remaining = find_rows_containing(owner_url, scenario.personal_texts)
        activity_rows = [row for table, row in remaining if table == "activities"]
        assert {row.count(str(scenario.mentioning_activity)) for row in activity_rows} == {1}
        assert {table for table, _ in remaining} <= {"activities", "pg_statistic"}
        assert all(scenario.name.upper() in row for _, row in remaining)  # only as the other mentor wrote it
        objects = find_objects_containing(storage, scenario.org_id, scenario.personal_texts)
        autumn_prefix = export_prefix(scenario.org_id, exports.autumn["id"])
        assert {key for key in objects if not key.startswith(autumn_prefix)} == set()
        ids = [exports.csv["id"], exports.bundle["id"], exports.failed, exports.deleted, exports.autumn["id"]]
        histories = await fetch_histories(temporal, ids)
        assert not any(text in histories for text in scenario.personal_texts)
        assert verify_audit_chain(settings, scenario.org_id).broken is None


async def test_erasure_removes_files_with_the_mentor_and_no_others(
    scenario: MentorScenario,
    export_client: ExportClient,
    run_worker: RunWorker,
    admin: dict[str, str],
    owner_url: str,
    storage: FileStorage,
    erasure_service: ErasureService,
) -> None:
    async with run_worker():
        exports = await create_exports(export_client, owner_url, admin)
        autumn_keys = storage.list_keys(export_prefix(scenario.org_id, exports.autumn["id"]))
        await asyncio.to_thread(erasure_service.erase, scenario.person, ignore_progress)
        for job in (exports.csv, exports.bundle):
            removed_file = await export_client.http_client.get(
                f"{EXPORTS}/{job['id']}/file", headers=export_client.headers
            )
            assert (removed_file.status_code, removed_file.json()["code"]) == (410, "file_removed")
            history = await export_client.http_client.get(
                f"/api/v1/reports/{job['report_id']}", headers=export_client.headers
            )
            assert [version["file"] for version in history.raise_for_status().json()["files"]] == [None]
            assert fetch_events(owner_url, job["id"])[-1] == "files_removed"
            assert storage.list_keys(export_prefix(scenario.org_id, job["id"])) == []
        autumn = await export_client.get_export(exports.autumn["id"])
        assert storage.list_keys(export_prefix(scenario.org_id, autumn["id"])) == autumn_keys
        async with httpx.AsyncClient() as anonymous_client:
            assert "Per Hansen" in (await anonymous_client.get(autumn["download_url"])).text

        new_export = await export_client.wait_for_completion(await export_client.start_export(reporting_period=SPRING))
        assert (new_export["status"], new_export["counts"]) == ("completed", exports.csv["counts"])
        async with httpx.AsyncClient() as anonymous_client:
            text = (await anonymous_client.get(new_export["download_url"])).text
        assert ERASED_NAME in text
        assert scenario.name not in text

        assert (await retry_export(export_client, exports.failed)).status_code == 202
        retried = await export_client.wait_for_completion(exports.failed)
        assert (await asyncio.to_thread(erasure_service.erase, scenario.person, ignore_progress)).already_erased
        assert (await export_client.get_export(new_export["id"]))["download_url"] is not None
        assert (retried["status"], retried["attempts"][1]["stages_reused"]) == ("completed", [])
        texts = {
            extract_text(key, storage.read(key))
            for key in storage.list_keys(export_prefix(scenario.org_id, exports.failed))
        }
        assert not any(scenario.note.casefold() in text for text in texts)


async def test_audit_events_of_an_erasure_have_ids_and_counts_only(
    scenario: MentorScenario,
    export_client: ExportClient,
    run_worker: RunWorker,
    erasure_service: ErasureService,
    owner_url: str,
) -> None:
    async with run_worker():
        await export_client.wait_for_completion(await export_client.start_export(reporting_period=SPRING))
    report = erasure_service.erase(scenario.person, ignore_progress)
    with psycopg.connect(owner_url) as connection:
        events = connection.execute(
            "SELECT event, actor, subject_kind, subject_id, detail FROM audit_events WHERE org_id = %s ORDER BY seq",
            [scenario.org_id],
        ).fetchall()
    (started, removed, erased) = events[-3:]
    assert started == ("person_erasure_begun", "system:erasure", "person", scenario.mentor, {"kind": "mentor"})
    assert (removed[0], removed[1], removed[4]) == (
        *("files_removed", "system:erasure"),
        {"attempt": 1, "reason": "person_erased"},
    )
    assert erased[:4] == ("person_erased", "system:erasure", "person", scenario.mentor)
    assert erased[4] == {"kind": "mentor", **report.summary.counts}


async def test_activities_of_an_erased_mentor_stay_and_the_mentor_is_inactive(
    scenario: MentorScenario, erasure_service: ErasureService, owner_url: str
) -> None:
    erasure_service.erase(scenario.person, ignore_progress)
    with psycopg.connect(owner_url) as connection:
        mentors = connection.execute(
            "SELECT id, display_name, active FROM peer_mentors WHERE org_id = %s", [scenario.org_id]
        ).fetchall()
        activities = connection.execute(
            "SELECT id, participants, place, note FROM activities WHERE mentor_id = %s", [scenario.mentor]
        ).fetchall()
    assert set(mentors) == {(scenario.mentor, ERASED_NAME, False), (scenario.other_mentor, "Per Hansen", True)}
    assert set(activities) == {(activity, 5, "Tromsø", None) for activity in scenario.activities}


async def test_repeated_and_concurrent_erasures_have_one_effect(
    scenario: MentorScenario, export_client: ExportClient, run_worker: RunWorker, owner_url: str, storage: FileStorage
) -> None:
    async with run_worker():
        job = await export_client.wait_for_completion(await export_client.start_export(reporting_period=SPRING))

    def erase(_number: int) -> ErasureReport:
        with closing(Database(owner_url, pool_size=1, role=ERASURE_ROLE)) as database:
            return ErasureService(database, storage).erase(scenario.person, ignore_progress)

    with ThreadPoolExecutor(4) as operators:
        reports = [*operators.map(erase, range(4)), erase(5)]
    assert {report.summary for report in reports} == {reports[0].summary}
    assert {report.finished_at for report in reports} == {reports[0].finished_at}
    assert [report.already_erased for report in reports].count(False) == 1
    assert fetch_events(owner_url, str(scenario.mentor)) == ["person_erasure_begun", "person_erased"]
    assert fetch_events(owner_url, job["id"]).count("files_removed") == 1


class KilledError(BaseException):
    """Not an `Exception`, so that the product code cannot catch it."""


class FaultPoints:
    """Kills the erasure at each point the first time that it gets there."""

    def __init__(self) -> None:
        self.reached = set[tuple[object, ...]]()

    def kill_once(self, *point: object) -> None:
        if point not in self.reached:
            self.reached.add(point)
            raise KilledError

    def report_progress(self, step: str, done: int, _total: int) -> None:
        self.kill_once(step, done)


class KillingStorage(FileStorage):
    """Storage that kills the erasure before each first listing and after each first deletion."""

    def __init__(self, settings: Settings, faults: FaultPoints) -> None:
        super().__init__(settings.s3)
        self._faults = faults

    def iterate_objects(self, prefix: str) -> Iterator[ListedObject]:
        self._faults.kill_once("before", prefix)
        return super().iterate_objects(prefix)

    def delete(self, keys: Iterable[str]) -> None:
        keys = list(keys)
        super().delete(keys)
        self._faults.kill_once("after", *keys)


async def test_erasure_killed_at_any_point_completes_when_run_again(
    scenario: MentorScenario,
    export_client: ExportClient,
    run_worker: RunWorker,
    admin: dict[str, str],
    owner_url: str,
    storage: FileStorage,
    settings: Settings,
) -> None:
    async with run_worker():
        exports = await create_exports(export_client, owner_url, admin)
    faults, report = FaultPoints(), None
    while report is None:
        with closing(Database(owner_url, pool_size=1, role=ERASURE_ROLE)) as database, suppress(KilledError):
            report = ErasureService(database, KillingStorage(settings, faults)).erase(
                scenario.person, faults.report_progress
            )
    assert len([point for point in faults.reached if point[0] == "after"]) >= 4
    assert (report.summary.notes_cleared, report.summary.attachments_removed) == (1, 1)
    assert {export.id for export in report.summary.exports_emptied} == {
        *(UUID(export_id) for export_id in (exports.csv["id"], exports.bundle["id"], exports.failed)),
    }
    assert report.summary.activities_to_review == (scenario.mentioning_activity,)
    assert report.summary.exports_to_review == (UUID(exports.autumn["id"]),)
    for emptied in report.summary.exports_emptied:
        assert fetch_events(owner_url, str(emptied.id)).count("files_removed") == 1
    removed_file = await export_client.http_client.get(
        f"{EXPORTS}/{exports.csv['id']}/file", headers=export_client.headers
    )
    assert removed_file.status_code == 410
    tables = {table for table, _ in find_rows_containing(owner_url, scenario.personal_texts)}
    assert tables - {"pg_statistic"} == {"activities"}
    assert fetch_events(owner_url, str(scenario.mentor)) == ["person_erasure_begun", "person_erased"]
    objects = find_objects_containing(storage, scenario.org_id, scenario.personal_texts)
    assert {key.split("/")[2] for key in objects} == {exports.autumn["id"]}
    assert verify_audit_chain(settings, scenario.org_id).broken is None


async def test_erasure_is_rejected_while_an_export_of_the_period_is_running(
    scenario: MentorScenario, export_client: ExportClient, owner_url: str, erasure_service: ErasureService
) -> None:
    spring = await export_client.start_export(reporting_period=SPRING)
    await export_client.start_export(reporting_period=AUTUMN)
    with psycopg.connect(owner_url) as connection:
        connection.execute("UPDATE exports SET status = 'querying_activities' WHERE org_id = %s", [scenario.org_id])
    before = find_rows_containing(owner_url, scenario.personal_texts)
    with pytest.raises(InvalidStateError, match=f"Export {spring} has not ended"):
        erasure_service.erase(scenario.person, ignore_progress)
    assert find_rows_containing(owner_url, scenario.personal_texts) == before
    assert erasure_service.dry_run(scenario.person, ignore_progress).running_export_ids == (UUID(spring),)
    for status in ("cancelling", "cancelled"):
        with psycopg.connect(owner_url) as connection:
            connection.execute(
                "UPDATE exports SET status = %s, completed_at = CASE WHEN %s = 'cancelled' THEN now() END"
                " WHERE id = %s",
                [status, status, spring],
            )
        if status == "cancelling":
            with pytest.raises(InvalidStateError, match=spring):
                erasure_service.erase(scenario.person, ignore_progress)
    assert erasure_service.erase(scenario.person, ignore_progress).finished_at is not None


async def test_erasure_interrupted_by_a_new_export_is_completed_later(
    scenario: MentorScenario, export_client: ExportClient, owner_url: str, erasure_service: ErasureService
) -> None:
    export_id = await export_client.start_export(reporting_period=SPRING)

    def start_export_now(step: str, _done: int, _total: int) -> None:
        if step == "Removing attachments":
            with psycopg.connect(owner_url) as connection:
                connection.execute("UPDATE exports SET status = 'querying_activities' WHERE id = %s", [export_id])

    with pytest.raises(InvalidStateError, match=f"erased at its source, but export {export_id} has not ended"):
        erasure_service.erase(scenario.person, start_export_now)
    assert fetch_events(owner_url, str(scenario.mentor)) == ["person_erasure_begun"]
    with psycopg.connect(owner_url) as connection:
        connection.execute(
            "UPDATE exports SET status = 'failed', completed_at = now(), error = '{}' WHERE id = %s", [export_id]
        )
    report = erasure_service.erase(scenario.person, ignore_progress)
    assert report.summary.activities_to_review == (scenario.mentioning_activity,)
    assert fetch_events(owner_url, str(scenario.mentor)) == ["person_erasure_begun", "person_erased"]


@pytest.mark.parametrize(
    "damage", ["outputs deleted", "part deleted", "part damaged", "part truncated", "part emptied"]
)
async def test_export_with_unreadable_stage_outputs_loses_its_file(
    damage: str,
    scenario: MentorScenario,
    export_client: ExportClient,
    run_worker: RunWorker,
    erasure_service: ErasureService,
    storage: FileStorage,
    owner_url: str,
) -> None:
    async with run_worker():
        job = await export_client.wait_for_completion(await export_client.start_export(reporting_period=AUTUMN))
    (part,) = (
        key for key in storage.list_keys(export_prefix(scenario.org_id, job["id"])) if "querying_activities" in key
    )
    match damage:
        case "outputs deleted":
            with psycopg.connect(owner_url) as connection:
                connection.execute("DELETE FROM export_stage_outputs WHERE export_id = %s", [job["id"]])
        case "part deleted":
            storage.delete([part])
        case _:
            content = {"part damaged": b"no arrow at all", "part truncated": b"ARROW1", "part emptied": b""}
            storage.write(part, [content[damage]])
    report = erasure_service.erase(scenario.person, ignore_progress)
    assert [str(export.id) for export in report.summary.exports_emptied] == [job["id"]]
    assert storage.list_keys(export_prefix(scenario.org_id, job["id"])) == []


def test_dry_run_changes_nothing(scenario: MentorScenario, erasure_service: ErasureService, owner_url: str) -> None:
    before = find_rows_containing(owner_url, scenario.personal_texts)
    report = erasure_service.dry_run(scenario.person, ignore_progress)
    assert (report.dry_run, report.started_at, report.summary.notes_cleared, report.summary.attachments_removed) == (
        *(True, None, 1, 1),
    )
    assert report.summary.activities_to_review == (scenario.mentioning_activity,)
    assert find_rows_containing(owner_url, scenario.personal_texts) == before
    assert fetch_events(owner_url, str(scenario.mentor)) == []


def test_note_written_after_an_erasure_is_cleared_by_the_next_one(
    scenario: MentorScenario, activity_factory: ActivityFactory, erasure_service: ErasureService, owner_url: str
) -> None:
    erasure_service.erase(scenario.person, ignore_progress)
    activity_factory.create_activity(scenario.mentor, note="Skrevet etterpå")
    report = erasure_service.erase(scenario.person, ignore_progress)
    assert (report.already_erased, report.summary.notes_cleared) == (False, 2)
    assert report.summary.activities_to_review == (scenario.mentioning_activity,)
    assert fetch_events(owner_url, str(scenario.mentor)) == ["person_erasure_begun", "person_erased"] * 2


@pytest.mark.parametrize(
    "template",
    ["med {} i dag", "A\u030agot  Ærlig{suffix}", "ÅGOT\nÆRLIG{suffix}s gruppe"],
    ids=["unchanged", "nfd", "uppercase"],
)
def test_name_is_found_in_any_case_spacing_and_unicode_form(
    template: str, scenario: MentorScenario, activity_factory: ActivityFactory, erasure_service: ErasureService
) -> None:
    text = template.format(scenario.name, suffix=scenario.name.removeprefix("Ågot Ærlig"))
    in_note = activity_factory.create_activity(scenario.other_mentor, note=text)
    in_place = activity_factory.create_activity(scenario.other_mentor, place=text)
    to_review = erasure_service.dry_run(scenario.person, ignore_progress).summary.activities_to_review
    assert set(to_review) == {scenario.mentioning_activity, in_note, in_place}


def test_mentor_of_another_organisation_is_not_found(
    scenario: MentorScenario, erasure_service: ErasureService, tenant: Tenant
) -> None:
    unknown_mentor = Person(kind=PersonKind.MENTOR, id=uuid4(), org_id=tenant.org_id)
    other_organisation = Person(kind=PersonKind.MENTOR, id=scenario.mentor, org_id="nhf")
    unknown_organisation = Person(kind=PersonKind.MENTOR, id=scenario.mentor, org_id="finnes-ikke")
    for person in (unknown_mentor, other_organisation, unknown_organisation):
        with pytest.raises(NotFoundError):
            erasure_service.erase(person, ignore_progress)


def test_erasure_clears_notes_of_batch_items(
    scenario: MentorScenario,
    erasure_service: ErasureService,
    tenant: Tenant,
    api_database: Database,
    worker_database: Database,
    owner_url: str,
) -> None:
    harness = BulkHarness(tenant, api_database, worker_database)
    own_item = build_item(scenario.mentor, overrides={"note": scenario.note, "starts_at": "2026-08-03T10:00:00Z"})
    other_item = build_item(
        scenario.other_mentor, overrides={"note": f"Med {scenario.name}", "starts_at": "2026-08-03T10:00:00Z"}
    )
    batch, own_batch = harness.accept([own_item, other_item]), harness.accept([own_item])
    harness.run(batch)
    dry_run = erasure_service.dry_run(scenario.person, ignore_progress)
    assert dry_run.summary.batches_to_review == (batch.batch_id,)
    report = erasure_service.erase(scenario.person, ignore_progress)
    assert report.summary.batches_to_review == (batch.batch_id,)
    assert report.summary.notes_cleared == dry_run.summary.notes_cleared == 4
    assert harness.run(own_batch).status == "failed"
    remaining = find_rows_containing(owner_url, (scenario.note.casefold(),))
    assert not [row for table, row in remaining if table == "bulk_items"]
