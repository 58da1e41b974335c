"""A peer mentor is forgotten: everything there is, is searched for the name and for what was written about them."""

import asyncio
import io
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractAsyncContextManager, closing, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import NamedTuple
from uuid import UUID, uuid4
from zipfile import BadZipFile, ZipFile

import httpx
import psycopg
import pytest
from psycopg import sql
from temporalio.client import Client

from stafett.activity_frames import frame_from_arrow
from stafett.database.migrate import ERASURE_ROLE
from stafett.database.session import Database
from stafett.domain.erasure import ERASED_NAME, EmptiedExport, ErasureReport, Person, PersonKind
from stafett.domain.errors import InvalidStateError, NotFoundError
from stafett.domain.membership import Role
from stafett.erasure.service import ErasureService, vacuum_erased_tables
from stafett.settings import Settings
from stafett.storage.files import FileStorage
from stafett.testing import ActivityFactory, ExportClient, Json, Tenant
from tests.bulk import Core, item
from tests.integration.test_audit_trail import found_by
from tests.integration.test_steering import events_of, failed_while, place, retried, undo

Bearer = Callable[..., dict[str, str]]
Working = Callable[[], AbstractAsyncContextManager[None]]
EXPORTS = "/api/v1/bufdir-exports"
SPRING = {"start": "2026-01-01", "end": "2026-06-30"}
AUTUMN = {"start": "2026-07-01", "end": "2026-12-31"}
IN_SPRING, IN_AUTUMN = datetime(2026, 3, 2, 10, tzinfo=UTC), datetime(2026, 9, 7, 10, tzinfo=UTC)


def silent(_what: str, _done: int, _total: int) -> None:
    pass


@dataclass
class Scene:
    """Two mentors, of whom one is to be forgotten; her name and her note are nobody else's anywhere."""

    org_id: str
    mentor: UUID
    other: UUID
    name: str
    note: str
    activities: list[UUID]
    mentioning: UUID

    @property
    def person(self) -> Person:
        return Person(kind=PersonKind.MENTOR, id=self.mentor, org_id=self.org_id)

    @property
    def traces(self) -> tuple[str, ...]:
        return self.name.casefold(), self.note.casefold()


@pytest.fixture
def scene(diary: ActivityFactory, storage: FileStorage) -> Scene:
    """In the spring both are at work, in the autumn the other one alone, who writes down the name once."""
    mark = uuid4().hex[:10]
    name, note = f"Ågot Ærlig{mark}", f"Hun har fortalt om {mark}-sykdommen sin"
    mentor, other = diary.create_mentor(name), diary.create_mentor("Per Hansen")
    theirs = [diary.create_activity(mentor, note=note, starts_at=IN_SPRING), diary.create_activity(mentor)]
    diary.create_activity(other, note="Kaffe og vafler")
    diary.create_attachment(storage, theirs[0], f"%PDF {note}".encode(), f"Referat {name}.pdf")
    mentioning = diary.create_activity(other, note=f"Sammen med  {name.upper()}, takk!", starts_at=IN_AUTUMN)
    return Scene(diary.org_id, mentor, other, name, note, theirs, mentioning)


@pytest.fixture
def database(owner_url: str) -> Iterator[Database]:
    with closing(Database(owner_url, pool_size=1, role=ERASURE_ROLE)) as database:
        yield database


@pytest.fixture
def erasing(database: Database, storage: FileStorage) -> ErasureService:
    return ErasureService(database, storage)


def rows_that_tell(owner_url: str, traces: tuple[str, ...]) -> set[tuple[str, str]]:
    """Every row of every table, PostgreSQL's own statistics among them, as text: which table, which row."""
    found = set[tuple[str, str]]()
    with psycopg.connect(owner_url) as connection:
        tables = connection.execute(
            "SELECT schemaname, tablename FROM pg_tables WHERE schemaname = 'public' OR tablename = 'pg_statistic'"
        ).fetchall()
        for schema, table in tables:
            rows = sql.SQL("SELECT t::text FROM {} t").format(sql.Identifier(schema, table))
            for (row,) in connection.execute(rows):
                if any(trace in row.casefold() for trace in traces):
                    found.add((table, row))
    return found


