"""Members: invited by address, linked at the first sign-in, changed and removed by administrators."""

import asyncio
from collections.abc import Callable, Mapping
from typing import Any, LiteralString
from uuid import UUID, uuid4

import httpx
import psycopg
import pytest

from stafett.database.session import Database
from stafett.devstack.issuer import DevIssuer
from stafett.domain.errors import PermissionDeniedError
from stafett.domain.membership import Caller, Role
from stafett.domain.notification import Channel, DeliveryRef
from stafett.notifications.deliveries import DeliveryStore
from stafett.notifications.email import InvitationEmail
from stafett.people.api_keys import ApiKeyService, NewApiKey
from stafett.people.members import MemberService, NewMember
from stafett.settings import Settings
from stafett.testing import Json, Tenant, create_tenant, wait_until
from tests.support.audit import verify_audit_chain
from tests.support.emails import read_body
from tests.support.fixture_types import RunWorker
from tests.support.user_client import UserClient


@pytest.fixture
def members(tenant: Tenant) -> str:
    return f"/organisations/{tenant.org_id}/members"


@pytest.fixture
def address() -> str:
    return f"kari.{uuid4().hex[:8]}@example.org"


def fetch_member_events(owner_url: str, user_id: str | UUID) -> list[tuple[str, str, Any]]:
    query = (
        "SELECT event, actor, detail FROM audit_events WHERE subject_id = %s AND subject_kind = 'member' ORDER BY seq"
    )
    with psycopg.connect(owner_url) as owner:
        return owner.execute(query, [user_id]).fetchall()


def create_token_headers(issuer: DevIssuer, org_id: str, address: str, subject: str | None = None) -> dict[str, str]:
    claims = {"sub": subject or f"oidc|{address}", "email": address, "email_verified": True}
    return {"Authorization": f"Bearer {issuer.create_token(uuid4(), org_id, 'admin', **claims)}"}


async def test_invited_member_is_linked_at_the_first_sign_in_with_the_address(
    admin: UserClient, members: str, address: str, tenant: Tenant, issuer: DevIssuer, api_client: httpx.AsyncClient
) -> None:
    invited = await admin.request("POST", members, 201, json={"address": address.upper(), "role": "coordinator"})
    assert (invited["address"], invited["role"], invited["status"]) == (address, "coordinator", "invited")
    headers = create_token_headers(issuer, tenant.org_id, address)
    me = (await api_client.get("/api/v1/me", headers=headers)).raise_for_status().json()
    assert me == {"user_id": invited["user_id"], "org_id": tenant.org_id, "role": "coordinator"}
    listed = await admin.request("GET", members, 200)
    assert {"user_id": invited["user_id"], "status": "active"}.items() <= listed["items"][0].items()
    impostor = create_token_headers(issuer, tenant.org_id, address, subject="oidc|another account")
    assert (await api_client.get("/api/v1/me", headers=impostor)).status_code == 403


async def test_address_that_only_becomes_the_same_in_lower_case_links_no_member(
    admin: UserClient, members: str, address: str, tenant: Tenant, issuer: DevIssuer, api_client: httpx.AsyncClient
) -> None:
    """In lower case, the Kelvin sign is a k."""
    await admin.request("POST", members, 201, json={"address": address, "role": "coordinator"})
    lookalike = address.replace("k", "\N{KELVIN SIGN}", 1)
    assert lookalike.lower() == address
    headers = create_token_headers(issuer, tenant.org_id, lookalike)
    assert (await api_client.get("/api/v1/me", headers=headers)).status_code == 403


async def test_unverified_address_links_no_member(
    admin: UserClient, members: str, address: str, tenant: Tenant, issuer: DevIssuer, api_client: httpx.AsyncClient
) -> None:
    await admin.request("POST", members, 201, json={"address": address, "role": "coordinator"})
    claims: Json = {"sub": "oidc|unverified", "email": address, "email_verified": False}
    token = issuer.create_token(uuid4(), tenant.org_id, "admin", **claims)
    response = await api_client.get("/api/v1/me", headers={"Authorization": f"Bearer {token}"})
    assert response.status_code == 403


