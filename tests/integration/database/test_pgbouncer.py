"""The whole service behind PgBouncer in transaction mode, where the next transaction may have another connection."""

import shutil
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import httpx
import psycopg
import pytest
import pytest_asyncio
from sqlalchemy import text
from temporalio.client import Client

from stafett.database.session import Database, Timeouts
from stafett.domain.export_job import SweepReport
from stafett.settings import Settings, require_setting
from stafett.testing import ActivityFactory, ExportClient, Tenant
from tests.support.audit import run_audit
from tests.support.bulk import BulkClient, create_mentors
from tests.support.fixture_types import RunWorker
from tests.support.job_events import parse_events
from tests.support.pgbouncer import SERVER_CONNECTIONS_PER_ROLE, run_pgbouncer
from tests.support.reconciliation import Sweeper, wait_until_run_is_open
from tests.support.reexports import ReexportClient

pytestmark = [
    pytest.mark.soak,
    pytest.mark.skipif(shutil.which("pgbouncer") is None, reason="PgBouncer is not installed"),
]

YEAR = {"start": "2026-01-01", "end": "2026-12-31"}


@pytest_asyncio.fixture(loop_scope="session")
async def settings(settings: Settings, tmp_path: Path) -> AsyncIterator[Settings]:
    """Settings of processes that all connect to PgBouncer; the owner and the listener connect to PostgreSQL."""
    async with run_pgbouncer(tmp_path, settings) as pooled:
        yield pooled


async def test_exports_reexports_and_previews_run_behind_pgbouncer(
    export_client: ExportClient, activity_factory: ActivityFactory, run_worker: RunWorker, settings: Settings
) -> None:
    mentor = activity_factory.create_mentor()
    for _ in range(3):
        activity_factory.create_activity(mentor)
    reexports, http = ReexportClient(export_client), export_client.http_client
    body = {"org_id": export_client.org_id, "reporting_period": YEAR, "export_format": "xlsx"}
    async with run_worker():
        preview = await http.post("/api/v1/bufdir-exports/preview", json=body, headers=export_client.headers)
        assert preview.raise_for_status().json()["counts"]["queried"] == 3
        report = await reexports.create_report(export_format="xlsx")
        same = await reexports.complete_reexport(report, source="same_snapshot")
        activity_factory.create_activity(mentor)
        current = await reexports.complete_reexport(report, source="current_data")
    assert [job["status"] for job in (same, current)] == ["completed", "completed"]
    assert [version["version"] for version in await reexports.list_versions(report)] == [1, 2, 3]
    pooling = {"STAFETT_DATABASE__TRANSACTION_POOLING": "true"}
    (await run_audit(settings, "verify", "--org", export_client.org_id, **pooling)).require_success()


async def test_event_stream_gets_transitions_by_the_listening_connection(
    export_client: ExportClient, activity_factory: ActivityFactory, run_worker: RunWorker
) -> None:
    activity_factory.create_activity(activity_factory.create_mentor())
    export_id = await export_client.start_export()
    async with run_worker():
        stream = await export_client.http_client.get(
            f"/api/v1/bufdir-exports/{export_id}/events", headers=export_client.headers
        )
    statuses = [event.data["status"] for event in parse_events(stream.text) if event.name == "status"]
    assert (statuses[0], statuses[-1]) == ("initialised", "completed")


async def test_batch_runs_behind_pgbouncer(
    api_client: httpx.AsyncClient, tenant: Tenant, export_client: ExportClient, owner_url: str, run_worker: RunWorker
) -> None:
    client = BulkClient(api_client, tenant.org_id, export_client.headers)
    mentors = create_mentors(owner_url, tenant.org_id, 600)
    inactive = create_mentors(owner_url, tenant.org_id, 1, active=False)
    async with run_worker():
        batch = await client.wait_for_completion((await client.start_batch([*mentors, *inactive]))["id"])
    assert (batch["status"], batch["counts"]["registered"], batch["counts"]["failed"]) == (
        "completed_with_failures",
        600,
        1,
    )


async def test_reconciliation_closes_a_terminated_job_behind_pgbouncer(
    export_client: ExportClient, temporal: Client, settings: Settings, tenant: Tenant
) -> None:
    export_id = await export_client.start_export()
    await wait_until_run_is_open(temporal, f"bufdir-export/{export_id}")
    await temporal.get_workflow_handle(f"bufdir-export/{export_id}").terminate()
    with closing(Sweeper(temporal, settings, tenant.org_id)) as sweeper:
        assert await sweeper.sweep() == SweepReport(failed=1)
    assert (await export_client.get_export(export_id))["status"] == "failed"


def test_more_clients_than_server_connections_see_their_own_organisation(settings: Settings) -> None:
    """Each transaction sets its tenant and its timeouts, and leaves none of them on the connection."""
    setting = text("SELECT current_setting('app.org_id'), current_setting('statement_timeout')")
    clients = 10 * SERVER_CONNECTIONS_PER_ROLE

    def read(number: int) -> tuple[str, str]:
        with database.transaction(f"org{number}") as session:
            org_id, timeout = session.execute(setting).one()
            return org_id, timeout

    url = require_setting(settings.database.api_url, "api")
    database = Database(url, pool_size=10, timeouts=Timeouts.INTERACTIVE, transaction_pooling=True)
    with closing(database), ThreadPoolExecutor(10) as threads:
        assert [*threads.map(read, range(clients))] == [(f"org{number}", "15s") for number in range(clients)]
        assert [
            row.current_setting for row in database.execute(text("SELECT current_setting('lock_timeout')"), {})
        ] == ["5s"]
    with psycopg.connect(require_setting(settings.database.api_url, "api")) as connection:
        assert connection.execute("SHOW statement_timeout").fetchone() == ("0",)
        row = connection.execute("SELECT nullif(current_setting('app.org_id', true), '')").fetchone()
    assert row == (None,)