def objects_that_tell(storage: FileStorage, org_id: str, traces: tuple[str, ...]) -> set[str]:
    """Every object of the organisation, opened as far as it can be opened."""
    keys = [key for top in ("exports", "attachments") for key in storage.list_keys(f"{top}/{org_id}/")]
    return {key for key in keys if any(trace in text_of(key, storage.read(key)) for trace in traces)}


def text_of(key: str, content: bytes) -> str:
    if key.endswith(".arrow"):
        return str(frame_from_arrow(content).rows()).casefold()
    try:
        with ZipFile(io.BytesIO(content)) as opened:
            members = [text_of(name, opened.read(name)) for name in opened.namelist()]
            return "\n".join([*map(str.casefold, opened.namelist()), *members])
    except BadZipFile:
        return content.decode("utf-8-sig", "replace").casefold()


async def told_to_temporal(temporal: Client, export_ids: list[str]) -> str:
    histories = [
        (await temporal.get_workflow_handle(f"bufdir-export/{export_id}").fetch_history()).to_json()
        for export_id in export_ids
    ]
    return "\n".join(histories).casefold()


class Made(NamedTuple):
    """Exports of every kind: those that hold the mentor's rows, by what became of them, and one that does not."""

    csv: Json
    bundle: Json
    failed: str
    deleted: str
    autumn: Json


async def made(button: ExportClient, owner_url: str, admin: dict[str, str]) -> Made:
    failed = await failed_while(button, owner_url, "export_completed")
    undo(owner_url)
    csv = await button.wait_for_completion(await button.start_export(reporting_period=SPRING))
    bundle = await button.wait_for_completion(await button.start_export(export_format="xlsx", include_attachments=True))
    autumn = await button.wait_for_completion(await button.start_export(reporting_period=AUTUMN))
    deleted = (await button.wait_for_completion(await button.start_export()))["id"]
    (await button.http_client.delete(f"{EXPORTS}/{deleted}", headers=admin)).raise_for_status()
    return Made(csv, bundle, failed, deleted, autumn)


@pytest.fixture
def admin(bearer: Bearer, tenant: Tenant) -> dict[str, str]:
    return bearer(tenant.users[Role.ADMIN], role="admin")


async def test_nothing_of_an_erased_mentor_is_found_anywhere_but_in_what_the_report_lists(
    scene: Scene,
    button: ExportClient,
    working: Working,
    admin: dict[str, str],
    owner_url: str,
    storage: FileStorage,
    erasing: ErasureService,
    temporal: Client,
    settings: Settings,
) -> None:
    async with working():
        exports = await made(button, owner_url, admin)
        with psycopg.connect(owner_url, autocommit=True) as connection:
            connection.execute("ANALYZE peer_mentors, activities, attachments")
        assert {"peer_mentors", "activities", "attachments"} <= {t for t, _ in rows_that_tell(owner_url, scene.traces)}
        assert len(objects_that_tell(storage, scene.org_id, scene.traces)) > 4
        report = await asyncio.to_thread(erasing.erase, scene.person, silent)
        assert vacuum_erased_tables(owner_url)

        touched = report.summary
        assert (touched.notes_cleared, touched.attachments_removed) == (1, 1)
        assert set(touched.exports_emptied) == {
            *(EmptiedExport(id=job["id"], report_id=job["report_id"]) for job in (exports.csv, exports.bundle)),
            EmptiedExport(id=UUID(exports.failed)),
        }
        assert touched.activities_to_review == (scene.mentioning,)
        assert touched.exports_to_review == (UUID(exports.autumn["id"]),)

        left = rows_that_tell(owner_url, scene.traces)
        assert {row.count(str(scene.mentioning)) for table, row in left if table == "activities"} == {1}
        assert {table for table, _ in left} <= {"activities", "pg_statistic"}
        assert all(scene.name.upper() in row for _, row in left)  # as the other one wrote it, and only so
        found = objects_that_tell(storage, scene.org_id, scene.traces)
        assert {key for key in found if not key.startswith(place(scene.org_id, exports.autumn["id"]))} == set()
        ids = [exports.csv["id"], exports.bundle["id"], exports.failed, exports.deleted, exports.autumn["id"]]
        histories = await told_to_temporal(temporal, ids)
        assert not any(trace in histories for trace in scene.traces)
        assert found_by(settings, scene.org_id).broken is None


