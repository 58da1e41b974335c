"""Runs of jobs as Temporal sees them: listed, described, and how long one has failed to make progress."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from typing import NamedTuple

from temporalio.api.common.v1 import WorkflowExecution as ExecutionRef
from temporalio.api.enums.v1 import EventType
from temporalio.api.workflowservice.v1 import GetWorkflowExecutionHistoryReverseRequest
from temporalio.client import Client, WorkflowExecution, WorkflowExecutionDescription, WorkflowExecutionStatus
from temporalio.common import SearchAttributeKey
from temporalio.service import RPCError, RPCStatusCode

from stafett.domain.job import JobKind
from stafett.temporal.client import ATTEMPT_MEMO_KEY, RPC_TIMEOUT
from stafett.temporal.codec import PayloadDecryptionError

_RUNNING_JOBS = f"ExecutionStatus = 'Running' AND WorkflowType IN ({', '.join(repr(kind.value) for kind in JobKind)})"
_PROBLEMS = SearchAttributeKey.for_keyword_list("TemporalReportedProblems")
"""Set by Temporal itself while a run's workflow task fails repeatedly."""

_OPEN = {WorkflowExecutionStatus.RUNNING, WorkflowExecutionStatus.CONTINUED_AS_NEW}
_TASK_FAILURES = {EventType.EVENT_TYPE_WORKFLOW_TASK_FAILED, EventType.EVENT_TYPE_WORKFLOW_TASK_TIMED_OUT}
_HISTORY_PAGE_SIZE = 100


class ListedRun(NamedTuple):
    """A running workflow in Temporal's list, which may lag behind by seconds."""

    attempt: int | None
    has_problems: bool


ListedRuns = Mapping[str, ListedRun]
"""The running workflows of jobs, by workflow id."""
NO_LISTED_RUNS: ListedRuns = MappingProxyType({})


async def list_running_jobs(client: Client) -> ListedRuns:
    """List the runs of all jobs page by page; a run whose memo cannot be decrypted has no attempt."""
    return {
        run.id: ListedRun(await _read_attempt(run), bool(run.typed_search_attributes.get(_PROBLEMS)))
        async for run in client.list_workflows(_RUNNING_JOBS, page_size=1000, rpc_timeout=RPC_TIMEOUT)
    }


async def _read_attempt(run: WorkflowExecution) -> int | None:
    try:
        return await run.memo_value(ATTEMPT_MEMO_KEY, None, type_hint=int)
    except PayloadDecryptionError:
        return None


async def describe_latest_run(client: Client, workflow_id: str) -> WorkflowExecutionDescription | None:
    try:
        return await client.get_workflow_handle(workflow_id).describe(rpc_timeout=RPC_TIMEOUT)
    except RPCError as error:
        if error.status is RPCStatusCode.NOT_FOUND:
            return None
        raise


def is_open(run: WorkflowExecutionDescription) -> bool:
    return run.status in _OPEN


def is_cancel_requested(run: WorkflowExecutionDescription) -> bool:
    return run.raw_description.workflow_extended_info.cancel_requested


def _is_task_retried(run: WorkflowExecutionDescription) -> bool:
    return (
        run.raw_description.HasField("pending_workflow_task") and run.raw_description.pending_workflow_task.attempt > 1
    )


async def measure_failing_time(client: Client, run: WorkflowExecutionDescription) -> timedelta:
    """Return how long the run's workflow task has failed without success; zero if its last one succeeded."""
    if not _is_task_retried(run):
        return timedelta(0)
    request = GetWorkflowExecutionHistoryReverseRequest(
        namespace=client.namespace,
        execution=ExecutionRef(workflow_id=run.id, run_id=run.run_id),
        maximum_page_size=_HISTORY_PAGE_SIZE,
    )
    response = await client.workflow_service.get_workflow_execution_history_reverse(request, timeout=RPC_TIMEOUT)
    failing_since: datetime | None = None
    for event in response.history.events:
        if event.event_type == EventType.EVENT_TYPE_WORKFLOW_TASK_COMPLETED:
            break
        if event.event_type in _TASK_FAILURES:
            failing_since = event.event_time.ToDatetime(UTC)
    return datetime.now(UTC) - failing_since if failing_since else timedelta(0)
