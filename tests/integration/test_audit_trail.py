"""The trail on real servers: signed, locked away, tampered with by somebody who may do anything, and found out."""

import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractAsyncContextManager, closing, contextmanager
from datetime import timedelta
from pathlib import Path
from typing import LiteralString
from uuid import uuid4

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
from stafett.audit.verification import ChainVerification, create_audit_verifier
from stafett.database.session import Database
from stafett.domain.audit_chain import BrokenRecord, CheckpointReport
from stafett.domain.errors import ServiceUnavailableError, SettingsError
from stafett.settings import Settings, require_setting
from stafett.storage.s3 import create_s3_client
from stafett.temporal.client import CHECKPOINT_AUDIT_CHAINS
from stafett.temporal.namespace import CHECKPOINT_SCHEDULE_ID, upsert_checkpoint_schedule
from stafett.testing import Tenant, create_tenant
from tests.acceptance.dev_stack import Finished, run

Working = Callable[[], AbstractAsyncContextManager[None]]
NOWHERE = "http://127.0.0.1:9"


@pytest.fixture
def settings(settings: Settings) -> Settings:
    """Checkpoints in a bucket of this test's own."""
    audit = settings.audit.model_copy(update={"bucket": f"audit-{uuid4().hex[:12]}"})
    return settings.model_copy(update={"audit": audit})


@pytest.fixture
def maintenance(settings: Settings) -> Iterator[Database]:
    with closing(Database(require_setting(settings.database.maintenance_url, "maintenance"), pool_size=2)) as database:
        yield database


@pytest.fixture
def sign(settings: Settings, maintenance: Database) -> AuditCheckpointer:
    sign = create_checkpointer(settings, maintenance)
    assert sign is not None
    return sign


@pytest.fixture
def s3(settings: Settings) -> Minio:
    return create_s3_client(settings.s3, settings.s3.endpoint)


@pytest.fixture
def owner(owner_url: str) -> Iterator[psycopg.Connection]:
    with psycopg.connect(owner_url, autocommit=True) as connection:
        yield connection


@pytest.fixture
def happen(owner: psycopg.Connection, tenant: Tenant) -> Callable[[int], None]:
    def happen(times: int) -> None:
        write(owner, tenant.org_id, times)

    return happen


def write(owner: psycopg.Connection, org_id: str, times: int) -> None:
    with owner.transaction():
        owner.execute("SELECT set_config('app.org_id', %s, true)", [org_id])
        owner.execute(
            "SELECT count(append_audit_event(gen_random_uuid(), %s, 'system:test', 'tested', 'export',"
            " gen_random_uuid(), NULL, jsonb_build_object('number', n, 'words', 'æøå \" \\')))"
            " FROM generate_series(1, %s) n",
            [org_id, times],
        )


@contextmanager
def unguarded(owner: psycopg.Connection) -> Iterator[psycopg.Connection]:
    """What a superuser can do, and nobody else."""
    with owner.transaction():
        owner.execute("ALTER TABLE audit_events DISABLE TRIGGER audit_events_never_change")
        yield owner
        owner.execute("ALTER TABLE audit_events ENABLE ALWAYS TRIGGER audit_events_never_change")


def rewrite(owner: psycopg.Connection, org_id: str, begin: int) -> None:
    """By somebody who calls the very function that wrote it: every hash is right again."""
    with unguarded(owner):
        number = owner.execute("SELECT count(*) FROM audit_events WHERE org_id = %s", [org_id]).fetchone()
        owner.execute("DELETE FROM audit_events WHERE org_id = %s AND seq >= %s", [org_id, begin])
    assert number is not None
    write(owner, org_id, number[0] - begin + 1)


def found_by(settings: Settings, org_id: str) -> ChainVerification:
    with closing(Database(require_setting(settings.database.maintenance_url, "maintenance"), pool_size=1)) as database:
        return create_audit_verifier(settings, database).verify_chain(org_id)


def environment(settings: Settings, **instead: str) -> dict[str, str]:
    s3, audit = settings.s3, settings.audit
    return {
        "STAFETT_DATABASE__MAINTENANCE_URL": require_setting(settings.database.maintenance_url, "maintenance"),
        "STAFETT_S3__ENDPOINT": str(s3.endpoint),
        "STAFETT_S3__ACCESS_KEY": s3.access_key,
        "STAFETT_S3__SECRET_KEY": s3.secret_key.get_secret_value(),
        "STAFETT_AUDIT__BUCKET": audit.bucket,
        "STAFETT_AUDIT__SIGNING_KEY_FILE": str(audit.signing_key_file),
        **instead,
    }


