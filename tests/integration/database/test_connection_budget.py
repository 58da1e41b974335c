"""What the processes may open is what their pools have, and a process that PostgreSQL does not admit does not start."""

from typing import Any

import psycopg
import pytest
import structlog
from sqlmodel import create_engine
from temporalio.client import Client

import worker
from api.app import create_app
from api.long_requests import reduce_settings
from stafett.database.connection_budget import (
    ConnectionBudget,
    announce_connections,
    count_api_connections,
    count_worker_connections,
)
from stafett.domain.errors import SettingsError
from stafett.settings import Settings, require_setting
from tests.support.dev_stack import run_stafett_process


@pytest.fixture
def pools(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The sizes of the pools that are created."""
    sizes = list[int]()

    def record(*args: Any, **options: Any) -> object:
        assert options["max_overflow"] == 0
        sizes.append(options["pool_size"])
        return create_engine(*args, **options)

    monkeypatch.setattr("stafett.database.session.create_engine", record)
    return sizes


@pytest.fixture
def api_url(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("PGAPPNAME", "a test")  # restores the variable after the test
    return require_setting(settings.database.api_url, "api")


async def test_worker_opens_what_is_counted(temporal: Client, settings: Settings, pools: list[int]) -> None:
    async with worker.run_queue_workers(temporal, settings):
        assert sum(pools) == count_worker_connections(settings)


def test_api_opens_what_is_counted(settings: Settings, pools: list[int]) -> None:
    for each in (settings, reduce_settings(settings)):
        create_app(each)
    listening = 2
    assert sum(pools) + listening == count_api_connections(settings)


def test_maxima_of_other_processes_are_added_up(api_url: str) -> None:
    before = ConnectionBudget.load(api_url)
    with (
        psycopg.connect(api_url, application_name="stafett worker 53 00000001"),
        psycopg.connect(api_url, application_name="stafett worker 53 00000001"),
        psycopg.connect(api_url, application_name="stafett worker 53 00000002"),
        psycopg.connect(api_url, application_name="psql"),
    ):
        after = ConnectionBudget.load(api_url)
    assert (after.announced - before.announced, after.others - before.others) == (106, 1)


def test_process_that_fits_alone_is_warned_of_the_others(api_url: str) -> None:
    limit = ConnectionBudget.load(api_url).limit
    with structlog.testing.capture_logs() as logs:
        announce_connections(api_url, "api", 10)
    assert logs == []
    with (
        psycopg.connect(api_url, application_name=f"stafett worker {limit - 5} 00000001"),
        structlog.testing.capture_logs() as logs,
    ):
        announce_connections(api_url, "api", 10)
    assert [(line["event"], line["log_level"]) for line in logs] == [("connection_budget_exceeded", "warning")]
    with pytest.raises(SettingsError, match=f"which admits {limit}"):
        announce_connections(api_url, "api", limit + 1)


async def test_process_that_does_not_fit_does_not_start(settings: Settings) -> None:
    url = require_setting(settings.database.worker_url, "worker")
    environment = {"STAFETT_DATABASE__WORKER_URL": url, "STAFETT_WORKER__THREADS": "256"}
    result = await run_stafett_process("worker", env=environment)
    assert result.exit_code == 1, result
    assert f"connections to PostgreSQL, which admits {ConnectionBudget.load(url).limit}: decrease" in result.stderr


async def test_doctor_reports_the_connections(api_url: str) -> None:
    result = await run_stafett_process("doctor", env={"STAFETT_DATABASE__API_URL": api_url})
    (line,) = (line for line in result.stdout.splitlines() if "connections:" in line)
    limit = ConnectionBudget.load(api_url).limit
    assert line.startswith(f"ok  connections: PostgreSQL admits {limit} connections; an API process may open 16, ")
