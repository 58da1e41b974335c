"""Search attributes and schedules of the Temporal namespace: created if missing, otherwise left as operators set them.

Workers ensure them at intervals, because Temporal's database can be lost and a schedule can be deleted at any time.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from typing import NamedTuple

import structlog
from temporalio.api.enums.v1 import IndexedValueType
from temporalio.api.operatorservice.v1 import AddSearchAttributesRequest, ListSearchAttributesRequest
from temporalio.client import (
    Client,
    Schedule,
    ScheduleActionExecutionStartWorkflow,
    ScheduleActionStartWorkflow,
    ScheduleAlreadyRunningError,
    ScheduleHandle,
    ScheduleIntervalSpec,
    ScheduleOverlapPolicy,
    SchedulePolicy,
    ScheduleSpec,
    ScheduleUpdate,
    ScheduleUpdateInput,
)
from temporalio.service import RPCError, RPCStatusCode

from stafett.domain.maintenance import MaintenanceTask
from stafett.temporal.client import (
    APPLY_RETENTION,
    CHECKPOINT_AUDIT_CHAINS,
    RECONCILE_BUCKET,
    SEARCH_ATTRIBUTES,
    SWEEP_JOBS,
    VERIFY_AUDIT_CHAINS,
)

_log = structlog.get_logger("stafett.temporal")
SWEEP_SCHEDULE_ID = MaintenanceTask.SWEEP_JOBS.value
"""One sweep schedule per namespace, whatever task queues there are."""

_SCHEDULES = {
    SWEEP_SCHEDULE_ID: (SWEEP_JOBS, timedelta(seconds=20), timedelta(minutes=15)),
    MaintenanceTask.APPLY_RETENTION.value: (APPLY_RETENTION, timedelta(minutes=5), timedelta(hours=12)),
    MaintenanceTask.RECONCILE_BUCKET.value: (RECONCILE_BUCKET, timedelta(days=1), timedelta(hours=23)),
}
CHECKPOINT_SCHEDULE_ID = MaintenanceTask.CHECKPOINT_AUDIT_CHAINS.value
"""One checkpoint schedule for all workers that have the signing key."""

VERIFICATION_SCHEDULE_ID = MaintenanceTask.VERIFY_AUDIT_CHAINS.value
ENSURE_INTERVAL = timedelta(minutes=1)
_CHECKPOINT_TIMEOUT, _VERIFICATION_TIMEOUT = timedelta(hours=2), timedelta(hours=26)
_UNAVAILABLE_STATUS_CODES = {RPCStatusCode.UNIMPLEMENTED, RPCStatusCode.PERMISSION_DENIED}


class AuditIntervals(NamedTuple):
    """Intervals at which whole audit chains are verified and grown ones signed; the latter needs a signing key."""

    verification: timedelta
    checkpoint: timedelta | None


def get_maintenance_intervals(audit: AuditIntervals) -> dict[MaintenanceTask, timedelta]:
    """Return the intervals of the schedules, unless an operator has changed them in Temporal."""
    intervals = {MaintenanceTask(schedule_id): interval for schedule_id, (_, interval, _) in _SCHEDULES.items()}
    intervals[MaintenanceTask.VERIFY_AUDIT_CHAINS] = audit.verification
    if audit.checkpoint is not None:
        intervals[MaintenanceTask.CHECKPOINT_AUDIT_CHAINS] = audit.checkpoint
    return intervals


async def ensure_search_attributes(client: Client) -> None:
    """Register the search attributes; on Temporal Cloud they can only be registered in its console."""
    try:
        if missing := await _find_missing_search_attributes(client):
            await client.operator_service.add_search_attributes(
                AddSearchAttributesRequest(namespace=client.namespace, search_attributes=missing)
            )
    except RPCError as error:
        if error.status not in _UNAVAILABLE_STATUS_CODES:
            raise
        _log.warning("search_attributes_unverified", names=[key.name for key in SEARCH_ATTRIBUTES])


async def has_search_attributes(client: Client) -> bool:
    """Return whether all search attributes are registered; without one of them, Temporal refuses every job."""
    try:
        return not await _find_missing_search_attributes(client)
    except RPCError as error:
        if error.status not in _UNAVAILABLE_STATUS_CODES:
            raise
        return True  # Temporal Cloud does not list them; without them, no job has ever run there


async def _find_missing_search_attributes(client: Client) -> dict[str, IndexedValueType.ValueType]:
    registered = await client.operator_service.list_search_attributes(
        ListSearchAttributesRequest(namespace=client.namespace)
    )
    return {
        key.name: IndexedValueType.ValueType(key.indexed_value_type.value)
        for key in SEARCH_ATTRIBUTES
        if key.name not in registered.custom_attributes
    }


async def ensure_schedules(client: Client, task_queue: str) -> None:
    """Create missing schedules and move the others to this task queue; what an operator has changed stays."""
    for schedule_id, (workflow, interval, timeout) in _SCHEDULES.items():
        action = ScheduleActionStartWorkflow(workflow, id=schedule_id, task_queue=task_queue, execution_timeout=timeout)
        await _ensure_schedule(client, schedule_id, action, interval)


async def upsert_checkpoint_schedule(client: Client, task_queue: str, interval: timedelta) -> None:
    """Create the checkpoint schedule, move it to this task queue, or change its interval to the setting's."""
    action = ScheduleActionStartWorkflow(
        CHECKPOINT_AUDIT_CHAINS, id=CHECKPOINT_SCHEDULE_ID, task_queue=task_queue, execution_timeout=_CHECKPOINT_TIMEOUT
    )
    await _ensure_schedule(client, CHECKPOINT_SCHEDULE_ID, action, interval, is_interval_ours=True)


