"""Column mapping resumes after its last stored part, and the report equals that of an uninterrupted run."""

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
from stafett.domain.export_outputs import MappedRows, MappingVersion, ReportFile
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
from stafett.exports.stages.generate_file import FileGenerationStage
from stafett.exports.stages.map_columns import ColumnMappingStage
from stafett.exports.stages.query_activities import ActivityQueryStage
from stafett.settings import Settings, require_setting
from stafett.storage.files import FileStorage, StoredObject
from stafett.testing import ActivityFactory, Tenant, create_tenant
from tests.support.exports import load_stage_inputs
from tests.support.retention import backdate_completion, open_retention

QUERYING, MAPPING = ExportStatus.QUERYING_ACTIVITIES, ExportStatus.MAPPING_COLUMNS
GENERATING = ExportStatus.GENERATING_FILE
DAYS = 5
"""One part per day: the first four are stored one by one, the last is committed with the stage's outputs."""


@pytest.fixture
def tenant(owner_url: str) -> Tenant:
    """An organisation whose mapping has excluded rows, a summary, warnings and rejections."""
    return create_tenant(owner_url, "hlf")


@pytest.fixture(autouse=True)
def _small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(query_activities, "ROWS_PER_PART", 1)


@pytest.fixture(autouse=True)
def _activities(activity_factory: ActivityFactory) -> None:
    for day in range(DAYS):
        at = datetime(2026, 3, 2 + day, 9, tzinfo=UTC)
        mentor = activity_factory.create_mentor(f"Likeperson {day}")
        activity_factory.create_activity(mentor, starts_at=at, participants=4 + day)
        activity_factory.create_activity(
            mentor, starts_at=at + timedelta(hours=3), activity_type=ActivityType.TELEFONSAMTALE.value
        )
        activity_factory.create_activity(mentor, starts_at=at + timedelta(hours=6), place="")


@dataclass(frozen=True)
class ObservedProgram(MappingProgram):
    """The organisation's program, which calls `before_part` before it maps a part."""

    before_part: Callable[[pl.DataFrame], None]

    @classmethod
    def wrap(cls, before_part: Callable[[pl.DataFrame], None], program: MappingProgram) -> "ObservedProgram":
        values = {member.name: getattr(program, member.name) for member in fields(program)}
        return cls(**values, before_part=before_part)

    def apply(self, rows: pl.DataFrame) -> Any:
        self.before_part(rows)
        return super().apply(rows)


class ObservedMappings(MappingVersions):
    """Mappings that record the mapped days and run a test's callback when a day is about to be mapped."""

    def __init__(self, database: Database) -> None:
        super().__init__(database)
        self.days: list[int] = []
        self.callbacks: dict[int, Callable[[], object]] = {}

    def load_program(self, org_id: str, mapping: MappingVersion, locale: Locale) -> MappingProgram:
        return ObservedProgram.wrap(self._record_day, super().load_program(org_id, mapping, locale))

    def _record_day(self, rows: pl.DataFrame) -> None:
        (day,) = set(rows["oslo_day"])
        self.days.append(day.day - 2)
        self.callbacks.get(day.day - 2, int)()


@dataclass
class MappingHarness:
    """The stages as a worker wires them, with observed mappings."""

    database: Database
    storage: FileStorage
    build_fingerprint: str = "this"
    max_memory_bytes: int = 2**28
    mapped_parts: MappedPartStore = field(init=False)

    def __post_init__(self) -> None:
        self.stage_store = StageStore(self.database)
        self.mappings = ObservedMappings(self.database)
        self.mapped_parts = MappedPartStore(self.database, build_fingerprint=self.build_fingerprint)
        self.stages = StageRunner(self.stage_store, self.storage, raise_if_cancelled=lambda: None)

    def map_columns(self, job: ExportJob) -> StageResult:
        mapper = ColumnMappingStage(
            self.storage,
            self.mappings,
            self.mapped_parts,
            max_memory_bytes=self.max_memory_bytes,
        )
        return self.stages.run(job, MAPPING, mapper)

    def load_outputs(self, job: ExportJob) -> MappedRows:
        return load_stage_inputs(self.stage_store, job).mapped_rows

    def generate_report(self, job: ExportJob) -> ReportFile:
        self.stages.run(job, GENERATING, FileGenerationStage(self.storage, self.mappings))
        return load_stage_inputs(self.stage_store, job).report


@pytest.fixture
def harness(worker_database: Database, storage: FileStorage) -> MappingHarness:
    return MappingHarness(worker_database, storage)


