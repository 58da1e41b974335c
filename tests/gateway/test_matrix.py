"""Every operation of the description, asked by everybody there is and by everybody there should not be."""

import json
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import httpx
import jwt
import psycopg
import pytest
import pytest_asyncio
from cryptography.hazmat.primitives.asymmetric.types import PublicKeyTypes
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from stafett.database.session import Database
from stafett.devstack.issuer import DevIssuer
from stafett.domain.membership import Role
from stafett.settings import Settings, WebhookSettings
from stafett.testing import Tenant, create_operator, create_tenant
from tests.gateway.document import Operation, operations
from tests.gateway.expectations import BODIES, COMPUTED_ON_A_WORKER, EXPECTED, OF_ONES_OWN, OPEN_TO_ALL, WHO
from tests.gateway.things import Things
from tests.tokens import signed_with_the_public_key_as_secret, unsigned

Headers = Mapping[str, str]
Working = Callable[[], AbstractAsyncContextManager[None]]
_KEY_ID = "development"
_OPERATIONS = {operation.id: operation for operation in operations()}
_GUARDED = [operation for operation in _OPERATIONS.values() if operation.id not in OPEN_TO_ALL]
every_operation = pytest.mark.parametrize("operation", _GUARDED, ids=lambda operation: operation.id)


def _of_an_admin(issuer: DevIssuer, tenant: Tenant, **said: object) -> str:
    """Of somebody who would be let in almost everywhere, were the rest of it good."""
    return issuer.create_token(tenant.users[Role.ADMIN], tenant.org_id, "admin", **said)


def _claims(issuer: DevIssuer, tenant: Tenant) -> Mapping[str, object]:
    return jwt.decode(_of_an_admin(issuer, tenant), options={"verify_signature": False})


def _public(issuer: DevIssuer) -> PublicKeyTypes:
    return load_pem_private_key(issuer.jwks_file.with_name("private.pem").read_bytes(), None).public_key()


FORGERIES: Mapping[str, Callable[[DevIssuer, Tenant], str | None]] = {
    "anonymous": lambda _issuer, _tenant: None,
    "expired": lambda issuer, tenant: _of_an_admin(issuer, tenant, exp=datetime.now(UTC) - timedelta(hours=1)),
    "for another audience": lambda issuer, tenant: _of_an_admin(issuer, tenant, aud="elsewhere"),
    "of another issuer": lambda issuer, tenant: _of_an_admin(issuer, tenant, iss="https://elsewhere.example"),
    "alg none": lambda issuer, tenant: unsigned(_claims(issuer, tenant), _KEY_ID),
    "the public key as secret": lambda issuer, tenant: signed_with_the_public_key_as_secret(
        _claims(issuer, tenant), _KEY_ID, _public(issuer)
    ),
    "another's signature": lambda issuer, tenant: ".".join(
        [*_of_an_admin(issuer, tenant).split(".")[:2], _of_an_admin(issuer, tenant, org="nhf").split(".")[2]]
    ),
}


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return settings.model_copy(update={"webhooks": WebhookSettings(allow_private_networks=True)})


@pytest.fixture
def things(owner_url: str, tenant: Tenant, api_database: Database, worker_database: Database) -> Things:
    return Things(owner_url, tenant, api_database, worker_database)


@pytest.fixture
def everybody(owner_url: str, tenant: Tenant, issuer: DevIssuer) -> dict[str, Headers]:
    """A token each, in the words of the table."""
    colleague, neighbour = uuid4(), create_tenant(owner_url)
    with psycopg.connect(owner_url) as connection:
        connection.execute(
            "INSERT INTO users VALUES (%s, %s, 'Kollega', false)", [colleague, f"{colleague}@example.org"]
        )
        connection.execute("INSERT INTO memberships VALUES (%s, %s, 'coordinator')", [colleague, tenant.org_id])
    known: dict[str, tuple[UUID, str | None, str]] = {
        "coordinator": (tenant.coordinator, tenant.org_id, "coordinator"),
        "colleague": (colleague, tenant.org_id, "coordinator"),
        "admin": (tenant.users[Role.ADMIN], tenant.org_id, "admin"),
        "auditor": (tenant.users[Role.AUDITOR], tenant.org_id, "auditor"),
        "stranger": (neighbour.users[Role.ADMIN], neighbour.org_id, "admin"),
        "operator": (create_operator(owner_url), None, "operator"),
    }
    return {who: {"Authorization": f"Bearer {issuer.create_token(*claims)}"} for who, claims in known.items()}


