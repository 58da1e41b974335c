"""Clients of the API as the users of this test's organisation."""

from collections.abc import Callable

import httpx
import pytest

from stafett.domain.membership import Role
from stafett.testing import Tenant
from tests.support.fixture_types import Bearer
from tests.support.user_client import UserClient


@pytest.fixture
def client_of(api_client: httpx.AsyncClient, tenant: Tenant, bearer: Bearer) -> Callable[[Role], UserClient]:
    return lambda role: UserClient(api_client, bearer(tenant.users[role], role=role))


@pytest.fixture
def admin(client_of: Callable[[Role], UserClient]) -> UserClient:
    return client_of(Role.ADMIN)


@pytest.fixture
def coordinator(client_of: Callable[[Role], UserClient]) -> UserClient:
    return client_of(Role.COORDINATOR)
