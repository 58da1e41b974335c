"""No value in any parameter or field of any operation is answered with a server error."""

import json
from collections.abc import AsyncIterator, Iterable, Mapping

import httpx
import pytest
import pytest_asyncio

from api.app import create_app
from stafett.bulk.csv_format import COLUMNS
from stafett.database.session import Database
from stafett.devstack.issuer import DevIssuer
from stafett.domain.membership import Role
from stafett.people.mentor_import import COLUMNS as MENTOR_COLUMNS
from stafett.settings import ApiSettings, RateLimitSettings, Settings, WebhookSettings
from stafett.testing import Tenant, create_operator
from tests.support.api_fixtures import ApiFixtures
from tests.support.expected_statuses import EXPECTED_STATUSES, PUBLIC_OPERATIONS, REQUEST_BODIES
from tests.support.hostile_requests import HostileRequest, iterate_body_requests, iterate_parameter_requests
from tests.support.http_server import serve_app
from tests.support.openapi_document import Operation, iterate_operations

_OPERATIONS = {operation.id: operation for operation in iterate_operations() if operation.id not in PUBLIC_OPERATIONS}
_VALID_MAPPING = {
    "format": 1,
    "title": "Days",
    "effective_from": "2026-01-01",
    "columns": [
        {
            "id": "date",
            "header": {"nb": "Dato", "nn": "Dato", "en": "Date"},
            "type": "date",
            "value": {"var": "oslo_day"},
        }
    ],
    "counting": {"reasons": []},
}
_PAYLOADS = {"payloads": [{"metadata": {"encoding": "anNvbi9wbGFpbg=="}, "data": "Im5oZiI="}]}
_ENUMERATIONS_ONLY = {"change_member_role"}
"""Operations whose bodies have no field that accepts a hostile value."""

_VALID_BODIES: Mapping[str, object] = {
    **{operation_id: body for operation_id, body in REQUEST_BODIES.items() if not isinstance(body, str)},  # no CSV
    "add_column_mapping": _VALID_MAPPING,
    "decode_payloads": _PAYLOADS,
    "encode_payloads": _PAYLOADS,
}


@pytest.fixture
def settings(settings: Settings) -> Settings:
    """Lift the rate limit and allow webhooks to hosts that no name server knows."""
    unlimited = ApiSettings(rate_limit=RateLimitSettings(per_second=100_000, burst=1_000_000))
    return settings.model_copy(update={"api": unlimited, "webhooks": WebhookSettings(allow_private_networks=True)})


@pytest.fixture
def api_fixtures(owner_url: str, tenant: Tenant, api_database: Database, worker_database: Database) -> ApiFixtures:
    return ApiFixtures(owner_url, tenant, api_database, worker_database)


