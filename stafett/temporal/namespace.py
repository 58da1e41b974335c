"""What a Temporal namespace needs before our jobs run in it: made if it is missing, left alone if it is there."""

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

from stafett.temporal.client import APPLY_RETENTION, CHECKPOINT_AUDIT_CHAINS, SEARCH_ATTRIBUTES, SWEEP_JOBS

_log = structlog.get_logger("stafett.engine")
SWEEP_SCHEDULE_ID = "sweep-jobs"
"""The schedule's id: one sweeper a namespace, whatever queues there are."""

_SCHEDULES = {
    SWEEP_SCHEDULE_ID: (SWEEP_JOBS, timedelta(seconds=20), timedelta(minutes=15)),
    "apply-retention": (APPLY_RETENTION, timedelta(hours=1), timedelta(hours=12)),
}
CHECKPOINT_SCHEDULE_ID = "checkpoint-audit-chains"
"""The schedule's id: one for all workers that have the key."""

_CHECKPOINT_TIMEOUT = timedelta(hours=2)
_UNAVAILABLE_STATUS_CODES = {RPCStatusCode.UNIMPLEMENTED, RPCStatusCode.PERMISSION_DENIED}


async def ensure_search_attributes(client: Client) -> None:
    """Register ours; Temporal Cloud lets only its own console do that."""
    service = client.operator_service
    try:
        known = await service.list_search_attributes(ListSearchAttributesRequest(namespace=client.namespace))
        missing = {
            key.name: IndexedValueType.ValueType(key.indexed_value_type.value)
            for key in SEARCH_ATTRIBUTES
            if key.name not in known.custom_attributes
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
    """Have what comes again and again come; who changed a schedule is not overruled."""
    for schedule_id, (name, every, within) in _SCHEDULES.items():
        action = ScheduleActionStartWorkflow(name, id=schedule_id, task_queue=task_queue, execution_timeout=within)
        await _create_schedule_if_missing(client, schedule_id, action, every)


async def upsert_checkpoint_schedule(client: Client, task_queue: str, interval: timedelta) -> None:
    """Have the audit chains signed so often; a schedule with another interval is given this one."""
    action = ScheduleActionStartWorkflow(
        CHECKPOINT_AUDIT_CHAINS, id=CHECKPOINT_SCHEDULE_ID, task_queue=task_queue, execution_timeout=_CHECKPOINT_TIMEOUT
    )
    if await _create_schedule_if_missing(client, CHECKPOINT_SCHEDULE_ID, action, interval):
        return

    async def so_often(known: ScheduleUpdateInput) -> ScheduleUpdate | None:
        schedule, wanted = known.description.schedule, [ScheduleIntervalSpec(every=interval)]
        if schedule.spec.intervals == wanted:
            return None
        schedule.spec.intervals = wanted
        return ScheduleUpdate(schedule)

    await client.get_schedule_handle(CHECKPOINT_SCHEDULE_ID).update(so_often)


async def _create_schedule_if_missing(
    client: Client, schedule_id: str, action: ScheduleActionStartWorkflow, interval: timedelta
) -> bool:
    """One run at a time; false if the schedule is there already, and then it is left alone."""
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
    """Do not wait for the next minute; harmless while a sweep is running."""
    await client.get_schedule_handle(SWEEP_SCHEDULE_ID).trigger(overlap=ScheduleOverlapPolicy.BUFFER_ONE)
