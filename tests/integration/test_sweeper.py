"""No job is pending for ever."""

import base64
import contextlib
from collections.abc import Callable, Iterator
from contextlib import AbstractAsyncContextManager
from uuid import UUID

import httpx
import psycopg
import pytest
from pydantic import SecretStr
from temporalio.client import Client, WorkflowExecutionStatus
from temporalio.service import RPCError

from activities.reconciliation import NotificationReconciler, ReconciliationActivities
from api.app import create_app
from stafett.audit import trail as audit_trail
from stafett.database.session import Database
from stafett.domain.export_job import SweepReport
from stafett.domain.membership import Caller, Role
from stafett.domain.notification import NotificationJob
from stafett.exports.commands import ExportCommands
from stafett.exports.completion import ExportCompletion
from stafett.exports.file_removal import FileRemoval
from stafett.exports.preview import delete_expired_previews
from stafett.notifications.deliveries import DeliveryStore, find_undelivered
from stafett.reconciliation import OpenExports, OpenJob, OpenReexports
from stafett.reports.completion import ReexportCompletion
from stafett.settings import Settings, require_setting
from stafett.storage.files import FileStorage
from stafett.testing import ActivityFactory, ExportClient, Tenant, wait_until

Bearer = Callable[..., dict[str, str]]
Working = Callable[[], AbstractAsyncContextManager[None]]


class Broom:
    """The sweeper as the worker has it, for one organisation's jobs alone: other tests have theirs."""

    def __init__(self, client: Client, settings: Settings, org_id: str) -> None:
        self._database = Database(require_setting(settings.database.maintenance_url, "maintenance"), pool_size=2)
        self._org_id = org_id
        endings = ExportCompletion(self._database, actor=audit_trail.SWEEPER_ACTOR)
        queue, outbox = settings.temporal.task_queue, DeliveryStore(self._database)
        tell = NotificationReconciler(client, queue, self._told, outbox)
        removal = FileRemoval(self._database, FileStorage(settings.s3), actor=audit_trail.SWEEPER_ACTOR)
        reexports = ReexportCompletion(self._database, removal.remove, actor=audit_trail.SWEEPER_ACTOR)
        self._kinds = OpenExports(self._database, endings), OpenReexports(self._database, reexports)
        self._activities = ReconciliationActivities(client, queue, [self._mine], self._forget, tell)

    def _forget(self) -> None:
        delete_expired_previews(self._database)

    def _mine(self) -> Iterator[OpenJob]:
        return (one for kind in self._kinds for one in kind() if one.job.org_id == self._org_id)

    def _told(self) -> list[NotificationJob]:
        return [telling for telling in find_undelivered(self._database) if telling.org_id == self._org_id]

    async def sweep(self) -> SweepReport:
        return await self._activities.sweep_jobs()

    def close(self) -> None:
        self._database.close()


@pytest.fixture
def broom(temporal: Client, settings: Settings, org_id: str) -> Iterator[Broom]:
    broom = Broom(temporal, settings, org_id)
    yield broom
    broom.close()


async def run_of(temporal: Client, export_id: str) -> None:
    """Wait until the engine knows of it."""

    async def known() -> bool:
        with contextlib.suppress(RPCError):
            return bool((await temporal.get_workflow_handle(f"bufdir-export/{export_id}").describe()).run_id)
        return False

    await wait_until(known, bool)


async def test_a_job_accepted_while_temporal_was_away_is_started_by_the_sweeper(
    settings: Settings, tenant: Tenant, bearer: Bearer, diary: ActivityFactory, broom: Broom, working: Working
) -> None:
    diary.create_activity(diary.create_mentor())
    nowhere = settings.temporal.model_copy(update={"address": "127.0.0.1:9"})
    app = create_app(settings.model_copy(update={"temporal": nowhere}))
    transport = httpx.ASGITransport(app)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="http://test") as gateway,
    ):
        button = ExportClient(gateway, tenant.org_id, bearer(tenant.coordinator))
        pressed = await button.request_export()
        assert pressed.status_code == 202

        assert await broom.sweep() == SweepReport(started=1)
        async with working():
            assert (await button.wait_for_completion(pressed.json()["id"]))["status"] == "completed"
        assert await broom.sweep() == SweepReport()


async def test_a_job_whose_run_was_terminated_becomes_failed_and_can_be_tried_again(
    button: ExportClient, temporal: Client, broom: Broom
) -> None:
    export_id = await button.start_export()
    await run_of(temporal, export_id)
    await temporal.get_workflow_handle(f"bufdir-export/{export_id}").terminate()

    assert await broom.sweep() == SweepReport(failed=1)
    job = await button.get_export(export_id)
    assert (job["status"], job["error"]["code"], job["error"]["retryable"]) == ("failed", "internal", True)
    assert job["attempts"][0]["outcome"] == "failed"


async def test_a_job_that_runs_is_left_alone(button: ExportClient, temporal: Client, broom: Broom) -> None:
    export_id = await button.start_export()
    await run_of(temporal, export_id)
    assert await broom.sweep() == SweepReport()
    assert (await button.get_export(export_id))["status"] == "initialised"
    assert UUID(export_id).version == 4


