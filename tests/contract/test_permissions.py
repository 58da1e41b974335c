"""Calls every operation as each kind of caller, and with forged tokens."""

import json
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack
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
from tests.support.api_fixtures import ApiFixtures
from tests.support.expected_statuses import (
    CALLERS,
    EXPECTED_STATUSES,
    NEEDS_WORKER,
    OWNER_ONLY,
    PUBLIC_OPERATIONS,
    REQUEST_BODIES,
)
from tests.support.fixture_types import RunWorker
from tests.support.openapi_document import Operation, iterate_operations
from tests.support.tokens import OTHER_KEY, create_unsigned_token, sign_with_public_key_as_secret

Headers = Mapping[str, str]
_KEY_ID = "development"
_OPERATIONS = {operation.id: operation for operation in iterate_operations()}
_GUARDED = [operation for operation in _OPERATIONS.values() if operation.id not in PUBLIC_OPERATIONS]
every_operation = pytest.mark.parametrize("operation", _GUARDED, ids=lambda operation: operation.id)


def _create_admin_token(issuer: DevIssuer, tenant: Tenant, **overrides: object) -> str:
    """Create a token of an admin, who may call nearly every operation, so that only the overrides can be rejected."""
    return issuer.create_token(tenant.users[Role.ADMIN], tenant.org_id, "admin", **overrides)


def _create_claims(issuer: DevIssuer, tenant: Tenant) -> Mapping[str, object]:
    return jwt.decode(_create_admin_token(issuer, tenant), options={"verify_signature": False})


def _load_public_key(issuer: DevIssuer) -> PublicKeyTypes:
    return load_pem_private_key(issuer.jwks_file.with_name("private.pem").read_bytes(), None).public_key()


FORGERIES: Mapping[str, Callable[[DevIssuer, Tenant], str | None]] = {
    "anonymous": lambda _issuer, _tenant: None,
    "expired": lambda issuer, tenant: _create_admin_token(issuer, tenant, exp=datetime.now(UTC) - timedelta(hours=1)),
    "wrong audience": lambda issuer, tenant: _create_admin_token(issuer, tenant, aud="elsewhere"),
    "wrong issuer": lambda issuer, tenant: _create_admin_token(issuer, tenant, iss="https://elsewhere.example"),
    "key of a foreign issuer, for the same subject": lambda issuer, tenant: jwt.encode(
        dict(_create_claims(issuer, tenant)), OTHER_KEY, "ES256", headers={"kid": _KEY_ID}
    ),
    "algorithm none": lambda issuer, tenant: create_unsigned_token(_create_claims(issuer, tenant), _KEY_ID),
    "public key as HMAC secret": lambda issuer, tenant: sign_with_public_key_as_secret(
        _create_claims(issuer, tenant), _KEY_ID, _load_public_key(issuer)
    ),
    "signature of another token": lambda issuer, tenant: ".".join(
        [
            *_create_admin_token(issuer, tenant).split(".")[:2],
            _create_admin_token(issuer, tenant, org="nhf").split(".")[2],
        ]
    ),
}


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return settings.model_copy(update={"webhooks": WebhookSettings(allow_private_networks=True)})


@pytest.fixture
def api_fixtures(owner_url: str, tenant: Tenant, api_database: Database, worker_database: Database) -> ApiFixtures:
    return ApiFixtures(owner_url, tenant, api_database, worker_database)


@pytest.fixture
def caller_headers(owner_url: str, tenant: Tenant, issuer: DevIssuer) -> dict[str, Headers]:
    """Authorization headers of each caller in the table of expected statuses."""
    colleague, neighbour = uuid4(), create_tenant(owner_url)
    with psycopg.connect(owner_url) as connection:
        connection.execute(
            "INSERT INTO users VALUES (%s, %s, 'Kollega', false)", [colleague, f"{colleague}@example.org"]
        )
        connection.execute("INSERT INTO memberships VALUES (%s, %s, 'coordinator')", [colleague, tenant.org_id])
    callers: dict[str, tuple[UUID, str | None, str]] = {
        "coordinator": (tenant.coordinator, tenant.org_id, "coordinator"),
        "colleague": (colleague, tenant.org_id, "coordinator"),
        "admin": (tenant.users[Role.ADMIN], tenant.org_id, "admin"),
        "auditor": (tenant.users[Role.AUDITOR], tenant.org_id, "auditor"),
        "stranger": (neighbour.users[Role.ADMIN], neighbour.org_id, "admin"),
        "operator": (create_operator(owner_url), None, "operator"),
    }
    return {caller: {"Authorization": f"Bearer {issuer.create_token(*claims)}"} for caller, claims in callers.items()}


