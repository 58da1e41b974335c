"""A stopped PostgreSQL backend: its socket stays open, and no timeout of the server ends the wait."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import timedelta
from typing import LiteralString

import httpx
import psutil  # type: ignore[import-untyped]  # the package ships no types
import psycopg
import pytest
from sqlalchemy import text

from stafett.database.session import Database, Timeouts
from stafett.devstack.stack import RunningServers
from stafett.domain.errors import ServiceUnavailableError
from stafett.settings import Settings, require_setting
from stafett.testing import ActivityFactory, ExportClient
from tests.support.dev_stack import freeze_processes
from tests.support.fixture_types import RunWorker

_DEADLINE = timedelta(seconds=1)
_LONG_COPY: LiteralString = "COPY (SELECT repeat('x', 1000) FROM generate_series(1, 100000)) TO STDOUT"


@pytest.fixture(params=["api_url", "worker_url"])
def database(settings: Settings, request: pytest.FixtureRequest) -> Iterator[Database]:
    url = require_setting(getattr(settings.database, request.param), request.param)
    with closing(Database(url, pool_size=2)) as database:
        database.response_timeout = _DEADLINE
        yield database


def fetch_backend_pid(database: Database) -> int:
    with database.transaction() as session:
        return int(session.execute(text("SELECT pg_backend_pid()")).scalar_one())


def execute_at_stopped_backend(database: Database) -> None:
    with database.transaction() as session:
        pid = session.execute(text("SELECT pg_backend_pid()")).scalar_one()
        with freeze_processes(pid):
            session.execute(text("SELECT 1"))


def commit_at_stopped_backend(database: Database) -> None:
    with database.transaction() as session:
        pid = session.execute(text("SELECT pg_backend_pid()")).scalar_one()
        with freeze_processes(pid):
            session.commit()


def copy_from_stopped_backend(database: Database) -> None:
    with (
        database.snapshot("") as connection,
        connection.cursor() as cursor,
        cursor.copy(_LONG_COPY) as copy,
    ):
        next(iter(copy))
        with freeze_processes(connection.info.backend_pid):
            for _ in copy:
                pass


@pytest.mark.parametrize("call", [execute_at_stopped_backend, commit_at_stopped_backend, copy_from_stopped_backend])
def test_call_of_a_stopped_backend_fails_after_the_deadline(
    database: Database, call: Callable[[Database], None]
) -> None:
    with pytest.raises(ServiceUnavailableError, match="PostgreSQL"):
        call(database)
    assert fetch_backend_pid(database)


def test_other_connections_are_replaced_after_the_deadline(database: Database) -> None:
    with database.transaction() as first, database.transaction() as second:
        pids = [session.execute(text("SELECT pg_backend_pid()")).scalar_one() for session in (first, second)]
    with freeze_processes(*pids):
        with pytest.raises(ServiceUnavailableError, match="PostgreSQL"):
            fetch_backend_pid(database)
        assert fetch_backend_pid(database) not in pids


def test_declared_extra_time_extends_the_deadline(database: Database) -> None:
    with database.snapshot("") as connection, connection.allow_extra_time(timedelta(minutes=1)):
        longer = connection.execute("SELECT pg_sleep(%s)", [1.2 * _DEADLINE.total_seconds()])
        assert longer.rowcount == 1


def test_statement_timeouts_are_shorter_than_the_deadlines(settings: Settings) -> None:
    url = require_setting(settings.database.worker_url, "worker")
    for timeouts in (Timeouts.INTERACTIVE, Timeouts.WORKER):
        with closing(Database(url, pool_size=1, timeouts=timeouts)) as database, database.transaction() as session:
            setting = text("SELECT setting::int FROM pg_settings WHERE name = 'statement_timeout'")
            statement_timeout = timedelta(milliseconds=session.execute(setting).scalar_one())
            assert timeouts.response_timeout is not None
            assert timedelta() < statement_timeout < timeouts.response_timeout


@pytest.fixture
def _short_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Timeouts.INTERACTIVE, "response_timeout", timedelta(seconds=5))


@contextmanager
def freeze_postgres(stack: RunningServers) -> Iterator[None]:
    postmaster = psutil.Process(stack.pids["postgres"])
    with freeze_processes(postmaster.pid, *(child.pid for child in postmaster.children(recursive=True))):
        yield


@pytest.mark.usefixtures("_short_deadline")
async def test_api_answers_503_and_readyz_blames_postgresql_while_it_is_stopped(
    stack: RunningServers, api_client: httpx.AsyncClient, export_client: ExportClient, settings: Settings
) -> None:
    url, headers = "/api/v1/bufdir-exports", export_client.headers
    assert (await api_client.get(url, headers=headers)).status_code == 200
    with freeze_postgres(stack):
        occupied = settings.database.pool_size
        requests = [asyncio.create_task(api_client.get(url, headers=headers)) for _ in range(occupied)]
        readiness = (await api_client.get("/readyz")).json()
        responses = await asyncio.gather(*requests)
    assert readiness == {"database": "away", "temporal": "ok", "s3": "ok"}
    assert {response.status_code for response in responses} == {503}
    assert "PostgreSQL" in responses[0].json()["detail"]


async def test_export_completes_while_the_backends_of_its_worker_are_stopped(
    monkeypatch: pytest.MonkeyPatch,
    owner_url: str,
    export_client: ExportClient,
    activity_factory: ActivityFactory,
    run_worker: RunWorker,
) -> None:
    monkeypatch.setattr(Timeouts.WORKER, "response_timeout", 2 * _DEADLINE)
    activity_factory.create_activity(activity_factory.create_mentor())
    async with run_worker():
        await export_client.wait_for_completion(await export_client.start_export())
        with psycopg.connect(owner_url) as connection:
            query = "SELECT pid FROM pg_stat_activity WHERE usename = 'stafett_worker' AND state = 'idle'"
            pids = [pid for (pid,) in connection.execute(query).fetchall()]
        assert pids
        with freeze_processes(*pids):
            export = await export_client.wait_for_completion(await export_client.start_export())
    assert export["status"] == "completed"
