"""Fixtures of the fault tests: a stack of their own, with a year of activities that takes seconds to export."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.chaos.fault_injection import BIG_YEAR, Coordinator
from tests.chaos.short_timeouts import shorten_heartbeat_timeout
from tests.support.dev_stack import DevStack, Tokens, run_dev_stack


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def dev_stack(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[DevStack]:
    async with run_dev_stack(tmp_path_factory.mktemp("chaos") / "data") as stack:
        (
            await stack.run("seed", "--org", "nhf", "--activities", BIG_YEAR.rows, "--year", BIG_YEAR.year)
        ).require_success()
        yield stack


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def coordinator(dev_stack: DevStack) -> Coordinator:
    tokens = await Tokens.from_stack(dev_stack)
    return Coordinator(dev_stack, tokens.create_headers(tokens.claims["sub"], "nhf", "coordinator"))


@pytest.fixture
def short_heartbeat_timeout(monkeypatch: pytest.MonkeyPatch) -> None:
    shorten_heartbeat_timeout(monkeypatch)
