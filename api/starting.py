"""From an accepted job to a running one; whatever cannot be started now is started later."""

import asyncio
import contextlib

import structlog
from temporalio.client import Client
from temporalio.service import RPCError

from stafett.domain.export_job import ExportJob
from stafett.engine_setup import sweep_now
from stafett.temporal import start_export

_FIRST_PAUSE, _LONGEST_PAUSE = 1.0, 30.0
_log = structlog.get_logger("stafett.api")


class JobStarter:
    """Starts runs, and has the sweeper called for as long as a start is owed."""

    def __init__(self, client: Client, task_queue: str) -> None:
        self._client = client
        self._task_queue = task_queue
        self._owed = asyncio.Event()
        self._owed.set()  # an earlier gateway may have gone between accepting and starting

    async def start(self, job: ExportJob) -> None:
        """The job is accepted already: a start that fails is owed, not an error of the caller's."""
        try:
            await start_export(self._client, job, self._task_queue)
        except (RPCError, RuntimeError) as error:
            _log.warning("start_owed", export_id=str(job.export_id), error=type(error).__name__)
            self._owed.set()

    async def keep_promises(self) -> None:
        """Call the sweeper whenever something is owed, until it has been reached."""
        while True:
            await self._owed.wait()
            self._owed.clear()
            pause = _FIRST_PAUSE
            while not await self._sweeper_called():
                await asyncio.sleep(pause)
                pause = min(2 * pause, _LONGEST_PAUSE)

    async def _sweeper_called(self) -> bool:
        with contextlib.suppress(RPCError, RuntimeError):
            await sweep_now(self._client, self._task_queue)
            return True
        return False