async def test_what_held_the_mentor_is_gone_and_says_so_and_all_else_is_as_it_was(
    scene: Scene,
    button: ExportClient,
    working: Working,
    admin: dict[str, str],
    owner_url: str,
    storage: FileStorage,
    erasing: ErasureService,
) -> None:
    async with working():
        exports = await made(button, owner_url, admin)
        kept = storage.list_keys(place(scene.org_id, exports.autumn["id"]))
        await asyncio.to_thread(erasing.erase, scene.person, silent)
        for job in (exports.csv, exports.bundle):
            gone = await button.http_client.get(f"{EXPORTS}/{job['id']}/file", headers=button.headers)
            assert (gone.status_code, gone.json()["code"]) == (410, "file_removed")
            history = await button.http_client.get(f"/api/v1/reports/{job['report_id']}", headers=button.headers)
            assert [version["file"] for version in history.raise_for_status().json()["files"]] == [None]
            assert events_of(owner_url, job["id"])[-1] == "files_removed"
            assert storage.list_keys(place(scene.org_id, job["id"])) == []
        autumn = await button.get_export(exports.autumn["id"])
        assert storage.list_keys(place(scene.org_id, autumn["id"])) == kept
        async with httpx.AsyncClient() as anybody:
            assert "Per Hansen" in (await anybody.get(autumn["download_url"])).text

        anew = await button.wait_for_completion(await button.start_export(reporting_period=SPRING))
        assert (anew["status"], anew["counts"]) == ("completed", exports.csv["counts"])
        async with httpx.AsyncClient() as anybody:
            text = (await anybody.get(anew["download_url"])).text
        assert ERASED_NAME in text
        assert scene.name not in text

        assert (await retried(button, exports.failed)).status_code == 202
        again = await button.wait_for_completion(exports.failed)
        assert (await asyncio.to_thread(erasing.erase, scene.person, silent)).already_erased
        assert (await button.get_export(anew["id"]))["download_url"] is not None
        assert (again["status"], again["attempts"][1]["stages_reused"]) == ("completed", [])
        told = {text_of(key, storage.read(key)) for key in storage.list_keys(place(scene.org_id, exports.failed))}
        assert not any(scene.note.casefold() in text for text in told)


async def test_the_trail_tells_of_an_erasure_in_ids_and_counts(
    scene: Scene, button: ExportClient, working: Working, erasing: ErasureService, owner_url: str
) -> None:
    async with working():
        await button.wait_for_completion(await button.start_export(reporting_period=SPRING))
    report = erasing.erase(scene.person, silent)
    with psycopg.connect(owner_url) as connection:
        events = connection.execute(
            "SELECT event, actor, subject_kind, subject_id, detail FROM audit_events WHERE org_id = %s ORDER BY seq",
            [scene.org_id],
        ).fetchall()
    (begun, removed, erased) = events[-3:]
    assert begun == ("person_erasure_begun", "system:erasure", "person", scene.mentor, {"kind": "mentor"})
    assert (removed[0], removed[1], removed[4]) == (
        *("files_removed", "system:erasure"),
        {"attempt": 1, "reason": "person_erased"},
    )
    assert erased[:4] == ("person_erased", "system:erasure", "person", scene.mentor)
    assert erased[4] == {"kind": "mentor", **report.summary.counts}


