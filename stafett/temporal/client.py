"""The engine: how to reach it, what our jobs are called there, how one is started."""

import asyncio
from contextlib import suppress
from datetime import timedelta
from typing import Any, NamedTuple

from pydantic import BaseModel
from temporalio.client import Client, WorkflowFailureError, WorkflowHandle
from temporalio.common import (
    HeaderCodecBehavior,
    Priority,
    SearchAttributeKey,
    SearchAttributePair,
    TypedSearchAttributes,
    WorkflowIDConflictPolicy,
    WorkflowIDReusePolicy,
)

from stafett.domain.errors import ServiceUnavailableError
from stafett.domain.job import Job
from stafett.settings import TemporalSettings
from stafett.temporal.codec import data_converter_from_settings
from stafett.temporal.request_ids import RequestIdInterceptor

SWEEP_JOBS, PREVIEW_EXPORT, APPLY_RETENTION = "SweepJobs", "PreviewExport", "ApplyRetention"
CHECKPOINT_AUDIT_CHAINS = "CheckpointAuditChains"
CANCEL_SIGNAL, RECORD_EDIT_UPDATE = "cancel", "record_edit"
ATTEMPT_MEMO_KEY = "attempt"  # the memo that tells which attempt a run was for
ORG_ID = SearchAttributeKey.for_keyword("OrgId")
JOB_KIND = SearchAttributeKey.for_keyword("JobKind")
JOB_STATUS = SearchAttributeKey.for_keyword("JobStatus")
PERIOD_START = SearchAttributeKey.for_datetime("PeriodStart")
PERIOD_END = SearchAttributeKey.for_datetime("PeriodEnd")
SEARCH_ATTRIBUTES = (ORG_ID, JOB_KIND, JOB_STATUS, PERIOD_START, PERIOD_END)

_RPC_TIMEOUT = timedelta(seconds=5)
_RUN_CLOSE_TIMEOUT = timedelta(
    seconds=15
)  # the last task of a run, lost with a worker that stopped, comes again after ten


def cpu_queue(task_queue: str) -> str:
    """Where the activities of this queue's runs wait for a core, if they compute."""
    return f"{task_queue}-cpu"


async def connect(settings: TemporalSettings, *, lazy: bool = False) -> Client:
    """A client of the configured namespace; a lazy one connects when it is first used."""
    try:
        return await Client.connect(
            settings.address,
            namespace=settings.namespace,
            api_key=settings.api_key.get_secret_value() if settings.api_key else None,
            tls=settings.tls,
            data_converter=data_converter_from_settings(settings),
            interceptors=[RequestIdInterceptor()],
            header_codec_behavior=HeaderCodecBehavior.CODEC,
            lazy=lazy,
        )
    except RuntimeError as error:
        raise ServiceUnavailableError(f"Temporal ({settings.address})") from error


async def start_job(client: Client, job: Job, task_queue: str) -> WorkflowHandle[Any, Any]:
    """Start the job's run; if it is running already, that is the one."""
    return await client.start_workflow(
        job.kind,
        job,
        id=job.workflow_id,
        task_queue=task_queue,
        id_reuse_policy=WorkflowIDReusePolicy.ALLOW_DUPLICATE,
        id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
        static_summary=job.summary,
        search_attributes=build_search_attributes(job),
        memo={ATTEMPT_MEMO_KEY: job.attempt},
        priority=Priority(fairness_key=job.org_id),
        rpc_timeout=_RPC_TIMEOUT,
    )


async def start_attempt(client: Client, job: Job, task_queue: str) -> None:
    """Start the run of this attempt; the run of the one before has a moment to close."""
    if job.attempt == 1:
        await start_job(client, job, task_queue)
        return
    async with asyncio.timeout(_RUN_CLOSE_TIMEOUT.total_seconds()):
        while True:
            run = await start_job(client, job, task_queue)
            if await (await run.describe()).memo_value(ATTEMPT_MEMO_KEY, job.attempt) == job.attempt:
                return
            with suppress(WorkflowFailureError):
                await run.result()


async def cancel_job(client: Client, job: Job) -> None:
    """Ask the job's run to stop: by our signal, which it hears at once, and then by the engine's own request.

    This very attempt's: what runs under the same id may by now be a later one, which nobody has asked to stop.
    """
    found = await client.get_workflow_handle(job.workflow_id).describe(rpc_timeout=_RPC_TIMEOUT)
    if await found.memo_value(ATTEMPT_MEMO_KEY, job.attempt) != job.attempt:
        return
    run = client.get_workflow_handle(job.workflow_id, run_id=found.run_id)
    await run.signal(CANCEL_SIGNAL, rpc_timeout=_RPC_TIMEOUT)
    await run.cancel(rpc_timeout=_RPC_TIMEOUT)


class WorkflowRun(NamedTuple):
    """One run, and none that follows it under the same id."""

    workflow_id: str
    run_id: str


async def send_edit_update(client: Client, run: WorkflowRun, edit: BaseModel) -> None:
    handle = client.get_workflow_handle(run.workflow_id, run_id=run.run_id)
    await handle.execute_update(RECORD_EDIT_UPDATE, edit, rpc_timeout=_RPC_TIMEOUT)


def build_search_attributes(job: Job) -> TypedSearchAttributes:
    about: list[SearchAttributePair[Any]] = [
        SearchAttributePair(ORG_ID, job.org_id),
        SearchAttributePair(JOB_KIND, job.kind.value),
    ]
    if job.period is not None:
        first, last = job.period
        about += [SearchAttributePair(PERIOD_START, first), SearchAttributePair(PERIOD_END, last)]
    return TypedSearchAttributes(about)


def notification_queue(task_queue: str) -> str:
    """Where messages leave the house: apart from the jobs, whose places no slow receiver is to take."""
    return f"{task_queue}-telling"
