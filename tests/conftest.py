"""Shared fixtures: real servers for the session, and a new organisation and task queue for each test."""

from collections.abc import AsyncIterator, Callable, Iterator
from functools import partial
from pathlib import Path, PurePosixPath
from uuid import UUID, uuid4

import httpx
import pytest
import pytest_asyncio
from hypothesis import HealthCheck
from hypothesis import settings as hypothesis_settings
from temporalio.client import Client
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling, Scheduling

import worker
from api.app import create_app
from stafett.cli.dev_stack import prepare_stores, settings_from_addresses
from stafett.database.session import Database
from stafett.devstack.audit_key import DevAuditKey
from stafett.devstack.issuer import DevIssuer
from stafett.devstack.options import StackOptions
from stafett.devstack.stack import RunningServers, run_servers
from stafett.exports.service import ExportService
from stafett.settings import AuthSettings, Settings, require_setting
from stafett.storage.files import FileStorage
from stafett.temporal.client import connect
from stafett.testing import ActivityFactory, ExportClient, Tenant, create_tenant
from tests.support.fixture_types import RunWorker

# No test asserts a duration: a slow machine must not fail a property.
hypothesis_settings.register_profile("stafett", deadline=None, suppress_health_check=[HealthCheck.too_slow])
hypothesis_settings.load_profile("stafett")

_FOLDERS_WITH_SHARED_STACK = ("acceptance", "chaos")
_TIME_SKIPPING = ("--dynamic-config-value", "frontend.WorkflowTimeSkippingEnabled=true")


class _StackScheduling(LoadScopeScheduling):
    """Runs all tests of such a folder in one process, because they share a `stafett dev` that it starts."""

    def _split_scope(self, nodeid: str) -> str:
        folder = PurePosixPath(nodeid.partition("::")[0]).parent.name
        return folder if folder in _FOLDERS_WITH_SHARED_STACK else nodeid


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> Scheduling:
    return _StackScheduling(config, log)


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
    settings = settings_from_addresses(stack.addresses)
    queue = settings.temporal.model_copy(update={"task_queue": f"test-{uuid4().hex[:12]}"})
    keys = AuthSettings(jwks_file=issuer.jwks_file)
    audit = settings.audit.model_copy(update={"signing_key_file": audit_key.key_file})
    return settings.model_copy(update={"temporal": queue, "auth": keys, "audit": audit})


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


@pytest_asyncio.fixture(loop_scope="session")
async def api_client(settings: Settings) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the whole application, in process and without a socket."""
    app = create_app(settings)
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
