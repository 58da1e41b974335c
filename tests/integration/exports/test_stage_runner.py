"""Stages that run twice or concurrently, stale attempts, lost responses and crash counts."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier, Event

import psycopg
import pytest
from sqlalchemy.exc import IntegrityError

from stafett.column_mapper.organisations import STANDARD, load_bundled_mappings
from stafett.column_mapper.outcome import PartOutcome
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
from stafett.exports.mapped_parts import MappedPartStore, StoredPart
from stafett.exports.service import ExportService
from stafett.exports.stage_runner import Stage, StageContext, StageRunner
from stafett.exports.stage_store import MAX_CRASHES, MAX_SHARED_CRASHES, MAX_UNEXPECTED_ERRORS, StageStore
from stafett.exports.stages.map_columns import ColumnMappingStage
from stafett.storage.files import FileStorage
from stafett.testing import Tenant
from tests.support.exports import REJECT_EVENT_FUNCTION, drop_trigger, load_stage_inputs
from tests.support.hanging_server import HangingServer

QUERYING = ExportStatus.QUERYING_ACTIVITIES
EFFECTIVE_MAPPING = EffectiveMapping(version=1, sha256=load_bundled_mappings(STANDARD)[0].sha256)


@pytest.fixture
def job(export_service: ExportService, tenant: Tenant) -> ExportJob:
    return accept_job(export_service, tenant)


def accept_job(export_service: ExportService, tenant: Tenant) -> ExportJob:
    caller = Caller(user_id=tenant.coordinator, org_id=tenant.org_id, role=Role.COORDINATOR)
    body = {"org_id": tenant.org_id, "requesting_user_id": tenant.coordinator, "export_format": "csv"}
    period = {"start": "2026-01-01", "end": "2026-12-31"}
    return export_service.accept(caller, ExportRequest.model_validate(body | {"reporting_period": period})).export.job


@pytest.fixture
def stage_store(worker_database: Database) -> StageStore:
    return StageStore(worker_database)


@pytest.fixture
def completion(worker_database: Database) -> ExportCompletion:
    return ExportCompletion(worker_database)


@pytest.fixture
def stages(stage_store: StageStore, storage: FileStorage) -> StageRunner:
    return StageRunner(stage_store, storage, raise_if_cancelled=lambda: None)


def querying_stage(before_return: Callable[[], object] = lambda: None) -> Stage:
    """Create a stage that writes one part and calls `before_return` before its outputs are committed."""

    def stage(_job: ExportJob, context: StageContext) -> QueriedRows:
        parts: tuple[StagedPart, ...] = (context.put_part(0, b"rows", 3),)
        before_return()
        return QueriedRows(
            parts=parts,
            snapshot_at="2026-01-01T00:00:00Z",
            mapping=EFFECTIVE_MAPPING,
            organisation_name="Prøveforbundet",
        )

    return stage


def crashing_stage(_job: ExportJob, context: StageContext) -> QueriedRows:
    context.put_part(0, b"half", 1)
    raise RuntimeError("out of memory")


def fetch_statuses(owner_url: str, job: ExportJob) -> list[str]:
    with psycopg.connect(owner_url) as connection:
        query = "SELECT status FROM audit_events WHERE subject_id = %s ORDER BY seq"
        return [status for (status,) in connection.execute(query, [job.export_id]).fetchall()]


def test_finished_stage_is_not_run_again(stages: StageRunner, job: ExportJob, owner_url: str) -> None:
    first = stages.run(job, QUERYING, querying_stage())
    second = stages.run(job, QUERYING, crashing_stage)
    assert (first.reused, second.reused) == (False, True)
    assert first.rows == second.rows == 3
    assert fetch_statuses(owner_url, job) == ["initialised", "querying_activities"]


def test_concurrent_executions_commit_one_result_and_leave_one_part(
    stages: StageRunner, stage_store: StageStore, job: ExportJob, storage: FileStorage, owner_url: str
) -> None:
    barrier = Barrier(2)
    with ThreadPoolExecutor(2) as pool:
        results = list(pool.map(lambda _: stages.run(job, QUERYING, querying_stage(barrier.wait)), range(2)))
    assert [result.rows for result in results] == [3, 3]
    keys = storage.list_keys(f"exports/{job.org_id}/")
    assert keys == [part.key for part in load_stage_inputs(stage_store, job).queried_rows.parts]
    assert fetch_statuses(owner_url, job) == ["initialised", "querying_activities"]


def test_crashed_stage_leaves_no_objects_and_can_be_run_again(
    stages: StageRunner, job: ExportJob, storage: FileStorage
) -> None:
    with pytest.raises(RuntimeError):
        stages.run(job, QUERYING, crashing_stage)
    assert storage.list_keys(f"exports/{job.org_id}/") == []
    assert stages.run(job, QUERYING, querying_stage()).rows == 3


def test_progress_names_the_unavailable_service_until_it_returns(
    stages: StageRunner, job: ExportJob, owner_url: str
) -> None:
    def fetch_progress() -> object:
        with psycopg.connect(owner_url) as connection:
            query = "SELECT status, progress->>'stage', progress->>'waiting_for' FROM exports WHERE id = %s"
            return connection.execute(query, [job.export_id]).fetchone()

    def unavailable_stage(_job: ExportJob, _context: StageContext) -> QueriedRows:
        raise ServiceUnavailableError("S3")

    with pytest.raises(ServiceUnavailableError):
        stages.run(job, QUERYING, unavailable_stage)
    assert fetch_progress() == (QUERYING, QUERYING, "S3")
    observed: list[object] = []
    stages.run(job, QUERYING, querying_stage(lambda: observed.append(fetch_progress())))
    assert observed == [(QUERYING, QUERYING, None)]


def test_stage_does_not_clean_up_in_storage_that_does_not_respond(
    stage_store: StageStore, job: ExportJob, owner_url: str
) -> None:
    with HangingServer() as server:
        stages = StageRunner(stage_store, server.storage, raise_if_cancelled=lambda: None)
        with pytest.raises(ServiceUnavailableError, match="S3"):
            stages.run(job, QUERYING, querying_stage())
        assert server.collect_methods() == ["PUT"]
    with psycopg.connect(owner_url) as connection:
        query = "SELECT progress->>'waiting_for' FROM exports WHERE id = %s"
        assert connection.execute(query, [job.export_id]).fetchone() == ("S3",)


def test_failed_attempt_writes_no_objects_and_no_events(
    stages: StageRunner, completion: ExportCompletion, job: ExportJob, storage: FileStorage, owner_url: str
) -> None:
    def fail_attempt() -> None:
        completion.fail(RecordFailureInput(job=job, code=ExportErrorCode.INTERNAL, message="no", retryable=True))

    with pytest.raises(StaleAttemptError):
        stages.run(job, QUERYING, querying_stage(fail_attempt))
    with pytest.raises(StaleAttemptError):
        stages.run(job, ExportStatus.MAPPING_COLUMNS, querying_stage())
    assert storage.list_keys(f"exports/{job.org_id}/") == []
    assert fetch_statuses(owner_url, job) == ["initialised", "querying_activities", "failed"]


def test_failure_of_a_cancelling_export_is_rejected(
    completion: ExportCompletion, job: ExportJob, owner_url: str
) -> None:
    assert completion.begin_cancel(job)
    with pytest.raises(StaleAttemptError):
        completion.fail(RecordFailureInput(job=job, code=ExportErrorCode.INTERNAL, message="no", retryable=True))
    completion.finish_cancel(job)
    assert fetch_statuses(owner_url, job) == ["initialised", "cancelling", "cancelled"]


def test_second_failure_does_not_replace_the_first(
    completion: ExportCompletion, job: ExportJob, owner_url: str
) -> None:
    for code in (ExportErrorCode.QUERY_FAILED, ExportErrorCode.INTERNAL):
        completion.fail(RecordFailureInput(job=job, code=code, message="no", retryable=True))
    with psycopg.connect(owner_url) as connection:
        row = connection.execute("SELECT error->>'code' FROM exports WHERE id = %s", [job.export_id]).fetchone()
    assert row == ("query_failed",)
    assert fetch_statuses(owner_url, job).count("failed") == 1


def test_completing_again_after_a_lost_response_is_idempotent(
    stages: StageRunner, completion: ExportCompletion, job: ExportJob, owner_url: str
) -> None:
    stages.run(job, QUERYING, querying_stage())
    assert completion.complete_empty(job) == completion.complete_empty(job)
    assert fetch_statuses(owner_url, job).count("completed_empty") == 1


def test_concurrent_completions_write_one_completed_event(
    stages: StageRunner, completion: ExportCompletion, job: ExportJob, owner_url: str
) -> None:
    def file_stage(_job: ExportJob, context: StageContext) -> ReportFile:
        file = context.put_file("r.csv", [b"a;b"], "text/csv")
        return ReportFile(
            name="r.csv",
            mime_type="text/csv",
            size_bytes=file.size_bytes,
            sha256=file.sha256,
            content_sha256=file.sha256,
            key=file.key,
            rows=1,
        )

    def empty_mapping_stage(_job: ExportJob, _context: StageContext) -> MappedRows:
        return MappedRows(parts=(), counts=ExportCounts(), mapping=EFFECTIVE_MAPPING.mapping_version)

    stages.run(job, ExportStatus.MAPPING_COLUMNS, empty_mapping_stage)
    stages.run(job, ExportStatus.GENERATING_FILE, file_stage)
    stages.run(job, ExportStatus.STORING_FILE, file_stage)
    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(lambda _: stages.run_final(job, completion.complete), range(4)))
    assert {result.status for result in results} == {ExportStatus.COMPLETED}
    assert fetch_statuses(owner_url, job)[-2:] == ["recording_audit", "completed"]
    assert fetch_statuses(owner_url, job).count("completed") == 1


def test_outputs_survive_a_lost_response_to_their_commit(
    stage_store: StageStore, storage: FileStorage, job: ExportJob
) -> None:
    """PostgreSQL becomes unavailable between the commit and its response; simulated, as no server does it on demand."""

    class StoreLosingResponses(StageStore):
        def finish_stage(self, job: ExportJob, stage: ExportStatus, outputs: StageOutputs) -> bool:
            stage_store.finish_stage(job, stage, outputs)
            raise ServiceUnavailableError("PostgreSQL")

    losing_runner = StageRunner(StoreLosingResponses(stage_store._database), storage, raise_if_cancelled=lambda: None)  # noqa: SLF001 - the same database
    with pytest.raises(ServiceUnavailableError):
        losing_runner.run(job, QUERYING, querying_stage())
    second = StageRunner(stage_store, storage, raise_if_cancelled=lambda: None).run(job, QUERYING, crashing_stage)
    assert second.reused
    (part,) = load_stage_inputs(stage_store, job).queried_rows.parts
    assert storage.read_part(part) == b"rows"


def mapping_stage(_job: ExportJob, context: StageContext) -> MappedRows:
    return MappedRows(
        parts=(context.put_part(0, b"mapped", 3),), counts=ExportCounts(), mapping=EFFECTIVE_MAPPING.mapping_version
    )


def test_late_execution_does_not_restore_invalidated_outputs(
    stages: StageRunner, stage_store: StageStore, job: ExportJob, storage: FileStorage
) -> None:
    """One of two mapping executions commits, the next stage finds its part missing, then the other one commits late."""

    def late_stage(job: ExportJob, context: StageContext) -> MappedRows:
        outputs = mapping_stage(job, context)
        stages.run(job, ExportStatus.MAPPING_COLUMNS, mapping_stage)
        with pytest.raises(StagedDataLostError):
            stages.run(job, ExportStatus.GENERATING_FILE, stage_missing_its_input)
        return outputs

    def stage_missing_its_input(_job: ExportJob, _context: StageContext) -> ReportFile:
        raise StagedDataLostError

    stages.run(job, QUERYING, querying_stage())
    before = set(storage.list_keys(job.key_prefix))
    stages.run(job, ExportStatus.MAPPING_COLUMNS, late_stage)
    assert not load_stage_inputs(stage_store, job).outputs
    added = set(storage.list_keys(job.key_prefix)) - before
    assert len(added) == 1  # the part that was committed first; the late part is deleted


@pytest.mark.parametrize("outcome", ["failed", "cancelled"])
def test_crash_counts_are_deleted_when_the_attempt_ends(
    outcome: str, stages: StageRunner, completion: ExportCompletion, job: ExportJob, owner_url: str
) -> None:
    def count_rows() -> int:
        with psycopg.connect(owner_url) as connection:
            query = "SELECT count(*) FROM export_stage_crashes WHERE export_id = %s"
            return int((connection.execute(query, [job.export_id]).fetchone() or (0,))[0])

    stages.run(job, QUERYING, querying_stage())
    assert count_rows() == 1
    if outcome == "failed":
        completion.fail(RecordFailureInput(job=job, code=ExportErrorCode.INTERNAL, message="It broke.", retryable=True))
    else:
        completion.begin_cancel(job)
        completion.finish_cancel(job)
    assert count_rows() == 0


def test_rejected_transition_counts_as_a_crash(stages: StageRunner, job: ExportJob, owner_url: str) -> None:
    with psycopg.connect(owner_url) as connection:
        connection.execute(REJECT_EVENT_FUNCTION)
        connection.execute(
            "CREATE OR REPLACE TRIGGER simulated_fault BEFORE INSERT ON audit_events FOR EACH ROW"
            f" EXECUTE FUNCTION reject_event('stage_started', '{job.org_id}')".encode()
        )
    for _ in range(MAX_CRASHES):
        with pytest.raises(IntegrityError, match="simulated fault"):
            stages.run(job, QUERYING, querying_stage())
    with pytest.raises(ExportError):
        stages.run(job, QUERYING, querying_stage())
    drop_trigger(owner_url)
    assert fetch_statuses(owner_url, job) == ["initialised"]


def test_connection_lost_in_a_transition_is_service_unavailable(
    stages: StageRunner, job: ExportJob, owner_url: str
) -> None:
    waiting_query = "SELECT pid FROM pg_locks WHERE NOT granted AND pg_backend_pid() = ANY (pg_blocking_pids(pid))"
    with psycopg.connect(owner_url) as blocking, ThreadPoolExecutor(1) as worker:
        blocking.execute("SELECT FROM audit_chain_locks WHERE org_id = %s FOR UPDATE", [job.org_id])
        execution = worker.submit(stages.run, job, QUERYING, querying_stage())
        while (waiting_pid := blocking.execute(waiting_query).fetchone()) is None:
            assert not execution.done()
        blocking.execute("SELECT pg_terminate_backend(%s)", waiting_pid)
        with pytest.raises(ServiceUnavailableError):
            execution.result()
    assert stages.run(job, QUERYING, querying_stage()).rows == 3
    assert fetch_statuses(owner_url, job) == ["initialised", "querying_activities"]


def test_stage_that_always_raises_an_unexpected_error_fails_the_export(stages: StageRunner, job: ExportJob) -> None:
    for _ in range(MAX_UNEXPECTED_ERRORS):
        with pytest.raises(RuntimeError):
            stages.run(job, QUERYING, crashing_stage)
    with pytest.raises(ExportError) as failure:
        stages.run(job, QUERYING, crashing_stage)
    assert failure.value.code is ExportErrorCode.QUERY_FAILED


def test_stage_that_always_crashes_its_worker_fails_the_export(stage_store: StageStore, job: ExportJob) -> None:
    for _ in range(MAX_CRASHES):
        stage_store.start_stage(job, QUERYING, is_isolated=True)
    with pytest.raises(ExportError) as failure:
        stage_store.start_stage(job, QUERYING)
    assert failure.value.code is ExportErrorCode.QUERY_FAILED


def test_stage_that_crashed_beside_others_runs_alone(
    stage_store: StageStore, storage: FileStorage, job: ExportJob, export_service: ExportService, tenant: Tenant
) -> None:
    waits, reached, finished = Event(), Event(), list[str]()
    stages = StageRunner(stage_store, storage, raise_if_cancelled=waits.set)
    neighbour = accept_job(export_service, tenant)

    def finish_when_the_other_waits() -> None:
        reached.set()
        waits.wait()
        finished.append("neighbour")

    for _ in range(MAX_SHARED_CRASHES):
        with pytest.raises(RuntimeError):
            stages.run(job, QUERYING, crashing_stage)
    with ThreadPoolExecutor(1) as worker:
        beside = worker.submit(stages.run, neighbour, QUERYING, querying_stage(finish_when_the_other_waits))
        reached.wait()
        stages.run(job, QUERYING, querying_stage(lambda: finished.append("suspected")))
        waits.set()
        beside.result()
    assert finished == ["neighbour", "suspected"]


def test_stored_part_resets_the_crash_count(
    stages: StageRunner, stage_store: StageStore, worker_database: Database, job: ExportJob
) -> None:
    """An execution that gets further than the one before is not a failure, however often workers are killed."""
    stages.run(job, QUERYING, querying_stage())
    mapping, parts = ExportStatus.MAPPING_COLUMNS, MappedPartStore(worker_database, build_fingerprint="build")
    for number in range(2 * MAX_CRASHES):
        stage_store.start_stage(job, mapping, is_isolated=True)
        parts.store(job, number, "0" * 64, build_stored_part(number))


def build_stored_part(number: int) -> StoredPart:
    written = StagedPart(key=f"part-{number}", rows=1, sha256="0" * 64)
    outcome = PartOutcome(counts=ExportCounts(queried=1), excluded_count=0, not_countable={}, totals=(), failures=())
    return StoredPart(written=(written,), excluded=(), deviations=(), outcome=outcome)


def test_unavailable_service_never_counts_as_a_crash(stages: StageRunner, job: ExportJob) -> None:
    def unavailable_stage(_job: ExportJob, _context: StageContext) -> QueriedRows:
        raise ServiceUnavailableError("S3")

    for _ in range(3 * MAX_CRASHES):
        with pytest.raises(ServiceUnavailableError):
            stages.run(job, QUERYING, unavailable_stage)
    assert stages.run(job, QUERYING, querying_stage()).rows == 3


def test_missing_part_fails_the_attempt_and_invalidates_all_outputs(
    stages: StageRunner, storage: FileStorage, job: ExportJob, owner_url: str, worker_database: Database
) -> None:
    mapper = ColumnMappingStage(
        storage, MappingVersions(worker_database), MappedPartStore(worker_database, build_fingerprint="1")
    )
    stages.run(job, QUERYING, querying_stage())
    storage.delete_prefix(f"exports/{job.org_id}/")
    with pytest.raises(StagedDataLostError) as lost:
        stages.run(job, ExportStatus.MAPPING_COLUMNS, mapper)
    assert (lost.value.code, lost.value.retryable) == (ExportErrorCode.STORAGE_UNAVAILABLE, True)
    with psycopg.connect(owner_url) as connection:
        remaining = connection.execute(
            "SELECT count(*) FROM export_stage_outputs WHERE export_id = %s", [job.export_id]
        )
        assert remaining.fetchone() == (0,)
