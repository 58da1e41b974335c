"""Search attributes and schedules of the Temporal namespace: created if missing, otherwise left unchanged."""

from datetime import timedelta

import structlog
from temporalio.api.enums.v1 import IndexedValueType
from temporalio.api.operatorservice.v1 import AddSearchAttributesRequest, ListSearchAttributesRequest
from temporalio.client import (
    Client,
    Schedule,
    ScheduleActionStartWorkflow,
    ScheduleAlreadyRunningError,
    ScheduleIntervalSpec,
    ScheduleOverlapPolicy,
    SchedulePolicy,
    ScheduleSpec,
    ScheduleUpdate,
    ScheduleUpdateInput,
)
from temporalio.service import RPCError, RPCStatusCode

from stafett.temporal.client import (
    APPLY_RETENTION,
    CHECKPOINT_AUDIT_CHAINS,
    RECONCILE_BUCKET,
    SEARCH_ATTRIBUTES,
    SWEEP_JOBS,
)

_log = structlog.get_logger("stafett.temporal")
SWEEP_SCHEDULE_ID = "sweep-jobs"
"""One sweep schedule per namespace, whatever task queues there are."""

_SCHEDULES = {
    SWEEP_SCHEDULE_ID: (SWEEP_JOBS, timedelta(seconds=20), timedelta(minutes=15)),
    "apply-retention": (APPLY_RETENTION, timedelta(hours=1), timedelta(hours=12)),
    "reconcile-bucket": (RECONCILE_BUCKET, timedelta(days=1), timedelta(hours=23)),
}
CHECKPOINT_SCHEDULE_ID = "checkpoint-audit-chains"
"""One checkpoint schedule for all workers that have the signing key."""

_CHECKPOINT_TIMEOUT = timedelta(hours=2)
_UNAVAILABLE_STATUS_CODES = {RPCStatusCode.UNIMPLEMENTED, RPCStatusCode.PERMISSION_DENIED}


async def ensure_search_attributes(client: Client) -> None:
    """Register the search attributes; on Temporal Cloud they can only be registered in its console."""
    service = client.operator_service
    try:
        registered = await service.list_search_attributes(ListSearchAttributesRequest(namespace=client.namespace))
        missing = {
            key.name: IndexedValueType.ValueType(key.indexed_value_type.value)
            for key in SEARCH_ATTRIBUTES
            if key.name not in registered.custom_attributes
        }
        if missing:
            await service.add_search_attributes(
                AddSearchAttributesRequest(namespace=client.namespace, search_attributes=missing)
            )
    except RPCError as error:
        if error.status not in _UNAVAILABLE_STATUS_CODES:
            raise
        _log.warning("search_attributes_unverified", names=[key.name for key in SEARCH_ATTRIBUTES])


async def ensure_schedules(client: Client, task_queue: str) -> None:
    """Create missing schedules; a schedule that an operator has changed stays as it is."""
    for schedule_id, (workflow, interval, timeout) in _SCHEDULES.items():
        action = ScheduleActionStartWorkflow(workflow, id=schedule_id, task_queue=task_queue, execution_timeout=timeout)
        await _create_schedule_if_missing(client, schedule_id, action, interval)


async def upsert_checkpoint_schedule(client: Client, task_queue: str, interval: timedelta) -> None:
    """Create the checkpoint schedule, or change its interval."""
    action = ScheduleActionStartWorkflow(
        CHECKPOINT_AUDIT_CHAINS, id=CHECKPOINT_SCHEDULE_ID, task_queue=task_queue, execution_timeout=_CHECKPOINT_TIMEOUT
    )
    if await _create_schedule_if_missing(client, CHECKPOINT_SCHEDULE_ID, action, interval):
        return

    async def set_interval(current: ScheduleUpdateInput) -> ScheduleUpdate | None:
        schedule, intervals = current.description.schedule, [ScheduleIntervalSpec(every=interval)]
        if schedule.spec.intervals == intervals:
            return None
        schedule.spec.intervals = intervals
        return ScheduleUpdate(schedule)

    await client.get_schedule_handle(CHECKPOINT_SCHEDULE_ID).update(set_interval)


async def _create_schedule_if_missing(
    client: Client, schedule_id: str, action: ScheduleActionStartWorkflow, interval: timedelta
) -> bool:
    """Create the schedule, with one run at a time; return false if it exists already, and leave it unchanged."""
    schedule = Schedule(
        action=action,
        spec=ScheduleSpec(intervals=[ScheduleIntervalSpec(every=interval)]),
        policy=SchedulePolicy(overlap=ScheduleOverlapPolicy.SKIP, catchup_window=interval),
    )
    try:
        await client.create_schedule(schedule_id, schedule)
    except ScheduleAlreadyRunningError:
        return False
    return True


async def trigger_sweep(client: Client) -> None:
    """Start a sweep now instead of at the next interval; harmless while a sweep is running."""
    await client.get_schedule_handle(SWEEP_SCHEDULE_ID).trigger(overlap=ScheduleOverlapPolicy.BUFFER_ONE)
