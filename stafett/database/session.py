"""Database connections, with each transaction bound to an organisation and a user."""

import select
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from datetime import timedelta
from enum import Enum
from time import monotonic
from typing import Any
from uuid import UUID

import psycopg
from psycopg import Connection as PsycopgConnection
from psycopg.errors import ReadOnlySqlTransaction
from sqlalchemy import URL, Connection, Executable, Row, TextClause, event, make_url, text
from sqlalchemy.exc import InterfaceError, InternalError, InvalidatePoolError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.orm import sessionmaker
from sqlmodel import Session, create_engine

from stafett.database.connection import DeadlineConnection
from stafett.domain.errors import ServiceUnavailableError
from stafett.domain.membership import Caller

_SELECT_TENANT_CONTEXT = (
    "SELECT set_config('app.org_id', :org_id, true), set_config('app.user_id', :user_id, true),"
    " set_config('app.operator', :operator, true)"
)
_SNAPSHOT_TIMEOUTS = {"statement_timeout": "1h", "idle_in_transaction_session_timeout": "10min"}
"""A ``COPY`` takes as long as its reader, who stores its rows; each of its blocks has the connection's deadline."""

CONNECTION_OPTIONS: dict[str, str | int] = {
    "fallback_application_name": "stafett",
    "connect_timeout": 5,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 20_000,
}


_UNAVAILABLE_ERRORS = (
    OperationalError,
    InterfaceError,
    PoolTimeoutError,
    psycopg.OperationalError,
    psycopg.InterfaceError,
)


class Timeouts(Enum):
    """Timeouts of the server, and how long a connection waits for an answer, which no stopped backend can extend.

    The latter is longer than the statement timeout, and shorter than the silence after which a thread counts as
    hanging. A transaction that stays idle, because its process is stopped, ends before a worker stops waiting for its
    locks.
    """

    INTERACTIVE = (
        {"statement_timeout": "15s", "lock_timeout": "5s", "idle_in_transaction_session_timeout": "10s"},
        timedelta(seconds=16),
    )
    WORKER = (
        {"statement_timeout": "30s", "lock_timeout": "20s", "idle_in_transaction_session_timeout": "15s"},
        timedelta(seconds=35),
    )
    RECONCILIATION = (
        {"statement_timeout": "30s", "lock_timeout": "2s", "idle_in_transaction_session_timeout": "15s"},
        timedelta(seconds=35),
    )
    """Skips a locked row after two seconds."""
    COMMAND_LINE = ({"lock_timeout": "60s", "idle_in_transaction_session_timeout": "10min"}, None)

    def __init__(self, server_settings: Mapping[str, str], response_timeout: timedelta | None) -> None:
        self.server_settings = server_settings
        self.response_timeout = response_timeout


def to_sqlalchemy_url(url: str) -> URL:
    return make_url(url).set(drivername="postgresql+psycopg")


def get_driver_connection(connection: Connection) -> PsycopgConnection:
    """Return SQLAlchemy's psycopg connection, for features that only the driver has."""
    driver = connection.connection.driver_connection
    assert isinstance(driver, PsycopgConnection)  # noqa: S101 - the URL's dialect is psycopg
    return driver


