"""How many connections to PostgreSQL the processes of the service may open, and whether the server admits them.

Each process announces its maximum in the application name of its connections, which every role can read.
"""

import os
import re
from collections.abc import Iterable
from typing import LiteralString, NamedTuple
from uuid import uuid4

import psycopg
import structlog

from stafett.domain.errors import SettingsError
from stafett.settings import Settings, WorkerRole

LONG_REQUEST_CONNECTIONS = 4
"""Pool of the API's second process."""

DELIVERY_CONNECTIONS, MAINTENANCE_CONNECTIONS, SWEEP_CONNECTIONS, METRICS_CONNECTIONS = 2, 2, 4, 1
_LISTENING = 1
_ANNOUNCEMENT = re.compile(r"stafett (?:api|worker) ([1-9][0-9]{0,5}) [0-9a-f]{8}")
_SELECT_LIMIT: LiteralString = """
SELECT current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int
    - coalesce(current_setting('reserved_connections', true), '0')::int
"""
_SELECT_OPEN: LiteralString = """
SELECT application_name FROM pg_stat_activity WHERE datid IS NOT NULL AND pid <> pg_backend_pid()
"""
_log = structlog.get_logger("stafett.database")


def count_api_connections(settings: Settings) -> int:
    """Count what an API process and its second process may open; each of them has a connection that listens."""
    return settings.database.pool_size + LONG_REQUEST_CONNECTIONS + 2 * _LISTENING


def count_worker_pool(settings: Settings) -> int:
    """Count the worker role's connections: two for each thread of an activity, and those of deliveries."""
    return 2 * settings.worker.thread_count + DELIVERY_CONNECTIONS


def count_worker_connections(settings: Settings, role: WorkerRole | None = None) -> int:
    maintenance = MAINTENANCE_CONNECTIONS + SWEEP_CONNECTIONS + METRICS_CONNECTIONS
    return count_worker_pool(settings) + (0 if role == "cpu" else maintenance)


class ConnectionBudget(NamedTuple):
    """What a server admits for ordinary roles, what processes have announced, and what is open besides."""

    limit: int
    announced: int
    others: int

    @classmethod
    def load(cls, url: str) -> "ConnectionBudget":
        with psycopg.connect(url, connect_timeout=5, autocommit=True) as connection:
            row = connection.execute(_SELECT_LIMIT).fetchone()
            names = [name for (name,) in connection.execute(_SELECT_OPEN)]
        assert row is not None  # noqa: S101 - a query without FROM
        return cls(row[0], _sum_announced(names), sum(_ANNOUNCEMENT.fullmatch(name or "") is None for name in names))


def _sum_announced(names: Iterable[str | None]) -> int:
    """Add up the maxima of the processes; all connections of one process have the same name."""
    found = [_ANNOUNCEMENT.fullmatch(name) for name in {name or "" for name in names}]
    return sum(int(match[1]) for match in found if match)


def announce_connections(url: str, kind: str, maximum: int) -> None:
    """Refuse to start if PostgreSQL does not admit this process, and warn if it does not admit all that have started.

    An unavailable server is no reason not to start. The name is in the environment, so that the second process of the
    API has the same one.
    """
    os.environ["PGAPPNAME"] = f"stafett {kind} {maximum} {uuid4().hex[:8]}"
    try:
        budget = ConnectionBudget.load(url)
    except psycopg.OperationalError:
        return
    if maximum > budget.limit:
        raise SettingsError(
            f"This process may open {maximum} connections to PostgreSQL, which admits {budget.limit}: decrease"
            " STAFETT_DATABASE__POOL_SIZE or the numbers of threads in STAFETT_WORKER__*, or increase max_connections."
        )
    if maximum + budget.announced + budget.others > budget.limit:
        _log.warning("connection_budget_exceeded", maximum=maximum, **budget._asdict())