async def test_activities_stay_as_countable_facts_and_the_mentor_does_nothing_any_more(
    scene: Scene, erasing: ErasureService, owner_url: str
) -> None:
    erasing.erase(scene.person, silent)
    with psycopg.connect(owner_url) as connection:
        mentors = connection.execute(
            "SELECT id, display_name, active FROM peer_mentors WHERE org_id = %s", [scene.org_id]
        ).fetchall()
        activities = connection.execute(
            "SELECT id, participants, place, note FROM activities WHERE mentor_id = %s", [scene.mentor]
        ).fetchall()
    assert set(mentors) == {(scene.mentor, ERASED_NAME, False), (scene.other, "Per Hansen", True)}
    assert set(activities) == {(activity, 5, "Tromsø", None) for activity in scene.activities}


async def test_twice_is_once_also_at_once(
    scene: Scene, button: ExportClient, working: Working, owner_url: str, storage: FileStorage
) -> None:
    async with working():
        job = await button.wait_for_completion(await button.start_export(reporting_period=SPRING))

    def erase(_number: int) -> ErasureReport:
        with closing(Database(owner_url, pool_size=1, role=ERASURE_ROLE)) as database:
            return ErasureService(database, storage).erase(scene.person, silent)

    with ThreadPoolExecutor(4) as operators:
        reports = [*operators.map(erase, range(4)), erase(5)]
    assert {report.summary for report in reports} == {reports[0].summary}
    assert {report.finished_at for report in reports} == {reports[0].finished_at}
    assert [report.already_erased for report in reports].count(False) == 1
    assert events_of(owner_url, str(scene.mentor)) == ["person_erasure_begun", "person_erased"]
    assert events_of(owner_url, job["id"]).count("files_removed") == 1


class KilledError(BaseException):
    """No error that anybody would catch."""


class Deaths:
    """One at every point of the way, each the first time that somebody comes by."""

    def __init__(self) -> None:
        self.died_at = set[tuple[object, ...]]()

    def lurk(self, *point: object) -> None:
        if point not in self.died_at:
            self.died_at.add(point)
            raise KilledError

    def told(self, what: str, done: int, _total: int) -> None:
        self.lurk(what, done)


class DeadlyStorage(FileStorage):
    """Somebody may be killed before it looks for anything, and after it has removed it."""

    def __init__(self, settings: Settings, deaths: Deaths) -> None:
        super().__init__(settings.s3)
        self._deaths = deaths

    def list_keys(self, prefix: str) -> list[str]:
        self._deaths.lurk("before", prefix)
        return super().list_keys(prefix)

    def delete(self, keys: Iterable[str]) -> None:
        keys = list(keys)
        super().delete(keys)
        self._deaths.lurk("after", *keys)


async def test_killed_at_any_point_it_completes_when_it_is_run_again(
    scene: Scene,
    button: ExportClient,
    working: Working,
    admin: dict[str, str],
    owner_url: str,
    storage: FileStorage,
    settings: Settings,
) -> None:
    async with working():
        exports = await made(button, owner_url, admin)
    deaths, report = Deaths(), None
    while report is None:
        with closing(Database(owner_url, pool_size=1, role=ERASURE_ROLE)) as database, suppress(KilledError):
            report = ErasureService(database, DeadlyStorage(settings, deaths)).erase(scene.person, deaths.told)
    assert len([point for point in deaths.died_at if point[0] == "after"]) >= 4
    assert (report.summary.notes_cleared, report.summary.attachments_removed) == (1, 1)
    assert {export.id for export in report.summary.exports_emptied} == {
        *(UUID(export_id) for export_id in (exports.csv["id"], exports.bundle["id"], exports.failed)),
    }
    assert report.summary.activities_to_review == (scene.mentioning,)
    assert report.summary.exports_to_review == (UUID(exports.autumn["id"]),)
    for emptied in report.summary.exports_emptied:
        assert events_of(owner_url, str(emptied.id)).count("files_removed") == 1
    gone = await button.http_client.get(f"{EXPORTS}/{exports.csv['id']}/file", headers=button.headers)
    assert gone.status_code == 410
    assert {table for table, _ in rows_that_tell(owner_url, scene.traces)} - {"pg_statistic"} == {"activities"}
    assert events_of(owner_url, str(scene.mentor)) == ["person_erasure_begun", "person_erased"]
    found = objects_that_tell(storage, scene.org_id, scene.traces)
    assert {key.split("/")[2] for key in found} == {exports.autumn["id"]}
    assert found_by(settings, scene.org_id).broken is None


