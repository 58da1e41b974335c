"""The restore of backups on empty servers: of the same moment, and PostgreSQL's older or newer than the bucket's.

Temporal starts without any history each time, as its databases are not backed up.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import NamedTuple

import httpx
import pytest
import pytest_asyncio

import worker
from api.app import create_app
from stafett.cli.dev_stack import prepare_stores
from stafett.cli.storage import describe_findings
from stafett.database.maintenance import MaintenanceDatabase
from stafett.devstack.audit_key import DevAuditKey
from stafett.devstack.issuer import DevIssuer
from stafett.devstack.options import StackOptions
from stafett.devstack.stack import run_servers
from stafett.exports.bucket_reconciliation import BucketReconciliation
from stafett.exports.storage_check import StorageCheck
from stafett.settings import Settings, require_setting
from stafett.storage.files import FileStorage
from stafett.temporal.client import connect
from stafett.temporal.namespace import ensure_search_attributes
from stafett.testing import ActivityFactory, ExportClient, Tenant, create_tenant
from tests.support.audit import run_audit
from tests.support.backups import (
    DatabaseBackup,
    back_up_bucket,
    back_up_database,
    restore_bucket,
    restore_database,
)
from tests.support.exports import EXPORTS
from tests.support.reconciliation import Sweeper
from tests.support.stack_settings import create_settings

pytestmark = pytest.mark.soak


class Backups(NamedTuple):
    """Backups of two moments, and what was exported before the first, between them, and only requested then."""

    tenant: Tenant
    first_database: DatabaseBackup
    second_database: DatabaseBackup
    first_bucket: Path
    second_bucket: Path
    first_export: str
    second_export: str
    open_export: str


class Installation(NamedTuple):
    """The service on servers of its own."""

    settings: Settings
    client: ExportClient

    async def complete(self, export_id: str | None = None) -> str:
        """Complete an export, or a new one, with a worker."""
        temporal = await connect(self.settings.temporal)
        async with worker.run_queue_workers(temporal, self.settings):
            job = await self.client.wait_for_completion(export_id or await self.client.start_export())
        assert job["status"] == "completed", job
        return str(job["id"])

    async def download(self, export_id: str) -> httpx.Response:
        path = f"{EXPORTS}/{export_id}/file"
        response = await self.client.http_client.get(path, headers=self.client.headers)
        if response.status_code != httpx.codes.SEE_OTHER:
            return response
        async with httpx.AsyncClient() as browser:
            return await browser.get(response.headers["location"])

    async def sweep(self) -> int:
        """Return the number of jobs that the sweep has started."""
        temporal = await connect(self.settings.temporal)
        with closing(Sweeper(temporal, self.settings, self.client.org_id)) as sweeper:
            return (await sweeper.sweep()).started

    def diagnose(self) -> list[tuple[str, str]]:
        """Return the problems that `stafett doctor --storage` names."""
        with closing(self._open_maintenance()) as database:
            findings = StorageCheck(database, FileStorage(self.settings.s3)).run(self.client.org_id)
        return [(check.subject, check.message) for check in describe_findings(findings) if not check.ok]

    def reconcile_bucket(self) -> None:
        with closing(self._open_maintenance()) as database:
            storage = FileStorage(self.settings.s3)
            BucketReconciliation(
                database, storage, raise_if_cancelled=lambda: None, org_id=self.client.org_id
            ).reconcile()

    def _open_maintenance(self) -> MaintenanceDatabase:
        url = require_setting(self.settings.database.maintenance_url, "maintenance")
        return MaintenanceDatabase(url, pool_size=2)


@asynccontextmanager
async def open_installation(settings: Settings, issuer: DevIssuer, tenant: Tenant) -> AsyncIterator[Installation]:
    app = create_app(settings)
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    token = issuer.create_token(tenant.coordinator, tenant.org_id, "coordinator")
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="http://test") as http_client,
    ):
        yield Installation(settings, ExportClient(http_client, tenant.org_id, {"Authorization": f"Bearer {token}"}))


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def backups(
    tmp_path_factory: pytest.TempPathFactory, issuer: DevIssuer, audit_key: DevAuditKey
) -> AsyncIterator[Backups]:
    """Use an installation, back it up twice, and lose it."""
    folder = tmp_path_factory.mktemp("backups")
    for name in ("first", "second"):
        (folder / name).mkdir()
    async with run_servers(StackOptions(data_dir=folder / "lost", durable=False), lambda _line: None) as servers:
        prepare_stores(servers.addresses)
        settings = create_settings(servers, issuer, audit_key)
        owner_url = require_setting(settings.database.owner_url, "owner")
        tenant = create_tenant(owner_url)
        factory = ActivityFactory(owner_url, tenant.org_id)
        factory.create_activity(factory.create_mentor())
        async with open_installation(settings, issuer, tenant) as lost:
            first_export = await lost.complete()
            first_database = back_up_database(settings, folder / "first")
            first_bucket = back_up_bucket(settings, folder / "first-bucket")
            second_export = await lost.complete()
            open_export = await lost.client.start_export()
            second_database = back_up_database(settings, folder / "second")
            second_bucket = back_up_bucket(settings, folder / "second-bucket")
    yield Backups(
        tenant,
        first_database,
        second_database,
        first_bucket,
        second_bucket,
        first_export,
        second_export,
        open_export,
    )


@asynccontextmanager
async def restore(
    database: DatabaseBackup, bucket: Path, folder: Path, issuer: DevIssuer, audit_key: DevAuditKey, tenant: Tenant
) -> AsyncIterator[Installation]:
    """Restore two backups on new servers."""
    async with run_servers(StackOptions(data_dir=folder / "restored", durable=False), lambda _line: None) as servers:
        settings = create_settings(servers, issuer, audit_key)
        await asyncio.to_thread(restore_database, settings, database)
        await asyncio.to_thread(restore_bucket, settings, bucket)
        await ensure_search_attributes(await connect(settings.temporal))
        async with open_installation(settings, issuer, tenant) as installation:
            yield installation


async def test_backups_of_one_moment_restore_files_and_open_jobs(
    backups: Backups, tmp_path: Path, issuer: DevIssuer, audit_key: DevAuditKey
) -> None:
    """Temporal knows nothing of the open job, so the sweep starts a run of it."""
    async with restore(
        backups.second_database, backups.second_bucket, tmp_path, issuer, audit_key, backups.tenant
    ) as restored:
        assert restored.diagnose() == []
        for export_id in (backups.first_export, backups.second_export):
            assert (await restored.download(export_id)).status_code == 200
        assert await restored.sweep() == 1
        await restored.complete(backups.open_export)
        assert (await restored.download(backups.open_export)).status_code == 200
        for command in ("checkpoint", "verify"):  # the former creates the bucket of checkpoints
            (await run_audit(restored.settings, command)).require_success()


async def test_database_older_than_the_bucket_knows_the_older_exports_only(
    backups: Backups, tmp_path: Path, issuer: DevIssuer, audit_key: DevAuditKey
) -> None:
    async with restore(
        backups.first_database, backups.second_bucket, tmp_path, issuer, audit_key, backups.tenant
    ) as restored:
        ((subject, message),) = restored.diagnose()
        assert subject == "unknown export"
        assert backups.second_export in message
        restored.reconcile_bucket()
        assert [subject for subject, _ in restored.diagnose()] == ["unknown export"]  # for a week
        assert (await restored.download(backups.first_export)).status_code == 200
        assert (await restored.download(backups.second_export)).status_code == 404
        new_export = await restored.complete()
        assert (await restored.download(new_export)).status_code == 200


async def test_database_newer_than_the_bucket_offers_no_lost_file(
    backups: Backups, tmp_path: Path, issuer: DevIssuer, audit_key: DevAuditKey
) -> None:
    async with restore(
        backups.second_database, backups.first_bucket, tmp_path, issuer, audit_key, backups.tenant
    ) as restored:
        ((subject, message),) = restored.diagnose()
        assert subject == "missing objects"
        assert f"Export {backups.second_export}" in message
        assert "its file" in message
        restored.reconcile_bucket()
        assert (await restored.download(backups.first_export)).status_code == 200
        assert (await restored.download(backups.second_export)).status_code == 410
        assert (await restored.client.get_export(backups.second_export))["download_url"] is None
        restore_bucket(restored.settings, backups.second_bucket)
        assert restored.diagnose() == []
        restored.reconcile_bucket()
        assert (await restored.download(backups.second_export)).status_code == 200
