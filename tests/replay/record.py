"""Record histories of the workflows at a release: `python tests/replay/record.py VERSION`.

An existing history is never overwritten: runs of that version may still be open somewhere.
"""

import asyncio
import re
import sys
import tempfile
from contextlib import closing
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import psycopg
from temporalio.client import Client, WorkflowHandle

import worker
from api.previews import await_preview
from stafett.bulk.commands import BulkCommands
from stafett.bulk.service import BulkService
from stafett.cli.dev_stack import prepare_stores, settings_from_addresses
from stafett.database.session import Database
from stafett.devstack.mail_server import MailFolder, run_mail_server
from stafett.devstack.options import StackOptions
from stafett.devstack.stack import RunningServers, run_servers
from stafett.domain import bulk
from stafett.domain.bulk import BulkRequest
from stafett.domain.export import ExportRequest
from stafett.domain.export_preview import PreviewJob
from stafett.domain.membership import Caller, Role
from stafett.domain.reexport import ReexportRequest
from stafett.domain.reexport_job import ReexportJob
from stafett.exports.commands import ExportCommands
from stafett.exports.service import ExportService
from stafett.reports.reexports import ReexportService
from stafett.settings import MailSettings, Settings, require_setting
from stafett.storage.files import FileStorage
from stafett.temporal.client import CANCEL_SIGNAL, cancel_job, connect, start_job
from stafett.testing import ActivityFactory, Tenant, create_tenant, wait_until
from tests.support.bulk import build_batch

HISTORIES = Path(__file__).parent / "histories"


