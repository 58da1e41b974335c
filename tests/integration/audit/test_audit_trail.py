"""The audit trail on real servers: signing, object lock, and detection of tampering by a database superuser."""

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import LiteralString

import psycopg
import pytest
import structlog
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from minio import Minio
from minio.commonconfig import COMPLIANCE
from minio.error import S3Error
from minio.retention import Retention
from temporalio.client import Client, ScheduleIntervalSpec
from temporalio.service import RPCError

import worker
from stafett.audit.checkpointing import AuditCheckpointer, create_checkpointer
from stafett.audit.keys import load_signing_key
from stafett.audit.reader import ChainReader
from stafett.database.session import Database
from stafett.domain.audit_chain import BrokenRecord, CheckpointReport
from stafett.domain.errors import ServiceUnavailableError, SettingsError
from stafett.settings import Settings, require_setting
from stafett.storage.s3 import create_s3_client
from stafett.temporal.client import CHECKPOINT_AUDIT_CHAINS
from stafett.temporal.namespace import CHECKPOINT_SCHEDULE_ID, keep_namespace_ensured, upsert_checkpoint_schedule
from stafett.testing import create_tenant
from tests.support.audit import (
    append_events_to,
    disable_append_only_trigger,
    rewrite_chain,
    run_audit,
    verify_audit_chain,
)
from tests.support.fixture_types import RunWorker

UNREACHABLE_URL = "http://127.0.0.1:9"


def test_event_inserted_before_the_first_is_detected(
    settings: Settings, org_id: str, append_events: Callable[[int], None], owner: psycopg.Connection
) -> None:
    append_events(2)
    with disable_append_only_trigger(owner):
        owner.execute("ALTER TABLE audit_events DROP CONSTRAINT audit_events_seq_check")
        owner.execute(
            "INSERT INTO audit_events SELECT org_id, 0, gen_random_uuid(), at, actor, event, subject_kind, subject_id,"
            " status, detail, hash, previous_hash FROM audit_events WHERE org_id = %s AND seq = 1",
            [org_id],
        )
    verification = verify_audit_chain(settings, org_id)
    with disable_append_only_trigger(owner):
        owner.execute("DELETE FROM audit_events WHERE org_id = %s AND seq = 0", [org_id])
        owner.execute("ALTER TABLE audit_events ADD CONSTRAINT audit_events_seq_check CHECK (seq >= 1)")
    assert verification.broken == BrokenRecord(org_id=org_id, seq=0, reason="its sequence number is below 1")
    assert verify_audit_chain(settings, org_id).broken is None


async def test_unchanged_chain_is_reported_as_intact(
    settings: Settings, org_id: str, append_events: Callable[[int], None], checkpointer: AuditCheckpointer
) -> None:
    append_events(3)
    assert checkpointer([org_id]) == CheckpointReport(written=1)
    append_events(2)
    assert (await run_audit(settings, "checkpoint", "--org", org_id)).exit_code == 0
    result = await run_audit(settings, "verify", "--org", org_id)
    assert result.exit_code == 0
    assert result.stdout.startswith(f"{org_id}: intact. 5 events, last seq 5; 2 checkpoints, newest ")
    report = (await run_audit(settings, "verify", "--org", org_id, "--json")).json
    assert report["verdict"] == "whole"
    assert [(chain["org_id"], chain["events"], chain["checkpoints"]) for chain in report["organisations"]] == [
        (org_id, 5, 2)
    ]


EDITS: tuple[LiteralString, ...] = (
    "UPDATE audit_events SET actor = 'user:unknown' WHERE org_id = %s AND seq = 3",
    "UPDATE audit_events SET at = at + interval '1 microsecond' WHERE org_id = %s AND seq = 3",
    "UPDATE audit_events SET at = 'infinity' WHERE org_id = %s AND seq = 3",
    "UPDATE audit_events SET at = (at::timestamp::text || 'Z BC')::timestamptz WHERE org_id = %s AND seq = 3",
    "UPDATE audit_events SET status = 'completed' WHERE org_id = %s AND seq = 3",
    "UPDATE audit_events SET detail = detail - 'number' WHERE org_id = %s AND seq = 3",
    "UPDATE audit_events SET detail = jsonb_set(detail, '{number}', '3.0') WHERE org_id = %s AND seq = 3",
    "UPDATE audit_events SET hash = repeat('f', 64) WHERE org_id = %s AND seq = 3",
    "DELETE FROM audit_events WHERE org_id = %s AND seq = 3",
    "UPDATE audit_events SET seq = CASE seq WHEN 3 THEN -4 ELSE -3 END WHERE org_id = %s AND seq IN (3, 4)",
)


