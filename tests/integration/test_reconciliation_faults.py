"""The reconciliation sweep meets jobs that it cannot close, start or read, and runs that cannot continue."""

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from datetime import timedelta
from functools import partial

import psycopg
import pytest
import structlog
from temporalio.client import Client, WorkflowExecutionStatus

import worker
from activities.job_reconciliation import ReconciliationLimits, needs_check
from stafett.domain.export_job import SweepReport
from stafett.domain.notification import JobOutcome
from stafett.reconciliation import OpenJob
from stafett.settings import Settings
from stafett.temporal.runs import ListedRun, list_running_jobs
from stafett.testing import ActivityFactory, ExportClient, wait_until
from tests.support.fixture_types import RunWorker
from tests.support.reconciliation import Sweeper, wait_until_run_is_open

AT_ONCE = ReconciliationLimits(refusal=timedelta(0), failing=timedelta(0), failing_cancel=timedelta(0))


@pytest.fixture
def sweeper(temporal: Client, settings: Settings, org_id: str) -> Iterator[Sweeper]:
    sweeper = Sweeper(temporal, settings, org_id)
    yield sweeper
    sweeper.close()


@pytest.fixture
def impatient_sweeper(temporal: Client, settings: Settings, org_id: str) -> Iterator[Sweeper]:
    """A sweeper that waits no time before it gives up a job or a run."""
    sweeper = Sweeper(temporal, settings, org_id, AT_ONCE)
    yield sweeper
    sweeper.close()


async def terminate_export(export_client: ExportClient, temporal: Client) -> str:
    export_id = await export_client.start_export()
    await wait_until_run_is_open(temporal, f"bufdir-export/{export_id}")
    await temporal.get_workflow_handle(f"bufdir-export/{export_id}").terminate()
    return export_id


def change_jobs(sweeper: Sweeper, change: Callable[[OpenJob], OpenJob]) -> None:
    """Have the sweeper see changed jobs."""
    sweeper.lists[:] = [lambda: (change(open_job) for open_job in sweeper.list_open_jobs())]


async def test_job_that_cannot_be_closed_stops_no_other_job(
    export_client: ExportClient, temporal: Client, sweeper: Sweeper, owner_url: str
) -> None:
    broken, intact = [await terminate_export(export_client, temporal) for _ in range(2)]
    constraint = f"broken_{broken.replace('-', '_')}"
    condition = f"id <> '{broken}' OR status <> 'failed'"
    with psycopg.connect(owner_url, autocommit=True) as owner:
        owner.execute(f"ALTER TABLE exports ADD CONSTRAINT {constraint} CHECK ({condition})".encode())
        try:
            with structlog.testing.capture_logs() as logs:
                assert await sweeper.sweep() == SweepReport(failed=1, skipped=1)
        finally:
            owner.execute(f"ALTER TABLE exports DROP CONSTRAINT {constraint}".encode())
    assert (await export_client.get_export(intact))["status"] == "failed"
    skipped = [event for event in logs if event["event"] == "job_skipped"]
    assert [event["workflow_id"] for event in skipped] == [f"bufdir-export/{broken}"]
    assert await sweeper.sweep() == SweepReport(failed=1)


async def test_job_whose_row_is_locked_stops_no_other_job(
    export_client: ExportClient, temporal: Client, sweeper: Sweeper, owner_url: str
) -> None:
    locked, free = [await terminate_export(export_client, temporal) for _ in range(2)]
    with psycopg.connect(owner_url) as owner:
        owner.execute("SELECT 1 FROM exports WHERE id = %s FOR UPDATE", [locked])
        assert await sweeper.sweep() == SweepReport(failed=1, skipped=1)
    assert (await export_client.get_export(free))["status"] == "failed"


async def test_error_of_one_kind_of_job_skips_no_other_kind(
    export_client: ExportClient, temporal: Client, sweeper: Sweeper
) -> None:
    await terminate_export(export_client, temporal)

    def fail_to_list() -> Iterator[OpenJob]:
        raise LookupError("private")

    sweeper.lists.insert(0, fail_to_list)
    with structlog.testing.capture_logs() as logs:
        assert await sweeper.sweep() == SweepReport(failed=1, errors=1)
    (alarm,) = [event for event in logs if event["event"] == "reconciliation_failed"]
    assert (alarm["log_level"], alarm["error"]) == ("error", "LookupError")
    assert "private" not in str(logs)


async def test_job_that_its_close_completes_is_counted_as_completed(
    export_client: ExportClient, temporal: Client, sweeper: Sweeper
) -> None:
    await terminate_export(export_client, temporal)
    change_jobs(sweeper, lambda open_job: open_job._replace(close=lambda _reason: JobOutcome.COMPLETED_WITH_FAILURES))
    assert await sweeper.sweep() == SweepReport(completed=1)


def refuse_start(open_job: OpenJob) -> OpenJob:
    """Return the job with an organisation id that is too long for Temporal's fairness key, and without a run."""
    job = open_job.job.model_copy(update={"org_id": "x" * 100, "export_id": "00000000-0000-0000-0000-000000000000"})  # type: ignore[attr-defined]  # every job is a model
    return open_job._replace(job=job)


