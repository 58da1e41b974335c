"""Records what the workflows do today: `python tests/replay/record.py RELEASE`, whenever a shape is released.

A history is never recorded over: it stands for runs that are still going on somewhere.
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
from tests.bulk import body

HISTORIES = Path(__file__).parent / "histories"


async def main(release: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        async with run_servers(StackOptions(data_dir=Path(folder) / "data", durable=False)) as running:
            prepare_stores(running.addresses)
            mail = MailFolder(Path(folder) / "mail")
            async with run_mail_server(mail, 0) as port:
                settings = _with_mail(running, port)
                await _record_cancelled(settings, release)
                await _record(settings, release)
                await _record_reexports(settings, release)


async def _record_reexports(settings: Settings, release: str) -> None:
    """A report made again, with its export; one of which no rows are left; and those that are stopped."""
    client, owner_url = await connect(settings.temporal), require_setting(settings.database.owner_url, "owner")
    tenants = {
        end: create_tenant(owner_url) for end in ("completed", "failed", "cancelled-by-gateway", "cancelled-by-signal")
    }
    reports = {}
    async with worker.run_queue_workers(client, settings):
        for end, tenant in tenants.items():
            diary = ActivityFactory(owner_url, tenant.org_id)
            diary.create_activity(diary.create_mentor(), note="Kari Nordmann var med")
            await _exported(client, settings, tenant)
            reports[end] = _report_of(owner_url, tenant)
        _forget_rows(owner_url, tenants["failed"])
        for end in ("completed", "failed"):
            run = await start_job(client, _again(settings, tenants[end], reports[end]), settings.temporal.task_queue)
            _keep(f"ReportReexport-{release}-{end}.json", await _whole(run))
            if end == "completed":
                child = client.get_workflow_handle(f"bufdir-export/{_export_of(owner_url, run.id)}")
                _keep(f"BufdirExport-{release}-made-again.json", await _whole(child))
    runs = {}
    for end in ("cancelled-by-gateway", "cancelled-by-signal"):
        job = _again(settings, tenants[end], reports[end])
        runs[end] = await start_job(client, job, settings.temporal.task_queue)
        await (runs[end].signal(CANCEL_SIGNAL) if end.endswith("signal") else cancel_job(client, job))
    async with worker.run_queue_workers(client, settings):
        for end, run in runs.items():
            _keep(f"ReportReexport-{release}-{end}.json", await _whole(run))


def _again(settings: Settings, tenant: Tenant, report_id: UUID) -> ReexportJob:
    with closing(Database(require_setting(settings.database.api_url, "api"))) as database:
        caller = Caller(user_id=tenant.coordinator, org_id=tenant.org_id, role=Role.COORDINATOR)
        return ReexportService(database).accept(caller, ReexportRequest(report_id=report_id)).reexport.job


def _report_of(owner_url: str, tenant: Tenant) -> UUID:
    with psycopg.connect(owner_url) as connection:
        row = connection.execute("SELECT id FROM reports WHERE org_id = %s", [tenant.org_id]).fetchone()
    return UUID(str(row[0])) if row else UUID(int=0)


def _export_of(owner_url: str, workflow_id: str) -> str:
    with psycopg.connect(owner_url) as connection:
        report_id = workflow_id.partition("/")[2]
        row = connection.execute("SELECT export_id FROM report_reexports WHERE report_id = %s", [report_id]).fetchone()
    return str(row[0]) if row else ""


def _forget_rows(owner_url: str, tenant: Tenant) -> None:
    with psycopg.connect(owner_url) as connection:
        connection.execute("UPDATE activities SET deleted_at = now() WHERE org_id = %s", [tenant.org_id])


async def _whole(run: WorkflowHandle[Any, Any]) -> str:
    """The history of a run that has come to its end."""
    await wait_until(run.describe, lambda described: described.close_time is not None)
    return _of_no_machine((await run.fetch_history()).to_json())


async def _record(settings: Settings, release: str) -> None:
    client = await connect(settings.temporal)
    async with worker.run_queue_workers(client, settings):
        owner_url = require_setting(settings.database.owner_url, "owner")
        full, empty, left = (create_tenant(owner_url) for _ in range(3))
        diary = ActivityFactory(owner_url, full.org_id)
        activity = diary.create_activity(diary.create_mentor(), note="Kari Nordmann var med")
        diary.create_attachment(FileStorage(settings.s3), activity)
        for name, tenant, asked in (
            ("completed", full, {}),
            ("bundled", full, {"include_attachments": True}),
            ("empty", empty, {}),
            ("failed", left, {"fail_on_empty": True}),
        ):
            history = await _exported(client, settings, tenant, **asked)
            _keep(f"BufdirExport-{release}-{name}.json", history)
        _keep(f"BulkRegistration-{release}-registered.json", await _registered(client, settings, full, release))
        _keep(f"TellOfEnd-{release}-told.json", await _told(client, full))
        _keep(f"PreviewExport-{release}-previewed.json", await _previewed(client, settings, full))


async def _record_cancelled(settings: Settings, release: str) -> None:
    """Asked to stop before a worker comes: by the gateway, by a signal from elsewhere, and in the database alone."""
    client, tenant = (
        await connect(settings.temporal),
        create_tenant(require_setting(settings.database.owner_url, "owner")),
    )
    runs = {by: await _to_be_cancelled(client, settings, tenant, by) for by in ("gateway", "signal", "database")}
    batch = await _bulk_to_be_cancelled(client, settings, tenant)
    async with worker.run_queue_workers(client, settings):
        await wait_until(batch.describe, lambda described: described.close_time is not None)
        _keep(f"BulkRegistration-{release}-cancelled.json", _of_no_machine((await batch.fetch_history()).to_json()))
        for by, run in runs.items():
            await wait_until(run.describe, lambda described: described.close_time is not None)
            _keep(
                f"BufdirExport-{release}-cancelled-by-{by}.json", _of_no_machine((await run.fetch_history()).to_json())
            )


async def _to_be_cancelled(client: Client, settings: Settings, tenant: Tenant, by: str) -> WorkflowHandle[Any, Any]:
    with closing(Database(require_setting(settings.database.api_url, "api"))) as database:
        caller = Caller(user_id=tenant.coordinator, org_id=tenant.org_id, role=Role.COORDINATOR)
        job = ExportService(database).accept(caller, _request(tenant)).export.job
        run = await start_job(client, job, settings.temporal.task_queue)
        if by == "signal":
            await run.signal(CANCEL_SIGNAL)
        else:
            ExportCommands(database).cancel(caller, job.export_id)
        if by == "gateway":
            await cancel_job(client, job)
    return run


async def _registered(client: Client, settings: Settings, tenant: Tenant, release: str) -> str:
    """A batch of more chunks than one run takes, one of whose mentors nobody knows."""
    owner_url, most = require_setting(settings.database.owner_url, "owner"), bulk.ITEMS_PER_CHUNK
    bulk.ITEMS_PER_CHUNK = 2
    mentors = [ActivityFactory(owner_url, tenant.org_id).create_mentor() for _ in range(40)]
    request = BulkRequest.model_validate(body(tenant.org_id, [*mentors, uuid4()]))
    with closing(Database(require_setting(settings.database.api_url, "api"))) as database:
        caller = Caller(user_id=tenant.coordinator, org_id=tenant.org_id, role=Role.COORDINATOR)
        job = BulkService(database).accept(caller, request).batch.job
    bulk.ITEMS_PER_CHUNK = most
    run = await start_job(client, job, settings.temporal.task_queue)
    await run.result()
    first = client.get_workflow_handle(run.id, run_id=run.first_execution_run_id)
    _keep(f"BulkRegistration-{release}-continued.json", _of_no_machine((await first.fetch_history()).to_json()))
    return _of_no_machine((await client.get_workflow_handle(run.id).fetch_history()).to_json())


async def _bulk_to_be_cancelled(client: Client, settings: Settings, tenant: Tenant) -> WorkflowHandle[Any, Any]:
    request = BulkRequest.model_validate(body(tenant.org_id, [uuid4()]))
    with closing(Database(require_setting(settings.database.api_url, "api"))) as database:
        caller = Caller(user_id=tenant.coordinator, org_id=tenant.org_id, role=Role.COORDINATOR)
        batch = BulkService(database).accept(caller, request).batch
        run = await start_job(client, batch.job, settings.temporal.task_queue)
        BulkCommands(database).cancel(caller, batch.id)
    await cancel_job(client, batch.job)
    return run


def _with_mail(running: RunningServers, port: int) -> Settings:
    usual = {"host": "127.0.0.1", "tls": "none", "sender": "s@stafett.example", "public_url": "https://s.example"}
    mail = MailSettings.model_validate(usual | {"port": port})
    return settings_from_addresses(running.addresses).model_copy(update={"mail": mail})


async def _told(client: Client, tenant: Tenant) -> str:
    """The newest of the organisation's tellings, once it has ended."""
    query = f"WorkflowType = 'TellOfEnd' AND OrgId = '{tenant.org_id}' AND ExecutionStatus = 'Completed'"

    async def ended() -> list[str]:
        return [run.id async for run in client.list_workflows(query)]

    newest, *_ = await wait_until(ended, bool)
    return _of_no_machine((await client.get_workflow_handle(newest).fetch_history()).to_json())


