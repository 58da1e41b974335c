"""Mapping goes on from part to part: what is done is not done again, and the report is the undisturbed one."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime, timedelta
from threading import Barrier
from typing import Any

import polars as pl
import psycopg
import pytest
from sqlalchemy import text

from stafett.column_mapper import MappingProgram
from stafett.column_mapper.versions import MappingVersions
from stafett.database.session import Database
from stafett.domain.activity import ActivityType
from stafett.domain.errors import ServiceUnavailableError, StaleAttemptError
from stafett.domain.export import ExportRequest, Locale
from stafett.domain.export_job import ExportJob, RecordFailureInput, RetentionReport, StageResult
from stafett.domain.export_outputs import MappedRows, QueriedRows, ReportFile
from stafett.domain.export_status import ExportErrorCode, ExportStatus
from stafett.domain.membership import Caller, Role
from stafett.exports.commands import ExportCommands
from stafett.exports.completion import ExportCompletion
from stafett.exports.mapped_parts import MappedPartStore, StoredPart
from stafett.exports.retention import Retention
from stafett.exports.service import ExportService
from stafett.exports.stage_runner import StageRunner
from stafett.exports.stage_store import StageStore
from stafett.exports.stages import query_activities
from stafett.exports.stages.generate_file import FileGeneration
from stafett.exports.stages.map_columns import ColumnMapper
from stafett.exports.stages.query_activities import ActivityQueryStage
from stafett.settings import Settings, require_setting
from stafett.storage.files import FileStorage, StoredObject
from stafett.testing import ActivityFactory, Tenant, create_tenant
from tests.retention import ended_ago, retention_of

QUERYING, MAPPING = ExportStatus.QUERYING_ACTIVITIES, ExportStatus.MAPPING_COLUMNS
GENERATING = ExportStatus.GENERATING_FILE
DAYS = 5
"""A part each: the first four are kept, the last one's commit is the stage's own."""


@pytest.fixture
def tenant(owner_url: str) -> Tenant:
    """It lists rows apart, has a summary, warns and rejects."""
    return create_tenant(owner_url, "hlf")


@pytest.fixture(autouse=True)
def _small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(query_activities, "ROWS_PER_PART", 1)


@pytest.fixture(autouse=True)
def _a_week(diary: ActivityFactory) -> None:
    for day in range(DAYS):
        at = datetime(2026, 3, 2 + day, 9, tzinfo=UTC)
        mentor = diary.create_mentor(f"Likeperson {day}")
        diary.create_activity(mentor, starts_at=at, participants=4 + day)
        diary.create_activity(
            mentor, starts_at=at + timedelta(hours=3), activity_type=ActivityType.TELEFONSAMTALE.value
        )
        diary.create_activity(mentor, starts_at=at + timedelta(hours=6), place="")


@dataclass(frozen=True)
class Watched(MappingProgram):
    """The organisation's program; whoever watches is told before each part."""

    watcher: Callable[[pl.DataFrame], None]

    @classmethod
    def by(cls, watcher: Callable[[pl.DataFrame], None], program: MappingProgram) -> "Watched":
        own = {one.name: getattr(program, one.name) for one in fields(program)}
        return cls(**own, watcher=watcher)

    def apply(self, rows: pl.DataFrame) -> Any:
        self.watcher(rows)
        return super().apply(rows)


class WatchedMappings(MappingVersions):
    """Which days were mapped, and what happens while one is."""

    def __init__(self, database: Database) -> None:
        super().__init__(database)
        self.days: list[int] = []
        self.meanwhile: dict[int, Callable[[], object]] = {}

    def load_program(self, org_id: str, version: int, locale: Locale) -> MappingProgram:
        return Watched.by(self._saw, super().load_program(org_id, version, locale))

    def _saw(self, rows: pl.DataFrame) -> None:
        (day,) = set(rows["oslo_day"])
        self.days.append(day.day - 2)
        self.meanwhile.get(day.day - 2, int)()


