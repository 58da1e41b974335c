"""Faults that stop a re-export in a given state: rejected audit events and locked tables."""

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Event
from typing import Any
from uuid import UUID

import psycopg
import pytest
from temporalio.client import Client

from stafett.database.session import Database
from stafett.database.tables import Reexport
from stafett.domain.reexport_job import ReexportJob
from stafett.reports import steps
from stafett.testing import Json, wait_until
from tests.support.exports import REJECT_EVENT_FUNCTION, drop_trigger
from tests.support.reconciliation import wait_until_run_is_open
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


@contextmanager
def suspend_step(monkeypatch: pytest.MonkeyPatch, function: str) -> Iterator[None]:
    """Suspend a step in a function that it calls, in the worker of this process, for the length of the block."""
    resumed, call = Event(), getattr(steps, function)

    def call_later(*args: Any) -> Any:
        resumed.wait(60)
        return call(*args)

    monkeypatch.setattr(steps, function, call_later)
    try:
        yield
    finally:
        resumed.set()


async def wait_until_exporting(reexport_client: ReexportClient, reexport_id: str) -> Json:
    """Wait until the child export of the re-export is running."""
    return await wait_until(
        lambda: reexport_client.get_reexport(reexport_id),
        lambda job: bool(job["progress"]) and job["status"] == "exporting",
    )


async def start_without_run(
    reexport_client: ReexportClient, report_id: str, temporal: Client, database: Database
) -> ReexportJob:
    """Start a re-export and terminate its run, so that the test executes its steps."""
    reexport_id = await reexport_client.start_reexport(report_id)
    await wait_until_run_is_open(temporal, f"report-reexport/{report_id}")
    await temporal.get_workflow_handle(f"report-reexport/{report_id}").terminate()
    with database.transaction(reexport_client.export_client.org_id) as session:
        return session.get_one(Reexport, UUID(reexport_id)).job