async def test_an_export_that_runs_with_the_mentors_rows_is_waited_for_by_name(
    scene: Scene, button: ExportClient, owner_url: str, erasing: ErasureService
) -> None:
    spring = await button.start_export(reporting_period=SPRING)
    await button.start_export(reporting_period=AUTUMN)
    with psycopg.connect(owner_url) as connection:
        connection.execute("UPDATE exports SET status = 'querying_activities' WHERE org_id = %s", [scene.org_id])
    before = rows_that_tell(owner_url, scene.traces)
    with pytest.raises(InvalidStateError, match=f"Export {spring} has not ended"):
        erasing.erase(scene.person, silent)
    assert rows_that_tell(owner_url, scene.traces) == before
    assert erasing.dry_run(scene.person, silent).running_export_ids == (UUID(spring),)
    for status in ("cancelling", "cancelled"):
        with psycopg.connect(owner_url) as connection:
            connection.execute(
                "UPDATE exports SET status = %s, completed_at = CASE WHEN %s = 'cancelled' THEN now() END"
                " WHERE id = %s",
                [status, status, spring],
            )
        if status == "cancelling":
            with pytest.raises(InvalidStateError, match=spring):
                erasing.erase(scene.person, silent)
    assert erasing.erase(scene.person, silent).finished_at is not None


async def test_an_export_that_began_meanwhile_leaves_the_erasure_to_be_finished_later(
    scene: Scene, button: ExportClient, owner_url: str, erasing: ErasureService
) -> None:
    export_id = await button.start_export(reporting_period=SPRING)

    def begins_now(what: str, _done: int, _total: int) -> None:
        if what == "Removing attachments":
            with psycopg.connect(owner_url) as connection:
                connection.execute("UPDATE exports SET status = 'querying_activities' WHERE id = %s", [export_id])

    with pytest.raises(InvalidStateError, match=f"gone from where it was kept, but export {export_id} has not ended"):
        erasing.erase(scene.person, begins_now)
    assert events_of(owner_url, str(scene.mentor)) == ["person_erasure_begun"]
    with psycopg.connect(owner_url) as connection:
        connection.execute(
            "UPDATE exports SET status = 'failed', completed_at = now(), error = '{}' WHERE id = %s", [export_id]
        )
    report = erasing.erase(scene.person, silent)
    assert report.summary.activities_to_review == (scene.mentioning,)
    assert events_of(owner_url, str(scene.mentor)) == ["person_erasure_begun", "person_erased"]


@pytest.mark.parametrize("lost", ["outputs", "part", "damaged", "cut", "emptied"])
async def test_an_export_that_cannot_be_looked_into_loses_its_file(
    lost: str,
    scene: Scene,
    button: ExportClient,
    working: Working,
    erasing: ErasureService,
    storage: FileStorage,
    owner_url: str,
) -> None:
    async with working():
        job = await button.wait_for_completion(await button.start_export(reporting_period=AUTUMN))
    (part,) = (key for key in storage.list_keys(place(scene.org_id, job["id"])) if "querying_activities" in key)
    match lost:
        case "outputs":
            with psycopg.connect(owner_url) as connection:
                connection.execute("DELETE FROM export_stage_outputs WHERE export_id = %s", [job["id"]])
        case "part":
            storage.delete([part])
        case _:
            left = {"damaged": b"no arrow at all", "cut": b"ARROW1", "emptied": b""}
            storage.write(part, [left[lost]])
    report = erasing.erase(scene.person, silent)
    assert [str(export.id) for export in report.summary.exports_emptied] == [job["id"]]
    assert storage.list_keys(place(scene.org_id, job["id"])) == []