@dataclass
class Bench:
    """A worker, of whom nothing but the mapping is watched."""

    database: Database
    storage: FileStorage
    edition: str = "this"
    parts: MappedPartStore = field(init=False)

    def __post_init__(self) -> None:
        self.record = StageStore(self.database)
        self.mappings = WatchedMappings(self.database)
        self.parts = MappedPartStore(self.database, build_fingerprint=self.edition)
        self.stages = StageRunner(self.record, self.storage, raise_if_cancelled=lambda: None)

    def map(self, job: ExportJob) -> StageResult:
        mapper = ColumnMapper(self.record, self.storage, self.mappings, self.parts)
        return self.stages.run(job, MAPPING, mapper)

    def outputs(self, job: ExportJob) -> MappedRows:
        return self.record.load_mapped_rows(job)

    def report(self, job: ExportJob) -> ReportFile:
        self.stages.run(job, GENERATING, FileGeneration(self.record, self.storage, self.mappings))
        return self.record.load_outputs(job, GENERATING, ReportFile)


@pytest.fixture
def bench(worker_database: Database, storage: FileStorage) -> Bench:
    return Bench(worker_database, storage)


@pytest.fixture
def queried(jobs: ExportService, tenant: Tenant, bench: Bench) -> Callable[[], ExportJob]:
    """An export whose snapshot is there, in five parts."""

    def queried() -> ExportJob:
        caller = Caller(user_id=tenant.coordinator, org_id=tenant.org_id, role=Role.COORDINATOR)
        period = {"start": "2026-01-01", "end": "2026-12-31"}
        who = {"org_id": tenant.org_id, "requesting_user_id": tenant.coordinator}
        asked = {"export_format": "xlsx", "reporting_period": period}
        job = jobs.accept(caller, ExportRequest.model_validate(who | asked)).export.job
        bench.stages.run(job, QUERYING, ActivityQueryStage(bench.database, bench.mappings))
        assert len(bench.record.load_outputs(job, QUERYING, QueriedRows).parts) == DAYS
        return job

    return queried


@pytest.fixture
def job(queried: Callable[[], ExportJob]) -> ExportJob:
    return queried()


def out_of_memory() -> None:
    raise MemoryError


def broken_off_at(bench: Bench, job: ExportJob, day: int) -> None:
    """The days before it are kept."""
    bench.mappings.meanwhile[day] = out_of_memory
    with pytest.raises(MemoryError):
        bench.map(job)
    bench.mappings.meanwhile.clear()
    bench.mappings.days.clear()


def kept_numbers(owner_url: str, job: ExportJob) -> list[int]:
    with psycopg.connect(owner_url) as connection:
        query = "SELECT number FROM export_mapped_parts WHERE export_id = %s ORDER BY number"
        return [number for (number,) in connection.execute(query, [job.export_id]).fetchall()]


def mapped_keys(storage: FileStorage, job: ExportJob) -> set[str]:
    return {key for key in storage.list_keys(job.key_prefix) if "mapping_columns" in key}


def keys_of(mapped: MappedRows) -> set[str]:
    return {part.key for part in (*mapped.parts, *mapped.excluded_parts)}


def told(mapped: MappedRows) -> dict[str, Any]:
    """All of it, with what is in the parts and not where they lie."""
    hashes = [[(part.sha256, part.rows) for part in parts] for parts in (mapped.parts, mapped.excluded_parts)]
    return mapped.model_dump(exclude={"parts", "excluded_parts"}) | {"hashes": hashes}


def assert_as_undisturbed(bench: Bench, job: ExportJob, undisturbed: ExportJob, owner_url: str) -> None:
    """Outputs and report the same, and nothing is left behind on the way to them."""
    Bench(bench.database, bench.storage).map(undisturbed)
    mapped, expected = bench.outputs(job), bench.outputs(undisturbed)
    assert told(mapped) == told(expected)
    assert expected.partial_failures
    assert len(expected.excluded_parts) == DAYS
    file, expected_file = bench.report(job), bench.report(undisturbed)
    assert (file.sha256, file.size_bytes) == (expected_file.sha256, expected_file.size_bytes)
    assert mapped_keys(bench.storage, job) == keys_of(mapped)
    assert kept_numbers(owner_url, job) == kept_numbers(owner_url, undisturbed) == []


