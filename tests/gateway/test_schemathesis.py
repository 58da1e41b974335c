"""What the description says is true: schemathesis asks for everything in it, and for a good deal that is not."""

import asyncio
import os
import sys
from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager
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
from tests.gateway.serving import served
from tests.gateway.things import Things

Working = Callable[[], AbstractAsyncContextManager[None]]
_CONFIG = Template(Path(__file__).with_name("schemathesis.toml").read_text())
_SEED = os.environ.get("SOAK_SEED", "0")
_OF_EACH = 3


@pytest.fixture
def settings(settings: Settings) -> Settings:
    """Nobody is asked to be patient, and a webhook may lead to nowhere."""
    unhurried = ApiSettings(rate_limit=RateLimitSettings(per_second=100_000, burst=1_000_000))
    return settings.model_copy(update={"api": unhurried, "webhooks": WebhookSettings(allow_private_networks=True)})


@pytest.fixture
def known(
    issuer: DevIssuer,
    tenant: Tenant,
    diary: ActivityFactory,
    owner_url: str,
    api_database: Database,
    worker_database: Database,
) -> Mapping[str, str]:
    """Who asks, and the ids of some things that there are."""
    diary.create_activity(diary.create_mentor())
    makers = Things(owner_url, tenant, api_database, worker_database).makers
    values = {name: sorted({str(maker()) for _ in range(_OF_EACH)}) for name, maker in makers.items()}
    return {
        "token": issuer.create_token(tenant.users[Role.ADMIN], tenant.org_id, "admin"),
        "operator": issuer.create_token(create_operator(owner_url), None, "operator"),
        "dictionaries": "\n".join(f"[dictionaries.{name}]\nvalues = {ids}" for name, ids in values.items()),
        "bindings": "\n".join(
            f'"{place}.{name}" = {{ dictionary = "{name}", probability = {probability} }}'
            for name in values
            for place, probability in (("path", 0.5), ("query", 0.5), ("body", 0.8))
        ),
    }


@pytest.mark.parametrize(
    ("cases", "scenarios"),
    [pytest.param(5, 25, id="hundreds"), pytest.param(200, 500, id="thousands", marks=pytest.mark.soak)],
)
async def test_the_gateway_is_as_it_is_described(
    cases: int, scenarios: int, settings: Settings, working: Working, known: Mapping[str, str], tmp_path: Path
) -> None:
    config = tmp_path / "schemathesis.toml"
    config.write_text(_CONFIG.substitute(known, cases=cases, scenarios=scenarios))
    app = create_app(settings)
    async with working(), served(app) as url:
        app.state.services = replace(
            app.state.services, destinations=DestinationPolicy(allow_private_networks=True, resolver=_nowhere)
        )
        code, said = await _schemathesis(url, config)
    assert code == 0, said


async def _nowhere(host: str, _port: int) -> tuple[str, ...]:
    """Nobody is looked up outside."""
    return ("127.0.0.1",) if host == "127.0.0.1" else ()


async def _schemathesis(url: str, config: Path) -> tuple[int | None, str]:
    """Its exit code, and what it said."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "schemathesis.cli", "--config-file", str(config)),
        *("run", f"{url}/openapi.json", "--continue-on-failure", "--seed", _SEED),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env=os.environ | {"NO_COLOR": "1"},
    )
    said, _ = await process.communicate()
    return process.returncode, said.decode()
