"""Endpoints that list what a client can choose from: the user, organisations, activity types and peer mentors."""

import base64
from typing import get_args
from uuid import uuid4

import httpx
import psycopg
import pytest

from stafett.domain.activity import ActivityType
from stafett.domain.export import Locale
from stafett.domain.membership import Role
from stafett.testing import ActivityFactory, ExportClient, Json, Tenant, create_operator, create_tenant
from tests.support.fixture_types import Bearer


async def list_mentors(export_client: ExportClient, **query: object) -> Json:
    response = await export_client.http_client.get("/api/v1/peer-mentors", params=query, headers=export_client.headers)  # type: ignore[arg-type]  # httpx writes them as text
    page: Json = response.raise_for_status().json()
    return page


async def list_names(export_client: ExportClient, **query: object) -> list[str]:
    return [mentor["display_name"] for mentor in (await list_mentors(export_client, **query))["items"]]


async def test_mentors_are_paginated_in_order_of_name(
    export_client: ExportClient, activity_factory: ActivityFactory
) -> None:
    expected = sorted(f"Mentor {number:02}" for number in range(7)) + ["Mentor 99"] * 3
    for name in reversed(expected):
        activity_factory.create_mentor(name)
    listed, query = list[str](), dict[str, object]()
    ids = set[str]()
    for _page in range(4):
        page = await list_mentors(export_client, page_size=3, **query)
        listed += [mentor["display_name"] for mentor in page["items"]]
        ids |= {mentor["id"] for mentor in page["items"]}
        query = {"page_token": page["next_page_token"]}
    assert listed == expected
    assert len(ids) == len(expected)
    assert page["next_page_token"] is None


async def test_mentors_are_filtered_by_part_of_the_name_and_by_active(
    export_client: ExportClient, activity_factory: ActivityFactory
) -> None:
    activity_factory.create_mentor("Åse Ødegård")
    activity_factory.create_mentor("Per 100 % Hansen", active=False)
    assert await list_names(export_client, q="ødeg") == ["Åse Ødegård"]
    assert await list_names(export_client, q="100 %") == ["Per 100 % Hansen"]
    assert await list_names(export_client, q="_") == []
    assert await list_names(export_client, active=True) == ["Åse Ødegård"]
    assert await list_names(export_client, active=False) == ["Per 100 % Hansen"]


async def test_mentors_of_another_organisation_are_not_listed(
    export_client: ExportClient, activity_factory: ActivityFactory, owner_url: str, bearer: Bearer
) -> None:
    activity_factory.create_mentor()
    stranger = create_tenant(owner_url)
    other_client = ExportClient(
        export_client.http_client, stranger.org_id, bearer(stranger.coordinator, stranger.org_id)
    )
    assert await list_names(other_client) == []
    assert await list_names(other_client, org_id=export_client.org_id) == []


async def test_page_token_contains_no_name(export_client: ExportClient, activity_factory: ActivityFactory) -> None:
    activity_factory.create_mentor("Kari")
    activity_factory.create_mentor("Ola")
    token = (await list_mentors(export_client, page_size=1))["next_page_token"]
    assert "Kari" not in base64.urlsafe_b64decode(token + "==").decode()


@pytest.mark.parametrize("token", ["x", "WyJhIl0", "W10"])
async def test_forged_page_token_is_rejected(export_client: ExportClient, token: str) -> None:
    response = await export_client.http_client.get(
        "/api/v1/peer-mentors", params={"page_token": token}, headers=export_client.headers
    )
    assert (response.status_code, response.json()["errors"][0]["code"]) == (422, "page_token")


async def test_page_token_of_a_deleted_mentor_is_rejected(
    export_client: ExportClient, activity_factory: ActivityFactory, owner_url: str
) -> None:
    first = activity_factory.create_mentor("Anne")
    activity_factory.create_mentor("Berit")
    token = (await list_mentors(export_client, page_size=1))["next_page_token"]
    with psycopg.connect(owner_url) as connection:
        connection.execute("DELETE FROM peer_mentors WHERE id = %s", [first])
    response = await export_client.http_client.get(
        "/api/v1/peer-mentors", params={"page_token": token}, headers=export_client.headers
    )
    assert response.status_code == 422


async def test_operator_may_list_organisations_but_not_mentors(
    api_client: httpx.AsyncClient, tenant: Tenant, bearer: Bearer, owner_url: str
) -> None:
    operator = bearer(create_operator(owner_url), None, "operator")
    assert (await api_client.get("/api/v1/peer-mentors", headers=operator)).status_code == 403
    organisations = (await api_client.get("/api/v1/organisations", headers=operator)).raise_for_status().json()["items"]
    assert {"nhf", "hlf", "blindeforbundet", tenant.org_id} <= {organisation["id"] for organisation in organisations}
    me = (await api_client.get("/api/v1/me", headers=operator)).raise_for_status().json()
    assert (me["org_id"], me["role"]) == (None, "operator")


async def test_member_sees_own_identity_and_organisation(
    api_client: httpx.AsyncClient, tenant: Tenant, bearer: Bearer
) -> None:
    headers = bearer(tenant.users[Role.AUDITOR], role="admin")
    organisations = (await api_client.get("/api/v1/organisations", headers=headers)).raise_for_status().json()["items"]
    assert organisations == [{"id": tenant.org_id, "name": "Prøveforbundet"}]
    me = (await api_client.get("/api/v1/me", headers=headers)).raise_for_status().json()
    assert me == {"user_id": str(tenant.users[Role.AUDITOR]), "org_id": tenant.org_id, "role": "auditor"}


async def test_activity_types_have_names_and_counting_rules_in_every_language(export_client: ExportClient) -> None:
    response = await export_client.http_client.get("/api/v1/activity-types", headers=export_client.headers)
    activity_types = response.raise_for_status().json()["items"]
    assert {activity_type["id"] for activity_type in activity_types} == set(ActivityType)
    assert sum(activity_type["countable"] for activity_type in activity_types) == 4
    for activity_type in activity_types:
        assert set(activity_type["names"]) == set(activity_type["counting_rule"]) == set(get_args(Locale))
        assert all((*activity_type["names"].values(), *activity_type["counting_rule"].values()))


async def test_anonymous_and_unknown_users_are_rejected(api_client: httpx.AsyncClient, bearer: Bearer) -> None:
    for path in ("me", "organisations", "activity-types", "peer-mentors"):
        assert (await api_client.get(f"/api/v1/{path}")).status_code == 401
        assert (await api_client.get(f"/api/v1/{path}", headers=bearer(uuid4()))).status_code == 403


@pytest.mark.parametrize("resource", ["bufdir-exports", "report-reexports", "bulk-registrations"])
async def test_unknown_organisation_of_a_filter_is_named_to_operators_only(
    resource: str, api_client: httpx.AsyncClient, tenant: Tenant, bearer: Bearer, owner_url: str
) -> None:
    path, query = f"/api/v1/{resource}", {"org_id": f"u{uuid4().hex}"}
    operator = bearer(create_operator(owner_url), None, "operator")
    response = await api_client.get(path, params=query, headers=operator)
    (error,) = response.json()["errors"]
    assert (response.status_code, error["pointer"], error["code"]) == (422, "query:org_id", "unknown_organisation")
    assert (await api_client.get(path, params={"org_id": tenant.org_id}, headers=operator)).status_code == 200
    for org_id in (query["org_id"], create_tenant(owner_url).org_id):
        member = await api_client.get(path, params={"org_id": org_id}, headers=bearer(tenant.coordinator))
        assert (member.status_code, member.json()["items"]) == (200, [])
