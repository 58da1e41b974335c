"""Schemathesis compares the API with its OpenAPI document, with valid and invalid requests."""

import asyncio
import os
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from string import Template

import pytest

from api.app import create_app
from stafett.database.session import Database
from stafett.devstack.issuer import DevIssuer
from stafett.domain.membership import Role
from stafett.settings import ApiSettings, RateLimitSettings, Settings, WebhookSettings
from stafett.testing import ActivityFactory, Tenant, create_operator
from stafett.webhooks.destinations import DestinationPolicy
from tests.support.api_fixtures import ApiFixtures
from tests.support.fixture_types import RunWorker
from tests.support.http_server import serve_app

_CONFIG = Template(Path(__file__).with_name("schemathesis.toml").read_text())
_SEED = os.environ.get("SOAK_SEED", "0")
_OBJECTS_PER_PARAMETER = 3


@pytest.fixture
def settings(settings: Settings) -> Settings:
    """Lift the rate limit and allow webhooks to private addresses."""
    unlimited = ApiSettings(rate_limit=RateLimitSettings(per_second=100_000, burst=1_000_000))
    return settings.model_copy(update={"api": unlimited, "webhooks": WebhookSettings(allow_private_networks=True)})


@pytest.fixture
def config_values(
    issuer: DevIssuer,
    tenant: Tenant,
    activity_factory: ActivityFactory,
    owner_url: str,
    api_database: Database,
    worker_database: Database,
) -> Mapping[str, str]:
    """Tokens, and ids of existing objects that schemathesis can use as parameters."""
    activity_factory.create_activity(activity_factory.create_mentor())
    factories = ApiFixtures(owner_url, tenant, api_database, worker_database).factories
    values = {
        name: sorted({str(create()) for _ in range(_OBJECTS_PER_PARAMETER)}) for name, create in factories.items()
    }
    return {
        "token": issuer.create_token(tenant.users[Role.ADMIN], tenant.org_id, "admin"),
        "operator": issuer.create_token(create_operator(owner_url), None, "operator"),
        "dictionaries": "\n".join(f"[dictionaries.{name}]\nvalues = {ids}" for name, ids in values.items()),
        "bindings": "\n".join(
            f'"{location}.{name}" = {{ dictionary = "{name}", probability = {probability} }}'
            for name in values
            for location, probability in (("path", 0.5), ("query", 0.5), ("body", 0.8))
        ),
    }


@pytest.mark.parametrize(
    ("cases", "scenarios"),
    [pytest.param(3, 10, id="quick"), pytest.param(200, 500, id="soak", marks=pytest.mark.soak)],
)
async def test_api_conforms_to_its_openapi_document(
    cases: int,
    scenarios: int,
    settings: Settings,
    run_worker: RunWorker,
    config_values: Mapping[str, str],
    tmp_path: Path,
) -> None:
    config = tmp_path / "schemathesis.toml"
    config.write_text(_CONFIG.substitute(config_values, cases=cases, scenarios=scenarios))
    app = create_app(settings)
    async with run_worker(), serve_app(app) as url:
        app.state.services = replace(
            app.state.services,
            destinations=DestinationPolicy(allow_private_networks=True, resolver=_resolve_localhost_only),
        )
        exit_code, output = await _run_schemathesis(url, config)
    assert exit_code == 0, output


async def _resolve_localhost_only(host: str, _port: int) -> tuple[str, ...]:
    return ("127.0.0.1",) if host == "127.0.0.1" else ()


async def _run_schemathesis(url: str, config: Path) -> tuple[int | None, str]:
    """Return the exit code and the output."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "schemathesis.cli", "--config-file", str(config)),
        *("run", f"{url}/openapi.json", "--continue-on-failure", "--seed", _SEED),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env=os.environ | {"NO_COLOR": "1"},
    )
    output, _ = await process.communicate()
    return process.returncode, output.decode()