async def test_job_that_temporal_refuses_fails_after_the_limit(
    export_client: ExportClient, sweeper: Sweeper, impatient_sweeper: Sweeper
) -> None:
    export_id = await export_client.start_export()
    for each in (sweeper, impatient_sweeper):
        change_jobs(each, refuse_start)
    assert await sweeper.sweep() == SweepReport(skipped=1)
    with structlog.testing.capture_logs() as logs:
        assert await impatient_sweeper.sweep() == SweepReport(failed=1)
    assert [event["log_level"] for event in logs if event["event"] == "job_refused"] == ["error"]
    job = await export_client.get_export(export_id)
    assert (job["status"], job["error"]["code"], job["error"]["retryable"]) == ("failed", "internal", True)


async def test_cancelling_job_that_temporal_refuses_is_cancelled_after_the_limit(
    export_client: ExportClient, impatient_sweeper: Sweeper
) -> None:
    export_id = await export_client.start_export()
    headers = export_client.headers
    await export_client.http_client.put(f"/api/v1/bufdir-exports/{export_id}/cancel", headers=headers)
    change_jobs(impatient_sweeper, refuse_start)
    assert await impatient_sweeper.sweep() == SweepReport(cancelled=1)
    assert (await export_client.get_export(export_id))["status"] == "cancelled"


@asynccontextmanager
async def run_with_undecodable_result(
    export_client: ExportClient, temporal: Client, settings: Settings
) -> AsyncIterator[str]:
    """Complete an export's activity with nonsense, as an operator can: its workflow task then fails repeatedly."""
    async with worker.run_queue_workers(temporal, settings, role="io"):
        export_id = await export_client.start_export()
        await wait_until_run_is_open(temporal, f"bufdir-export/{export_id}")
        run = temporal.get_workflow_handle(f"bufdir-export/{export_id}")
        described = await wait_until(
            run.describe,
            lambda run: any(
                each.activity_type.name == "map_columns" for each in run.raw_description.pending_activities
            ),
        )
        (pending,) = described.raw_description.pending_activities
        ids = {"workflow_id": run.id, "run_id": described.run_id, "activity_id": pending.activity_id}
        await temporal.get_async_activity_handle(**ids).complete("nonsense")
        await wait_until(run.describe, lambda run: run.raw_description.pending_workflow_task.attempt > 1)
        yield export_id


async def test_run_whose_workflow_task_keeps_failing_is_terminated_after_the_limit(
    export_client: ExportClient,
    temporal: Client,
    settings: Settings,
    activity_factory: ActivityFactory,
    sweeper: Sweeper,
    impatient_sweeper: Sweeper,
) -> None:
    activity_factory.create_activity(activity_factory.create_mentor())
    async with run_with_undecodable_result(export_client, temporal, settings) as export_id:
        assert await sweeper.sweep() == SweepReport()
        with structlog.testing.capture_logs() as logs:
            assert await impatient_sweeper.sweep() == SweepReport(failed=1)
    assert [event["log_level"] for event in logs if event["event"] == "failing_run_terminated"] == ["error"]
    run = await temporal.get_workflow_handle(f"bufdir-export/{export_id}").describe()
    assert run.status is WorkflowExecutionStatus.TERMINATED
    job = await export_client.get_export(export_id)
    assert (job["status"], job["error"]["retryable"]) == ("failed", True)


async def test_cancel_of_a_run_whose_workflow_task_keeps_failing_is_carried_out(
    export_client: ExportClient,
    temporal: Client,
    settings: Settings,
    activity_factory: ActivityFactory,
    impatient_sweeper: Sweeper,
) -> None:
    activity_factory.create_activity(activity_factory.create_mentor())
    async with run_with_undecodable_result(export_client, temporal, settings) as export_id:
        headers = export_client.headers
        await export_client.http_client.put(f"/api/v1/bufdir-exports/{export_id}/cancel", headers=headers)
        assert await impatient_sweeper.sweep() == SweepReport(started=1)
        assert (await export_client.wait_for_completion(export_id))["status"] == "cancelled"


async def test_only_jobs_without_a_healthy_listed_run_are_checked(
    export_client: ExportClient, temporal: Client, sweeper: Sweeper, run_worker: RunWorker
) -> None:
    export_id = await export_client.start_export()
    workflow_id = f"bufdir-export/{export_id}"
    runs = await wait_until(partial(list_running_jobs, temporal), lambda runs: workflow_id in runs)
    (open_job,) = sweeper.list_open_jobs()
    assert runs[workflow_id] == ListedRun(attempt=1, has_problems=False)
    assert not needs_check(open_job, runs)
    assert needs_check(open_job, {})
    assert needs_check(open_job, {workflow_id: ListedRun(attempt=1, has_problems=True)})
    assert needs_check(open_job, {workflow_id: ListedRun(attempt=2, has_problems=False)})
    assert needs_check(open_job._replace(is_cancelling=True), runs)
    async with run_worker():
        await export_client.wait_for_completion(export_id)
        await wait_until(partial(list_running_jobs, temporal), lambda runs: workflow_id not in runs)