@pytest.fixture
def create_queried_export(
    export_service: ExportService, tenant: Tenant, harness: MappingHarness
) -> Callable[[], ExportJob]:
    """Create exports whose snapshot has been queried into one part per day."""

    def create_queried_export() -> ExportJob:
        caller = Caller(user_id=tenant.coordinator, org_id=tenant.org_id, role=Role.COORDINATOR)
        period = {"start": "2026-01-01", "end": "2026-12-31"}
        ids = {"org_id": tenant.org_id, "requesting_user_id": tenant.coordinator}
        body = {"export_format": "xlsx", "reporting_period": period}
        job = export_service.accept(caller, ExportRequest.model_validate(ids | body)).export.job
        harness.stages.run(job, QUERYING, ActivityQueryStage(harness.database, harness.mappings))
        assert len(load_stage_inputs(harness.stage_store, job).queried_rows.parts) == DAYS
        return job

    return create_queried_export


@pytest.fixture
def job(create_queried_export: Callable[[], ExportJob]) -> ExportJob:
    return create_queried_export()


def run_out_of_memory() -> None:
    raise MemoryError


def interrupt_mapping_at(harness: MappingHarness, job: ExportJob, day: int) -> None:
    """Interrupt the mapping stage at this day; the parts of earlier days stay stored."""
    harness.mappings.callbacks[day] = run_out_of_memory
    with pytest.raises(MemoryError):
        harness.map_columns(job)
    harness.mappings.callbacks.clear()
    harness.mappings.days.clear()


def fetch_stored_part_numbers(owner_url: str, job: ExportJob) -> list[int]:
    with psycopg.connect(owner_url) as connection:
        query = "SELECT number FROM export_mapped_parts WHERE export_id = %s ORDER BY number"
        return [number for (number,) in connection.execute(query, [job.export_id]).fetchall()]


def list_mapped_keys(storage: FileStorage, job: ExportJob) -> set[str]:
    return {key for key in storage.list_keys(job.key_prefix) if "mapping_columns" in key}


def all_part_keys(mapped: MappedRows) -> set[str]:
    return {part.key for part in (*mapped.parts, *mapped.excluded_parts, *mapped.deviations.parts)}


def to_comparable(mapped: MappedRows) -> dict[str, Any]:
    """Return the outputs with the hashes of their parts instead of the parts' keys."""
    kinds = (mapped.parts, mapped.excluded_parts, mapped.deviations.parts)
    parts = [[part.model_dump(exclude={"key"}) for part in parts] for parts in kinds]
    others = mapped.model_dump(exclude={"parts": True, "excluded_parts": True, "deviations": {"parts"}})
    return others | {"all_parts": parts}


def assert_same_as_uninterrupted(
    harness: MappingHarness, job: ExportJob, uninterrupted: ExportJob, owner_url: str
) -> None:
    """Compare outputs and report with those of an uninterrupted run, and check that no other objects or rows remain."""
    MappingHarness(harness.database, harness.storage).map_columns(uninterrupted)
    mapped, expected = harness.load_outputs(job), harness.load_outputs(uninterrupted)
    assert to_comparable(mapped) == to_comparable(expected)
    assert expected.partial_failures
    assert len(expected.excluded_parts) == DAYS
    file, expected_file = harness.generate_report(job), harness.generate_report(uninterrupted)
    assert (file.sha256, file.size_bytes) == (expected_file.sha256, expected_file.size_bytes)
    assert list_mapped_keys(harness.storage, job) == all_part_keys(mapped)
    assert fetch_stored_part_numbers(owner_url, job) == fetch_stored_part_numbers(owner_url, uninterrupted) == []


@pytest.mark.parametrize("day", range(DAYS))
def test_mapped_parts_are_not_mapped_again_after_an_interruption(
    day: int, harness: MappingHarness, job: ExportJob, create_queried_export: Callable[[], ExportJob], owner_url: str
) -> None:
    interrupt_mapping_at(harness, job, day)
    assert fetch_stored_part_numbers(owner_url, job) == list(range(day))
    assert len(list_mapped_keys(harness.storage, job)) == 3 * day
    harness.map_columns(job)
    assert harness.mappings.days == list(range(day, DAYS))
    assert_same_as_uninterrupted(harness, job, create_queried_export(), owner_url)