@pytest.mark.parametrize("day", range(DAYS))
def test_parts_that_are_done_are_not_done_again(
    day: int, bench: Bench, job: ExportJob, queried: Callable[[], ExportJob], owner_url: str
) -> None:
    broken_off_at(bench, job, day)
    assert kept_numbers(owner_url, job) == list(range(day))
    assert len(mapped_keys(bench.storage, job)) == 2 * day
    bench.map(job)
    assert bench.mappings.days == list(range(day, DAYS))
    assert_as_undisturbed(bench, job, queried(), owner_url)


def test_a_stage_that_breaks_off_at_every_part_is_done_part_by_part(
    bench: Bench, job: ExportJob, queried: Callable[[], ExportJob], owner_url: str
) -> None:
    seen = list[int]()
    for day in range(1, DAYS):
        bench.mappings.meanwhile[day] = out_of_memory
        with pytest.raises(MemoryError):
            bench.map(job)
        del bench.mappings.meanwhile[day]
        seen += bench.mappings.days
        bench.mappings.days.clear()
    bench.map(job)
    assert [*seen, *bench.mappings.days] == [0, 1, 1, 2, 2, 3, 3, 4, 4]
    assert_as_undisturbed(bench, job, queried(), owner_url)


def test_when_s3_is_back_mapping_goes_on_where_it_was(
    bench: Bench, job: ExportJob, queried: Callable[[], ExportJob], owner_url: str, settings: Settings
) -> None:
    class Away(FileStorage):
        def write(self, key: str, *given: Any, **more: Any) -> StoredObject:
            if "excluded-00002" in key:
                raise ServiceUnavailableError("S3")
            return super().write(key, *given, **more)

    with pytest.raises(ServiceUnavailableError):
        Bench(bench.database, Away(settings.s3)).map(job)
    assert kept_numbers(owner_url, job) == [0, 1]
    assert len(mapped_keys(bench.storage, job)) == 4
    bench.map(job)
    assert bench.mappings.days == [2, 3, 4]
    assert_as_undisturbed(bench, job, queried(), owner_url)


def test_what_is_kept_counts_as_done_at_once(bench: Bench, job: ExportJob, owner_url: str) -> None:
    def progress() -> object:
        with psycopg.connect(owner_url) as connection:
            query = "SELECT progress->'done', progress->'total' FROM exports WHERE id = %s"
            return connection.execute(query, [job.export_id]).fetchone()

    broken_off_at(bench, job, 3)
    seen: list[object] = []
    bench.mappings.meanwhile[3] = lambda: seen.append(progress())
    bench.map(job)
    assert seen == [(9, 15)]


def failed(bench: Bench, job: ExportJob) -> None:
    failing = RecordFailureInput(job=job, code=ExportErrorCode.COLUMN_MAPPING_UNAVAILABLE, message="no", retryable=True)
    ExportCompletion(bench.database).fail(failing)


def tried_again(api_database: Database, tenant: Tenant, job: ExportJob) -> ExportJob:
    caller = Caller(user_id=tenant.coordinator, org_id=tenant.org_id, role=Role.COORDINATOR)
    return ExportCommands(api_database).retry(caller, job.export_id)[0].job


def test_the_attempt_after_a_failed_one_goes_on_from_its_parts(
    bench: Bench,
    job: ExportJob,
    queried: Callable[[], ExportJob],
    owner_url: str,
    api_database: Database,
    tenant: Tenant,
) -> None:
    broken_off_at(bench, job, 3)
    failed(bench, job)
    second = tried_again(api_database, tenant, job)
    assert second.attempt == 2
    bench.stages.run(second, QUERYING, ActivityQueryStage(bench.database, bench.mappings))
    bench.map(second)
    assert bench.mappings.days == [3, 4]
    assert_as_undisturbed(bench, second, queried(), owner_url)