def test_looking_changes_nothing(scene: Scene, erasing: ErasureService, owner_url: str) -> None:
    before = rows_that_tell(owner_url, scene.traces)
    found = erasing.dry_run(scene.person, silent)
    assert (found.dry_run, found.started_at, found.summary.notes_cleared, found.summary.attachments_removed) == (
        *(True, None, 1, 1),
    )
    assert found.summary.activities_to_review == (scene.mentioning,)
    assert rows_that_tell(owner_url, scene.traces) == before
    assert events_of(owner_url, str(scene.mentor)) == []


def test_what_was_written_after_an_erasure_is_erased_by_the_next_one(
    scene: Scene, diary: ActivityFactory, erasing: ErasureService, owner_url: str
) -> None:
    erasing.erase(scene.person, silent)
    diary.create_activity(scene.mentor, note="Skrevet etterpå")
    report = erasing.erase(scene.person, silent)
    assert (report.already_erased, report.summary.notes_cleared) == (False, 2)
    assert report.summary.activities_to_review == (scene.mentioning,)
    assert events_of(owner_url, str(scene.mentor)) == ["person_erasure_begun", "person_erased"] * 2


@pytest.mark.parametrize(
    "written",
    ["med {} i dag", "A\u030agot  Ærlig{mark}", "ÅGOT\nÆRLIG{mark}s gruppe"],
    ids=["as it is", "nfd", "upper"],
)
def test_a_name_is_found_however_it_is_written(
    written: str, scene: Scene, diary: ActivityFactory, erasing: ErasureService
) -> None:
    text = written.format(scene.name, mark=scene.name.removeprefix("Ågot Ærlig"))
    one = diary.create_activity(scene.other, note=text)
    other = diary.create_activity(scene.other, place=text)
    found = erasing.dry_run(scene.person, silent).summary.activities_to_review
    assert set(found) == {scene.mentioning, one, other}


def test_a_mentor_of_another_organisation_is_nobody(scene: Scene, erasing: ErasureService, tenant: Tenant) -> None:
    unknown = Person(kind=PersonKind.MENTOR, id=uuid4(), org_id=tenant.org_id)
    elsewhere = Person(kind=PersonKind.MENTOR, id=scene.mentor, org_id="nhf")
    nowhere = Person(kind=PersonKind.MENTOR, id=scene.mentor, org_id="finnes-ikke")
    for person in (unknown, elsewhere, nowhere):
        with pytest.raises(NotFoundError):
            erasing.erase(person, silent)


def test_what_a_batch_was_to_register_for_them_tells_nothing_of_them_any_more(
    scene: Scene,
    erasing: ErasureService,
    tenant: Tenant,
    api_database: Database,
    worker_database: Database,
    owner_url: str,
) -> None:
    core = Core(tenant, api_database, worker_database)
    theirs = item(scene.mentor, overrides={"note": scene.note, "starts_at": "2026-08-03T10:00:00Z"})
    others = item(scene.other, overrides={"note": f"Med {scene.name}", "starts_at": "2026-08-03T10:00:00Z"})
    telling, silent_one = core.accepted([theirs, others]), core.accepted([theirs])
    core.run(telling)
    surveyed = erasing.dry_run(scene.person, silent)
    assert surveyed.summary.batches_to_review == (telling.batch_id,)
    report = erasing.erase(scene.person, silent)
    assert report.summary.batches_to_review == (telling.batch_id,)
    assert report.summary.notes_cleared == surveyed.summary.notes_cleared == 4
    assert core.run(silent_one).status == "failed"
    assert not [row for table, row in rows_that_tell(owner_url, (scene.note.casefold(),)) if table == "bulk_items"]