@dataclass(frozen=True)
class Asking:
    """Asks for what an operation's path names, with what its body wants."""

    gateway: httpx.AsyncClient
    tenant: Tenant
    things: Things

    async def ask(self, operation: Operation, names: Mapping[str, object], headers: Headers) -> httpx.Response:
        path, body = operation.path.format(**names), BODIES.get(operation.id)
        sent = None if body is None else self._filled(json.dumps(body))
        typed = {"Content-Type": "application/json"} if sent is not None else {}
        return await self.gateway.request(operation.method, path, content=sent, headers={**typed, **headers})

    def _filled(self, body: str) -> str:
        for name, maker in self.things.makers.items():
            if (place := f"{{{name}}}") in body:
                body = body.replace(place, str(maker()))
        return body


@pytest_asyncio.fixture(loop_scope="session")
async def asking(gateway: httpx.AsyncClient, tenant: Tenant, things: Things) -> AsyncIterator[Asking]:
    yield Asking(gateway, tenant, things)


def made(things: Things, operation: Operation) -> dict[str, object]:
    """Nothing here knows what a new kind of thing is: say it in ``Things``."""
    return {name: things.makers[name]() for name in operation.names}


def test_somebody_has_said_of_every_operation_who_may_ask() -> None:
    assert EXPECTED.keys() | OPEN_TO_ALL == _OPERATIONS.keys()


def test_every_operation_with_a_body_is_asked_with_one() -> None:
    assert BODIES.keys() == {each.id for each in _OPERATIONS.values() if "requestBody" in each.described}


@every_operation
def test_the_description_says_who_may_ask(operation: Operation) -> None:
    """``x-roles`` names whoever is let in by the operation's line of the table, and nobody else."""
    let_in = {"coordinator" if who == "colleague" else who for who in WHO if EXPECTED[operation.id][who] < 403}
    let_in |= {who for who in WHO if EXPECTED[operation.id][who] > 404} - {"colleague"}
    roles = set(Role) if operation.id in OF_ONES_OWN else let_in - {"stranger"}
    assert roles == set(operation.described["x-roles"])


@every_operation
async def test_each_is_answered_as_the_contract_says(
    operation: Operation, asking: Asking, things: Things, everybody: Mapping[str, Headers], working: Working
) -> None:
    answers = dict[str, int]()
    async with AsyncExitStack() as stack:
        if operation.id in COMPUTED_ON_A_WORKER:
            await stack.enter_async_context(working())
        for who in WHO:
            answer = await asking.ask(operation, made(things, operation), everybody[who])
            answers[who] = answer.status_code
            if who == "stranger" and answer.status_code == 200:
                assert asking.tenant.org_id not in answer.text
    assert answers == EXPECTED[operation.id]


async def test_a_stranger_learns_nothing_of_what_is_there(
    asking: Asking, things: Things, everybody: Mapping[str, Headers]
) -> None:
    """The answer is the same for what another organisation has and for what there never was."""
    for operation in (each for each in _GUARDED if set(each.names) - {"org_id"}):
        there = await asking.ask(operation, made(things, operation), everybody["stranger"])
        nowhere = await asking.ask(operation, {name: uuid4() for name in operation.names}, everybody["stranger"])
        assert _but_its_own(there) == _but_its_own(nowhere), operation.id


def _but_its_own(answer: httpx.Response) -> dict[str, object]:
    return {name: said for name, said in answer.json().items() if name not in {"instance", "trace_id"}}


@pytest.mark.parametrize("how", sorted(FORGERIES))
async def test_nobody_is_let_in_anywhere_with_a_token_that_is_none(
    how: str, asking: Asking, things: Things, issuer: DevIssuer
) -> None:
    forged = FORGERIES[how](issuer, asking.tenant)
    headers = {} if forged is None else {"Authorization": f"Bearer {forged}"}
    for operation in _GUARDED:
        answer = await asking.ask(operation, {name: things.makers[name]() for name in operation.names}, headers)
        assert (answer.status_code, answer.json()["code"]) == (401, "unauthenticated"), operation.id
        assert answer.headers["WWW-Authenticate"] == "Bearer", operation.id
        assert answer.headers["Content-Type"] == "application/problem+json", operation.id
    for operation_id in OPEN_TO_ALL:
        assert (await asking.ask(_OPERATIONS[operation_id], {}, headers)).status_code == 200
