"""The real application with two issuers on sockets, and browsers that use them."""

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
import pytest_asyncio
from pydantic import AnyHttpUrl

from api.app import create_app
from stafett.settings import Settings, SignInSettings
from stafett.testing import Tenant, create_tenant
from tests.support.http_server import ReservedPort, reserve_port, serve_app
from tests.support.sign_in import ConsoleBrowser, HostileSignIn, list_users, run_issuer


@pytest.fixture
def other_tenant(owner_url: str) -> Tenant:
    """A second organisation, which has an identity provider of its own."""
    return create_tenant(owner_url)


@pytest.fixture
def issuer_one(tmp_path: Path, tenant: Tenant) -> Iterator[HostileSignIn]:
    with run_issuer(tmp_path / "one", list_users(tenant)) as sign_in:
        yield sign_in


@pytest.fixture
def issuer_two(tmp_path: Path, tenant: Tenant, other_tenant: Tenant) -> Iterator[HostileSignIn]:
    """The identity provider of the second organisation, which also claims to know the users of the first one."""
    with run_issuer(tmp_path / "two", list_users(other_tenant) + list_users(tenant)) as sign_in:
        yield sign_in


@pytest.fixture
def port() -> Iterator[ReservedPort]:
    with reserve_port() as port:
        yield port


@pytest.fixture
def settings(
    settings: Settings, port: ReservedPort, issuer_one: HostileSignIn, issuer_two: HostileSignIn, other_tenant: Tenant
) -> Settings:
    """Settings with an issuer for all organisations, and one that may vouch for members of the second only."""
    for issuer in (issuer_one, issuer_two):
        issuer.register_console(port.origin)
    issuers = {"one": issuer_one.issuer_settings(), "two": issuer_two.issuer_settings({other_tenant.org_id})}
    sign_in = SignInSettings(public_url=AnyHttpUrl(port.origin), issuers=issuers)
    temporal = settings.temporal.model_copy(update={"ui_url": AnyHttpUrl("https://temporal.example.org")})
    return settings.model_copy(update={"sign_in": sign_in, "temporal": temporal})


@pytest_asyncio.fixture(loop_scope="session")
async def open_browser(settings: Settings, port: ReservedPort) -> AsyncIterator[Callable[[], ConsoleBrowser]]:
    """Open browsers of different users, which share nothing."""
    async with AsyncExitStack() as stack:
        origin = await stack.enter_async_context(serve_app(create_app(settings), port=port))

        def open_browser() -> ConsoleBrowser:
            browser = ConsoleBrowser(origin)
            stack.push_async_callback(browser.http.aclose)
            return browser

        yield open_browser


@pytest.fixture
def browser(open_browser: Callable[[], ConsoleBrowser]) -> ConsoleBrowser:
    return open_browser()