async def upsert_verification_schedule(client: Client, task_queue: str, interval: timedelta) -> None:
    """Create the schedule that verifies whole audit chains, move it to this task queue, or change its interval."""
    action = ScheduleActionStartWorkflow(
        VERIFY_AUDIT_CHAINS, id=VERIFICATION_SCHEDULE_ID, task_queue=task_queue, execution_timeout=_VERIFICATION_TIMEOUT
    )
    await _ensure_schedule(client, VERIFICATION_SCHEDULE_ID, action, interval, is_interval_ours=True)


async def _ensure_schedule(
    client: Client,
    schedule_id: str,
    action: ScheduleActionStartWorkflow,
    interval: timedelta,
    *,
    is_interval_ours: bool = False,
) -> None:
    """Create the schedule, with one run at a time, or update the task queue (and the interval, if it is a setting)."""
    schedule = Schedule(
        action=action,
        spec=ScheduleSpec(intervals=[ScheduleIntervalSpec(every=interval)]),
        policy=SchedulePolicy(overlap=ScheduleOverlapPolicy.SKIP, catchup_window=interval),
    )
    try:
        await client.create_schedule(schedule_id, schedule)
    except ScheduleAlreadyRunningError:
        intervals = schedule.spec.intervals if is_interval_ours else None
        await _update_schedule(client, schedule_id, action.task_queue, intervals)


async def _update_schedule(
    client: Client, schedule_id: str, task_queue: str, intervals: Sequence[ScheduleIntervalSpec] | None
) -> None:
    """Move the schedule to the task queue; set its intervals unless they are the operator's."""
    handle, has_moved = client.get_schedule_handle(schedule_id), False

    def update(current: ScheduleUpdateInput) -> ScheduleUpdate | None:
        nonlocal has_moved
        existing = current.description.schedule
        has_moved = _move_to_queue(existing, task_queue)
        if intervals is not None and existing.spec.intervals != intervals:
            existing.spec.intervals = intervals
        elif not has_moved:
            return None
        return ScheduleUpdate(existing)

    await handle.update(update)
    if has_moved:
        await _terminate_runs_of_old_queue(client, handle, task_queue)


def _move_to_queue(schedule: Schedule, task_queue: str) -> bool:
    """Set the task queue of the schedule's runs; return whether it was another one."""
    if not isinstance(schedule.action, ScheduleActionStartWorkflow) or schedule.action.task_queue == task_queue:
        return False
    schedule.action.task_queue = task_queue
    return True


async def _terminate_runs_of_old_queue(client: Client, handle: ScheduleHandle, task_queue: str) -> None:
    """Terminate a run that waits on the old queue: without a worker there, it would block the schedule for hours."""
    _log.warning("schedule_moved", schedule=handle.id, task_queue=task_queue)
    for running in (await handle.describe()).info.running_actions:
        if isinstance(running, ScheduleActionExecutionStartWorkflow):
            run = client.get_workflow_handle(running.workflow_id, run_id=running.first_execution_run_id)
            with suppress(RPCError):  # it may have ended meanwhile
                await run.terminate("its schedule was moved to another task queue")


@asynccontextmanager
async def keep_namespace_ensured(
    client: Client, task_queue: str, audit_intervals: AuditIntervals, every: timedelta = ENSURE_INTERVAL
) -> AsyncIterator[None]:
    """Ensure search attributes and schedules at the start of a block, and at intervals until it ends."""

    async def ensure() -> None:
        await ensure_search_attributes(client)
        await ensure_schedules(client, task_queue)
        await upsert_verification_schedule(client, task_queue, audit_intervals.verification)
        if audit_intervals.checkpoint is not None:
            await upsert_checkpoint_schedule(client, task_queue, audit_intervals.checkpoint)

    async def ensure_repeatedly() -> None:
        while True:
            await asyncio.sleep(every.total_seconds())
            try:
                await ensure()
            except Exception as error:  # noqa: BLE001 - it is tried again, whatever happened
                _log.warning("namespace_not_ensured", error=type(error).__name__)

    await ensure()
    task = asyncio.create_task(ensure_repeatedly())
    try:
        yield
    finally:
        task.cancel()


async def trigger_verification(client: Client) -> None:
    """Verify the audit chains that are due now instead of at the next interval; wait for a run in progress."""
    await client.get_schedule_handle(VERIFICATION_SCHEDULE_ID).trigger(overlap=ScheduleOverlapPolicy.BUFFER_ONE)


async def trigger_sweep(client: Client) -> None:
    """Start a sweep now instead of at the next interval; harmless while a sweep is running."""
    await client.get_schedule_handle(SWEEP_SCHEDULE_ID).trigger(overlap=ScheduleOverlapPolicy.BUFFER_ONE)