class Database:
    """Connection pool of one role. Each transaction sets its tenant, and row-level security restricts the rows."""

    def __init__(
        self,
        url: str,
        *,
        pool_size: int = 10,
        timeouts: Timeouts = Timeouts.WORKER,
        role: str | None = None,
        transaction_pooling: bool = False,
    ) -> None:
        """Create the pool.

        With ``transaction_pooling``, the URL leads to a pooler, behind which the next transaction may have another
        server connection: each transaction then sets the timeouts, and no statement is prepared.
        """
        settings = timeouts.server_settings if role is None else {**timeouts.server_settings, "role": role}
        self._settings_per_transaction = settings if transaction_pooling else {}
        self._set_tenant_context = _build_context(self._settings_per_transaction)
        self._set_snapshot_context = _build_context({**self._settings_per_transaction, **_SNAPSHOT_TIMEOUTS})
        session_options: dict[str, str | None] = (
            {"prepare_threshold": None}
            if transaction_pooling
            else {"options": " ".join(f"-c {name}={value}" for name, value in settings.items())}
        )
        self.response_timeout = timeouts.response_timeout
        self._unresponsive_since = 0.0
        self.observe_wait: Callable[[float], None] = lambda _seconds: None
        """Called with the seconds for which a caller waited for a connection."""
        self._engine = create_engine(
            to_sqlalchemy_url(url),
            pool_size=pool_size,
            max_overflow=0,
            pool_timeout=10,
            hide_parameters=True,  # error texts would quote them, and they contain personal data
            connect_args=CONNECTION_OPTIONS | session_options,
        )
        event.listen(self._engine, "do_connect", self._connect)
        event.listen(self._engine, "checkout", self._discard_dead_connection)
        self._open_session = sessionmaker(self._engine, class_=Session, expire_on_commit=False)

    @contextmanager
    def transaction(
        self, org_id: str | None = None, *, user_id: UUID | None = None, is_operator: bool = False
    ) -> Iterator[Session]:
        """Open a transaction that commits at the end of the block, or rolls back on an exception."""
        with _translate_errors(), self._open_session() as session, session.begin():
            with self._measure_wait():
                session.connection()
            context = {"org_id": org_id or "", "user_id": str(user_id or ""), "operator": "on" if is_operator else ""}
            session.execute(self._set_tenant_context, context)
            yield session

    def execute(self, statement: Executable, parameters: Mapping[str, object]) -> Sequence[Row[Any]]:
        """Execute one statement, which sets the tenant itself, as a transaction of its own: one round trip.

        Behind a pooler, it is a transaction of several, because the timeouts need a statement before it.
        """
        if self._settings_per_transaction:
            with self.transaction() as session:
                return session.execute(statement, parameters).all()
        with _translate_errors(), self._connect_measured() as connection:
            connection.execution_options(isolation_level="AUTOCOMMIT")
            return connection.execute(statement, parameters).all()

    def caller_transaction(self, caller: Caller) -> AbstractContextManager[Session]:
        """Open a transaction that sees what the caller may see: an operator sees the jobs of every organisation."""
        return self.transaction(caller.org_id, user_id=caller.user_id, is_operator=caller.is_operator)

    @contextmanager
    def snapshot(self, org_id: str) -> Iterator[DeadlineConnection]:
        """Open a read-only snapshot, and yield the driver's connection for ``COPY``."""
        options = {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True}
        with _translate_errors(), self._connect_measured().execution_options(**options) as connection:
            connection.execute(self._set_snapshot_context, {"org_id": org_id, "user_id": "", "operator": ""})
            driver = get_driver_connection(connection)
            assert isinstance(driver, DeadlineConnection)  # noqa: S101 - `_connect` creates all connections
            yield driver

    def _connect_measured(self) -> Connection:
        with self._measure_wait():
            return self._engine.connect()

    @contextmanager
    def _measure_wait(self) -> Iterator[None]:
        """Report how many seconds the block waits for a connection of the pool, whether or not it gets one."""
        started_at = monotonic()
        try:
            yield
        finally:
            self.observe_wait(monotonic() - started_at)

    def ping(self) -> None:
        with self.transaction() as session:
            session.execute(text("SELECT 1"))

    def close(self) -> None:
        self._engine.dispose()

    def _connect(self, _dialect: object, _record: object, args: Sequence[Any], options: dict[str, Any]) -> object:
        connection = DeadlineConnection.connect(*args, **options)
        connection.response_timeout = self.response_timeout
        connection.on_timeout = self._mark_unresponsive
        return connection

    def _mark_unresponsive(self) -> None:
        self._unresponsive_since = monotonic()

    def _discard_dead_connection(self, connection: DeadlineConnection, _record: object, _proxy: object) -> None:
        """Discard an idle connection that the server has closed, or that is older than a deadline that has passed.

        A closed one is readable, and polling is cheaper than a ping. If one backend hangs, others may hang too.
        """
        if connection.closed or _is_readable(connection.fileno()):
            raise InvalidatePoolError("PostgreSQL has closed the connection.")
        if connection.opened_at < self._unresponsive_since:
            raise InvalidatePoolError("PostgreSQL did not answer on another connection.")


def _build_context(settings: Mapping[str, str]) -> TextClause:
    """Build the statement that sets a transaction's tenant, and these settings until its end."""
    calls = [f"set_config('{name}', '{value}', true)" for name, value in settings.items()]
    return text(", ".join([_SELECT_TENANT_CONTEXT, *calls]))


def _is_readable(file_descriptor: int) -> bool:
    poller = select.poll()
    poller.register(file_descriptor, select.POLLIN)
    return bool(poller.poll(0))


@contextmanager
def _translate_errors() -> Iterator[None]:
    try:
        yield
    except _UNAVAILABLE_ERRORS as error:
        raise ServiceUnavailableError("PostgreSQL") from error
    except InternalError as error:
        if isinstance(error.orig, ReadOnlySqlTransaction):  # the server is a standby, or its disk is full
            raise ServiceUnavailableError("A writable PostgreSQL server") from error
        if error.connection_invalidated:  # the server has ended the session, for example because it was idle
            raise ServiceUnavailableError("PostgreSQL") from error
        raise