async def audit(settings: Settings, *words: str, **instead: str) -> Finished:
    return await run("audit", *words, env=environment(settings, **instead))


def test_an_event_put_before_the_first_is_found(
    settings: Settings, org_id: str, happen: Callable[[int], None], owner: psycopg.Connection
) -> None:
    happen(2)
    with unguarded(owner):
        owner.execute("ALTER TABLE audit_events DROP CONSTRAINT audit_events_seq_check")
        owner.execute(
            "INSERT INTO audit_events SELECT org_id, 0, gen_random_uuid(), at, actor, event, subject_kind, subject_id,"
            " status, detail, hash, previous_hash FROM audit_events WHERE org_id = %s AND seq = 1",
            [org_id],
        )
    found = found_by(settings, org_id)
    with unguarded(owner):
        owner.execute("DELETE FROM audit_events WHERE org_id = %s AND seq = 0", [org_id])
        owner.execute("ALTER TABLE audit_events ADD CONSTRAINT audit_events_seq_check CHECK (seq >= 1)")
    assert found.broken == BrokenRecord(org_id=org_id, seq=0, reason="there is no event before the first")
    assert found_by(settings, org_id).broken is None


async def test_a_trail_that_nobody_touched_is_whole(
    settings: Settings, org_id: str, happen: Callable[[int], None], sign: AuditCheckpointer
) -> None:
    happen(3)
    assert sign([org_id]) == CheckpointReport(written=1)
    happen(2)
    assert (await audit(settings, "checkpoint", "--org", org_id)).code == 0
    verified = await audit(settings, "verify", "--org", org_id)
    assert verified.code == 0
    assert verified.out.startswith(f"{org_id}: whole. 5 events, the last is 5; 2 checkpoints, the newest of ")
    told = (await audit(settings, "verify", "--org", org_id, "--json")).json
    assert told["verdict"] == "whole"
    assert [(one["org_id"], one["events"], one["checkpoints"]) for one in told["organisations"]] == [(org_id, 5, 2)]


