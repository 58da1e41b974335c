"""One `stafett dev` for the whole session, seen from outside; a fresh organisation in its database for each test."""

from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from uuid import UUID

import httpx
import psycopg
import pytest
import pytest_asyncio

from stafett.testing import Tenant
from tests.acceptance.dev_stack import DevStack, Tokens, a_stack_that_ends_well, browser

Bearer = Callable[..., dict[str, str]]


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def dev(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[DevStack]:
    async with a_stack_that_ends_well(tmp_path_factory.mktemp("acceptance") / "data") as stack:
        yield stack


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def tokens(dev: DevStack) -> Tokens:
    return await Tokens.of(dev)


@pytest.fixture
def owner_url(dev: DevStack) -> str:
    """Where the builders `tenant`, `diary` and `button` of this suite's root write."""
    return dev.database_url


@pytest.fixture
def owner(owner_url: str) -> Iterator[psycopg.Connection]:
    with psycopg.connect(owner_url, autocommit=True) as connection:
        yield connection


@pytest.fixture
def bearer(tokens: Tokens, tenant: Tenant) -> Bearer:
    def bearer(user_id: UUID, org_id: str | None = tenant.org_id, role: str = "coordinator") -> dict[str, str]:
        return tokens.bearer(user_id, org_id, role)

    return bearer


@pytest.fixture
def operator(tokens: Tokens, owner: psycopg.Connection) -> dict[str, str]:
    row = owner.execute("SELECT id FROM users WHERE email = 'operator@stafett.example'").fetchone()
    assert row is not None
    return tokens.bearer(row[0], None, "operator")


@pytest_asyncio.fixture(loop_scope="session")
async def gateway(dev: DevStack) -> AsyncIterator[httpx.AsyncClient]:
    async with dev.gateway() as client:
        yield client


@pytest_asyncio.fixture(loop_scope="session")
async def anybody() -> AsyncIterator[httpx.AsyncClient]:
    """Somebody with nothing but a link."""
    async with browser() as client:
        yield client


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An empty folder of this test's own."""
    folder = tmp_path / "out"
    folder.mkdir()
    return folder
