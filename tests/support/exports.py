"""Exports that fail at an audit event, their retries, and the events and objects that they leave."""

import csv
import io
from uuid import UUID, uuid4

import httpx
import psycopg
from temporalio.api.workflow.v1 import PendingActivityInfo
from temporalio.client import Client

from stafett.database.tables import Export
from stafett.domain.export_job import ExportJob
from stafett.domain.export_status import ExportStatus
from stafett.exports.stage_inputs import StageInputs, load_inputs
from stafett.exports.stage_store import StageStore
from stafett.temporal.runs import describe_latest_run
from stafett.testing import ExportClient, Tenant

EXPORTS = "/api/v1/bufdir-exports"


def load_stage_inputs(stage_store: StageStore, job: ExportJob) -> StageInputs:
    """Load what a stage that is started now would get, without starting it."""
    with stage_store._database.transaction(job.org_id) as session:  # noqa: SLF001 - the same database
        export = session.get_one(Export, job.export_id)
        return load_inputs(session, job, export, ExportStatus.GENERATING_FILE)


def export_prefix(org_id: str, export_id: str) -> str:
    return f"exports/{org_id}/{export_id}/"


def fetch_events(owner_url: str, export_id: str) -> list[str]:
    with psycopg.connect(owner_url) as connection:
        query = "SELECT event FROM audit_events WHERE subject_id = %s ORDER BY seq"
        return [event for (event,) in connection.execute(query, [export_id]).fetchall()]


async def fetch_pending_activities(temporal: Client, export_id: str) -> list[PendingActivityInfo]:
    """Return none before the run exists: the API starts it in the background, after it has responded."""
    run = await describe_latest_run(temporal, f"bufdir-export/{export_id}")
    return list(run.raw_description.pending_activities) if run else []


async def retry_export(export_client: ExportClient, export_id: str, key: str | None = None) -> httpx.Response:
    headers = export_client.headers | ({"Idempotency-Key": key} if key else {})
    return await export_client.http_client.post(f"{EXPORTS}/{export_id}/retry", headers=headers)


async def fetch_deviations(client: ExportClient, export_id: str) -> list[dict[str, str]]:
    response = await client.http_client.get(f"{EXPORTS}/{export_id}/deviations.csv", headers=client.headers)
    assert response.status_code == 200, response.text
    assert response.headers["content-type"].startswith("text/csv")
    return list(csv.DictReader(io.StringIO(response.content.decode("utf-8-sig"), newline=""), delimiter=";"))


def create_colleague(owner_url: str, tenant: Tenant) -> UUID:
    """Create another coordinator of the organisation, who did not start the export."""
    user_id = uuid4()
    with psycopg.connect(owner_url) as connection:
        connection.execute("INSERT INTO users VALUES (%s, %s, 'Kollega', false)", [user_id, f"{user_id}@example.org"])
        connection.execute("INSERT INTO memberships VALUES (%s, %s, 'coordinator')", [user_id, tenant.org_id])
    return user_id


REJECT_EVENT_FUNCTION = """
CREATE OR REPLACE FUNCTION reject_event() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.event = TG_ARGV[0] AND NEW.org_id = TG_ARGV[1] THEN
        RAISE EXCEPTION 'simulated fault' USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END $$
"""


async def fail_export_at_event(export_client: ExportClient, owner_url: str, event: str) -> str:
    """Run an export that fails because its audit event is rejected; `drop_trigger` repairs it."""
    with psycopg.connect(owner_url) as connection:
        connection.execute(REJECT_EVENT_FUNCTION)
        connection.execute(
            "CREATE OR REPLACE TRIGGER simulated_fault BEFORE INSERT ON audit_events FOR EACH ROW"
            f" EXECUTE FUNCTION reject_event('{event}', '{export_client.org_id}')".encode()
        )
    export_id = await export_client.start_export()
    job = await export_client.wait_for_completion(export_id)
    assert (job["status"], job["error"]["code"]) == (ExportStatus.FAILED, "audit_service_unavailable")
    assert (job["download_url"], job["error"]["retryable"]) == (None, True)
    return export_id


def drop_trigger(owner_url: str) -> None:
    with psycopg.connect(owner_url) as connection:
        connection.execute("DROP TRIGGER simulated_fault ON audit_events")