@pytest.mark.parametrize("edit", EDITS, ids=str)
async def test_tampering_is_detected_and_the_first_broken_event_is_named(
    edit: LiteralString,
    settings: Settings,
    org_id: str,
    append_events: Callable[[int], None],
    owner: psycopg.Connection,
) -> None:
    append_events(6)
    with disable_append_only_trigger(owner):
        owner.execute("ALTER TABLE audit_events DROP CONSTRAINT audit_events_seq_check")
        owner.execute(edit, [org_id])
        owner.execute("UPDATE audit_events SET seq = -seq WHERE seq < 0")
        owner.execute("ALTER TABLE audit_events ADD CONSTRAINT audit_events_seq_check CHECK (seq >= 1)")
    broken = verify_audit_chain(create_checkpoint_bucket(settings), org_id).broken
    assert broken is not None
    assert (broken.org_id, broken.seq) == (org_id, 3)


def create_checkpoint_bucket(settings: Settings) -> Settings:
    create_s3_client(settings.s3, settings.s3.endpoint).make_bucket(settings.audit.bucket, object_lock=True)
    return settings


async def test_verify_command_exits_with_1_and_names_the_broken_event(
    settings: Settings,
    org_id: str,
    append_events: Callable[[int], None],
    owner: psycopg.Connection,
    checkpointer: AuditCheckpointer,
) -> None:
    append_events(6)
    checkpointer([org_id])
    with disable_append_only_trigger(owner):
        owner.execute("DELETE FROM audit_events WHERE org_id = %s AND seq = 4", [org_id])
    result = await run_audit(settings, "verify", "--org", org_id)
    assert result.exit_code == 1
    assert f"Event 4 of {org_id}: it is missing; the next event is 5." in result.stdout
    result = await run_audit(settings, "checkpoint", "--org", org_id)
    assert (result.exit_code, result.stdout.splitlines()[-1]) == (0, "Checkpoints signed: 0. Unchanged chains: 1.")


async def test_truncated_chain_is_detected_and_not_signed(
    settings: Settings,
    org_id: str,
    append_events: Callable[[int], None],
    owner: psycopg.Connection,
    checkpointer: AuditCheckpointer,
) -> None:
    append_events(6)
    checkpointer([org_id])
    with disable_append_only_trigger(owner):
        owner.execute("DELETE FROM audit_events WHERE org_id = %s AND seq > 4", [org_id])
    result = await run_audit(settings, "verify", "--org", org_id)
    assert result.exit_code == 1
    assert f"Event 5 of {org_id}: it is missing; the chain ends with event 4" in result.stdout
    (broken,) = checkpointer([org_id]).broken_records
    assert broken.seq == 5
    assert (await run_audit(settings, "checkpoint", "--org", org_id)).exit_code == 1


@pytest.mark.parametrize("first_seq", [1, 3, 4])
def test_rewritten_chain_is_detected_by_the_next_checkpoint(
    first_seq: int,
    settings: Settings,
    org_id: str,
    append_events: Callable[[int], None],
    owner: psycopg.Connection,
    checkpointer: AuditCheckpointer,
) -> None:
    for _ in range(3):
        append_events(2)
        checkpointer([org_id])
    rewrite_chain(owner, org_id, first_seq)
    broken = verify_audit_chain(settings, org_id).broken
    assert broken is not None
    assert broken.seq == {1: 2, 3: 4, 4: 4}[first_seq]
    assert "the chain was rewritten" in broken.reason
    append_events(1)
    assert [record.seq for record in checkpointer([org_id]).broken_records] == [broken.seq]


async def test_deleted_organisation_is_reported_as_missing(
    settings: Settings,
    append_events: Callable[[int], None],
    owner: psycopg.Connection,
    checkpointer: AuditCheckpointer,
    owner_url: str,
) -> None:
    org_id = create_tenant(owner_url, mapping=None).org_id
    append_events_to(owner, org_id, 3)
    checkpointer([org_id])
    with disable_append_only_trigger(owner):
        owner.execute("DELETE FROM audit_events WHERE org_id = %s", [org_id])
        owner.execute("DELETE FROM memberships WHERE org_id = %s", [org_id])
        owner.execute("DELETE FROM organisations WHERE id = %s", [org_id])
    append_events(1)
    result = await run_audit(settings, "verify")
    assert result.exit_code == 1
    assert f"{org_id}: BROKEN. Event 1 of {org_id}: it is missing; the chain has no events" in result.stdout
    assert org_id in {record.org_id for record in checkpointer().broken_records}


