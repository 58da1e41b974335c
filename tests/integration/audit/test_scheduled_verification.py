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
from api.dispatcher import JobDispatcher
from stafett.audit.checkpointing import AuditCheckpointer
from stafett.audit.events import OrganisationAuditTrail
from stafett.audit.results import VerificationResults
from stafett.audit.scheduled_verification import ScheduledVerification
from stafett.audit.verification import create_audit_verifier
from stafett.database.session import Database
from stafett.database.tables import AuditVerification
from stafett.domain.audit_chain import VerificationReport
from stafett.domain.errors import PermissionDeniedError, ServiceUnavailableError
from stafett.domain.membership import Caller, Role
from stafett.settings import Settings
from stafett.temporal.client import VERIFY_AUDIT_CHAINS
from stafett.temporal.namespace import (
    VERIFICATION_SCHEDULE_ID,
    keep_namespace_ensured,
    upsert_verification_schedule,
)
from stafett.testing import Tenant, wait_until
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


@pytest.fixture
def audit_trail(api_database: Database) -> OrganisationAuditTrail:
    return OrganisationAuditTrail(api_database)


@pytest.fixture
def auditor(tenant: Tenant) -> Caller:
    return Caller(user_id=tenant.users[Role.AUDITOR], org_id=tenant.org_id, role=Role.AUDITOR)


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


def test_requested_verification_is_made_once_before_it_is_due(
    org_id: str,
    append_events: AppendEvents,
    scheduled_verification: ScheduledVerification,
    checkpointer: AuditCheckpointer,
    audit_trail: OrganisationAuditTrail,
    auditor: Caller,
) -> None:
    append_events(2)
    checkpointer([org_id])
    assert scheduled_verification().verified == 1
    for _ in range(2):
        audit_trail.request_verification(auditor)
    assert audit_trail.find_verification_request(auditor) is not None
    assert [scheduled_verification().verified for _ in range(2)] == [1, 0]
    assert audit_trail.find_verification_request(auditor) is None


def test_request_during_a_verification_is_answered_by_the_next_one(
    org_id: str,
    append_events: AppendEvents,
    settings: Settings,
    maintenance_database: Database,
    results: VerificationResults,
    audit_trail: OrganisationAuditTrail,
    auditor: Caller,
) -> None:
    append_events(1)
    verifier, earlier = create_audit_verifier(settings, maintenance_database), results.find_request(org_id)
    audit_trail.request_verification(auditor)
    results.save(verifier.verify_chain(org_id), earlier)
    assert results.list_due([org_id], timedelta(days=1)) == [org_id]
    results.save(verifier.verify_chain(org_id), results.find_request(org_id))
    assert results.list_due([org_id], timedelta(days=1)) == []


def test_verification_is_requested_by_supervisors_of_an_organisation_with_events_only(
    org_id: str,
    append_events: AppendEvents,
    audit_trail: OrganisationAuditTrail,
    auditor: Caller,
    tenant: Tenant,
    results: VerificationResults,
) -> None:
    audit_trail.request_verification(auditor)
    assert results.find_request(org_id) is None
    append_events(1)
    for role in (Role.COORDINATOR, Role.OPERATOR):
        caller = Caller(user_id=tenant.coordinator, org_id=None if role is Role.OPERATOR else org_id, role=role)
        with pytest.raises(PermissionDeniedError):
            audit_trail.request_verification(caller)
    assert results.find_request(org_id) is None


async def test_triggered_schedule_verifies_the_chain_whose_verification_was_requested(
    settings: Settings,
    org_id: str,
    append_events: AppendEvents,
    checkpointer: AuditCheckpointer,
    audit_trail: OrganisationAuditTrail,
    auditor: Caller,
    temporal: Client,
    run_worker: RunWorker,
) -> None:
    append_events(3)
    checkpointer([org_id])
    audit_trail.request_verification(auditor)
    await upsert_verification_schedule(temporal, settings.temporal.task_queue, timedelta(days=7))
    dispatcher = JobDispatcher(temporal, settings.temporal.task_queue, lambda _job, _service: None)

    async def find_verification() -> AuditVerification | None:
        return audit_trail.find_verification(auditor)

    async with run_worker():
        dispatcher.verify_audit_chains()
        verification = await wait_until(find_verification, bool)
    await temporal.get_schedule_handle(VERIFICATION_SCHEDULE_ID).delete()
    assert verification is not None
    assert (verification.last_seq, verification.broken_seq, verification.checkpoints) == (3, None, 1)
    assert audit_trail.find_verification_request(auditor) is None


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