@pytest_asyncio.fixture(loop_scope="session")
async def http_client(settings: Settings) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the application behind a real socket, as a value is decoded by the server too."""
    async with serve_app(create_app(settings)) as url, httpx.AsyncClient(base_url=url, timeout=60) as client:
        yield client


@pytest.fixture
def tokens(tenant: Tenant, issuer: DevIssuer, owner_url: str) -> Mapping[str, str]:
    return {
        "coordinator": issuer.create_token(tenant.coordinator, tenant.org_id, "coordinator"),
        "admin": issuer.create_token(tenant.users[Role.ADMIN], tenant.org_id, "admin"),
        "operator": issuer.create_token(create_operator(owner_url), None, "operator"),
    }


class HostileClient:
    """Sends hostile requests as a caller whom the operation lets in, and collects the server errors."""

    def __init__(self, http_client: httpx.AsyncClient, fixtures: ApiFixtures, tokens: Mapping[str, str]) -> None:
        self._http_client, self._fixtures, self._tokens = http_client, fixtures, tokens
        self.statuses = set[int]()
        self.server_errors = list[str]()

    def build_valid_body(self, operation: Operation) -> object:
        text = json.dumps(_VALID_BODIES.get(operation.id))
        for name, create in self._fixtures.factories.items():
            if (placeholder := f"{{{name}}}") in text:
                text = text.replace(placeholder, str(create()))
        return json.loads(text)

    async def send_all(
        self, operation: Operation, requests: Iterable[HostileRequest], path_value: str | None = None
    ) -> None:
        """Send the requests to an existing object, or to a path with this value in place of each id."""
        path = operation.path.format(
            **{name: path_value or self._fixtures.factories[name]() for name in operation.path_parameters}
        )
        headers = self._build_headers(operation)
        for request in requests:
            response = await self._http_client.request(
                operation.method,
                httpx.URL(path).copy_with(query=request.query or None),
                content=request.content,
                headers=[(name.encode(), value) for name, value in {**headers, **request.headers}.items()],
            )
            self.statuses.add(response.status_code)
            if response.is_server_error:
                self.server_errors.append(f"{operation.id} {request.description}: {response.status_code}")

    def _build_headers(self, operation: Operation) -> Mapping[str, bytes]:
        statuses = EXPECTED_STATUSES[operation.id]
        caller = next(caller for caller in ("admin", "operator", "coordinator") if statuses[caller] not in {403, 404})
        parameters = {parameter["name"].lower() for parameter in operation.spec.get("parameters", ())}
        headers = {"Authorization": f"Bearer {self._tokens[caller]}".encode()}
        if "requestBody" in operation.spec:
            headers["Content-Type"] = b"application/json"
        return headers | ({"If-Match": b"*"} if "if-match" in parameters else {})


@pytest.fixture
def client(http_client: httpx.AsyncClient, api_fixtures: ApiFixtures, tokens: Mapping[str, str]) -> HostileClient:
    return HostileClient(http_client, api_fixtures, tokens)


async def test_no_parameter_value_is_answered_with_a_server_error(client: HostileClient) -> None:
    for operation in _OPERATIONS.values():
        await client.send_all(operation, iterate_parameter_requests(operation, client.build_valid_body(operation)))
    assert client.server_errors == []


@pytest.mark.parametrize("value", ["%00", "a%00b", "%ED%A0%80", "%1B%5B2J", "x" * 8000], ids=lambda value: value[:9])
async def test_no_path_value_is_answered_with_a_server_error(value: str, client: HostileClient) -> None:
    for operation in _OPERATIONS.values():
        if operation.path_parameters:
            body = json.dumps(client.build_valid_body(operation)).encode()
            await client.send_all(operation, [HostileRequest("path", content=body)], path_value=value)
    assert client.server_errors == []
    assert client.statuses <= {404, 422}


@pytest.mark.parametrize("operation_id", sorted(_VALID_BODIES))
async def test_no_body_is_answered_with_a_server_error(operation_id: str, client: HostileClient) -> None:
    operation = _OPERATIONS[operation_id]
    await client.send_all(operation, iterate_body_requests(operation, client.build_valid_body(operation)))
    assert client.server_errors == []
    if operation_id not in _ENUMERATIONS_ONLY:
        assert client.statuses > {422}, "no request passed the validation of the body"


@pytest.mark.parametrize("cell", ["a\0b", "\x1b[2J", "x" * 2**20, "9" * 5000], ids=["nul", "controls", "1mb", "digits"])
async def test_no_csv_cell_is_answered_with_a_server_error(
    cell: str, http_client: httpx.AsyncClient, tokens: Mapping[str, str]
) -> None:
    headers = {"Authorization": f"Bearer {tokens['coordinator']}", "Content-Type": "text/csv"}
    for path, columns in (("bulk-registrations", COLUMNS), ("peer-mentors/import", MENTOR_COLUMNS)):
        for position, column in enumerate(columns):
            cells = [cell if number == position else "" for number in range(len(columns))]
            content = f"{';'.join(columns)}\n{';'.join(cells)}\n"
            response = await http_client.post(f"/api/v1/{path}", content=content, headers=headers)
            assert response.status_code in {200, 202, 422}, column
