"""The Temporal client, the names of workflows and search attributes, and how jobs are started and cancelled."""

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
from stafett.temporal.tracing import create_tracing_interceptors

SWEEP_JOBS, PREVIEW_EXPORT, APPLY_RETENTION = "SweepJobs", "PreviewExport", "ApplyRetention"
CHECKPOINT_AUDIT_CHAINS, VERIFY_AUDIT_CHAINS = "CheckpointAuditChains", "VerifyAuditChains"
RECONCILE_BUCKET = "ReconcileBucket"
CANCEL_SIGNAL, RECORD_EDIT_UPDATE = "cancel", "record_edit"
ATTEMPT_MEMO_KEY = "attempt"  # the memo field with the attempt that a run was started for
ORG_ID = SearchAttributeKey.for_keyword("OrgId")
JOB_KIND = SearchAttributeKey.for_keyword("JobKind")
JOB_STATUS = SearchAttributeKey.for_keyword("JobStatus")
PERIOD_START = SearchAttributeKey.for_datetime("PeriodStart")
PERIOD_END = SearchAttributeKey.for_datetime("PeriodEnd")
SEARCH_ATTRIBUTES = (ORG_ID, JOB_KIND, JOB_STATUS, PERIOD_START, PERIOD_END)

RPC_TIMEOUT = timedelta(seconds=5)
# The last workflow task of a run, lost with a worker that stopped, is rescheduled after ten seconds.
_RUN_CLOSE_TIMEOUT = timedelta(seconds=15)


async def connect(settings: TemporalSettings, *, lazy: bool = False) -> Client:
    """Create a client of the configured namespace; a lazy client connects on its first use."""
    try:
        return await Client.connect(
            settings.address,
            namespace=settings.namespace,
            api_key=settings.api_key.get_secret_value() if settings.api_key else None,
            tls=settings.tls,
            data_converter=data_converter_from_settings(settings),
            interceptors=[*create_tracing_interceptors(), RequestIdInterceptor()],
            header_codec_behavior=HeaderCodecBehavior.CODEC,
            lazy=lazy,
        )
    except RuntimeError as error:
        raise ServiceUnavailableError(f"Temporal ({settings.address})") from error


async def start_job(client: Client, job: Job, task_queue: str) -> WorkflowHandle[Any, Any]:
    """Start the job's workflow, or return its running one."""
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
        rpc_timeout=RPC_TIMEOUT,
    )


async def start_attempt(client: Client, job: Job, task_queue: str) -> None:
    """Start the workflow of this attempt, after waiting for the run of the previous attempt to close."""
    if job.attempt == 1:
        await start_job(client, job, task_queue)
        return
    async with asyncio.timeout(_RUN_CLOSE_TIMEOUT.total_seconds()):
        while True:
            run = await start_job(client, job, task_queue)
            if await (await run.describe()).memo_value(ATTEMPT_MEMO_KEY, job.attempt, type_hint=int) == job.attempt:
                return
            with suppress(WorkflowFailureError):
                await run.result()


async def cancel_job(client: Client, job: Job) -> None:
    """Cancel the job's run by our signal, which takes effect at once, and then by Temporal's cancel request.

    Only the run of this attempt is cancelled: a later attempt may already be running under the same workflow id.
    """
    latest_run = await client.get_workflow_handle(job.workflow_id).describe(rpc_timeout=RPC_TIMEOUT)
    if await latest_run.memo_value(ATTEMPT_MEMO_KEY, job.attempt, type_hint=int) != job.attempt:
        return
    run = client.get_workflow_handle(job.workflow_id, run_id=latest_run.run_id)
    await run.signal(CANCEL_SIGNAL, rpc_timeout=RPC_TIMEOUT)
    await run.cancel(rpc_timeout=RPC_TIMEOUT)


class WorkflowRun(NamedTuple):
    """A specific run, as opposed to the latest run of its workflow id."""

    workflow_id: str
    run_id: str


async def send_edit_update(client: Client, run: WorkflowRun, edit: BaseModel) -> None:
    handle = client.get_workflow_handle(run.workflow_id, run_id=run.run_id)
    await handle.execute_update(RECORD_EDIT_UPDATE, edit, rpc_timeout=RPC_TIMEOUT)


def build_search_attributes(job: Job) -> TypedSearchAttributes:
    pairs: list[SearchAttributePair[Any]] = [
        SearchAttributePair(ORG_ID, job.org_id),
        SearchAttributePair(JOB_KIND, job.kind.value),
    ]
    if job.initial_status is not None:
        pairs.append(SearchAttributePair(JOB_STATUS, job.initial_status))
    if job.period is not None:
        start, end = job.period
        pairs += [SearchAttributePair(PERIOD_START, start), SearchAttributePair(PERIOD_END, end)]
    return TypedSearchAttributes(pairs)
