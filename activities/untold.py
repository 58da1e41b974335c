"""Nobody is left untold: what no run tells is told by one, what an ended run has left is given up."""

import asyncio
from collections.abc import Callable, Iterable

import structlog
from temporalio.client import Client
from temporalio.service import RPCError

from activities.sweeping import GOING_ON, PASSING, last_run
from stafett.domain.notification import Telling
from stafett.notifications.deliveries import Deliveries
from stafett.temporal.client import start_job

_log = structlog.get_logger("stafett.sweeper")


class UntoldSweep:
    """Holds the outbox against what the engine knows of it."""

    def __init__(
        self, client: Client, task_queue: str, untold: Callable[[], Iterable[Telling]], deliveries: Deliveries
    ) -> None:
        self._client = client
        self._task_queue = task_queue
        self._untold = untold
        self._deliveries = deliveries

    async def __call__(self) -> int:
        """How many tellings were begun; an engine that is away ends the sweep, one odd telling does not."""
        begun = 0
        for telling in await asyncio.to_thread(lambda: list(self._untold())):
            try:
                begun += await self._begun(telling)
            except RPCError as error:
                if error.status in PASSING:
                    raise
                _log.warning("telling_skipped", workflow_id=telling.workflow_id, error=error.status.name)
        return begun

    async def _begun(self, telling: Telling) -> bool:
        run = await last_run(self._client, telling.workflow_id)
        if run is None:
            await start_job(self._client, telling, self._task_queue)
        elif run.status not in GOING_ON:
            await asyncio.to_thread(self._give_up, telling)
        return run is None

    def _give_up(self, telling: Telling) -> None:
        for delivery in self._deliveries.unsettled(telling):
            self._deliveries.give_up(delivery, "ended_from_outside")
