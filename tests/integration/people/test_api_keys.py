"""API keys: bearer tokens that act for their makers, until they expire, are revoked or their makers leave."""

import json
from datetime import UTC, datetime, timedelta

import httpx
import psycopg
import pytest

from stafett.domain.membership import Role
from stafett.testing import Json, Tenant
from tests.support.fixture_types import Bearer
from tests.support.user_client import UserClient


@pytest.fixture
def keys(tenant: Tenant) -> str:
    return f"/organisations/{tenant.org_id}/api-keys"


async def make_key(
    admin: UserClient, keys: str, role: str = "coordinator", **fields: object
) -> tuple[Json, UserClient]:
    key = await admin.request("POST", keys, 201, json={"name": "Nightly export", "role": role, **fields})
    return key, UserClient(admin.http_client, {"Authorization": f"Bearer {key['secret']}"})


def fetch_events(owner_url: str, org_id: str, *kinds: str) -> list[tuple[str, str]]:
    query = "SELECT event, actor FROM audit_events WHERE org_id = %s AND subject_kind = ANY(%s) ORDER BY seq"
    with psycopg.connect(owner_url) as owner:
        return owner.execute(query, [org_id, list(kinds)]).fetchall()


async def test_key_is_shown_once_and_only_its_hash_is_stored(admin: UserClient, keys: str, owner_url: str) -> None:
    key, _ = await make_key(admin, keys)
    assert key["secret"].startswith("stafett_")
    listed = (await admin.request("GET", keys, 200))["items"]
    assert [each["id"] for each in listed] == [key["id"]]
    assert "secret" not in listed[0]
    with psycopg.connect(owner_url) as owner:
        row = owner.execute("SELECT to_jsonb(k) FROM api_keys k WHERE id = %s", [key["id"]]).fetchone()
    assert key["secret"] not in json.dumps(row)


async def test_key_acts_for_its_maker_and_the_audit_trail_names_the_key(
    admin: UserClient, keys: str, tenant: Tenant, owner_url: str
) -> None:
    key, program = await make_key(admin, keys)
    assert await program.request("GET", "/me", 200) == {
        "user_id": str(tenant.users[Role.ADMIN]),
        "org_id": tenant.org_id,
        "role": "coordinator",
    }
    period = {"start": "2026-01-01", "end": "2026-12-31"}
    body = {"org_id": tenant.org_id, "reporting_period": period, "export_format": "csv"}
    export = await program.request("POST", "/bufdir-exports", 202, json=body)
    assert export["requested_by"] == str(tenant.users[Role.ADMIN])
    actor = f"user:{tenant.users[Role.ADMIN]}"
    assert fetch_events(owner_url, tenant.org_id, "api_key") == [("api_key_made", actor)]
    assert fetch_events(owner_url, tenant.org_id, "export") == [("export_requested", f"api_key:{key['id']}")]


async def test_last_use_of_a_key_is_shown(admin: UserClient, keys: str) -> None:
    key, program = await make_key(admin, keys)
    assert key["last_used_at"] is None
    await program.request("GET", "/me", 200)
    assert (await admin.request("GET", keys, 200))["items"][0]["last_used_at"] is not None


async def test_revoked_key_is_rejected_at_once(admin: UserClient, keys: str, tenant: Tenant, owner_url: str) -> None:
    key, program = await make_key(admin, keys)
    await program.request("GET", "/me", 200)
    await admin.request("DELETE", f"{keys}/{key['id']}", 204)
    refusal = await program.request("GET", "/me", 401)
    assert (refusal["code"], "unknown or has been revoked" in refusal["detail"]) == ("unauthenticated", True)
    assert (await admin.request("GET", keys, 200))["items"] == []
    await admin.request("DELETE", f"{keys}/{key['id']}", 404)
    assert [event for event, _ in fetch_events(owner_url, tenant.org_id, "api_key")] == [
        "api_key_made",
        "api_key_revoked",
    ]


async def test_expired_and_unknown_keys_are_rejected(admin: UserClient, keys: str, owner_url: str) -> None:
    made = [await make_key(admin, keys) for _ in range(2)]
    used, unused = (program for _, program in made)
    await used.request("GET", "/me", 200)
    with psycopg.connect(owner_url) as owner:
        owner.execute("ALTER TABLE api_keys DISABLE TRIGGER api_keys_check_update")
        owner.execute(
            "UPDATE api_keys SET created_at = now() - interval '2 days', expires_at = now() - interval '1 day'"
            " WHERE id = ANY (%s::uuid[])",
            [[key["id"] for key, _ in made]],
        )
        owner.execute("ALTER TABLE api_keys ENABLE TRIGGER api_keys_check_update")
    await used.request("GET", "/me", 401)
    assert "has expired" in (await unused.request("GET", "/me", 401))["detail"]
    for secret in ("stafett_", f"{made[0][0]['secret']}x", "stafett_\xf8"):
        unknown = UserClient(admin.http_client, {"Authorization": f"Bearer {secret}".encode()})  # type: ignore[dict-item]  # bytes, because the last one is not ASCII
        assert "has expired" not in (await unknown.request("GET", "/me", 401))["detail"]


async def test_keys_of_a_removed_member_end_with_the_membership(
    admin: UserClient, keys: str, tenant: Tenant, api_client: httpx.AsyncClient, bearer: Bearer
) -> None:
    members = f"/organisations/{tenant.org_id}/members"
    second = tenant.users[Role.AUDITOR]
    await admin.request("PUT", f"{members}/{second}", 200, json={"role": "admin"})
    key, program = await make_key(UserClient(api_client, bearer(second)), keys)
    await program.request("GET", "/me", 200)
    await admin.request("DELETE", f"{members}/{second}", 204)
    await program.request("GET", "/me", 401)
    body = {"address": f"auditor@{tenant.org_id}.example", "role": "admin"}
    await admin.request("POST", members, 201, json=body)
    await program.request("GET", "/me", 401)
    assert key["id"] not in json.dumps(await admin.request("GET", keys, 200))


async def test_demotion_ends_the_keys_above_the_new_role(
    admin: UserClient, keys: str, tenant: Tenant, api_client: httpx.AsyncClient, bearer: Bearer
) -> None:
    members, second = f"/organisations/{tenant.org_id}/members", tenant.users[Role.AUDITOR]
    await admin.request("PUT", f"{members}/{second}", 200, json={"role": "admin"})
    maker = UserClient(api_client, bearer(second))
    programs = {role: (await make_key(maker, keys, role))[1] for role in ("admin", "coordinator", "auditor")}
    await admin.request("PUT", f"{members}/{second}", 200, json={"role": "coordinator"})
    for role, status in (("admin", 401), ("coordinator", 200), ("auditor", 401)):
        await programs[role].request("GET", "/me", status)


async def test_key_cannot_make_a_key_above_its_own_role(admin: UserClient, keys: str) -> None:
    _, program = await make_key(admin, keys, "coordinator")
    await program.request("POST", keys, 403, json={"name": "x", "role": "coordinator"})
    await admin.request("POST", keys, 422, json={"name": "x", "role": "operator"})


@pytest.mark.parametrize("days", [-1, 400])
async def test_expiry_must_be_in_the_coming_year(admin: UserClient, keys: str, days: int) -> None:
    expires_at = (datetime.now(UTC) + timedelta(days=days)).isoformat()
    body = {"name": "x", "role": "auditor", "expires_at": expires_at}
    assert (await admin.request("POST", keys, 422, json=body))["errors"][0]["pointer"] == "/expires_at"
