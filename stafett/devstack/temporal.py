"""Temporal's development server, with its state in SQLite."""

import asyncio
import signal
import sqlite3
from contextlib import closing
from dataclasses import dataclass
from datetime import timedelta

from temporalio.api.enums.v1 import TaskQueueType
from temporalio.api.operatorservice.v1 import ListSearchAttributesRequest
from temporalio.api.taskqueue.v1 import TaskQueue
from temporalio.api.workflowservice.v1 import DescribeTaskQueueRequest
from temporalio.client import Client
from temporalio.service import RPCError

from stafett.devstack import processes
from stafett.devstack.binaries import find_program
from stafett.devstack.child_process import ProcessSpec
from stafett.devstack.data_folder import DataFolder
from stafett.devstack.errors import translate_folder_errors
from stafett.devstack.loopback import HOST, is_port_open, minimal_environment
from stafett.devstack.options import NAMESPACE
from stafett.devstack.ports import Ports
from stafett.devstack.privileges import parent_death_prefix
from stafett.temporal.client import SEARCH_ATTRIBUTES

_SEARCH_ATTRIBUTES = {
    key.name: key.indexed_value_type.name.title().replace("_", "")  # the program's name of KEYWORD_LIST is KeywordList
    for key in SEARCH_ATTRIBUTES
}
_DATABASE_FILE = "temporal.db"
_PRAGMAS = ("journal_mode=wal", "synchronous=normal")
# By default, the server processes twenty tasks a second after a burst, ignores fairness keys, and splits a
# queue into four partitions with an order of their own: a few pollers would each poll one at random.
DYNAMIC_CONFIG = (
    "history.transferProcessorMaxPollRPS=2000",
    "history.timerProcessorMaxPollRPS=2000",
    "history.visibilityProcessorMaxPollRPS=2000",
    "matching.enableFairness=true",
    "matching.numTaskqueueWritePartitions=1",
    "matching.numTaskqueueReadPartitions=1",
)

_RPC_TIMEOUT = timedelta(seconds=5)


@dataclass(frozen=True)
class TemporalServer:
    folder: DataFolder
    ports: Ports
    extra_args: tuple[str, ...]
    durable: bool

    @property
    def address(self) -> str:
        return f"{HOST}:{self.ports['temporal']}"

    @property
    def ui_url(self) -> str:
        return f"http://{HOST}:{self.ports['temporal_ui']}"

    def process_spec(self) -> ProcessSpec:
        return ProcessSpec(
            name="temporal",
            argv=(
                *parent_death_prefix(signal.SIGKILL),
                *(str(find_program("temporal")), "server", "start-dev", *self._listener_flags(), *self._server_flags()),
                *self.extra_args,
            ),
            environment=minimal_environment(self.folder.temporal),
            cwd=self.folder.temporal,
            log_file=self.folder.log_file("temporal"),
            readiness_probe=self._is_ready,
            # A graceful stop takes a second, which tests save: a kill loses no data either.
            stop_signals=((signal.SIGINT, 5.0),) if self.durable else (),
            prepare=self._prepare,
        )

    async def _prepare(self) -> None:
        """Delete what an interrupted first start left: the server creates its tables only if there is no file."""
        if (self.folder.temporal / _DATABASE_FILE).exists() and not self._is_initialised():
            with translate_folder_errors(self.folder.path):
                for part in self.folder.temporal.glob(f"{_DATABASE_FILE}*"):
                    part.unlink()

    def _is_initialised(self) -> bool:
        """Check for the server's own row, written before it serves; the server itself reports a damaged file."""
        with closing(sqlite3.connect(self.folder.temporal / _DATABASE_FILE)) as database:
            try:
                return database.execute("SELECT 1 FROM cluster_metadata_info").fetchone() is not None
            except sqlite3.DatabaseError as error:
                return "no such table" not in str(error)

    def _listener_flags(self) -> tuple[str, ...]:
        flags = {"--port": "temporal", "--ui-port": "temporal_ui"}
        flags |= {"--metrics-port": "temporal_metrics", "--http-port": "temporal_http"}
        return ("--ip", HOST, *(part for flag, name in flags.items() for part in (flag, str(self.ports[name]))))

    def _server_flags(self) -> tuple[str, ...]:
        repeated = (
            ("--sqlite-pragma", _PRAGMAS),
            ("--dynamic-config-value", DYNAMIC_CONFIG),
            ("--search-attribute", (f"{name}={kind}" for name, kind in _SEARCH_ATTRIBUTES.items())),
        )
        # The path is relative to its own folder: `?` or `#` in a path would end the SQLite URI's path.
        return (
            *("--db-filename", _DATABASE_FILE, "--log-level", "warn", "--ui-disable-news-fetch"),
            *(part for flag, values in repeated for value in values for part in (flag, value)),
        )

    async def _is_ready(self, pid: int) -> bool:
        # Temporal requires no credentials, so another user's server on our port would answer just as well.
        for name in ("temporal", "temporal_ui"):
            if not await is_port_open(self.ports[name]):
                return False
        if not await asyncio.to_thread(processes.is_listening_on, pid, self.ports["temporal"]):
            return False
        try:
            client = await Client.connect(self.address, namespace=NAMESPACE)
            registered = await client.operator_service.list_search_attributes(
                ListSearchAttributesRequest(namespace=NAMESPACE)
            )
        except (RPCError, RuntimeError):
            return False
        return _SEARCH_ATTRIBUTES.keys() <= registered.custom_attributes.keys()


async def is_polling(address: str, namespace: str, task_queue: str, pid: int, *, for_activities: bool = False) -> bool:
    """Check whether this very process polls the queue: Temporal lists a dead poller for minutes."""
    activities, workflows = TaskQueueType.TASK_QUEUE_TYPE_ACTIVITY, TaskQueueType.TASK_QUEUE_TYPE_WORKFLOW
    request = DescribeTaskQueueRequest(
        namespace=namespace,
        task_queue=TaskQueue(name=task_queue),
        task_queue_type=activities if for_activities else workflows,
    )
    try:
        client = await Client.connect(address, namespace=namespace)
        queue = await client.workflow_service.describe_task_queue(request, timeout=_RPC_TIMEOUT)
    except (RPCError, RuntimeError):
        return False
    return any(poller.identity.startswith(f"{pid}@") for poller in queue.pollers)