def test_an_attempt_that_is_over_keeps_nothing_more(bench: Bench, job: ExportJob, owner_url: str) -> None:
    bench.mappings.meanwhile[2] = lambda: failed(bench, job)
    with pytest.raises(StaleAttemptError):
        bench.map(job)
    assert kept_numbers(owner_url, job) == [0, 1]
    assert {key[-len("00000.arrow") :] for key in mapped_keys(bench.storage, job)} == {"00000.arrow", "00001.arrow"}


def test_a_cancelled_export_forgets_its_parts(
    bench: Bench, job: ExportJob, owner_url: str, api_database: Database, tenant: Tenant
) -> None:
    endings = ExportCompletion(bench.database)

    def cancelled() -> None:
        endings.begin_cancel(job)
        bench.storage.delete_prefix(job.key_prefix)
        endings.finish_cancel(job)

    bench.mappings.meanwhile[3] = cancelled
    with pytest.raises(StaleAttemptError):
        bench.map(job)
    assert kept_numbers(owner_url, job) == []
    assert bench.storage.list_keys(job.key_prefix) == []
    bench.mappings.meanwhile.clear()
    bench.mappings.days.clear()
    second = tried_again(api_database, tenant, job)
    bench.stages.run(second, QUERYING, ActivityQueryStage(bench.database, bench.mappings))
    bench.map(second)
    assert bench.mappings.days == list(range(DAYS))


def test_two_executions_at_once_make_one_report_and_leave_nothing_else(
    bench: Bench, job: ExportJob, queried: Callable[[], ExportJob], owner_url: str
) -> None:
    together, other = Barrier(2), Bench(bench.database, bench.storage)
    for one in (bench, other):
        one.mappings.meanwhile = dict.fromkeys(range(DAYS), together.wait)
    with ThreadPoolExecutor(2) as two:
        receipts = list(two.map(lambda one: one.map(job), (bench, other)))
    assert receipts[0].rows == receipts[1].rows
    assert_as_undisturbed(bench, job, queried(), owner_url)


def test_whoever_comes_too_late_leaves_nothing(
    bench: Bench, job: ExportJob, queried: Callable[[], ExportJob], owner_url: str
) -> None:
    other = Bench(bench.database, bench.storage)
    bench.mappings.meanwhile[2] = lambda: other.map(job)
    bench.map(job)
    assert (bench.mappings.days, other.mappings.days) == ([0, 1, 2, 3, 4], [2, 3, 4])
    assert_as_undisturbed(bench, job, queried(), owner_url)


@pytest.mark.parametrize("name", ["part-00001.arrow", "excluded-00001.arrow"])
@pytest.mark.parametrize("content", [None, b"something else"])
def test_a_part_that_is_not_in_storage_as_it_was_is_mapped_anew(
    content: bytes | None,
    name: str,
    bench: Bench,
    job: ExportJob,
    queried: Callable[[], ExportJob],
    owner_url: str,
) -> None:
    broken_off_at(bench, job, 3)
    (key,) = (key for key in mapped_keys(bench.storage, job) if key.endswith(f"/{name}"))
    if content is None:
        bench.storage.delete([key])
    else:
        bench.storage.write(key, [content])
    bench.map(job)
    assert bench.mappings.days == [1, 3, 4]
    assert_as_undisturbed(bench, job, queried(), owner_url)


def test_what_another_edition_of_the_program_mapped_is_mapped_anew(bench: Bench, job: ExportJob) -> None:
    older = Bench(bench.database, bench.storage, edition="older")
    broken_off_at(older, job, 3)
    broken_off_at(bench, job, 2)
    bench.map(job)
    assert bench.mappings.days == [2, 3, 4]
    assert keys_of(bench.outputs(job)) < mapped_keys(bench.storage, job)