def _keep(name: str, history: str) -> None:
    if (HISTORIES / name).exists():
        print(f"{name} is there already, and is kept as it is.")  # noqa: T201 - a script speaks to whoever runs it
    else:
        (HISTORIES / name).write_text(history, encoding="utf-8")


async def _previewed(client: Client, settings: Settings, tenant: Tenant) -> str:
    asked = PreviewJob(preview_id=uuid4(), request=_request(tenant))
    await await_preview(client, settings.temporal.task_queue, asked)
    return _of_no_machine((await client.get_workflow_handle(asked.workflow_id).fetch_history()).to_json())


def _request(tenant: Tenant, **more: bool) -> ExportRequest:
    asked = {
        "org_id": tenant.org_id,
        "requesting_user_id": tenant.coordinator,
        "reporting_period": {"start": "2026-01-01", "end": "2026-12-31"},
        "export_format": "csv",
    }
    return ExportRequest.model_validate(asked | more)


async def _exported(client: Client, settings: Settings, tenant: Tenant, **more: bool) -> str:
    database = Database(require_setting(settings.database.api_url, "api"))
    try:
        caller = Caller(user_id=tenant.coordinator, org_id=tenant.org_id, role=Role.COORDINATOR)
        request = _request(tenant, **more)
        accepted = ExportService(database).accept(caller, request, str(uuid4()))
    finally:
        database.close()
    run = await start_job(client, accepted.export.job, settings.temporal.task_queue)
    await wait_until(run.describe, lambda described: described.close_time is not None)
    return _of_no_machine((await run.fetch_history()).to_json())


def _of_no_machine(history: str) -> str:
    """What a replay does not need and others need not know: where the recording machine kept its files."""
    history = re.sub(r'("identity": )"[^"]*"', r'\1"recorder"', history)
    history = re.sub(r'"[^"]*@[^"]*"', '"a-worker"', history)
    return re.sub(r'("stackTrace": )"(?:[^"\\]|\\.)*"', r'\1""', history)


if __name__ == "__main__":
    match sys.argv[1:]:
        case [release] if re.fullmatch(r"\d+(\.\d+)*", release):
            asyncio.run(main(release))
        case _:
            sys.exit("Say which release this is: python tests/replay/record.py 0.2")
