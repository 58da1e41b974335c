"""What a checkpoint covers, and the verification of whole chains at intervals."""

import json
from collections.abc import Callable
from datetime import timedelta

import psycopg
import pytest
from minio import Minio
from structlog.testing import capture_logs
from temporalio.client import Client, ScheduleIntervalSpec

import worker
from stafett.audit.checkpointing import AuditCheckpointer
from stafett.audit.results import VerificationResults
from stafett.audit.scheduled_verification import ScheduledVerification
from stafett.audit.verification import create_audit_verifier
from stafett.database.session import Database
from stafett.domain.audit_chain import VerificationReport
from stafett.domain.errors import ServiceUnavailableError
from stafett.settings import Settings
from stafett.temporal.client import VERIFY_AUDIT_CHAINS
from stafett.temporal.namespace import VERIFICATION_SCHEDULE_ID, keep_namespace_ensured
from tests.support.audit import append_events_to, disable_append_only_trigger, verify_audit_chain
from tests.support.fixture_types import RunWorker

AppendEvents = Callable[[int], None]


@pytest.fixture
def results(maintenance_database: Database) -> VerificationResults:
    return VerificationResults(maintenance_database)


@pytest.fixture
def scheduled_verification(
    settings: Settings, maintenance_database: Database, results: VerificationResults, org_id: str
) -> ScheduledVerification:
    """The verification of this test's chain only: those of other tests may be broken."""
    verifier = create_audit_verifier(settings, maintenance_database)
    verifier.list_organisations = lambda: [org_id]  # type: ignore[method-assign]  # on this instance only
    return ScheduledVerification(verifier, results, timedelta(days=7))


def tamper_with(owner: psycopg.Connection, org_id: str, seq: int, actor: str = "x") -> None:
    with disable_append_only_trigger(owner):
        owner.execute("UPDATE audit_events SET actor = %s WHERE org_id = %s AND seq = %s", [actor, org_id, seq])


def list_broken_seqs(results: VerificationResults, org_id: str) -> list[int]:
    return [record.seq for record in results.list_broken() if record.org_id == org_id]


def test_checkpoint_names_the_events_that_were_verified_for_it(
    settings: Settings, org_id: str, append_events: AppendEvents, checkpointer: AuditCheckpointer, s3: Minio
) -> None:
    for count in (3, 2):
        append_events(count)
        checkpointer([org_id])
    keys = [f"checkpoints/{org_id}/{seq:020}.json" for seq in (3, 5)]
    signed = [json.loads(s3.get_object(settings.audit.bucket, key).data) for key in keys]
    assert [(document["verified_from"], document["seq"]) for document in signed] == [(1, 3), (4, 5)]


def test_event_changed_before_the_last_checkpoint_is_found_and_nothing_more_is_signed(
    org_id: str,
    append_events: AppendEvents,
    owner: psycopg.Connection,
    checkpointer: AuditCheckpointer,
    scheduled_verification: ScheduledVerification,
    results: VerificationResults,
    settings: Settings,
) -> None:
    append_events(4)
    checkpointer([org_id])
    tamper_with(owner, org_id, 2)
    with capture_logs() as logs:
        report = scheduled_verification()
    assert [record.seq for record in report.broken_records] == [2]
    assert [(line["event"], line["log_level"], line["org_id"], line["seq"]) for line in logs] == [
        ("audit_chain_broken", "error", org_id, 2)
    ]
    assert list_broken_seqs(results, org_id) == [2]
    append_events(1)
    assert [record.seq for record in checkpointer([org_id]).broken_records] == [2]
    tamper_with(owner, org_id, 2, actor="system:test")
    assert checkpointer([org_id]).written == 1
    assert list_broken_seqs(results, org_id) == []
    assert verify_audit_chain(settings, org_id).broken is None


def test_chain_is_verified_again_only_after_the_interval(
    org_id: str,
    append_events: AppendEvents,
    scheduled_verification: ScheduledVerification,
    owner: psycopg.Connection,
    checkpointer: AuditCheckpointer,
) -> None:
    append_events(2)
    checkpointer([org_id])
    assert [scheduled_verification().verified for _ in range(2)] == [1, 0]
    owner.execute(
        "UPDATE audit_verifications SET verified_at = verified_at - interval '6 days' WHERE org_id = %s", [org_id]
    )
    assert scheduled_verification() == VerificationReport(verified=1)


def test_broken_chain_is_verified_again_at_every_run(
    org_id: str,
    append_events: AppendEvents,
    scheduled_verification: ScheduledVerification,
    owner: psycopg.Connection,
    checkpointer: AuditCheckpointer,
) -> None:
    append_events(2)
    checkpointer([org_id])
    tamper_with(owner, org_id, 1)
    assert [len(scheduled_verification().broken_records) for _ in range(2)] == [1, 1]


def test_unreadable_checkpoints_are_no_verification(
    org_id: str,
    append_events: AppendEvents,
    scheduled_verification: ScheduledVerification,
    results: VerificationResults,
) -> None:
    """The bucket does not exist yet."""
    append_events(1)
    with pytest.raises(ServiceUnavailableError):
        scheduled_verification()
    assert results.list_due([org_id], timedelta(days=1)) == [org_id]


async def test_workflow_verifies_the_chains_that_are_due(
    settings: Settings,
    org_id: str,
    append_events: AppendEvents,
    owner: psycopg.Connection,
    checkpointer: AuditCheckpointer,
    temporal: Client,
    run_worker: RunWorker,
) -> None:
    append_events(3)
    checkpointer([org_id])
    tamper_with(owner, org_id, 1)
    async with run_worker():
        report = await temporal.execute_workflow(
            VERIFY_AUDIT_CHAINS,
            id=f"verify-{org_id}",
            task_queue=settings.temporal.task_queue,
            result_type=VerificationReport,
        )
    assert (org_id, 1) in {(record.org_id, record.seq) for record in report.broken_records}
    append_events_to(owner, org_id, 1)


async def test_worker_schedules_the_verification_with_and_without_a_signing_key(
    temporal: Client, settings: Settings
) -> None:
    audit = settings.audit.model_copy(update={"signing_key_file": None, "verification_hours": 24})
    intervals = worker.get_audit_intervals(settings.model_copy(update={"audit": audit}))
    async with keep_namespace_ensured(temporal, settings.temporal.task_queue, intervals):
        pass
    handle = temporal.get_schedule_handle(VERIFICATION_SCHEDULE_ID)
    assert list((await handle.describe()).schedule.spec.intervals) == [ScheduleIntervalSpec(every=timedelta(hours=24))]
    await handle.delete()
