"""Fixtures of the acceptance tests: one `stafett dev` for the session, and a new organisation for each test."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from uuid import UUID

import httpx
import psycopg
import pytest
import pytest_asyncio

from stafett.testing import Tenant
from tests.support.dev_stack import DevStack, Tokens, open_http_client, run_dev_stack
from tests.support.fixture_types import Bearer
from tests.support.metrics import Scraper


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def dev_stack(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[DevStack]:
    async with run_dev_stack(tmp_path_factory.mktemp("acceptance") / "data") as stack:
        yield stack


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def tokens(dev_stack: DevStack) -> Tokens:
    return await Tokens.from_stack(dev_stack)


@pytest.fixture
def owner_url(dev_stack: DevStack) -> str:
    """The stack's database, where the root fixtures `tenant` and `activity_factory` insert their rows."""
    return dev_stack.database_url


@pytest.fixture
def owner_connection(owner_url: str) -> Iterator[psycopg.Connection]:
    with psycopg.connect(owner_url, autocommit=True) as connection:
        yield connection


@pytest.fixture
def bearer(tokens: Tokens, tenant: Tenant) -> Bearer:
    def create_headers(user_id: UUID, org_id: str | None = tenant.org_id, role: str = "coordinator") -> dict[str, str]:
        return tokens.create_headers(user_id, org_id, role)

    return create_headers


@pytest.fixture
def operator_headers(tokens: Tokens, owner_connection: psycopg.Connection) -> dict[str, str]:
    row = owner_connection.execute("SELECT id FROM users WHERE email = 'operator@stafett.example'").fetchone()
    assert row is not None
    return tokens.create_headers(row[0], None, "operator")


@pytest_asyncio.fixture(loop_scope="session")
async def api_client(dev_stack: DevStack) -> AsyncIterator[httpx.AsyncClient]:
    async with dev_stack.api_client() as client:
        yield client


@pytest_asyncio.fixture(loop_scope="session")
async def anonymous_client() -> AsyncIterator[httpx.AsyncClient]:
    """A client without a token."""
    async with open_http_client() as client:
        yield client


@pytest.fixture
def empty_folder(tmp_path: Path) -> Path:
    folder = tmp_path / "out"
    folder.mkdir()
    return folder


@pytest.fixture
def scraper(dev_stack: DevStack, anonymous_client: httpx.AsyncClient) -> Scraper:
    return Scraper(dev_stack, anonymous_client)
