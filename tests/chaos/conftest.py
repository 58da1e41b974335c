"""A stack of its own, with a year big enough to be killed in the middle of."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.acceptance.dev_stack import DevStack, Tokens, all_gone
from tests.chaos.endurance import BIG_YEAR, Coordinator


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def dev(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[DevStack]:
    stack = DevStack(tmp_path_factory.mktemp("chaos") / "data")
    try:
        await stack.start()
        (await stack.run("seed", "--org", "nhf", "--activities", BIG_YEAR.rows, "--year", BIG_YEAR.year)).done()
        yield stack
        family = stack.family()
    finally:
        code = await stack.end()
    assert code == 0, await stack.said()
    await all_gone(family, within=0)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def coordinator(dev: DevStack) -> Coordinator:
    tokens = await Tokens.of(dev)
    return Coordinator(dev, tokens.bearer(tokens.claims["sub"], "nhf", "coordinator"))