def test_checkpoint_is_written_only_for_new_events(
    org_id: str, append_events: Callable[[int], None], checkpointer: AuditCheckpointer, s3: Minio, settings: Settings
) -> None:
    assert checkpointer([org_id]) == CheckpointReport(unchanged=1)
    append_events(1)
    assert [checkpointer([org_id]).written for _ in range(3)] == [1, 0, 0]
    append_events(12)
    checkpointer([org_id])
    names = [stored.object_name for stored in s3.list_objects(settings.audit.bucket, recursive=True)]
    assert names == [f"checkpoints/{org_id}/{seq:020}.json" for seq in (1, 13)]


def test_newest_checkpoint_is_found_behind_thousands_of_events(
    settings: Settings, org_id: str, append_events: Callable[[int], None], checkpointer: AuditCheckpointer
) -> None:
    append_events(2)
    checkpointer([org_id])
    append_events(2500)
    assert [checkpointer([org_id]).written for _ in range(2)] == [1, 0]
    verification = verify_audit_chain(settings, org_id)
    assert (verification.broken, verification.events, verification.checkpoints) == (None, 2502, 2)


def test_broken_chain_does_not_prevent_checkpoints_of_others(
    org_id: str,
    append_events: Callable[[int], None],
    owner: psycopg.Connection,
    checkpointer: AuditCheckpointer,
    owner_url: str,
) -> None:
    other_org_ids = [create_tenant(owner_url, mapping=None).org_id for _ in range(2)]
    append_events(3)
    for other_org_id in other_org_ids:
        append_events_to(owner, other_org_id, 1)
    with disable_append_only_trigger(owner):
        owner.execute("UPDATE audit_events SET actor = 'x' WHERE org_id = %s AND seq = 2", [org_id])
    report = checkpointer([other_org_ids[0], org_id, other_org_ids[1]])
    assert (report.written, [record.seq for record in report.broken_records]) == (2, [2])


def test_concurrent_checkpoints_are_consistent(
    settings: Settings, org_id: str, append_events: Callable[[int], None], checkpointer: AuditCheckpointer
) -> None:
    append_events(5)
    with ThreadPoolExecutor(4) as workers:
        reports = list(workers.map(lambda _: checkpointer([org_id]), range(4)))
    assert [report.broken_records for report in reports] == [()] * 4
    verification = verify_audit_chain(settings, org_id)
    assert verification.broken is None
    assert verification.checkpoints == sum(report.written for report in reports) >= 1


def test_checkpoint_cannot_be_deleted_nor_its_retention_shortened(
    settings: Settings, org_id: str, append_events: Callable[[int], None], checkpointer: AuditCheckpointer, s3: Minio
) -> None:
    append_events(2)
    checkpointer([org_id])
    bucket = settings.audit.bucket
    (stored,) = s3.list_objects(bucket, recursive=True, include_version=True)
    name, version = str(stored.object_name), stored.version_id
    retention = s3.get_object_retention(bucket, name, version)
    assert retention is not None
    assert retention.mode == COMPLIANCE
    assert stored.last_modified is not None
    assert retention.retain_until_date - stored.last_modified > timedelta(days=3652)
    with pytest.raises(S3Error, match="AccessDenied"):
        s3.remove_object(bucket, name, version)
    with pytest.raises(S3Error, match="AccessDenied"):
        s3.set_object_retention(
            bucket, name, Retention(COMPLIANCE, retention.retain_until_date - timedelta(days=1)), version
        )
    with pytest.raises(S3Error, match="BucketNotEmpty"):
        s3.remove_bucket(bucket)


def test_checkpoint_behind_a_delete_marker_is_still_verified(
    settings: Settings,
    org_id: str,
    append_events: Callable[[int], None],
    owner: psycopg.Connection,
    checkpointer: AuditCheckpointer,
    s3: Minio,
) -> None:
    """A deletion without a version id only adds a delete marker."""
    append_events(6)
    checkpointer([org_id])
    s3.remove_object(settings.audit.bucket, f"checkpoints/{org_id}/{6:020}.json")
    assert verify_audit_chain(settings, org_id).broken is None
    with disable_append_only_trigger(owner):
        owner.execute("DELETE FROM audit_events WHERE org_id = %s AND seq > 4", [org_id])
    for broken in (verify_audit_chain(settings, org_id).broken, *checkpointer([org_id]).broken_records):
        assert broken is not None
        assert broken.seq == 5


