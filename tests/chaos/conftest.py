"""A stack of its own, with a year big enough to be killed in the middle of."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.acceptance.dev_stack import DevStack, Tokens, a_stack_that_ends_well
from tests.chaos.endurance import BIG_YEAR, Coordinator


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def dev(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[DevStack]:
    async with a_stack_that_ends_well(tmp_path_factory.mktemp("chaos") / "data") as stack:
        (await stack.run("seed", "--org", "nhf", "--activities", BIG_YEAR.rows, "--year", BIG_YEAR.year)).done()
        yield stack


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def coordinator(dev: DevStack) -> Coordinator:
    tokens = await Tokens.of(dev)
    return Coordinator(dev, tokens.bearer(tokens.claims["sub"], "nhf", "coordinator"))