def test_parts_cut_into_slices_give_the_same_report_and_are_reused(
    harness: MappingHarness,
    job: ExportJob,
    create_queried_export: Callable[[], ExportJob],
    owner_url: str,
    settings: Settings,
) -> None:
    class UnavailableStorage(FileStorage):
        def write(self, key: str, *args: Any, **kwargs: Any) -> StoredObject:
            if "part-00003-00001" in key:
                raise ServiceUnavailableError("S3")
            return super().write(key, *args, **kwargs)

    interrupted = MappingHarness(harness.database, UnavailableStorage(settings.s3), max_memory_bytes=1)
    with pytest.raises(ServiceUnavailableError):
        interrupted.map_columns(job)
    assert fetch_stored_part_numbers(owner_url, job) == [0, 1, 2]
    stored_keys = list_mapped_keys(harness.storage, job)
    harness.max_memory_bytes = 1
    harness.map_columns(job)
    assert len(harness.load_outputs(job).parts) == 3 * DAYS
    assert stored_keys < list_mapped_keys(harness.storage, job)
    harness.max_memory_bytes = 2**28
    whole = create_queried_export()
    harness.map_columns(whole)
    assert summarise_mapped(harness.load_outputs(job)) == summarise_mapped(harness.load_outputs(whole))
    assert harness.generate_report(job).sha256 == harness.generate_report(whole).sha256


def summarise_mapped(mapped: MappedRows) -> MappedRows:
    """Return the outcome without the parts in storage."""
    deviations = mapped.deviations.model_copy(update={"parts": ()})
    return mapped.model_copy(update={"parts": (), "excluded_parts": (), "deviations": deviations})


def test_stage_interrupted_at_every_part_completes_part_by_part(
    harness: MappingHarness, job: ExportJob, create_queried_export: Callable[[], ExportJob], owner_url: str
) -> None:
    observed = list[int]()
    for day in range(1, DAYS):
        harness.mappings.callbacks[day] = run_out_of_memory
        with pytest.raises(MemoryError):
            harness.map_columns(job)
        del harness.mappings.callbacks[day]
        observed += harness.mappings.days
        harness.mappings.days.clear()
    harness.map_columns(job)
    assert [*observed, *harness.mappings.days] == [0, 1, 1, 2, 2, 3, 3, 4, 4]
    assert_same_as_uninterrupted(harness, job, create_queried_export(), owner_url)


def test_mapping_resumes_after_the_last_stored_part_when_s3_returns(
    harness: MappingHarness,
    job: ExportJob,
    create_queried_export: Callable[[], ExportJob],
    owner_url: str,
    settings: Settings,
) -> None:
    class UnavailableStorage(FileStorage):
        def write(self, key: str, *args: Any, **kwargs: Any) -> StoredObject:
            if "excluded-00002" in key:
                raise ServiceUnavailableError("S3")
            return super().write(key, *args, **kwargs)

    with pytest.raises(ServiceUnavailableError):
        MappingHarness(harness.database, UnavailableStorage(settings.s3)).map_columns(job)
    assert fetch_stored_part_numbers(owner_url, job) == [0, 1]
    assert len(list_mapped_keys(harness.storage, job)) == 7
    harness.map_columns(job)
    assert harness.mappings.days == [2, 3, 4]
    (remaining,) = list_mapped_keys(harness.storage, job) - all_part_keys(harness.load_outputs(job))
    assert remaining.endswith("/part-00002.arrow")  # retention deletes it: S3 did not respond
    harness.storage.delete([remaining])
    assert_same_as_uninterrupted(harness, job, create_queried_export(), owner_url)


def test_progress_includes_reused_parts_from_the_start(harness: MappingHarness, job: ExportJob, owner_url: str) -> None:
    def fetch_progress() -> object:
        with psycopg.connect(owner_url) as connection:
            query = "SELECT progress->'done', progress->'total' FROM exports WHERE id = %s"
            return connection.execute(query, [job.export_id]).fetchone()

    interrupt_mapping_at(harness, job, 3)
    observed: list[object] = []
    harness.mappings.callbacks[3] = lambda: observed.append(fetch_progress())
    harness.map_columns(job)
    assert observed == [(9, 15)]


def fail_export(harness: MappingHarness, job: ExportJob) -> None:
    failure = RecordFailureInput(job=job, code=ExportErrorCode.COLUMN_MAPPING_UNAVAILABLE, message="no", retryable=True)
    ExportCompletion(harness.database).fail(failure)


def retry_export(api_database: Database, tenant: Tenant, job: ExportJob) -> ExportJob:
    caller = Caller(user_id=tenant.coordinator, org_id=tenant.org_id, role=Role.COORDINATOR)
    return ExportCommands(api_database).retry(caller, job.export_id)[0].job