def test_what_was_mapped_of_another_snapshot_is_not_taken(bench: Bench, job: ExportJob, diary: ActivityFactory) -> None:
    broken_off_at(bench, job, 3)
    diary.create_activity(diary.create_mentor("Åse"), starts_at=datetime(2026, 3, 3, 20, tzinfo=UTC))
    with psycopg.connect(diary.owner_url) as connection:  # an attempt that could reuse no stage
        connection.execute(
            "UPDATE exports SET status = 'failed', error = '{}', completed_at = now() WHERE id = %s", [job.export_id]
        )
        connection.execute("DELETE FROM export_stage_outputs WHERE export_id = %s", [job.export_id])
        connection.execute(
            "UPDATE exports SET status = 'initialised', attempt = 2, error = NULL, completed_at = NULL WHERE id = %s",
            [job.export_id],
        )
    second = job.model_copy(update={"attempt": 2})
    bench.stages.run(second, QUERYING, ActivityQueryStage(bench.database, bench.mappings))
    bench.map(second)
    assert bench.mappings.days == list(range(DAYS))
    assert bench.outputs(second).counts.queried == 3 * DAYS + 1


def test_a_part_whose_commit_got_no_answer_stays(
    bench: Bench, job: ExportJob, queried: Callable[[], ExportJob], owner_url: str
) -> None:
    """PostgreSQL went away between the commit and its answer; played, because no server does it on demand."""

    class Forgetful(MappedPartStore):
        def keep(self, job: ExportJob, number: int, made_from: str, part: StoredPart) -> StoredPart | None:
            super().store(job, number, made_from, part)
            raise ServiceUnavailableError("PostgreSQL")

    forgetful = Bench(bench.database, bench.storage)
    forgetful.parts = Forgetful(bench.database, build_fingerprint=bench.edition)
    with pytest.raises(ServiceUnavailableError):
        forgetful.map(job)
    bench.map(job)
    assert bench.mappings.days == [1, 2, 3, 4]
    assert_as_undisturbed(bench, job, queried(), owner_url)


@pytest.fixture
def retention(settings: Settings, org_id: str) -> Iterator[Retention]:
    with retention_of(settings, org_id) as retention:
        yield retention


def test_parts_of_a_failed_export_are_kept_for_its_retry_and_go_with_its_files(
    bench: Bench, job: ExportJob, retention: Retention, owner_url: str
) -> None:
    broken_off_at(bench, job, 3)
    failed(bench, job)
    needed = bench.storage.list_keys(job.key_prefix)
    stray = f"{job.key_prefix}1-mapping_columns-00000000/part-00003.arrow"
    bench.storage.write(stray, [b"half"])
    ended_ago(owner_url, str(job.export_id), timedelta(hours=1))
    assert retention.apply() == RetentionReport(staging_cleared=1)
    assert bench.storage.list_keys(job.key_prefix) == needed
    assert kept_numbers(owner_url, job) == [0, 1, 2]
    ended_ago(owner_url, str(job.export_id), timedelta(days=15))
    assert retention.apply() == RetentionReport(files_removed=1)
    assert bench.storage.list_keys(job.key_prefix) == []
    assert kept_numbers(owner_url, job) == []


@pytest.mark.parametrize("role", ["api", "maintenance"])
def test_only_the_worker_reads_what_was_in_a_part(role: str, bench: Bench, job: ExportJob, settings: Settings) -> None:
    broken_off_at(bench, job, 1)
    database = Database(require_setting(getattr(settings.database, f"{role}_url"), role), pool_size=1)
    with database.transaction(job.org_id) as session:
        assert session.scalars(text("SELECT export_id FROM export_mapped_parts")).all() == [job.export_id]
        with pytest.raises(Exception, match="permission denied"):
            session.execute(text("SELECT outcome FROM export_mapped_parts"))
    database.close()
