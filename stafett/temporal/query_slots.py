"""Slots of the query queue: queries run only a little ahead of the exports that are being rendered."""

import asyncio
from threading import Lock

from temporalio.worker import (
    CustomSlotSupplier,
    FixedSizeSlotSupplier,
    SlotMarkUsedContext,
    SlotPermit,
    SlotReleaseContext,
    SlotReserveContext,
    WorkerTuner,
)

from stafett.temporal.activity_threads import ActivityThreadPool

_CHECK_INTERVAL_SECONDS = 0.05


class QuerySlots(CustomSlotSupplier):
    """One slot while the CPU threads are busy, because more queries would delay exports that are queried already.

    All slots while they are not, so that one long query delays no other export.
    """

    def __init__(self, size: int, cpu_pool: ActivityThreadPool | None) -> None:
        self._size = size
        self._cpu_pool = cpu_pool
        self._reserved = 0
        self._lock = Lock()  # the SDK releases slots in threads of its own

    async def reserve_slot(self, ctx: SlotReserveContext) -> SlotPermit:
        while (permit := self.try_reserve_slot(ctx)) is None:  # noqa: ASYNC110 - threads that become idle set no event
            await asyncio.sleep(_CHECK_INTERVAL_SECONDS)
        return permit

    def try_reserve_slot(self, ctx: SlotReserveContext) -> SlotPermit | None:  # noqa: ARG002 - all slots are equal
        with self._lock:
            if self._reserved >= (1 if self._cpu_pool and self._cpu_pool.is_busy else self._size):
                return None
            self._reserved += 1
            return SlotPermit()

    def mark_slot_used(self, ctx: SlotMarkUsedContext) -> None:
        """Do nothing: a slot counts from its reservation."""

    def release_slot(self, ctx: SlotReleaseContext) -> None:  # noqa: ARG002 - all slots are equal
        with self._lock:
            self._reserved -= 1


def create_query_tuner(size: int, cpu_pool: ActivityThreadPool | None) -> WorkerTuner:
    """Create the tuner of a worker that runs queries only."""
    unused = FixedSizeSlotSupplier(1)
    return WorkerTuner.create_composite(
        workflow_supplier=unused,
        activity_supplier=QuerySlots(size, cpu_pool),
        local_activity_supplier=unused,
        nexus_supplier=unused,
    )