def test_retry_of_a_failed_export_resumes_from_its_mapped_parts(
    harness: MappingHarness,
    job: ExportJob,
    create_queried_export: Callable[[], ExportJob],
    owner_url: str,
    api_database: Database,
    tenant: Tenant,
) -> None:
    interrupt_mapping_at(harness, job, 3)
    fail_export(harness, job)
    second = retry_export(api_database, tenant, job)
    assert second.attempt == 2
    harness.stages.run(second, QUERYING, ActivityQueryStage(harness.database, harness.mappings))
    harness.map_columns(second)
    assert harness.mappings.days == [3, 4]
    assert_same_as_uninterrupted(harness, second, create_queried_export(), owner_url)


def test_failed_attempt_stores_no_more_mapped_parts(harness: MappingHarness, job: ExportJob, owner_url: str) -> None:
    harness.mappings.callbacks[2] = lambda: fail_export(harness, job)
    with pytest.raises(StaleAttemptError):
        harness.map_columns(job)
    assert fetch_stored_part_numbers(owner_url, job) == [0, 1]
    assert {key[-len("00000.arrow") :] for key in list_mapped_keys(harness.storage, job)} == {
        "00000.arrow",
        "00001.arrow",
    }


def test_cancelling_deletes_the_mapped_parts(
    harness: MappingHarness, job: ExportJob, owner_url: str, api_database: Database, tenant: Tenant
) -> None:
    completion = ExportCompletion(harness.database)

    def cancel_export() -> None:
        completion.begin_cancel(job)
        harness.storage.delete_prefix(job.key_prefix)
        completion.finish_cancel(job)

    harness.mappings.callbacks[3] = cancel_export
    with pytest.raises(StaleAttemptError):
        harness.map_columns(job)
    assert fetch_stored_part_numbers(owner_url, job) == []
    assert harness.storage.list_keys(job.key_prefix) == []
    harness.mappings.callbacks.clear()
    harness.mappings.days.clear()
    second = retry_export(api_database, tenant, job)
    harness.stages.run(second, QUERYING, ActivityQueryStage(harness.database, harness.mappings))
    harness.map_columns(second)
    assert harness.mappings.days == list(range(DAYS))


def test_concurrent_executions_produce_one_report_and_no_other_objects(
    harness: MappingHarness, job: ExportJob, create_queried_export: Callable[[], ExportJob], owner_url: str
) -> None:
    barrier, other_harness = Barrier(2), MappingHarness(harness.database, harness.storage)
    for worker in (harness, other_harness):
        worker.mappings.callbacks = dict.fromkeys(range(DAYS), barrier.wait)
    with ThreadPoolExecutor(2) as pool:
        results = list(pool.map(lambda worker: worker.map_columns(job), (harness, other_harness)))
    assert results[0].rows == results[1].rows
    assert_same_as_uninterrupted(harness, job, create_queried_export(), owner_url)


def test_overtaken_execution_leaves_no_objects(
    harness: MappingHarness, job: ExportJob, create_queried_export: Callable[[], ExportJob], owner_url: str
) -> None:
    other_harness = MappingHarness(harness.database, harness.storage)
    harness.mappings.callbacks[2] = lambda: other_harness.map_columns(job)
    harness.map_columns(job)
    assert (harness.mappings.days, other_harness.mappings.days) == ([0, 1, 2, 3, 4], [2, 3, 4])
    assert_same_as_uninterrupted(harness, job, create_queried_export(), owner_url)


@pytest.mark.parametrize("name", ["part-00001.arrow", "excluded-00001.arrow"])
@pytest.mark.parametrize("content", [None, b"something else"])
def test_missing_or_changed_part_is_mapped_again(
    content: bytes | None,
    name: str,
    harness: MappingHarness,
    job: ExportJob,
    create_queried_export: Callable[[], ExportJob],
    owner_url: str,
) -> None:
    interrupt_mapping_at(harness, job, 3)
    (key,) = (key for key in list_mapped_keys(harness.storage, job) if key.endswith(f"/{name}"))
    if content is None:
        harness.storage.delete([key])
    else:
        harness.storage.write(key, [content])
    harness.map_columns(job)
    assert harness.mappings.days == [1, 3, 4]
    assert_same_as_uninterrupted(harness, job, create_queried_export(), owner_url)