def test_copied_and_forged_checkpoints_are_detected(
    settings: Settings,
    org_id: str,
    append_events: Callable[[int], None],
    checkpointer: AuditCheckpointer,
    s3: Minio,
    tmp_path: Path,
) -> None:
    append_events(3)
    checkpointer([org_id])
    bucket, name = settings.audit.bucket, f"checkpoints/{org_id}/{3:020}.json"
    signed = s3.get_object(bucket, name).data
    file = tmp_path / "checkpoint.json"
    file.write_bytes(signed)
    s3.fput_object(bucket, f"checkpoints/{org_id}/{2:020}.json", str(file))
    broken = verify_audit_chain(settings, org_id).broken
    assert broken == BrokenRecord(org_id=org_id, seq=2, reason="its checkpoint describes another event")
    forged = json.loads(signed) | {"hash": "f" * 64}
    file.write_text(json.dumps(forged))
    s3.fput_object(bucket, f"checkpoints/{org_id}/{1:020}.json", str(file))
    broken = verify_audit_chain(settings, org_id).broken
    assert broken == BrokenRecord(org_id=org_id, seq=1, reason="its checkpoint has an invalid signature")


async def test_checkpoint_with_an_unknown_key_names_the_key(
    settings: Settings,
    org_id: str,
    append_events: Callable[[int], None],
    checkpointer: AuditCheckpointer,
    tmp_path: Path,
) -> None:
    append_events(1)
    checkpointer([org_id])
    old_key = load_signing_key(settings.audit)
    assert old_key is not None
    new_key_file = tmp_path / "new.pem"
    new_key_file.write_text(encode_pem(Ed25519PrivateKey.generate()))
    result = await run_audit(settings, "verify", "--org", org_id, STAFETT_AUDIT__SIGNING_KEY_FILE=str(new_key_file))
    assert result.exit_code == 1
    assert f"its checkpoint names the unknown key {old_key.id}" in result.stdout


def encode_pem(key: Ed25519PrivateKey) -> str:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


async def test_unavailable_dependencies_exit_with_4_but_tampering_still_with_1(
    settings: Settings,
    org_id: str,
    append_events: Callable[[int], None],
    owner: psycopg.Connection,
    checkpointer: AuditCheckpointer,
) -> None:
    append_events(3)
    verify = ("verify", "--org", org_id)
    no_bucket = await run_audit(settings, *verify)
    assert (no_bucket.exit_code, no_bucket.stdout.startswith(f"{org_id}: hash chain intact. 3 events")) == (4, True)
    checkpointer([org_id])
    no_s3 = await run_audit(settings, *verify, STAFETT_S3__ENDPOINT=UNREACHABLE_URL)
    assert no_s3.exit_code == 4
    assert "checkpoints not verified: The checkpoint bucket" in no_s3.stdout
    no_key = await run_audit(settings, *verify, STAFETT_AUDIT__SIGNING_KEY_FILE="")
    assert no_key.exit_code == 4
    assert "STAFETT_AUDIT__VERIFICATION_KEYS" in no_key.stdout
    url = require_setting(settings.database.maintenance_url, "maintenance")
    for wrong_url in (url.replace("stafett_maintenance:", "stafett_maintenance:x"), "postgresql://x:y@127.0.0.1:9/z"):
        no_database = await run_audit(settings, *verify, STAFETT_DATABASE__MAINTENANCE_URL=wrong_url)
        assert (no_database.exit_code, no_database.stdout) == (4, "")
        assert len(no_database.stderr.splitlines()) == 1
    with disable_append_only_trigger(owner):
        owner.execute("UPDATE audit_events SET actor = 'x' WHERE org_id = %s AND seq = 2", [org_id])
    assert (await run_audit(settings, *verify, STAFETT_S3__ENDPOINT=UNREACHABLE_URL)).exit_code == 1


@pytest.mark.parametrize("org", ["finnes-ikke", "Å", "../nhf"])
async def test_unknown_organisation_is_a_usage_error(
    org: str, settings: Settings, org_id: str, append_events: Callable[[int], None], checkpointer: AuditCheckpointer
) -> None:
    append_events(1)
    checkpointer([org_id])
    assert (await run_audit(settings, "verify", "--org", org)).exit_code == 2


async def test_checkpoint_command_without_signing_key_exits_with_4(settings: Settings, org_id: str) -> None:
    result = await run_audit(settings, "checkpoint", "--org", org_id, STAFETT_AUDIT__SIGNING_KEY_FILE="")
    assert result.exit_code == 4
    assert "STAFETT_AUDIT__SIGNING_KEY is not set" in result.stderr


