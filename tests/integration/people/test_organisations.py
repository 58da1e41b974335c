"""Organisations: added by operators with a mapping and an administrator, renamed by operators and administrators."""

from collections.abc import Iterator
from contextlib import closing
from uuid import uuid4

import httpx
import psycopg
import pytest

from stafett.audit.trail import OWNER_ACTOR
from stafett.database.migrate import OWNER_ROLE
from stafett.database.session import Database
from stafett.devstack.issuer import DevIssuer
from stafett.domain.errors import AlreadyExistsError, NotFoundError
from stafett.people.members import MemberService
from stafett.people.operators import OperatorService
from stafett.people.organisations import NewOrganisation, OrganisationService
from stafett.settings import Settings
from stafett.testing import Json, Tenant, create_operator
from tests.support.audit import verify_audit_chain
from tests.support.fixture_types import Bearer
from tests.support.user_client import UserClient


@pytest.fixture
def operator(api_client: httpx.AsyncClient, owner_url: str, bearer: Bearer) -> UserClient:
    return UserClient(api_client, bearer(create_operator(owner_url), None, "operator"))


@pytest.fixture
def owner_database(owner_url: str) -> Iterator[Database]:
    with closing(Database(owner_url, pool_size=1, role=OWNER_ROLE)) as database:
        yield database


@pytest.fixture
def new_organisation() -> Json:
    org_id = f"n{uuid4().hex[:12]}"
    return {"id": org_id, "name": "Nyforbundet", "admin": f"leder@{org_id}.example"}


def fetch_events(owner_url: str, org_id: str) -> list[tuple[str, str]]:
    with psycopg.connect(owner_url) as owner:
        query = "SELECT event, actor FROM audit_events WHERE org_id = %s ORDER BY seq"
        return owner.execute(query, [org_id]).fetchall()


async def test_first_administrator_of_a_new_organisation_finds_its_mapping(
    operator: UserClient, new_organisation: Json, issuer: DevIssuer, owner_url: str, settings: Settings
) -> None:
    org_id, address = new_organisation["id"], new_organisation["admin"]
    added = await operator.request("POST", "/organisations", 201, json=new_organisation)
    assert added == {"id": org_id, "name": "Nyforbundet"}
    token = issuer.create_token(uuid4(), org_id, "coordinator", sub=address, email=address, email_verified=True)
    first = UserClient(operator.http_client, {"Authorization": f"Bearer {token}"})
    assert (await first.request("GET", "/me", 200))["role"] == "admin"
    mapping = await first.request("GET", f"/organisations/{org_id}/column-mapping", 200)
    assert mapping["version"] == 1
    assert [event for event, _ in fetch_events(owner_url, org_id)] == [
        "organisation_added",
        "column_mapping_added",
        "member_invited",
    ]
    assert verify_audit_chain(settings, org_id).broken is None


async def test_organisation_with_the_same_id_is_rejected(
    operator: UserClient, new_organisation: Json, tenant: Tenant, owner_url: str
) -> None:
    body = new_organisation | {"id": tenant.org_id}
    assert (await operator.request("POST", "/organisations", 409, json=body))["code"] == "already_exists"
    assert fetch_events(owner_url, tenant.org_id) == []


@pytest.mark.parametrize(
    "change", [{"id": "Ny"}, {"name": " "}, {"name": "Ny\r\nBcc: x"}, {"admin": "leder"}, {"admin": None}], ids=str
)
async def test_invalid_organisation_is_rejected(operator: UserClient, new_organisation: Json, change: Json) -> None:
    await operator.request("POST", "/organisations", 422, json=new_organisation | change)


async def test_operator_and_administrator_rename_an_organisation(
    operator: UserClient, admin: UserClient, tenant: Tenant, owner_url: str
) -> None:
    path = f"/organisations/{tenant.org_id}"
    for client, name in ((operator, "Driftsnavnet"), (admin, "Eget navn")):
        assert await client.request("PUT", path, 200, json={"name": name}) == {"id": tenant.org_id, "name": name}
    assert (await admin.request("GET", "/organisations", 200))["items"] == [{"id": tenant.org_id, "name": "Eget navn"}]
    assert [event for event, _ in fetch_events(owner_url, tenant.org_id)] == ["organisation_renamed"] * 2
    await operator.request("PUT", "/organisations/unknown", 404, json={"name": "x"})


def test_owner_adds_an_organisation_and_invites_administrators(
    owner_database: Database, new_organisation: Json, owner_url: str
) -> None:
    organisations, members = OrganisationService(owner_database), MemberService(owner_database)
    new = NewOrganisation.model_validate(new_organisation)
    organisations.add(OWNER_ACTOR, new)
    with pytest.raises(AlreadyExistsError):
        organisations.add(OWNER_ACTOR, new)
    members.invite_admin(OWNER_ACTOR, new.id, f"vara@{new.id}.example")
    with pytest.raises(NotFoundError):
        members.invite_admin(OWNER_ACTOR, "unknown", "vara@example.org")
    assert {actor for _, actor in fetch_events(owner_url, new.id)} == {"system:owner"}


def test_owner_adds_and_removes_operators(owner_database: Database) -> None:
    operators, address = OperatorService(owner_database), f"{uuid4()}@example.org"
    user_id = operators.add(address.upper())
    assert user_id in {user.id for user in operators.list()}
    with pytest.raises(AlreadyExistsError):
        operators.add(address)
    assert operators.remove(address) == user_id
    assert user_id not in {user.id for user in operators.list()}
    with pytest.raises(NotFoundError):
        operators.remove(address)
