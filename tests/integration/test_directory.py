"""Getting going: who one is, and what there is to choose from, without a look into the database."""

import base64
from collections.abc import Callable
from typing import get_args
from uuid import uuid4

import httpx
import psycopg
import pytest

from stafett.domain.activity import ActivityType
from stafett.domain.export import Locale
from stafett.domain.membership import Role
from stafett.testing import ActivityFactory, ExportClient, Json, Tenant, create_operator, create_tenant

Bearer = Callable[..., dict[str, str]]


async def listed(button: ExportClient, **wanted: object) -> Json:
    answer = await button.http_client.get("/api/v1/peer-mentors", params=wanted, headers=button.headers)  # type: ignore[arg-type]  # httpx writes them as text
    page: Json = answer.raise_for_status().json()
    return page


async def names(button: ExportClient, **wanted: object) -> list[str]:
    return [mentor["display_name"] for mentor in (await listed(button, **wanted))["items"]]


async def test_mentors_are_listed_by_name_page_by_page(button: ExportClient, diary: ActivityFactory) -> None:
    everybody = sorted(f"Mentor {number:02}" for number in range(7)) + ["Mentor 99"] * 3
    for name in reversed(everybody):
        diary.create_mentor(name)
    seen, wanted = list[str](), dict[str, object]()
    ids = set[str]()
    for _page in range(4):
        page = await listed(button, page_size=3, **wanted)
        seen += [mentor["display_name"] for mentor in page["items"]]
        ids |= {mentor["id"] for mentor in page["items"]}
        wanted = {"page_token": page["next_page_token"]}
    assert seen == everybody
    assert len(ids) == len(everybody)
    assert page["next_page_token"] is None


async def test_a_mentor_is_found_by_a_part_of_the_name_and_by_being_active(
    button: ExportClient, diary: ActivityFactory
) -> None:
    diary.create_mentor("Åse Ødegård")
    diary.create_mentor("Per 100 % Hansen", active=False)
    assert await names(button, q="ødeg") == ["Åse Ødegård"]
    assert await names(button, q="100 %") == ["Per 100 % Hansen"]
    assert await names(button, q="_") == []
    assert await names(button, active=True) == ["Åse Ødegård"]
    assert await names(button, active=False) == ["Per 100 % Hansen"]


async def test_another_organisations_mentors_are_not_there(
    button: ExportClient, diary: ActivityFactory, owner_url: str, bearer: Bearer
) -> None:
    diary.create_mentor()
    stranger = create_tenant(owner_url)
    theirs = ExportClient(button.http_client, stranger.org_id, bearer(stranger.coordinator, stranger.org_id))
    assert await names(theirs) == []
    assert await names(theirs, org_id=button.org_id) == []


async def test_the_place_where_a_list_goes_on_tells_no_name(button: ExportClient, diary: ActivityFactory) -> None:
    diary.create_mentor("Kari")
    diary.create_mentor("Ola")
    token = (await listed(button, page_size=1))["next_page_token"]
    assert "Kari" not in base64.urlsafe_b64decode(token + "==").decode()


@pytest.mark.parametrize("token", ["x", "WyJhIl0", "W10"])
async def test_a_token_that_no_list_gave_is_refused(button: ExportClient, token: str) -> None:
    answer = await button.http_client.get("/api/v1/peer-mentors", params={"page_token": token}, headers=button.headers)
    assert (answer.status_code, answer.json()["errors"][0]["code"]) == (422, "page_token")


async def test_a_token_whose_mentor_is_gone_is_refused_and_truncates_nothing(
    button: ExportClient, diary: ActivityFactory, owner_url: str
) -> None:
    first = diary.create_mentor("Anne")
    diary.create_mentor("Berit")
    token = (await listed(button, page_size=1))["next_page_token"]
    with psycopg.connect(owner_url) as connection:
        connection.execute("DELETE FROM peer_mentors WHERE id = %s", [first])
    answer = await button.http_client.get("/api/v1/peer-mentors", params={"page_token": token}, headers=button.headers)
    assert answer.status_code == 422


async def test_an_operator_chooses_no_mentors_but_sees_every_organisation(
    gateway: httpx.AsyncClient, tenant: Tenant, bearer: Bearer, owner_url: str
) -> None:
    operator = bearer(create_operator(owner_url), None, "operator")
    assert (await gateway.get("/api/v1/peer-mentors", headers=operator)).status_code == 403
    organisations = (await gateway.get("/api/v1/organisations", headers=operator)).raise_for_status().json()["items"]
    assert {"nhf", "hlf", "blindeforbundet", tenant.org_id} <= {one["id"] for one in organisations}
    me = (await gateway.get("/api/v1/me", headers=operator)).raise_for_status().json()
    assert (me["org_id"], me["role"]) == (None, "operator")


async def test_a_member_sees_their_own_organisation_and_who_they_are(
    gateway: httpx.AsyncClient, tenant: Tenant, bearer: Bearer
) -> None:
    headers = bearer(tenant.users[Role.AUDITOR], role="admin")
    organisations = (await gateway.get("/api/v1/organisations", headers=headers)).raise_for_status().json()["items"]
    assert organisations == [{"id": tenant.org_id, "name": "Prøveforbundet"}]
    me = (await gateway.get("/api/v1/me", headers=headers)).raise_for_status().json()
    assert me == {"user_id": str(tenant.users[Role.AUDITOR]), "org_id": tenant.org_id, "role": "auditor"}


async def test_the_kinds_of_activity_say_what_counts_in_every_language(button: ExportClient) -> None:
    answer = await button.http_client.get("/api/v1/activity-types", headers=button.headers)
    kinds = answer.raise_for_status().json()["items"]
    assert {kind["id"] for kind in kinds} == set(ActivityType)
    assert sum(kind["countable"] for kind in kinds) == 4
    for kind in kinds:
        assert set(kind["names"]) == set(kind["counting_rule"]) == set(get_args(Locale))
        assert all((*kind["names"].values(), *kind["counting_rule"].values()))


async def test_nobody_is_nobody(gateway: httpx.AsyncClient, bearer: Bearer) -> None:
    for path in ("me", "organisations", "activity-types", "peer-mentors"):
        assert (await gateway.get(f"/api/v1/{path}")).status_code == 401
        assert (await gateway.get(f"/api/v1/{path}", headers=bearer(uuid4()))).status_code == 403