def test_bucket_without_object_lock_is_rejected(
    settings: Settings, org_id: str, append_events: Callable[[int], None], checkpointer: AuditCheckpointer, s3: Minio
) -> None:
    append_events(1)
    s3.make_bucket(settings.audit.bucket)
    with pytest.raises(SettingsError, match="has no object lock"):
        checkpointer([org_id])


def test_only_the_maintenance_role_lists_the_chains_of_all_organisations(
    settings: Settings,
    maintenance_database: Database,
    org_id: str,
    append_events: Callable[[int], None],
    api_database: Database,
) -> None:
    append_events(2)
    assert ChainReader(maintenance_database).get_last_seq(org_id) == 2
    assert org_id in ChainReader(maintenance_database).list_organisations()
    assert ChainReader(api_database).list_organisations() == []
    unreachable_s3 = settings.s3.model_copy(update={"endpoint": UNREACHABLE_URL})
    checkpointer = create_checkpointer(settings.model_copy(update={"s3": unreachable_s3}), maintenance_database)
    assert checkpointer is not None
    with pytest.raises(ServiceUnavailableError):
        checkpointer([org_id])


async def test_workflow_signs_grown_chains_and_reports_broken_ones(
    settings: Settings,
    org_id: str,
    append_events: Callable[[int], None],
    owner: psycopg.Connection,
    owner_url: str,
    temporal: Client,
    run_worker: RunWorker,
) -> None:
    other_org_id = create_tenant(owner_url, mapping=None).org_id
    append_events(3)
    append_events_to(owner, other_org_id, 3)
    with disable_append_only_trigger(owner):
        owner.execute("UPDATE audit_events SET event = 'x' WHERE org_id = %s AND seq = 2", [org_id])
    async with run_worker():
        run_id, queue = f"checkpoint-{org_id}", settings.temporal.task_queue
        handle = await temporal.start_workflow(
            CHECKPOINT_AUDIT_CHAINS, id=run_id, task_queue=queue, result_type=CheckpointReport
        )
        report = await handle.result()
    assert report.written >= 1
    assert (org_id, 2) in {(record.org_id, record.seq) for record in report.broken_records}
    assert verify_audit_chain(settings, other_org_id).checkpoints == 1
    assert verify_audit_chain(settings, org_id).checkpoints == 0


async def test_checkpoint_schedule_is_created_once_and_follows_the_setting(
    temporal: Client, settings: Settings
) -> None:
    queue = settings.temporal.task_queue
    for interval in (timedelta(hours=1), timedelta(hours=1), timedelta(minutes=30)):
        await upsert_checkpoint_schedule(temporal, queue, interval)
        schedule = (await temporal.get_schedule_handle(CHECKPOINT_SCHEDULE_ID).describe()).schedule
        assert list(schedule.spec.intervals) == [ScheduleIntervalSpec(every=interval)]
    await temporal.get_schedule_handle(CHECKPOINT_SCHEDULE_ID).delete()


async def test_worker_without_signing_key_logs_a_warning_and_creates_no_schedule(
    temporal: Client, settings: Settings
) -> None:
    audit_without_key = settings.audit.model_copy(update={"signing_key_file": None})
    settings_without_key = settings.model_copy(update={"audit": audit_without_key})
    with structlog.testing.capture_logs() as logs:
        async with keep_namespace_ensured(
            temporal, settings.temporal.task_queue, worker.get_audit_intervals(settings_without_key)
        ):
            pass
    disabled = {"event": "audit_signing_disabled", "log_level": "warning", "missing": "STAFETT_AUDIT__SIGNING_KEY"}
    assert [entry for entry in logs if entry["event"] != "schedule_moved"] == [disabled]
    with pytest.raises(RPCError):
        await temporal.get_schedule_handle(CHECKPOINT_SCHEDULE_ID).describe()


@pytest.mark.parametrize("command", ["verify", "checkpoint", "declare-restore"])
async def test_unknown_organisation_is_named_and_nothing_is_signed(
    command: str, settings: Settings, s3: Minio, checkpointer: AuditCheckpointer
) -> None:
    checkpointer([])
    result = await run_audit(settings, command, "--org", "finnes-ikke")
    assert result.exit_code == 2
    assert "there is no organisation finnes-ikke" in " ".join(result.stderr.replace("│", " ").split())
    assert list(s3.list_objects(settings.audit.bucket, prefix="checkpoints/finnes-ikke/", recursive=True)) == []
