"""Faults that stop a re-export in a given state: rejected audit events and locked tables."""

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg

from stafett.testing import Json, wait_until
from tests.support.exports import REJECT_EVENT_FUNCTION, drop_trigger
from tests.support.reexports import ReexportClient


@contextmanager
def reject_audit_event(owner_url: str, org_id: str, event: str) -> Iterator[None]:
    """Make every commit of the organisation fail that writes this audit event."""
    with psycopg.connect(owner_url) as connection:
        connection.execute(REJECT_EVENT_FUNCTION)
        connection.execute(
            "CREATE OR REPLACE TRIGGER simulated_fault BEFORE INSERT ON audit_events FOR EACH ROW"
            f" EXECUTE FUNCTION reject_event('{event}', '{org_id}')".encode()
        )
    try:
        yield
    finally:
        drop_trigger(owner_url)


@contextmanager
def lock_table(owner_url: str, table: str) -> Iterator[None]:
    """Block every statement that uses the table."""
    with psycopg.connect(owner_url) as connection:
        connection.execute(f"LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE".encode())
        yield


async def wait_until_exporting(reexport_client: ReexportClient, reexport_id: str) -> Json:
    """Wait until the child export of the re-export is running."""
    return await wait_until(
        lambda: reexport_client.get_reexport(reexport_id),
        lambda job: bool(job["progress"]) and job["status"] == "exporting",
    )