async def test_invitation_is_an_email_to_the_address(
    admin: UserClient, members: str, address: str, tenant: Tenant, owner_url: str, worker_database: Database
) -> None:
    invited = await admin.request("POST", members, 201, json={"address": address, "role": "auditor"})
    with psycopg.connect(owner_url) as owner:
        row = owner.execute("SELECT id FROM deliveries WHERE invited_user_id = %s", [invited["user_id"]]).fetchone()
    assert row is not None
    delivery = DeliveryRef(id=row[0], org_id=tenant.org_id, channel=Channel.EMAIL)
    email = DeliveryStore(worker_database).load_email(delivery)
    assert isinstance(email, InvitationEmail)
    message = email.to_message("Stafett <stafett@stafett.example>", "https://stafett.example/")
    assert message["To"] == address
    text = read_body(message)
    assert "Rolle: revisor\n" in text
    assert "You are invited to Stafett for Prøveforbundet" in text
    assert "https://stafett.example/console\n" in text


async def test_member_cannot_be_invited_twice(admin: UserClient, members: str, address: str) -> None:
    await admin.request("POST", members, 201, json={"address": address, "role": "auditor"})
    problem = await admin.request("POST", members, 409, json={"address": address, "role": "admin"})
    assert problem["code"] == "already_exists"


async def test_user_of_another_organisation_can_be_invited(
    admin: UserClient, members: str, owner_url: str, api_client: httpx.AsyncClient, issuer: DevIssuer, tenant: Tenant
) -> None:
    other = create_tenant(owner_url)
    body = {"address": f"auditor@{other.org_id}.example", "role": "coordinator"}
    invited = await admin.request("POST", members, 201, json=body)
    assert invited["user_id"] == str(other.users[Role.AUDITOR])
    for org_id, role in ((tenant.org_id, "coordinator"), (other.org_id, "auditor")):
        token = issuer.create_token(other.users[Role.AUDITOR], org_id, "admin")
        me = (await api_client.get("/api/v1/me", headers={"Authorization": f"Bearer {token}"})).json()
        assert (me["org_id"], me["role"]) == (org_id, role)


@pytest.mark.parametrize(
    "body",
    [
        {"address": "kari", "role": "coordinator"},
        {"address": "kari@example.org", "role": "operator"},
        {"address": "kari@example.org"},
        {"address": "ka\0ri@example.org", "role": "auditor"},
        {"address": "kåri@example.org", "role": "auditor"},
        {"address": "kari@-a.example", "role": "auditor"},
        {"address": "kari..n@example.org", "role": "auditor"},
        {"address": ".kari@example.org", "role": "auditor"},
        {"address": "\N{KELVIN SIGN}ari@example.org", "role": "auditor"},
        {"address": "kari@example.org\r\nBcc: x@example.org", "role": "auditor"},
    ],
    ids=str,
)
async def test_invalid_invitation_is_rejected(admin: UserClient, members: str, body: Json) -> None:
    await admin.request("POST", members, 422, json=body)


async def test_every_change_of_a_member_is_audited_without_personal_data(
    admin: UserClient, members: str, address: str, tenant: Tenant, owner_url: str, settings: Settings
) -> None:
    invited = await admin.request("POST", members, 201, json={"address": address, "role": "coordinator"})
    path = f"{members}/{invited['user_id']}"
    await admin.request("PUT", path, 200, json={"role": "auditor"})
    await admin.request("PUT", path, 200, json={"role": "auditor"})
    await admin.request("DELETE", path, 204)
    actor = f"user:{tenant.users[Role.ADMIN]}"
    assert fetch_member_events(owner_url, invited["user_id"]) == [
        ("member_invited", actor, {"role": "coordinator"}),
        ("member_role_changed", actor, {"role": "auditor"}),
        ("member_removed", actor, {"role": "auditor"}),
    ]
    assert verify_audit_chain(settings, tenant.org_id).broken is None


async def test_last_administrator_can_be_neither_removed_nor_demoted(
    admin: UserClient, members: str, tenant: Tenant
) -> None:
    path = f"{members}/{tenant.users[Role.ADMIN]}"
    for method, body in (("PUT", {"role": "auditor"}), ("DELETE", None)):
        assert (await admin.request(method, path, 409, json=body))["code"] == "last_admin"
    second = f"{members}/{tenant.users[Role.AUDITOR]}"
    await admin.request("PUT", second, 200, json={"role": "admin"})
    await admin.request("DELETE", second, 204)
    assert (await admin.request("DELETE", path, 409))["code"] == "last_admin"


