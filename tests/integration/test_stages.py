"""A stage may run twice, even at once; nobody writes for an attempt that is over."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import psycopg
import pytest
from sqlalchemy.exc import IntegrityError, NoResultFound

from stafett.column_mapper.versions import MappingVersions
from stafett.database.session import Database
from stafett.domain.errors import ExportError, ServiceUnavailableError, StagedDataLostError, StaleAttemptError
from stafett.domain.export import ExportCounts, ExportRequest
from stafett.domain.export_job import ExportJob, RecordFailureInput
from stafett.domain.export_outputs import (
    EffectiveMapping,
    MappedRows,
    QueriedRows,
    ReportFile,
    StagedPart,
    StageOutputs,
)
from stafett.domain.export_status import ExportErrorCode, ExportStatus
from stafett.domain.membership import Caller, Role
from stafett.exports.completion import ExportCompletion
from stafett.exports.mapped_parts import MappedPartStore
from stafett.exports.service import ExportService
from stafett.exports.stage_runner import Stage, StageContext, StageRunner
from stafett.exports.stage_store import MAX_CRASHES, StageStore
from stafett.exports.stages.map_columns import ColumnMapper
from stafett.storage.files import FileStorage
from stafett.testing import Tenant
from tests.integration.test_steering import REFUSE, undo

QUERYING = ExportStatus.QUERYING_ACTIVITIES
PRESENT = EffectiveMapping(version=1, sha256="0" * 64)


@pytest.fixture
def job(jobs: ExportService, tenant: Tenant) -> ExportJob:
    caller = Caller(user_id=tenant.coordinator, org_id=tenant.org_id, role=Role.COORDINATOR)
    asked = {"org_id": tenant.org_id, "requesting_user_id": tenant.coordinator, "export_format": "csv"}
    period = {"start": "2026-01-01", "end": "2026-12-31"}
    return jobs.accept(caller, ExportRequest.model_validate(asked | {"reporting_period": period})).export.job


@pytest.fixture
def record(worker_database: Database) -> StageStore:
    return StageStore(worker_database)


@pytest.fixture
def endings(worker_database: Database) -> ExportCompletion:
    return ExportCompletion(worker_database)


@pytest.fixture
def stages(record: StageStore, storage: FileStorage) -> StageRunner:
    return StageRunner(record, storage, raise_if_cancelled=lambda: None)


def querying(meanwhile: Callable[[], object] = lambda: None) -> Stage:
    """Leaves one part behind, after something else has happened."""

    def work(_job: ExportJob, bench: StageContext) -> QueriedRows:
        parts: tuple[StagedPart, ...] = (bench.put_part(0, b"rows", 3),)
        meanwhile()
        return QueriedRows(parts=parts, snapshot_at="2026-01-01T00:00:00Z", mapping=PRESENT)

    return work


def rubbish(_job: ExportJob, bench: StageContext) -> QueriedRows:
    bench.put_part(0, b"half", 1)
    raise RuntimeError("out of memory")


def events(owner_url: str, job: ExportJob) -> list[str]:
    with psycopg.connect(owner_url) as connection:
        query = "SELECT status FROM audit_events WHERE subject_id = %s ORDER BY seq"
        return [status for (status,) in connection.execute(query, [job.export_id]).fetchall()]


def test_a_stage_that_is_done_is_not_done_again(stages: StageRunner, job: ExportJob, owner_url: str) -> None:
    first = stages.run(job, QUERYING, querying())
    again = stages.run(job, QUERYING, rubbish)
    assert (first.reused, again.reused) == (False, True)
    assert first.rows == again.rows == 3
    assert events(owner_url, job) == ["initialised", "querying_activities"]


def test_of_two_at_once_one_wins_and_the_other_leaves_nothing(
    stages: StageRunner, record: StageStore, job: ExportJob, storage: FileStorage, owner_url: str
) -> None:
    together = Barrier(2)
    with ThreadPoolExecutor(2) as two:
        receipts = list(two.map(lambda _: stages.run(job, QUERYING, querying(together.wait)), range(2)))
    assert [receipt.rows for receipt in receipts] == [3, 3]
    kept = storage.list_keys(f"exports/{job.org_id}/")
    assert kept == [part.key for part in record.load_outputs(job, QUERYING, QueriedRows).parts]
    assert events(owner_url, job) == ["initialised", "querying_activities"]


def test_work_that_breaks_off_leaves_nothing_and_can_begin_again(
    stages: StageRunner, job: ExportJob, storage: FileStorage
) -> None:
    with pytest.raises(RuntimeError):
        stages.run(job, QUERYING, rubbish)
    assert storage.list_keys(f"exports/{job.org_id}/") == []
    assert stages.run(job, QUERYING, querying()).rows == 3


def test_what_is_waited_for_is_said_until_it_is_back(stages: StageRunner, job: ExportJob, owner_url: str) -> None:
    def waiting_for() -> object:
        with psycopg.connect(owner_url) as connection:
            query = "SELECT status, progress->>'stage', progress->>'waiting_for' FROM exports WHERE id = %s"
            return connection.execute(query, [job.export_id]).fetchone()

    def away(_job: ExportJob, _bench: StageContext) -> QueriedRows:
        raise ServiceUnavailableError("S3")

    with pytest.raises(ServiceUnavailableError):
        stages.run(job, QUERYING, away)
    assert waiting_for() == (QUERYING, QUERYING, "S3")
    seen: list[object] = []
    stages.run(job, QUERYING, querying(lambda: seen.append(waiting_for())))
    assert seen == [(QUERYING, QUERYING, None)]


def test_an_attempt_that_is_over_writes_nothing_more(
    stages: StageRunner, endings: ExportCompletion, job: ExportJob, storage: FileStorage, owner_url: str
) -> None:
    def ended_meanwhile() -> None:
        endings.fail(RecordFailureInput(job=job, code=ExportErrorCode.INTERNAL, message="no", retryable=True))

    with pytest.raises(StaleAttemptError):
        stages.run(job, QUERYING, querying(ended_meanwhile))
    with pytest.raises(StaleAttemptError):
        stages.run(job, ExportStatus.MAPPING_COLUMNS, querying())
    assert storage.list_keys(f"exports/{job.org_id}/") == []
    assert events(owner_url, job) == ["initialised", "querying_activities", "failed"]


def test_what_is_to_be_cancelled_does_not_fail(endings: ExportCompletion, job: ExportJob, owner_url: str) -> None:
    assert endings.begin_cancel(job)
    with pytest.raises(StaleAttemptError):
        endings.fail(RecordFailureInput(job=job, code=ExportErrorCode.INTERNAL, message="no", retryable=True))
    endings.finish_cancel(job)
    assert events(owner_url, job) == ["initialised", "cancelling", "cancelled"]


def test_a_failure_that_comes_too_late_changes_nothing(
    endings: ExportCompletion, job: ExportJob, owner_url: str
) -> None:
    for code in (ExportErrorCode.QUERY_FAILED, ExportErrorCode.INTERNAL):
        endings.fail(RecordFailureInput(job=job, code=code, message="no", retryable=True))
    with psycopg.connect(owner_url) as connection:
        row = connection.execute("SELECT error->>'code' FROM exports WHERE id = %s", [job.export_id]).fetchone()
    assert row == ("query_failed",)
    assert events(owner_url, job).count("failed") == 1


def test_an_end_whose_answer_got_lost_is_still_the_end(
    stages: StageRunner, endings: ExportCompletion, job: ExportJob, owner_url: str
) -> None:
    stages.run(job, QUERYING, querying())
    assert endings.complete_empty(job) == endings.complete_empty(job)
    assert events(owner_url, job).count("completed_empty") == 1


def test_a_report_is_completed_once_however_often_it_is_recorded(
    stages: StageRunner, endings: ExportCompletion, job: ExportJob, owner_url: str
) -> None:
    def stored(_job: ExportJob, bench: StageContext) -> ReportFile:
        made = bench.put_file("r.csv", [b"a;b"], "text/csv")
        return ReportFile(
            name="r.csv",
            mime_type="text/csv",
            size_bytes=made.size_bytes,
            sha256=made.sha256,
            content_sha256=made.sha256,
            key=made.key,
            rows=1,
        )

    def mapped(_job: ExportJob, _bench: StageContext) -> MappedRows:
        return MappedRows(parts=(), counts=ExportCounts(), mapping=PRESENT.mapping_version)

    stages.run(job, ExportStatus.MAPPING_COLUMNS, mapped)
    stages.run(job, ExportStatus.GENERATING_FILE, stored)
    stages.run(job, ExportStatus.STORING_FILE, stored)
    with ThreadPoolExecutor(4) as four:
        ends = list(four.map(lambda _: stages.run_final(job, endings.complete), range(4)))
    assert {end.status for end in ends} == {ExportStatus.COMPLETED}
    assert events(owner_url, job)[-2:] == ["recording_audit", "completed"]
    assert events(owner_url, job).count("completed") == 1


def test_a_commit_whose_answer_got_lost_keeps_its_outputs(
    record: StageStore, storage: FileStorage, job: ExportJob
) -> None:
    """PostgreSQL went away between the commit and its answer; played, because no server does it on demand."""

    class Forgetful(StageStore):
        def finish(self, job: ExportJob, stage: ExportStatus, outputs: StageOutputs) -> bool:
            record.finish_stage(job, stage, outputs)
            raise ServiceUnavailableError("PostgreSQL")

    forgetful = StageRunner(Forgetful(record._database), storage, raise_if_cancelled=lambda: None)  # noqa: SLF001 - the same database
    with pytest.raises(ServiceUnavailableError):
        forgetful.run(job, QUERYING, querying())
    again = StageRunner(record, storage, raise_if_cancelled=lambda: None).run(job, QUERYING, rubbish)
    assert again.reused
    (part,) = record.load_outputs(job, QUERYING, QueriedRows).parts
    assert storage.read_part(part) == b"rows"


def mapped(_job: ExportJob, bench: StageContext) -> MappedRows:
    return MappedRows(parts=(bench.put_part(0, b"mapped", 3),), counts=ExportCounts(), mapping=PRESENT.mapping_version)


def test_whoever_was_thought_dead_brings_nothing_back_that_is_void(
    stages: StageRunner, record: StageStore, job: ExportJob, storage: FileStorage
) -> None:
    """Two map; one is done, the next stage finds its part lost, and then the other one comes."""

    def meanwhile(job: ExportJob, bench: StageContext) -> MappedRows:
        outputs = mapped(job, bench)
        stages.run(job, ExportStatus.MAPPING_COLUMNS, mapped)
        with pytest.raises(StagedDataLostError):
            stages.run(job, ExportStatus.GENERATING_FILE, lost)
        return outputs

    def lost(_job: ExportJob, _bench: StageContext) -> ReportFile:
        raise StagedDataLostError

    stages.run(job, QUERYING, querying())
    before = set(storage.list_keys(job.key_prefix))
    stages.run(job, ExportStatus.MAPPING_COLUMNS, meanwhile)
    with pytest.raises(NoResultFound):
        record.load_outputs(job, ExportStatus.MAPPING_COLUMNS, MappedRows)
    left = set(storage.list_keys(job.key_prefix)) - before
    assert len(left) == 1  # the one that was committed; the late one is swept


@pytest.mark.parametrize("end", ["failed", "cancelled"])
def test_tries_are_counted_no_longer_than_their_attempt(
    end: str, stages: StageRunner, endings: ExportCompletion, job: ExportJob, owner_url: str
) -> None:
    def counted() -> int:
        with psycopg.connect(owner_url) as connection:
            query = "SELECT count(*) FROM export_stage_tries WHERE export_id = %s"
            return int((connection.execute(query, [job.export_id]).fetchone() or (0,))[0])

    stages.run(job, QUERYING, querying())
    assert counted() == 1
    if end == "failed":
        endings.fail(RecordFailureInput(job=job, code=ExportErrorCode.INTERNAL, message="It broke.", retryable=True))
    else:
        endings.begin_cancel(job)
        endings.finish_cancel(job)
    assert counted() == 0


def test_a_transition_that_is_refused_counts_as_a_try(stages: StageRunner, job: ExportJob, owner_url: str) -> None:
    with psycopg.connect(owner_url) as connection:
        connection.execute(REFUSE)
        connection.execute(
            "CREATE OR REPLACE TRIGGER played BEFORE INSERT ON audit_events FOR EACH ROW"
            f" EXECUTE FUNCTION refuse_an_event('stage_started', '{job.org_id}')".encode()
        )
    for _ in range(MAX_CRASHES):
        with pytest.raises(IntegrityError, match="played"):
            stages.run(job, QUERYING, querying())
    with pytest.raises(ExportError):
        stages.run(job, QUERYING, querying())
    undo(owner_url)
    assert events(owner_url, job) == ["initialised"]


def test_a_connection_that_breaks_in_a_transition_is_waited_for(
    stages: StageRunner, job: ExportJob, owner_url: str
) -> None:
    waiting = "SELECT pid FROM pg_locks WHERE NOT granted AND pg_backend_pid() = ANY (pg_blocking_pids(pid))"
    with psycopg.connect(owner_url) as blocking, ThreadPoolExecutor(1) as worker:
        blocking.execute("SELECT pg_advisory_xact_lock(hashtextextended('audit:' || %s, 0))", [job.org_id])
        tried = worker.submit(stages.run, job, QUERYING, querying())
        while (found := blocking.execute(waiting).fetchone()) is None:
            assert not tried.done()
        blocking.execute("SELECT pg_terminate_backend(%s)", found)
        with pytest.raises(ServiceUnavailableError):
            tried.result()
    assert stages.run(job, QUERYING, querying()).rows == 3
    assert events(owner_url, job) == ["initialised", "querying_activities"]


def test_a_stage_that_never_ends_well_is_given_up(stages: StageRunner, job: ExportJob) -> None:
    for _ in range(MAX_CRASHES):
        with pytest.raises(RuntimeError):
            stages.run(job, QUERYING, rubbish)
    with pytest.raises(ExportError) as given_up:
        stages.run(job, QUERYING, rubbish)
    assert given_up.value.code is ExportErrorCode.QUERY_FAILED


def test_what_is_away_is_waited_for_however_often(stages: StageRunner, job: ExportJob) -> None:
    def away(_job: ExportJob, _bench: StageContext) -> QueriedRows:
        raise ServiceUnavailableError("S3")

    for _ in range(3 * MAX_CRASHES):
        with pytest.raises(ServiceUnavailableError):
            stages.run(job, QUERYING, away)
    assert stages.run(job, QUERYING, querying()).rows == 3


def test_a_part_that_is_lost_ends_the_attempt_and_the_next_one_begins_anew(
    stages: StageRunner,
    record: StageStore,
    storage: FileStorage,
    job: ExportJob,
    owner_url: str,
    worker_database: Database,
) -> None:
    mapper = ColumnMapper(
        record, storage, MappingVersions(worker_database), MappedPartStore(worker_database, build_fingerprint="1")
    )
    stages.run(job, QUERYING, querying())
    storage.delete_prefix(f"exports/{job.org_id}/")
    with pytest.raises(StagedDataLostError) as lost:
        stages.run(job, ExportStatus.MAPPING_COLUMNS, mapper)
    assert (lost.value.code, lost.value.retryable) == (ExportErrorCode.STORAGE_UNAVAILABLE, True)
    with psycopg.connect(owner_url) as connection:
        left = connection.execute("SELECT count(*) FROM export_stage_outputs WHERE export_id = %s", [job.export_id])
        assert left.fetchone() == (0,)