@dataclass(frozen=True)
class OperationCaller:
    """Calls an operation with given path parameters and the request body of the table."""

    api_client: httpx.AsyncClient
    tenant: Tenant
    fixtures: ApiFixtures

    async def call(
        self, operation: Operation, path_parameters: Mapping[str, object], headers: Headers
    ) -> httpx.Response:
        path, body = operation.path.format(**path_parameters), REQUEST_BODIES.get(operation.id)
        text, media_type = (body, "text/csv") if isinstance(body, str) else (json.dumps(body), "application/json")
        content = None if body is None else self._fill_placeholders(text)
        content_type = {"Content-Type": media_type} if content is not None else {}
        return await self.api_client.request(
            operation.method, path, content=content, headers={**content_type, **headers}
        )

    def _fill_placeholders(self, body: str) -> str:
        for name, create in self.fixtures.factories.items():
            if (placeholder := f"{{{name}}}") in body:
                body = body.replace(placeholder, str(create()))
        return body


@pytest_asyncio.fixture(loop_scope="session")
async def operation_caller(
    api_client: httpx.AsyncClient, tenant: Tenant, api_fixtures: ApiFixtures
) -> AsyncIterator[OperationCaller]:
    yield OperationCaller(api_client, tenant, api_fixtures)


def create_path_parameters(api_fixtures: ApiFixtures, operation: Operation) -> dict[str, object]:
    return {name: api_fixtures.factories[name]() for name in operation.path_parameters}


def test_every_operation_has_expected_statuses() -> None:
    assert EXPECTED_STATUSES.keys() | PUBLIC_OPERATIONS == _OPERATIONS.keys()


def test_every_operation_with_a_body_has_a_test_body() -> None:
    assert REQUEST_BODIES.keys() == {
        operation.id for operation in _OPERATIONS.values() if "requestBody" in operation.spec
    }


@every_operation
def test_documented_roles_are_the_roles_with_access(operation: Operation) -> None:
    """``x-roles`` names exactly the roles that the operation's line in the table gives access."""
    statuses = EXPECTED_STATUSES[operation.id]
    permitted = {"coordinator" if caller == "colleague" else caller for caller in CALLERS if statuses[caller] < 403}
    permitted |= {caller for caller in CALLERS if statuses[caller] > 404} - {"colleague"}
    roles = set(Role) if operation.id in OWNER_ONLY else permitted - {"stranger"}
    assert roles == set(operation.spec["x-roles"])


@every_operation
async def test_every_caller_receives_the_expected_status(
    operation: Operation,
    operation_caller: OperationCaller,
    api_fixtures: ApiFixtures,
    caller_headers: Mapping[str, Headers],
    run_worker: RunWorker,
) -> None:
    statuses = dict[str, int]()
    async with AsyncExitStack() as stack:
        if operation.id in NEEDS_WORKER:
            await stack.enter_async_context(run_worker())
        for caller in CALLERS:
            response = await operation_caller.call(
                operation, create_path_parameters(api_fixtures, operation), caller_headers[caller]
            )
            statuses[caller] = response.status_code
            if caller == "stranger" and response.status_code == 200:
                assert operation_caller.tenant.org_id not in response.text
    assert statuses == EXPECTED_STATUSES[operation.id]


