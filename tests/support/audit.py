"""Audit chains in tests: appending, tampering as a superuser, verifying as `stafett audit verify` does."""

from collections.abc import Iterator
from contextlib import closing, contextmanager

import psycopg

from stafett.audit.verification import ChainVerification, create_audit_verifier
from stafett.database.maintenance import MaintenanceDatabase
from stafett.settings import Settings, require_setting
from tests.support.dev_stack import CommandResult, run_stafett


def verify_audit_chain(settings: Settings, org_id: str) -> ChainVerification:
    url = require_setting(settings.database.maintenance_url, "maintenance")
    with closing(MaintenanceDatabase(url, pool_size=1)) as database:
        return create_audit_verifier(settings, database).verify_chain(org_id)


def append_events_to(owner: psycopg.Connection, org_id: str, count: int) -> None:
    with owner.transaction():
        owner.execute("SELECT set_config('app.org_id', %s, true)", [org_id])
        owner.execute(
            "SELECT count(append_audit_event(gen_random_uuid(), %s, 'system:test', 'tested', 'export',"
            " gen_random_uuid(), NULL, jsonb_build_object('number', n, 'words', 'æøå \" \\')))"
            " FROM generate_series(1, %s) n",
            [org_id, count],
        )


@contextmanager
def disable_append_only_trigger(owner: psycopg.Connection) -> Iterator[psycopg.Connection]:
    """Allow changes of audit events inside the block, as only a superuser can."""
    with owner.transaction():
        owner.execute("ALTER TABLE audit_events DISABLE TRIGGER audit_events_append_only")
        yield owner
        owner.execute("ALTER TABLE audit_events ENABLE ALWAYS TRIGGER audit_events_append_only")


def rewrite_chain(owner: psycopg.Connection, org_id: str, first_seq: int) -> None:
    """Replace the events from `first_seq` on, with the function that appends them, so that all hashes are valid."""
    with disable_append_only_trigger(owner):
        row = owner.execute("SELECT count(*) FROM audit_events WHERE org_id = %s", [org_id]).fetchone()
        owner.execute("DELETE FROM audit_events WHERE org_id = %s AND seq >= %s", [org_id, first_seq])
    assert row is not None
    append_events_to(owner, org_id, row[0] - first_seq + 1)


def create_environment(settings: Settings, **overrides: str) -> dict[str, str]:
    s3, audit = settings.s3, settings.audit
    return {
        "STAFETT_DATABASE__MAINTENANCE_URL": require_setting(settings.database.maintenance_url, "maintenance"),
        "STAFETT_S3__ENDPOINT": str(s3.endpoint),
        "STAFETT_S3__ACCESS_KEY": s3.access_key,
        "STAFETT_S3__SECRET_KEY": s3.secret_key.get_secret_value(),
        "STAFETT_AUDIT__BUCKET": audit.bucket,
        "STAFETT_AUDIT__SIGNING_KEY_FILE": str(audit.signing_key_file),
        **overrides,
    }


async def run_audit(settings: Settings, *arguments: str, **overrides: str) -> CommandResult:
    return await run_stafett("audit", *arguments, env=create_environment(settings, **overrides))