async def test_two_administrators_cannot_remove_each_other_at_the_same_time(
    admin: UserClient, members: str, tenant: Tenant, owner_url: str
) -> None:
    ids = [tenant.users[Role.ADMIN], tenant.users[Role.AUDITOR]]
    await admin.request("PUT", f"{members}/{ids[1]}", 200, json={"role": "admin"})
    requests = (
        admin.http_client.delete(f"/api/v1{members}/{user_id}", headers=admin.headers) for user_id in reversed(ids)
    )
    await asyncio.gather(*requests)
    with psycopg.connect(owner_url) as owner:
        query = "SELECT count(*) FROM memberships WHERE org_id = %s AND role = 'admin'"
        assert owner.execute(query, [tenant.org_id]).fetchone() == (1,)


_COMMANDS: Mapping[str, Callable[[Database, Caller, str, UUID], object]] = {
    "invite": lambda database, caller, org_id, _: MemberService(database).invite(
        caller, org_id, NewMember(address="x@example.org", role=Role.ADMIN)
    ),
    "change role": lambda database, caller, org_id, user_id: MemberService(database).change_role(
        caller, org_id, user_id, Role.ADMIN
    ),
    "remove": lambda database, caller, org_id, user_id: MemberService(database).remove(caller, org_id, user_id),
    "make key": lambda database, caller, org_id, _: ApiKeyService(database).make(
        caller, org_id, NewApiKey(name="x", role=Role.AUDITOR)
    ),
}


@pytest.mark.parametrize("change", ["DELETE FROM memberships", "UPDATE memberships SET role = 'auditor'"])
@pytest.mark.parametrize("command", _COMMANDS)
def test_command_of_an_administrator_who_lost_the_role_meanwhile_is_rejected(
    command: str, change: LiteralString, tenant: Tenant, api_database: Database, owner_url: str
) -> None:
    caller = Caller(user_id=tenant.users[Role.ADMIN], org_id=tenant.org_id, role=Role.ADMIN)
    with psycopg.connect(owner_url) as owner:
        owner.execute(change + " WHERE user_id = %s", [caller.user_id])
    with pytest.raises(PermissionDeniedError):
        _COMMANDS[command](api_database, caller, tenant.org_id, tenant.coordinator)


async def test_removal_keeps_what_the_member_made(
    admin: UserClient, coordinator: UserClient, members: str, tenant: Tenant
) -> None:
    period = {"start": "2026-01-01", "end": "2026-12-31"}
    body = {"org_id": tenant.org_id, "reporting_period": period, "export_format": "csv"}
    export = await coordinator.request("POST", "/bufdir-exports", 202, json=body)
    await admin.request("DELETE", f"{members}/{tenant.coordinator}", 204)
    await coordinator.request("GET", f"/bufdir-exports/{export['id']}", 403)
    export_after = await admin.request("GET", f"/bufdir-exports/{export['id']}", 200)
    assert export_after["requested_by"] == str(tenant.coordinator)


async def test_member_removed_during_a_wait_receives_no_result(
    admin: UserClient, coordinator: UserClient, members: str, tenant: Tenant, run_worker: RunWorker
) -> None:
    period = {"start": "2026-01-01", "end": "2026-12-31"}
    body = {"org_id": tenant.org_id, "reporting_period": period, "export_format": "csv"}
    start = coordinator.request("POST", "/bufdir-exports", 403, json=body, headers={"Prefer": "wait=60"})
    waiting = asyncio.create_task(start)
    await wait_until(lambda: admin.request("GET", "/bufdir-exports", 200), lambda page: bool(page["items"]))
    await admin.request("DELETE", f"{members}/{tenant.coordinator}", 204)
    async with run_worker():
        assert (await waiting)["code"] == "permission_denied"


async def test_members_are_paginated_newest_first(admin: UserClient, members: str) -> None:
    for number in range(3):
        body = {"address": f"{uuid4().hex}@example.org", "role": "auditor", "display_name": f"Medlem {number}"}
        await admin.request("POST", members, 201, json=body)
    first = await admin.request("GET", f"{members}?page_size=2", 200)
    assert [member["display_name"] for member in first["items"]] == ["Medlem 2", "Medlem 1"]
    rest = await admin.request("GET", f"{members}?page_token={first['next_page_token']}", 200)
    assert rest["items"][0]["display_name"] == "Medlem 0"
    assert (len(rest["items"]), rest["next_page_token"]) == (4, None)