EDITS: tuple[LiteralString, ...] = (
    "UPDATE audit_events SET actor = 'user:nobody' WHERE org_id = %s AND seq = 3",
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
async def test_tampering_is_found_and_the_first_broken_record_is_named(
    edit: LiteralString, settings: Settings, org_id: str, happen: Callable[[int], None], owner: psycopg.Connection
) -> None:
    happen(6)
    with unguarded(owner):
        owner.execute("ALTER TABLE audit_events DROP CONSTRAINT audit_events_seq_check")
        owner.execute(edit, [org_id])
        owner.execute("UPDATE audit_events SET seq = -seq WHERE seq < 0")
        owner.execute("ALTER TABLE audit_events ADD CONSTRAINT audit_events_seq_check CHECK (seq >= 1)")
    broken = found_by(settings_with_bucket(settings), org_id).broken
    assert broken is not None
    assert (broken.org_id, broken.seq) == (org_id, 3)


def settings_with_bucket(settings: Settings) -> Settings:
    create_s3_client(settings.s3, settings.s3.endpoint).make_bucket(settings.audit.bucket, object_lock=True)
    return settings


async def test_the_command_ends_with_1_and_says_which_record(
    settings: Settings, org_id: str, happen: Callable[[int], None], owner: psycopg.Connection, sign: AuditCheckpointer
) -> None:
    happen(6)
    sign([org_id])
    with unguarded(owner):
        owner.execute("DELETE FROM audit_events WHERE org_id = %s AND seq = 4", [org_id])
    verified = await audit(settings, "verify", "--org", org_id)
    assert verified.code == 1
    assert f"Event 4 of {org_id}: it is missing; what comes next is event 5." in verified.out
    refused = await audit(settings, "checkpoint", "--org", org_id)
    assert (refused.code, refused.out.splitlines()[-1]) == (0, "Signed: 0. Not grown since the last time: 1.")


async def test_a_tail_that_was_cut_off_is_found_and_never_signed(
    settings: Settings, org_id: str, happen: Callable[[int], None], owner: psycopg.Connection, sign: AuditCheckpointer
) -> None:
    happen(6)
    sign([org_id])
    with unguarded(owner):
        owner.execute("DELETE FROM audit_events WHERE org_id = %s AND seq > 4", [org_id])
    verified = await audit(settings, "verify", "--org", org_id)
    assert verified.code == 1
    assert f"Event 5 of {org_id}: it is missing; the chain ends with event 4" in verified.out
    (broken,) = sign([org_id]).broken_records
    assert broken.seq == 5
    assert (await audit(settings, "checkpoint", "--org", org_id)).code == 1


@pytest.mark.parametrize("begin", [1, 3, 4])
def test_a_chain_that_was_written_anew_is_found_by_the_first_checkpoint_behind(
    begin: int,
    settings: Settings,
    org_id: str,
    happen: Callable[[int], None],
    owner: psycopg.Connection,
    sign: AuditCheckpointer,
) -> None:
    for _ in range(3):
        happen(2)
        sign([org_id])
    rewrite(owner, org_id, begin)
    broken = found_by(settings, org_id).broken
    assert broken is not None
    assert broken.seq == {1: 2, 3: 4, 4: 4}[begin]
    assert "the chain was rewritten" in broken.reason
    happen(1)
    assert [record.seq for record in sign([org_id]).broken_records] == [broken.seq]


async def test_an_organisation_that_was_wiped_out_is_missed(
    settings: Settings,
    happen: Callable[[int], None],
    owner: psycopg.Connection,
    sign: AuditCheckpointer,
    owner_url: str,
) -> None:
    org_id = create_tenant(owner_url, mapping=None).org_id
    write(owner, org_id, 3)
    sign([org_id])
    with unguarded(owner):
        owner.execute("DELETE FROM audit_events WHERE org_id = %s", [org_id])
        owner.execute("DELETE FROM memberships WHERE org_id = %s", [org_id])
        owner.execute("DELETE FROM organisations WHERE id = %s", [org_id])
    happen(1)
    verified = await audit(settings, "verify")
    assert verified.code == 1
    assert f"{org_id}: BROKEN. Event 1 of {org_id}: it is missing; the chain has no event at all" in verified.out
    assert org_id in {record.org_id for record in sign().broken_records}


def test_nothing_is_written_when_nothing_has_happened(
    org_id: str, happen: Callable[[int], None], sign: AuditCheckpointer, s3: Minio, settings: Settings
) -> None:
    assert sign([org_id]) == CheckpointReport(unchanged=1)
    happen(1)
    assert [sign([org_id]).written for _ in range(3)] == [1, 0, 0]
    happen(12)
    sign([org_id])
    names = [one.object_name for one in s3.list_objects(settings.audit.bucket, recursive=True)]
    assert names == [f"checkpoints/{org_id}/{seq:020}.json" for seq in (1, 13)]


def test_the_newest_checkpoint_is_found_however_far_back_it_is(
    settings: Settings, org_id: str, happen: Callable[[int], None], sign: AuditCheckpointer
) -> None:
    happen(2)
    sign([org_id])
    happen(2500)
    assert [sign([org_id]).written for _ in range(2)] == [1, 0]
    found = found_by(settings, org_id)
    assert (found.broken, found.events, found.checkpoints) == (None, 2502, 2)


def test_a_broken_chain_holds_up_no_other(
    org_id: str, happen: Callable[[int], None], owner: psycopg.Connection, sign: AuditCheckpointer, owner_url: str
) -> None:
    others = [create_tenant(owner_url, mapping=None).org_id for _ in range(2)]
    happen(3)
    for other in others:
        write(owner, other, 1)
    with unguarded(owner):
        owner.execute("UPDATE audit_events SET actor = 'x' WHERE org_id = %s AND seq = 2", [org_id])
    report = sign([others[0], org_id, others[1]])
    assert (report.written, [record.seq for record in report.broken_records]) == (2, [2])


def test_two_checkpoints_at_once_are_two_that_say_the_same(
    settings: Settings, org_id: str, happen: Callable[[int], None], sign: AuditCheckpointer
) -> None:
    happen(5)
    with ThreadPoolExecutor(4) as workers:
        reports = list(workers.map(lambda _: sign([org_id]), range(4)))
    assert [report.broken_records for report in reports] == [()] * 4
    found = found_by(settings, org_id)
    assert found.broken is None
    assert found.checkpoints == sum(report.written for report in reports) >= 1


def test_nobody_removes_a_checkpoint_or_shortens_its_time(
    settings: Settings, org_id: str, happen: Callable[[int], None], sign: AuditCheckpointer, s3: Minio
) -> None:
    happen(2)
    sign([org_id])
    bucket = settings.audit.bucket
    (stored,) = s3.list_objects(bucket, recursive=True, include_version=True)
    name, version = str(stored.object_name), stored.version_id
    kept = s3.get_object_retention(bucket, name, version)
    assert kept is not None
    assert kept.mode == COMPLIANCE
    assert stored.last_modified is not None
    assert kept.retain_until_date - stored.last_modified > timedelta(days=3652)
    with pytest.raises(S3Error, match="AccessDenied"):
        s3.remove_object(bucket, name, version)
    with pytest.raises(S3Error, match="AccessDenied"):
        s3.set_object_retention(
            bucket, name, Retention(COMPLIANCE, kept.retain_until_date - timedelta(days=1)), version
        )
    with pytest.raises(S3Error, match="BucketNotEmpty"):
        s3.remove_bucket(bucket)


def test_a_checkpoint_that_was_hidden_still_tells(
    settings: Settings,
    org_id: str,
    happen: Callable[[int], None],
    owner: psycopg.Connection,
    sign: AuditCheckpointer,
    s3: Minio,
) -> None:
    """A deletion without a version only lays a marker over it."""
    happen(6)
    sign([org_id])
    s3.remove_object(settings.audit.bucket, f"checkpoints/{org_id}/{6:020}.json")
    assert found_by(settings, org_id).broken is None
    with unguarded(owner):
        owner.execute("DELETE FROM audit_events WHERE org_id = %s AND seq > 4", [org_id])
    for broken in (found_by(settings, org_id).broken, *sign([org_id]).broken_records):
        assert broken is not None
        assert broken.seq == 5


def test_a_checkpoint_that_somebody_else_put_there_is_found(
    settings: Settings, org_id: str, happen: Callable[[int], None], sign: AuditCheckpointer, s3: Minio, tmp_path: Path
) -> None:
    happen(3)
    sign([org_id])
    bucket, name = settings.audit.bucket, f"checkpoints/{org_id}/{3:020}.json"
    good = s3.get_object(bucket, name).data
    file = tmp_path / "checkpoint.json"
    file.write_bytes(good)
    s3.fput_object(bucket, f"checkpoints/{org_id}/{2:020}.json", str(file))
    broken = found_by(settings, org_id).broken
    assert broken == BrokenRecord(org_id=org_id, seq=2, reason="its checkpoint is about another event")
    forged = json.loads(good) | {"hash": "f" * 64}
    file.write_text(json.dumps(forged))
    s3.fput_object(bucket, f"checkpoints/{org_id}/{1:020}.json", str(file))
    broken = found_by(settings, org_id).broken
    assert broken == BrokenRecord(org_id=org_id, seq=1, reason="its checkpoint bears a signature that is not valid")


async def test_whoever_lacks_an_old_key_is_told_which(
    settings: Settings, org_id: str, happen: Callable[[int], None], sign: AuditCheckpointer, tmp_path: Path
) -> None:
    happen(1)
    sign([org_id])
    used = load_signing_key(settings.audit)
    assert used is not None
    newer = tmp_path / "newer.pem"
    newer.write_text(_pem_of(Ed25519PrivateKey.generate()))
    verified = await audit(settings, "verify", "--org", org_id, STAFETT_AUDIT__SIGNING_KEY_FILE=str(newer))
    assert verified.code == 1
    assert f"its checkpoint names the key {used.id}, which we do not know" in verified.out


def _pem_of(key: Ed25519PrivateKey) -> str:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


async def test_what_could_not_be_checked_is_neither_whole_nor_tampered_with(
    settings: Settings, org_id: str, happen: Callable[[int], None], owner: psycopg.Connection, sign: AuditCheckpointer
) -> None:
    happen(3)
    of_ours = ("verify", "--org", org_id)
    no_bucket = await audit(settings, *of_ours)
    assert (no_bucket.code, no_bucket.out.startswith(f"{org_id}: whole in itself. 3 events")) == (4, True)
    sign([org_id])
    no_s3 = await audit(settings, *of_ours, STAFETT_S3__ENDPOINT=NOWHERE)
    assert no_s3.code == 4
    assert "not held against checkpoints: The bucket of the checkpoints" in no_s3.out
    no_key = await audit(settings, *of_ours, STAFETT_AUDIT__SIGNING_KEY_FILE="")
    assert no_key.code == 4
    assert "STAFETT_AUDIT__VERIFICATION_KEYS" in no_key.out
    url = require_setting(settings.database.maintenance_url, "maintenance")
    for wrong in (url.replace("stafett_maintenance:", "stafett_maintenance:x"), "postgresql://x:y@127.0.0.1:9/z"):
        no_database = await audit(settings, *of_ours, STAFETT_DATABASE__MAINTENANCE_URL=wrong)
        assert (no_database.code, no_database.out) == (4, "")
        assert len(no_database.err.splitlines()) == 1
    with unguarded(owner):
        owner.execute("UPDATE audit_events SET actor = 'x' WHERE org_id = %s AND seq = 2", [org_id])
    assert (await audit(settings, *of_ours, STAFETT_S3__ENDPOINT=NOWHERE)).code == 1


@pytest.mark.parametrize("org", ["finnes-ikke", "Å", "../nhf"])
async def test_an_organisation_that_never_was_is_asked_wrongly(
    org: str, settings: Settings, org_id: str, happen: Callable[[int], None], sign: AuditCheckpointer
) -> None:
    happen(1)
    sign([org_id])
    assert (await audit(settings, "verify", "--org", org)).code == 2


async def test_without_a_key_nothing_is_signed(settings: Settings, org_id: str) -> None:
    refused = await audit(settings, "checkpoint", "--org", org_id, STAFETT_AUDIT__SIGNING_KEY_FILE="")
    assert refused.code == 4
    assert "STAFETT_AUDIT__SIGNING_KEY is not set" in refused.err


def test_a_bucket_without_a_lock_is_refused(
    settings: Settings, org_id: str, happen: Callable[[int], None], sign: AuditCheckpointer, s3: Minio
) -> None:
    happen(1)
    s3.make_bucket(settings.audit.bucket)
    with pytest.raises(SettingsError, match="does not lock what is put into it"):
        sign([org_id])


def test_a_chain_is_read_from_a_role_that_sees_every_one(
    settings: Settings, maintenance: Database, org_id: str, happen: Callable[[int], None], api_database: Database
) -> None:
    happen(2)
    assert ChainReader(maintenance).get_last_seq(org_id) == 2
    assert org_id in ChainReader(maintenance).list_organisations()
    assert ChainReader(api_database).list_organisations() == []
    nowhere = settings.s3.model_copy(update={"endpoint": NOWHERE})
    sign = create_checkpointer(settings.model_copy(update={"s3": nowhere}), maintenance)
    assert sign is not None
    with pytest.raises(ServiceUnavailableError):
        sign([org_id])


async def test_a_run_signs_what_has_grown_and_tells_what_is_broken(
    settings: Settings,
    org_id: str,
    happen: Callable[[int], None],
    owner: psycopg.Connection,
    owner_url: str,
    temporal: Client,
    working: Working,
) -> None:
    other = create_tenant(owner_url, mapping=None).org_id
    happen(3)
    write(owner, other, 3)
    with unguarded(owner):
        owner.execute("UPDATE audit_events SET event = 'x' WHERE org_id = %s AND seq = 2", [org_id])
    async with working():
        run_id, queue = f"checkpoint-{org_id}", settings.temporal.task_queue
        handle = await temporal.start_workflow(
            CHECKPOINT_AUDIT_CHAINS, id=run_id, task_queue=queue, result_type=CheckpointReport
        )
        report = await handle.result()
    assert report.written >= 1
    assert (org_id, 2) in {(record.org_id, record.seq) for record in report.broken}
    assert found_by(settings, other).checkpoints == 1
    assert found_by(settings, org_id).checkpoints == 0


async def test_the_schedule_is_made_once_and_follows_the_setting(temporal: Client, settings: Settings) -> None:
    queue = settings.temporal.task_queue
    for every in (timedelta(hours=1), timedelta(hours=1), timedelta(minutes=30)):
        await upsert_checkpoint_schedule(temporal, queue, every)
        schedule = (await temporal.get_schedule_handle(CHECKPOINT_SCHEDULE_ID).describe()).schedule
        assert list(schedule.spec.intervals) == [ScheduleIntervalSpec(every=every)]
    await temporal.get_schedule_handle(CHECKPOINT_SCHEDULE_ID).delete()


async def test_a_worker_without_a_key_says_so_and_makes_no_schedule(temporal: Client, settings: Settings) -> None:
    without = settings.model_copy(update={"audit": settings.audit.model_copy(update={"signing_key_file": None})})
    with structlog.testing.capture_logs() as logs:
        await worker.ensure_checkpoint_schedule(temporal, without)
    assert logs == [
        {"event": "audit_signing_disabled", "log_level": "warning", "missing": "STAFETT_AUDIT__SIGNING_KEY"}
    ]
    with pytest.raises(RPCError):
        await temporal.get_schedule_handle(CHECKPOINT_SCHEDULE_ID).describe()