def test_parts_mapped_by_another_build_are_mapped_again(harness: MappingHarness, job: ExportJob) -> None:
    older = MappingHarness(harness.database, harness.storage, build_fingerprint="older")
    interrupt_mapping_at(older, job, 3)
    interrupt_mapping_at(harness, job, 2)
    harness.map_columns(job)
    assert harness.mappings.days == [2, 3, 4]
    assert all_part_keys(harness.load_outputs(job)) < list_mapped_keys(harness.storage, job)


def test_parts_mapped_from_another_snapshot_are_not_reused(
    harness: MappingHarness, job: ExportJob, activity_factory: ActivityFactory
) -> None:
    interrupt_mapping_at(harness, job, 3)
    activity_factory.create_activity(
        activity_factory.create_mentor("Åse"), starts_at=datetime(2026, 3, 3, 20, tzinfo=UTC)
    )
    with psycopg.connect(activity_factory.owner_url) as connection:  # as if the next attempt could reuse no stage
        connection.execute(
            "UPDATE exports SET status = 'failed', error = '{}', completed_at = now() WHERE id = %s", [job.export_id]
        )
        connection.execute("DELETE FROM export_stage_outputs WHERE export_id = %s", [job.export_id])
        connection.execute(
            "UPDATE exports SET status = 'initialised', attempt = 2, error = NULL, completed_at = NULL WHERE id = %s",
            [job.export_id],
        )
    second = job.model_copy(update={"attempt": 2})
    harness.stages.run(second, QUERYING, ActivityQueryStage(harness.database, harness.mappings))
    harness.map_columns(second)
    assert harness.mappings.days == list(range(DAYS))
    assert harness.load_outputs(second).counts.queried == 3 * DAYS + 1


def test_part_is_reused_when_the_response_to_its_commit_was_lost(
    harness: MappingHarness, job: ExportJob, create_queried_export: Callable[[], ExportJob], owner_url: str
) -> None:
    """PostgreSQL becomes unavailable between the commit and its response; simulated, as no server does it on demand."""

    class PartStoreLosingResponses(MappedPartStore):
        def store(self, job: ExportJob, number: int, fingerprint: str, part: StoredPart) -> StoredPart | None:
            super().store(job, number, fingerprint, part)
            raise ServiceUnavailableError("PostgreSQL")

    losing_harness = MappingHarness(harness.database, harness.storage)
    losing_harness.mapped_parts = PartStoreLosingResponses(
        harness.database, build_fingerprint=harness.build_fingerprint
    )
    with pytest.raises(ServiceUnavailableError):
        losing_harness.map_columns(job)
    harness.map_columns(job)
    assert harness.mappings.days == [1, 2, 3, 4]
    assert_same_as_uninterrupted(harness, job, create_queried_export(), owner_url)


@pytest.fixture
def retention(settings: Settings, org_id: str) -> Iterator[Retention]:
    with open_retention(settings, org_id) as retention:
        yield retention


def test_mapped_parts_of_a_failed_export_are_retained_until_files_expire(
    harness: MappingHarness, job: ExportJob, retention: Retention, owner_url: str
) -> None:
    interrupt_mapping_at(harness, job, 3)
    fail_export(harness, job)
    needed = harness.storage.list_keys(job.key_prefix)
    stray = f"{job.key_prefix}1-mapping_columns-00000000/part-00003.arrow"
    harness.storage.write(stray, [b"half"])
    backdate_completion(owner_url, str(job.export_id), timedelta(hours=1))
    assert retention.apply() == RetentionReport(staging_cleared=1)
    assert harness.storage.list_keys(job.key_prefix) == needed
    assert fetch_stored_part_numbers(owner_url, job) == [0, 1, 2]
    backdate_completion(owner_url, str(job.export_id), timedelta(days=15))
    assert retention.apply() == RetentionReport(files_removed=1)
    assert harness.storage.list_keys(job.key_prefix) == []
    assert fetch_stored_part_numbers(owner_url, job) == []


@pytest.mark.parametrize("role", ["api", "maintenance"])
def test_only_the_worker_role_can_read_the_outcome_of_a_mapped_part(
    role: str, harness: MappingHarness, job: ExportJob, settings: Settings
) -> None:
    interrupt_mapping_at(harness, job, 1)
    database = Database(require_setting(getattr(settings.database, f"{role}_url"), role), pool_size=1)
    with database.transaction(job.org_id) as session:
        assert session.scalars(text("SELECT export_id FROM export_mapped_parts")).all() == [job.export_id]
        with pytest.raises(Exception, match="permission denied"):
            session.execute(text("SELECT outcome FROM export_mapped_parts"))
    database.close()