async def main(release: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        async with run_servers(StackOptions(data_dir=Path(folder) / "data", durable=False)) as running:
            prepare_stores(running.addresses)
            mail = MailFolder(Path(folder) / "mail")
            async with run_mail_server(mail, 0) as port:
                settings = _with_mail(running, port)
                await _record_cancellations(settings, release)
                await _record(settings, release)
                await _record_reexports(settings, release)


async def _record_reexports(settings: Settings, release: str) -> None:
    """Record a completed re-export with its child export, one that fails without rows, and cancelled ones."""
    client, owner_url = await connect(settings.temporal), require_setting(settings.database.owner_url, "owner")
    tenants = {
        end: create_tenant(owner_url) for end in ("completed", "failed", "cancelled-by-api", "cancelled-by-signal")
    }
    reports = {}
    async with worker.run_queue_workers(client, settings):
        for end, tenant in tenants.items():
            activity_factory = ActivityFactory(owner_url, tenant.org_id)
            activity_factory.create_activity(activity_factory.create_mentor(), note="Kari Nordmann var med")
            await _record_export(client, settings, tenant)
            reports[end] = _find_report(owner_url, tenant)
        _delete_activities(owner_url, tenants["failed"])
        for end in ("completed", "failed"):
            run = await start_job(
                client, _accept_reexport(settings, tenants[end], reports[end]), settings.temporal.task_queue
            )
            _store(f"ReportReexport-{release}-{end}.json", await _fetch_history(run))
            if end == "completed":
                child = client.get_workflow_handle(f"bufdir-export/{_find_export(owner_url, run.id)}")
                _store(f"BufdirExport-{release}-reexport.json", await _fetch_history(child))
    runs = {}
    for end in ("cancelled-by-api", "cancelled-by-signal"):
        job = _accept_reexport(settings, tenants[end], reports[end])
        runs[end] = await start_job(client, job, settings.temporal.task_queue)
        await (runs[end].signal(CANCEL_SIGNAL) if end.endswith("signal") else cancel_job(client, job))
    async with worker.run_queue_workers(client, settings):
        for end, run in runs.items():
            _store(f"ReportReexport-{release}-{end}.json", await _fetch_history(run))


def _accept_reexport(settings: Settings, tenant: Tenant, report_id: UUID) -> ReexportJob:
    with closing(Database(require_setting(settings.database.api_url, "api"))) as database:
        caller = Caller(user_id=tenant.coordinator, org_id=tenant.org_id, role=Role.COORDINATOR)
        return ReexportService(database).accept(caller, ReexportRequest(report_id=report_id)).reexport.job


def _find_report(owner_url: str, tenant: Tenant) -> UUID:
    with psycopg.connect(owner_url) as connection:
        row = connection.execute("SELECT id FROM reports WHERE org_id = %s", [tenant.org_id]).fetchone()
    return UUID(str(row[0])) if row else UUID(int=0)


def _find_export(owner_url: str, workflow_id: str) -> str:
    with psycopg.connect(owner_url) as connection:
        report_id = workflow_id.partition("/")[2]
        row = connection.execute("SELECT export_id FROM report_reexports WHERE report_id = %s", [report_id]).fetchone()
    return str(row[0]) if row else ""


def _delete_activities(owner_url: str, tenant: Tenant) -> None:
    with psycopg.connect(owner_url) as connection:
        connection.execute("UPDATE activities SET deleted_at = now() WHERE org_id = %s", [tenant.org_id])


async def _fetch_history(run: WorkflowHandle[Any, Any]) -> str:
    """Wait for the run to close and return its history."""
    await wait_until(run.describe, lambda described: described.close_time is not None)
    return _remove_machine_details((await run.fetch_history()).to_json())


async def _record(settings: Settings, release: str) -> None:
    client = await connect(settings.temporal)
    async with worker.run_queue_workers(client, settings):
        owner_url = require_setting(settings.database.owner_url, "owner")
        full, empty, without_activities = (create_tenant(owner_url) for _ in range(3))
        activity_factory = ActivityFactory(owner_url, full.org_id)
        activity = activity_factory.create_activity(activity_factory.create_mentor(), note="Kari Nordmann var med")
        activity_factory.create_attachment(FileStorage(settings.s3), activity)
        for name, tenant, parameters in (
            ("completed", full, {}),
            ("bundled", full, {"include_attachments": True}),
            ("empty", empty, {}),
            ("failed", without_activities, {"fail_on_empty": True}),
        ):
            history = await _record_export(client, settings, tenant, **parameters)
            _store(f"BufdirExport-{release}-{name}.json", history)
        _store(f"BulkRegistration-{release}-registered.json", await _record_batch(client, settings, full))
        _store(f"SendNotifications-{release}-sent.json", await _record_notifications(client, full))
        _store(f"PreviewExport-{release}-previewed.json", await _record_preview(client, settings, full))


async def _record_cancellations(settings: Settings, release: str) -> None:
    """Cancel jobs before a worker runs: through the API, by signal, and in the database alone."""
    client, tenant = (
        await connect(settings.temporal),
        create_tenant(require_setting(settings.database.owner_url, "owner")),
    )
    runs = {by: await _start_and_cancel_export(client, settings, tenant, by) for by in ("api", "signal", "database")}
    batch = await _start_and_cancel_batch(client, settings, tenant)
    async with worker.run_queue_workers(client, settings):
        await wait_until(batch.describe, lambda described: described.close_time is not None)
        _store(
            f"BulkRegistration-{release}-cancelled.json",
            _remove_machine_details((await batch.fetch_history()).to_json()),
        )
        for by, run in runs.items():
            await wait_until(run.describe, lambda described: described.close_time is not None)
            _store(
                f"BufdirExport-{release}-cancelled-by-{by}.json",
                _remove_machine_details((await run.fetch_history()).to_json()),
            )


async def _start_and_cancel_export(
    client: Client, settings: Settings, tenant: Tenant, by: str
) -> WorkflowHandle[Any, Any]:
    with closing(Database(require_setting(settings.database.api_url, "api"))) as database:
        caller = Caller(user_id=tenant.coordinator, org_id=tenant.org_id, role=Role.COORDINATOR)
        job = ExportService(database).accept(caller, _request(tenant)).export.job
        run = await start_job(client, job, settings.temporal.task_queue)
        if by == "signal":
            await run.signal(CANCEL_SIGNAL)
        else:
            ExportCommands(database).cancel(caller, job.export_id)
        if by == "api":
            await cancel_job(client, job)
    return run


async def _record_batch(client: Client, settings: Settings, tenant: Tenant) -> str:
    """Record a batch with more chunks than the window takes, one of whose mentors does not exist."""
    owner_url, items_per_chunk = require_setting(settings.database.owner_url, "owner"), bulk.ITEMS_PER_CHUNK
    bulk.ITEMS_PER_CHUNK = 2
    mentors = [ActivityFactory(owner_url, tenant.org_id).create_mentor() for _ in range(40)]
    request = BulkRequest.model_validate(build_batch(tenant.org_id, [*mentors, uuid4()]))
    with closing(Database(require_setting(settings.database.api_url, "api"))) as database:
        caller = Caller(user_id=tenant.coordinator, org_id=tenant.org_id, role=Role.COORDINATOR)
        job = BulkService(database).accept(caller, request).batch.job
    bulk.ITEMS_PER_CHUNK = items_per_chunk
    run = await start_job(client, job, settings.temporal.task_queue)
    await run.result()
    return _remove_machine_details((await client.get_workflow_handle(run.id).fetch_history()).to_json())


async def _start_and_cancel_batch(client: Client, settings: Settings, tenant: Tenant) -> WorkflowHandle[Any, Any]:
    request = BulkRequest.model_validate(build_batch(tenant.org_id, [uuid4()]))
    with closing(Database(require_setting(settings.database.api_url, "api"))) as database:
        caller = Caller(user_id=tenant.coordinator, org_id=tenant.org_id, role=Role.COORDINATOR)
        batch = BulkService(database).accept(caller, request).batch
        run = await start_job(client, batch.job, settings.temporal.task_queue)
        BulkCommands(database).cancel(caller, batch.id)
    await cancel_job(client, batch.job)
    return run


def _with_mail(running: RunningServers, port: int) -> Settings:
    defaults = {"host": "127.0.0.1", "tls": "none", "sender": "s@stafett.example", "public_url": "https://s.example"}
    mail = MailSettings.model_validate(defaults | {"port": port})
    return settings_from_addresses(running.addresses).model_copy(update={"mail": mail})


async def _record_notifications(client: Client, tenant: Tenant) -> str:
    """Return the history of the organisation's newest notification run, once it has closed."""
    query = f"WorkflowType = 'SendNotifications' AND OrgId = '{tenant.org_id}' AND ExecutionStatus = 'Completed'"

    async def list_closed_runs() -> list[str]:
        return [run.id async for run in client.list_workflows(query)]

    newest, *_ = await wait_until(list_closed_runs, bool)
    return _remove_machine_details((await client.get_workflow_handle(newest).fetch_history()).to_json())


def _store(name: str, history: str) -> None:
    if (HISTORIES / name).exists():
        print(f"{name} exists and is not overwritten.")  # noqa: T201 - the output of a script
    else:
        (HISTORIES / name).write_text(history, encoding="utf-8")


async def _record_preview(client: Client, settings: Settings, tenant: Tenant) -> str:
    job = PreviewJob(preview_id=uuid4(), request=_request(tenant))
    await await_preview(client, settings.temporal.task_queue, job)
    return _remove_machine_details((await client.get_workflow_handle(job.workflow_id).fetch_history()).to_json())


def _request(tenant: Tenant, **parameters: bool) -> ExportRequest:
    defaults = {
        "org_id": tenant.org_id,
        "requesting_user_id": tenant.coordinator,
        "reporting_period": {"start": "2026-01-01", "end": "2026-12-31"},
        "export_format": "csv",
    }
    return ExportRequest.model_validate(defaults | parameters)


async def _record_export(client: Client, settings: Settings, tenant: Tenant, **parameters: bool) -> str:
    database = Database(require_setting(settings.database.api_url, "api"))
    try:
        caller = Caller(user_id=tenant.coordinator, org_id=tenant.org_id, role=Role.COORDINATOR)
        request = _request(tenant, **parameters)
        accepted = ExportService(database).accept(caller, request, str(uuid4()))
    finally:
        database.close()
    run = await start_job(client, accepted.export.job, settings.temporal.task_queue)
    await wait_until(run.describe, lambda described: described.close_time is not None)
    return _remove_machine_details((await run.fetch_history()).to_json())


def _remove_machine_details(history: str) -> str:
    """Remove the recording machine's identity and paths, which a replay does not need."""
    history = re.sub(r'("identity": )"[^"]*"', r'\1"recorder"', history)
    history = re.sub(r'"[^"]*@[^"]*"', '"a-worker"', history)
    return re.sub(r'("stackTrace": )"(?:[^"\\]|\\.)*"', r'\1""', history)


if __name__ == "__main__":
    match sys.argv[1:]:
        case [release] if re.fullmatch(r"\d+(\.\d+)*", release):
            asyncio.run(main(release))
        case _:
            sys.exit("Usage: python tests/replay/record.py VERSION")
