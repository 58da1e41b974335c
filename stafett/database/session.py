"""Database connections, with each transaction bound to an organisation and a user."""

import select
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from uuid import UUID

import psycopg
from psycopg import Connection as PsycopgConnection
from psycopg.errors import ReadOnlySqlTransaction
from sqlalchemy import URL, Connection, event, make_url, text
from sqlalchemy.exc import InterfaceError, InternalError, InvalidatePoolError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlmodel import Session, create_engine

from stafett.domain.errors import ServiceUnavailableError

_SET_TENANT_CONTEXT = text(
    "SELECT set_config('app.org_id', :org_id, true), set_config('app.user_id', :user_id, true),"
    " set_config('app.operator', :operator, true)"
)

CONNECTION_OPTIONS: dict[str, str | int] = {
    "application_name": "stafett",
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


class Timeouts(StrEnum):
    """PostgreSQL timeouts. Only interactive statements have a time limit; those of a stage take as long as needed."""

    INTERACTIVE = "-c statement_timeout=15s -c lock_timeout=5s -c idle_in_transaction_session_timeout=30s"
    WORKER = "-c lock_timeout=60s -c idle_in_transaction_session_timeout=10min"


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
        self, url: str, *, pool_size: int = 10, timeouts: Timeouts = Timeouts.WORKER, role: str | None = None
    ) -> None:
        options = timeouts.value if role is None else f"{timeouts.value} -c role={role}"
        self._engine = create_engine(
            to_sqlalchemy_url(url),
            pool_size=pool_size,
            max_overflow=0,
            pool_timeout=10,
            hide_parameters=True,  # error texts would quote them, and they contain personal data
            connect_args=CONNECTION_OPTIONS | {"options": options},
        )
        event.listen(self._engine, "checkout", _discard_dead_connection)

    @contextmanager
    def transaction(
        self, org_id: str | None = None, *, user_id: UUID | None = None, is_operator: bool = False
    ) -> Iterator[Session]:
        """Open a transaction that commits at the end of the block, or rolls back on an exception."""
        with _translate_errors(), Session(self._engine, expire_on_commit=False) as session, session.begin():
            context = {"org_id": org_id or "", "user_id": str(user_id or ""), "operator": "on" if is_operator else ""}
            session.execute(_SET_TENANT_CONTEXT, context)
            yield session

    @contextmanager
    def snapshot(self, org_id: str) -> Iterator[PsycopgConnection]:
        """Open a read-only snapshot, and yield the driver's connection for ``COPY``."""
        options = {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True}
        with _translate_errors(), self._engine.connect().execution_options(**options) as connection:
            connection.execute(_SET_TENANT_CONTEXT, {"org_id": org_id, "user_id": "", "operator": ""})
            yield get_driver_connection(connection)

    def ping(self) -> None:
        with self.transaction() as session:
            session.execute(text("SELECT 1"))

    def close(self) -> None:
        self._engine.dispose()


def _discard_dead_connection(connection: PsycopgConnection, _record: object, _proxy: object) -> None:
    """Discard an idle connection that is readable: the server has closed it. Polling is cheaper than a ping."""
    if connection.closed or _is_readable(connection.fileno()):
        raise InvalidatePoolError("PostgreSQL has closed the connection.")


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
        raise
