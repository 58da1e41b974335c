"""Chains after a restore of PostgreSQL to an earlier moment: declared once, and signed again from then on."""

import io
import json
from collections.abc import Callable

import psycopg
import pytest
from minio import Minio

from stafett.audit.checkpointing import AuditCheckpointer
from stafett.audit.restores import create_restore_declarer
from stafett.database.session import Database
from stafett.domain.audit_chain import CheckpointReport, DeclaredRestore
from stafett.settings import Settings
from tests.support.audit import (
    append_events_to,
    create_environment,
    disable_append_only_trigger,
    run_audit,
    verify_audit_chain,
)
from tests.support.dev_stack import run_stafett

AppendEvents = Callable[[int], None]
DeclareRestore = Callable[[str], DeclaredRestore]


def restore_to(owner: psycopg.Connection, org_id: str, seq: int) -> None:
    """Leave the chain as a restore to the moment of this event does."""
    with disable_append_only_trigger(owner):
        owner.execute("DELETE FROM audit_events WHERE org_id = %s AND seq > %s", [org_id, seq])


@pytest.fixture
def signed_chain(org_id: str, append_events: AppendEvents, checkpointer: AuditCheckpointer) -> str:
    """Sign a chain of six events, at its second, fourth and sixth event."""
    for _ in range(3):
        append_events(2)
        checkpointer([org_id])
    return org_id


@pytest.fixture
def declare_restore(settings: Settings, maintenance_database: Database) -> DeclareRestore:
    declarer = create_restore_declarer(settings, maintenance_database)
    assert declarer is not None

    def declare_restore(org_id: str) -> DeclaredRestore:
        declaration = declarer.find_lost_events(org_id)
        assert declaration is not None
        return declarer.declare(declaration)

    return declare_restore


@pytest.mark.parametrize("surviving", [0, 1, 2, 3, 5])
@pytest.mark.parametrize("added", [0, 1, 4], ids=lambda count: f"{count}-events-since")
def test_declared_restore_is_no_finding_and_the_chain_is_signed_again(
    surviving: int,
    added: int,
    settings: Settings,
    signed_chain: str,
    owner: psycopg.Connection,
    checkpointer: AuditCheckpointer,
    declare_restore: DeclareRestore,
) -> None:
    restore_to(owner, signed_chain, surviving)
    append_events_to(owner, signed_chain, added)
    assert checkpointer([signed_chain]).written == 0
    restore = declare_restore(signed_chain)
    assert (restore.first_lost_seq, restore.last_lost_seq) == (surviving + 1, 6)
    append_events_to(owner, signed_chain, 1)
    assert checkpointer([signed_chain]) == CheckpointReport(written=1)
    assert checkpointer([signed_chain]) == CheckpointReport(unchanged=1)
    verification = verify_audit_chain(settings, signed_chain)
    assert (verification.broken, verification.last_seq) == (None, surviving + added + 1)
    assert verification.restores == (restore,)


async def test_declare_restore_command_names_the_lost_events(
    settings: Settings, signed_chain: str, owner: psycopg.Connection
) -> None:
    restore_to(owner, signed_chain, 4)
    result = await run_audit(settings, "declare-restore", "--org", signed_chain, "--yes")
    message = f"Events 5 to 6 of {signed_chain} were lost by a restore, declared at "
    assert (result.exit_code, result.stdout.startswith(message)) == (0, True)
    verified = await run_audit(settings, "verify", "--org", signed_chain)
    assert (verified.exit_code, verified.stdout.splitlines()[1]) == (0, result.stdout.strip())


def test_truncation_after_a_declared_restore_is_tampering(
    settings: Settings,
    signed_chain: str,
    owner: psycopg.Connection,
    checkpointer: AuditCheckpointer,
    declare_restore: DeclareRestore,
) -> None:
    restore_to(owner, signed_chain, 3)
    declare_restore(signed_chain)
    append_events_to(owner, signed_chain, 4)
    assert checkpointer([signed_chain]).written == 1
    for seq, first_missing in ((5, 6), (2, 3)):
        restore_to(owner, signed_chain, seq)
        broken = verify_audit_chain(settings, signed_chain).broken
        assert broken is not None
        assert broken.seq == first_missing
        assert [record.seq for record in checkpointer([signed_chain]).broken_records] == [first_missing]


def test_second_restore_to_an_earlier_moment_can_be_declared(
    settings: Settings,
    signed_chain: str,
    owner: psycopg.Connection,
    checkpointer: AuditCheckpointer,
    declare_restore: DeclareRestore,
) -> None:
    for seq in (4, 1):
        restore_to(owner, signed_chain, seq)
        append_events_to(owner, signed_chain, 3)
        declare_restore(signed_chain)
        assert checkpointer([signed_chain]).written == 1
    verification = verify_audit_chain(settings, signed_chain)
    assert verification.broken is None
    assert [(restore.first_lost_seq, restore.last_lost_seq) for restore in verification.restores] == [(5, 6), (2, 7)]


async def test_changed_event_is_not_declared_as_a_restore(
    settings: Settings, signed_chain: str, owner: psycopg.Connection
) -> None:
    with disable_append_only_trigger(owner):
        owner.execute("UPDATE audit_events SET actor = 'x' WHERE org_id = %s AND seq = 3", [signed_chain])
    for seq in (6, 4):
        restore_to(owner, signed_chain, seq)
        result = await run_audit(settings, "declare-restore", "--yes", "--org", signed_chain)
        assert (result.exit_code, result.stdout) == (1, "")
        assert "not as a restore would break it" in result.stderr
    assert verify_audit_chain(settings, signed_chain).restores == ()


async def test_unbroken_chain_needs_no_declaration(settings: Settings, signed_chain: str) -> None:
    result = await run_audit(settings, "declare-restore", "--yes", "--org", signed_chain, "--json")
    assert (result.exit_code, result.json) == (0, {"restores": []})


async def test_declaration_requires_a_confirmation_and_the_signing_key(
    settings: Settings, signed_chain: str, owner: psycopg.Connection
) -> None:
    restore_to(owner, signed_chain, 4)
    refused = await run_stafett("audit", "declare-restore", "--org", signed_chain, env=create_environment(settings))
    assert refused.exit_code == 4
    assert f"{signed_chain}: signed events 5 to 6 are lost; the chain continues after event 4." in refused.stderr
    no_key = await run_audit(
        settings, "declare-restore", "--yes", "--org", signed_chain, STAFETT_AUDIT__SIGNING_KEY_FILE=""
    )
    assert no_key.exit_code == 4
    assert verify_audit_chain(settings, signed_chain).restores == ()


def test_forged_declaration_is_a_finding(
    settings: Settings, signed_chain: str, owner: psycopg.Connection, s3: Minio, declare_restore: DeclareRestore
) -> None:
    restore_to(owner, signed_chain, 4)
    declare_restore(signed_chain)
    key, file = f"restores/{signed_chain}/{6:020}.json", settings.audit.bucket
    forged = json.dumps(json.loads(s3.get_object(file, key).data) | {"seq": 2}).encode()
    s3.put_object(settings.audit.bucket, key, io.BytesIO(forged), len(forged))
    broken = verify_audit_chain(settings, signed_chain).broken
    assert broken is not None
    assert broken.reason == "the declared restore that lost it has an invalid signature"
