"""Shared fixtures: real servers for the session, and a new organisation and task queue for each test."""

import gc
from collections.abc import AsyncIterator, Callable, Generator, Iterator
from functools import partial
from pathlib import Path, PurePosixPath
from uuid import UUID

import httpx
import pytest
import pytest_asyncio
from fastapi import FastAPI
from starlette.types import Lifespan
from temporalio.client import Client
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling, Scheduling

import worker
from api import app as application
from api.app import create_app_with_routes
from stafett.cli.dev_stack import prepare_stores
from stafett.database.session import Database
from stafett.devstack.audit_key import DevAuditKey
from stafett.devstack.issuer import DevIssuer
from stafett.devstack.options import StackOptions
from stafett.devstack.stack import RunningServers, run_servers
from stafett.exports.service import ExportService
from stafett.settings import Settings, require_setting
from stafett.storage.files import FileStorage
from stafett.temporal.client import connect
from stafett.testing import ActivityFactory, ExportClient, Tenant, create_tenant
from tests.support.fixture_types import RunWorker
from tests.support.hypothesis_profiles import register_profiles
from tests.support.stack_settings import create_settings

register_profiles()

_SHARED_STACKS = {
    "acceptance/test_encrypted_stack.py": "encrypted",
    "acceptance/*": "acceptance",
    "browser/test_every_page.py": "pages in Chromium",
    "integration/console/test_every_page.py": "pages",
    "chaos/test_killed_batches.py": "chaos",
    "chaos/test_killed_processes.py": "chaos",
}
_TIME_SKIPPING = ("--dynamic-config-value", "frontend.WorkflowTimeSkippingEnabled=true")


class _StackScheduling(LoadScopeScheduling):
    """Runs all tests that share a running program in one process, which starts it, and spreads all others."""

    def _split_scope(self, nodeid: str) -> str:
        path = nodeid.partition("::")[0]
        return next((stack for pattern, stack in _SHARED_STACKS.items() if PurePosixPath(path).match(pattern)), nodeid)


def pytest_collection_finish() -> None:
    """Exempt modules and tests from garbage collections, which would pause workflows for seconds on a slow machine."""
    gc.collect()
    gc.freeze()


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> Scheduling:
    return _StackScheduling(config, log)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_fixture_setup(
    fixturedef: pytest.FixtureDef[object], request: pytest.FixtureRequest
) -> Generator[None, object, object]:
    """Store every error of a fixture, as pytest does for most.

    After one that it does not store, such as a cancellation, pytest 9.2 fails each later test that uses the fixture
    with an assertion of its own, which hides the cause.
    """
    try:
        return (yield)
    except BaseException as error:
        if fixturedef.cached_result is None:
            fixturedef.cached_result = (None, getattr(request, "param", None), (error, error.__traceback__))
        raise


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def stack(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[RunningServers]:
    folder = tmp_path_factory.mktemp("stack") / "data"
    options = StackOptions(data_dir=folder, durable=False, temporal_args=_TIME_SKIPPING)
    async with run_servers(options, print_status=lambda _line: None) as running:
        prepare_stores(running.addresses)
        yield running


@pytest.fixture(scope="session")
def issuer(tmp_path_factory: pytest.TempPathFactory) -> DevIssuer:
    issuer = DevIssuer(tmp_path_factory.mktemp("issuer"))
    issuer.ensure_keys()
    return issuer


@pytest.fixture(scope="session")
def audit_key(tmp_path_factory: pytest.TempPathFactory) -> DevAuditKey:
    key = DevAuditKey(tmp_path_factory.mktemp("audit-key"))
    key.ensure_key()
    return key


@pytest.fixture
def settings(stack: RunningServers, issuer: DevIssuer, audit_key: DevAuditKey) -> Settings:
    """Settings for the session's servers, with a task queue of this test's own."""
    return create_settings(stack, issuer, audit_key)


@pytest.fixture
def owner_url(settings: Settings) -> str:
    return require_setting(settings.database.owner_url, "owner")


@pytest.fixture
def storage(settings: Settings) -> FileStorage:
    return FileStorage(settings.s3)


@pytest.fixture
def tenant(owner_url: str) -> Tenant:
    return create_tenant(owner_url)


@pytest.fixture
def org_id(tenant: Tenant) -> str:
    return tenant.org_id


@pytest.fixture
def activity_factory(owner_url: str, tenant: Tenant) -> ActivityFactory:
    return ActivityFactory(owner_url, tenant.org_id)


@pytest.fixture
def api_database(settings: Settings) -> Iterator[Database]:
    database = Database(require_setting(settings.database.api_url, "api"), pool_size=4)
    yield database
    database.close()


@pytest.fixture
def worker_database(settings: Settings) -> Iterator[Database]:
    database = Database(require_setting(settings.database.worker_url, "worker"), pool_size=4)
    yield database
    database.close()


@pytest.fixture
def export_service(api_database: Database) -> ExportService:
    return ExportService(api_database)


@pytest_asyncio.fixture(loop_scope="session")
async def temporal(settings: Settings) -> Client:
    return await connect(settings.temporal)


@pytest.fixture
def run_worker(temporal: Client, settings: Settings) -> RunWorker:
    """A context manager that runs a worker on this test's task queue."""
    return partial(worker.run_queue_workers, temporal, settings)


@pytest.fixture
def bearer(issuer: DevIssuer, tenant: Tenant) -> Callable[..., dict[str, str]]:
    def create_headers(user_id: UUID, org_id: str | None = tenant.org_id, role: str = "coordinator") -> dict[str, str]:
        return {"Authorization": f"Bearer {issuer.create_token(user_id, org_id, role)}"}

    return create_headers


@pytest.fixture(scope="session")
def app_with_routes() -> FastAPI:
    """The routes of all `api_client`s, because building them takes longer than the requests of a test."""
    return create_app_with_routes()


@pytest_asyncio.fixture(loop_scope="session")
async def api_client(settings: Settings, app_with_routes: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the whole application, in process and without a socket."""

    def reuse_routes(lifespan: Lifespan[FastAPI]) -> FastAPI:
        app_with_routes.router.lifespan_context = lifespan
        app_with_routes.user_middleware.clear()
        app_with_routes.middleware_stack = None
        return app_with_routes

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(application, "create_app_with_routes", reuse_routes)
        app = application.create_app(settings)
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="http://test") as client,
    ):
        yield client


@pytest.fixture
def export_client(api_client: httpx.AsyncClient, tenant: Tenant, bearer: Callable[..., dict[str, str]]) -> ExportClient:
    """A client that acts as this test's coordinator."""
    return ExportClient(api_client, tenant.org_id, bearer(tenant.coordinator))


@pytest.fixture
def project() -> Path:
    return Path(__file__).parent.parent