async def test_one_odd_job_does_not_hold_up_the_others(
    button: ExportClient, temporal: Client, broom: Broom, owner_url: str
) -> None:
    odd, lost = await button.start_export(), await button.start_export()
    for export_id in (odd, lost):
        await run_of(temporal, export_id)
        await temporal.get_workflow_handle(f"bufdir-export/{export_id}").terminate()
    with psycopg.connect(owner_url) as connection:
        connection.execute("ALTER TABLE exports DISABLE TRIGGER exports_are_guarded")
        connection.execute("UPDATE exports SET parameters = '{}' WHERE id = %s", [odd])
        connection.execute("ALTER TABLE exports ENABLE TRIGGER exports_are_guarded")

    assert await broom.sweep() == SweepReport(failed=2)


async def test_a_run_that_was_sealed_with_a_key_we_do_not_have_is_left_alone(
    settings: Settings, tenant: Tenant, bearer: Bearer, temporal: Client, broom: Broom
) -> None:
    keys = SecretStr(f"2027:{base64.b64encode(bytes(32)).decode()}")
    app = create_app(
        settings.model_copy(update={"temporal": settings.temporal.model_copy(update={"codec_keys": keys})})
    )
    transport = httpx.ASGITransport(app)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="http://test") as gateway,
    ):
        button = ExportClient(gateway, tenant.org_id, bearer(tenant.coordinator))
        export_id = await button.start_export()
        await run_of(temporal, export_id)
        assert await broom.sweep() == SweepReport(skipped=1)
        assert (await button.get_export(export_id))["status"] == "initialised"


def test_a_sweep_sees_every_unfinished_job_however_many_there_are(
    settings: Settings, tenant: Tenant, owner_url: str
) -> None:
    with psycopg.connect(owner_url) as connection:
        connection.execute(
            "INSERT INTO exports"
            " (id, org_id, requested_by, parameters, period_start, period_end, status, attempt, audit_id)"
            " SELECT gen_random_uuid(), %s, %s, '{}', now(), now(), 'initialised', 1, gen_random_uuid()"
            " FROM generate_series(1, 1200)",
            [tenant.org_id, tenant.coordinator],
        )
    maintenance = Database(require_setting(settings.database.maintenance_url, "maintenance"), pool_size=1)
    try:
        unfinished = OpenExports(maintenance, ExportCompletion(maintenance))
        seen = [one.job for one in unfinished() if one.job.org_id == tenant.org_id]
    finally:
        maintenance.close()
        with psycopg.connect(owner_url) as connection:
            connection.execute("DELETE FROM exports WHERE org_id = %s", [tenant.org_id])
    assert len({job.job_id for job in seen}) == len(seen) == 1200


async def cancelled_in_the_database(settings: Settings, tenant: Tenant, export_id: str) -> None:
    """The gateway wrote it down, and died before it could tell the engine."""
    with contextlib.closing(Database(require_setting(settings.database.api_url, "api"), pool_size=1)) as database:
        caller = Caller(user_id=tenant.coordinator, org_id=tenant.org_id, role=Role.COORDINATOR)
        ExportCommands(database).cancel(caller, UUID(export_id))


async def test_a_run_that_has_not_heard_of_its_cancel_hears_of_it_from_the_sweeper(
    button: ExportClient, temporal: Client, broom: Broom, working: Working, settings: Settings, tenant: Tenant
) -> None:
    export_id = await button.start_export()
    await run_of(temporal, export_id)
    await cancelled_in_the_database(settings, tenant, export_id)
    assert await broom.sweep() == SweepReport()
    run = temporal.get_workflow_handle(f"bufdir-export/{export_id}")
    async with working():
        assert (await button.wait_for_completion(export_id))["status"] == "cancelled"
        ended = await wait_until(run.describe, lambda described: described.close_time is not None)
    assert ended.status is WorkflowExecutionStatus.CANCELED


async def test_a_cancelling_job_whose_run_was_terminated_is_cancelled_by_another(
    button: ExportClient, temporal: Client, broom: Broom, working: Working, settings: Settings, tenant: Tenant
) -> None:
    export_id = await button.start_export()
    await run_of(temporal, export_id)
    await cancelled_in_the_database(settings, tenant, export_id)
    await temporal.get_workflow_handle(f"bufdir-export/{export_id}").terminate()
    assert await broom.sweep() == SweepReport(started=1)
    async with working():
        assert (await button.wait_for_completion(export_id))["status"] == "cancelled"
        assert await broom.sweep() == SweepReport()


async def test_a_retry_that_the_engine_never_heard_of_is_started_by_the_sweeper(
    button: ExportClient, temporal: Client, broom: Broom, working: Working, settings: Settings, tenant: Tenant
) -> None:
    export_id = await button.start_export()
    await run_of(temporal, export_id)
    await temporal.get_workflow_handle(f"bufdir-export/{export_id}").terminate()
    assert await broom.sweep() == SweepReport(failed=1)
    with contextlib.closing(Database(require_setting(settings.database.api_url, "api"), pool_size=1)) as database:
        caller = Caller(user_id=tenant.coordinator, org_id=tenant.org_id, role=Role.COORDINATOR)
        ExportCommands(database).retry(caller, UUID(export_id))
    assert await broom.sweep() == SweepReport(started=1)
    async with working():
        assert (await button.wait_for_completion(export_id))["status"] == "completed_empty"
