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
)
from temporalio.service import RPCError, RPCStatusCode

from stafett.temporal import SEARCH_ATTRIBUTES, SWEEP_JOBS

_log = structlog.get_logger("stafett.engine")
SWEEPER = "sweep-jobs"
"""The schedule's id: one sweeper a namespace, whatever queues there are."""

_SWEEP_EVERY = timedelta(minutes=1)
_SWEPT_WITHIN = timedelta(minutes=15)
_NOT_OURS_TO_SAY = {RPCStatusCode.UNIMPLEMENTED, RPCStatusCode.PERMISSION_DENIED}


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
        if error.status not in _NOT_OURS_TO_SAY:
            raise
        _log.warning("search_attributes_not_checked", names=[key.name for key in SEARCH_ATTRIBUTES])


async def ensure_sweeper(client: Client, task_queue: str) -> None:
    """Have the sweeper run every minute, one at a time."""
    action = ScheduleActionStartWorkflow(SWEEP_JOBS, id=SWEEPER, task_queue=task_queue, execution_timeout=_SWEPT_WITHIN)
    schedule = Schedule(
        action=action,
        spec=ScheduleSpec(intervals=[ScheduleIntervalSpec(every=_SWEEP_EVERY)]),
        policy=SchedulePolicy(overlap=ScheduleOverlapPolicy.SKIP, catchup_window=_SWEEP_EVERY),
    )
    try:
        await client.create_schedule(SWEEPER, schedule)
    except ScheduleAlreadyRunningError:
        return


async def sweep_now(client: Client) -> None:
    """Do not wait for the next minute; harmless while a sweep is running."""
    await client.get_schedule_handle(SWEEPER).trigger(overlap=ScheduleOverlapPolicy.BUFFER_ONE)