async def test_stranger_cannot_distinguish_existing_from_unknown_ids(
    operation_caller: OperationCaller, api_fixtures: ApiFixtures, caller_headers: Mapping[str, Headers]
) -> None:
    """Another organisation's objects and unknown ids give the same response."""
    for operation in (guarded for guarded in _GUARDED if set(guarded.path_parameters) - {"org_id"}):
        existing = await operation_caller.call(
            operation, create_path_parameters(api_fixtures, operation), caller_headers["stranger"]
        )
        unknown_ids = {name: f"u{uuid4()}" if name == "org_id" else uuid4() for name in operation.path_parameters}
        unknown = await operation_caller.call(operation, unknown_ids, caller_headers["stranger"])
        assert _drop_request_fields(existing) == _drop_request_fields(unknown), operation.id


def _drop_request_fields(response: httpx.Response) -> dict[str, object]:
    return {name: value for name, value in response.json().items() if name not in {"instance", "trace_id"}}


@pytest.mark.parametrize("forgery", sorted(FORGERIES))
async def test_forged_token_is_rejected_by_every_guarded_operation(
    forgery: str, operation_caller: OperationCaller, api_fixtures: ApiFixtures, issuer: DevIssuer
) -> None:
    token = FORGERIES[forgery](issuer, operation_caller.tenant)
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    for operation in _GUARDED:
        response = await operation_caller.call(operation, create_path_parameters(api_fixtures, operation), headers)
        assert (response.status_code, response.json()["code"]) == (401, "unauthenticated"), operation.id
        assert response.headers["WWW-Authenticate"] == "Bearer", operation.id
        assert response.headers["Content-Type"] == "application/problem+json", operation.id
    for operation_id in PUBLIC_OPERATIONS:
        assert (await operation_caller.call(_OPERATIONS[operation_id], {}, headers)).status_code == 200


async def test_removed_member_is_denied_by_every_guarded_operation(
    api_client: httpx.AsyncClient, caller_headers: Mapping[str, Headers], tenant: Tenant
) -> None:
    path = f"/api/v1/organisations/{tenant.org_id}/members/{tenant.coordinator}"
    assert (await api_client.get("/api/v1/me", headers=caller_headers["coordinator"])).status_code == 200
    assert (await api_client.delete(path, headers=caller_headers["admin"])).status_code == 204
    for operation in _GUARDED:
        response = await _call_without_body(api_client, operation, caller_headers["coordinator"])
        assert (response.status_code, response.json()["code"]) == (403, "permission_denied"), operation.id


@pytest.mark.parametrize("role", ["coordinator", "auditor"])
async def test_api_key_has_the_permissions_of_its_role_until_it_is_revoked(
    role: str,
    operation_caller: OperationCaller,
    api_fixtures: ApiFixtures,
    api_client: httpx.AsyncClient,
    caller_headers: Mapping[str, Headers],
    tenant: Tenant,
) -> None:
    path = f"/api/v1/organisations/{tenant.org_id}/api-keys"
    made = await api_client.post(path, json={"name": "Key", "role": role}, headers=caller_headers["admin"])
    key = made.raise_for_status().json()
    headers = {"Authorization": f"Bearer {key['secret']}"}
    # The key acts for the admin, to whom no object of the table belongs.
    caller = "colleague" if role == "coordinator" else role
    for operation in (guarded for guarded in _GUARDED if guarded.id not in NEEDS_WORKER):
        response = await operation_caller.call(operation, create_path_parameters(api_fixtures, operation), headers)
        assert response.status_code == EXPECTED_STATUSES[operation.id][caller], operation.id
    assert (await api_client.delete(f"{path}/{key['id']}", headers=caller_headers["admin"])).status_code == 204
    for operation in _GUARDED:
        response = await _call_without_body(api_client, operation, headers)
        assert (response.status_code, response.json()["code"]) == (401, "unauthenticated"), operation.id


async def _call_without_body(api_client: httpx.AsyncClient, operation: Operation, headers: Headers) -> httpx.Response:
    """Call with unknown ids: a client without access is rejected before the body is read or the object is loaded."""
    path = operation.path.format(**{name: uuid4() for name in operation.path_parameters})
    return await api_client.request(operation.method, path, headers=headers)
