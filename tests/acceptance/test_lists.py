"""Lists of exports: order, paging, filters, visibility, and no download links."""

import asyncio
from typing import Any

import httpx
import pytest

from stafett.domain.membership import Role
from stafett.testing import ActivityFactory, ExportClient, Json, Tenant, create_tenant
from tests.support.dev_stack import EXPORTS, assert_problem
from tests.support.fixture_types import Bearer


async def _list_page(export_client: ExportClient, **query: Any) -> Json:
    response = await export_client.http_client.get(EXPORTS, params=query, headers=export_client.headers)
    page: Json = response.raise_for_status().json()
    assert page.keys() == {"items", "next_page_token"}
    return page


async def _list_ids(export_client: ExportClient, **query: Any) -> list[str]:
    return [item["id"] for item in (await _list_page(export_client, **query))["items"]]


async def test_list_starts_with_the_newest_export(export_client: ExportClient) -> None:
    export_ids = [await export_client.start_export() for _ in range(3)]
    assert await _list_ids(export_client) == export_ids[::-1]


async def test_pages_contain_every_export_once(export_client: ExportClient) -> None:
    export_ids = await asyncio.gather(*(export_client.start_export() for _ in range(7)))
    page = await _list_page(export_client, page_size=3)
    pages = [page["items"]]
    while page["next_page_token"]:
        page = await _list_page(export_client, page_size=3, page_token=page["next_page_token"])
        pages.append(page["items"])
    assert [len(items) for items in pages] == [3, 3, 1]
    listed = [item["id"] for items in pages for item in items]
    assert sorted(listed) == sorted(export_ids)
    assert listed == await _list_ids(export_client)


async def test_export_started_between_two_pages_does_not_change_them(export_client: ExportClient) -> None:
    export_ids = [await export_client.start_export() for _ in range(4)]
    first = await _list_page(export_client, page_size=2)
    await export_client.start_export()
    rest = await _list_ids(export_client, page_size=2, page_token=first["next_page_token"])
    assert [item["id"] for item in first["items"]] + rest == export_ids[::-1]


async def test_list_can_be_filtered_by_status(export_client: ExportClient, activity_factory: ActivityFactory) -> None:
    empty = await export_client.start_export(reporting_period={"start": "2020-01-01", "end": "2020-12-31"})
    activity_factory.create_activity(activity_factory.create_mentor())
    full = await export_client.start_export()
    await asyncio.gather(export_client.wait_for_completion(empty), export_client.wait_for_completion(full))
    assert await _list_ids(export_client, status="completed") == [full]
    assert await _list_ids(export_client, status="completed_empty") == [empty]
    assert await _list_ids(export_client, status="failed") == []


async def test_list_can_be_filtered_by_creation_time(export_client: ExportClient) -> None:
    older, newer = await export_client.start_export(), await export_client.start_export()
    between = (await export_client.get_export(newer))["created_at"]
    assert older in await _list_ids(export_client, created_before=between)
    assert older not in await _list_ids(export_client, created_after=between)
    assert await _list_ids(export_client, created_after="2000-01-01T00:00:00Z") == [newer, older]
    assert await _list_ids(export_client, created_after="2100-01-01T00:00:00Z") == []


async def test_list_contains_only_exports_of_the_callers_organisation(
    export_client: ExportClient, api_client: httpx.AsyncClient, owner_url: str, bearer: Bearer
) -> None:
    neighbour = create_tenant(owner_url)
    their_client = ExportClient(api_client, neighbour.org_id, bearer(neighbour.coordinator, neighbour.org_id))
    their_id, own_id = await their_client.start_export(), await export_client.start_export()
    assert await _list_ids(export_client) == [own_id]
    assert await _list_ids(their_client) == [their_id]
    assert await _list_ids(export_client, org_id=neighbour.org_id) == []


async def test_auditor_lists_exports_of_other_users(
    export_client: ExportClient, tenant: Tenant, bearer: Bearer
) -> None:
    export_id = await export_client.start_export()
    export_client.headers = bearer(tenant.users[Role.AUDITOR], role="auditor")
    assert await _list_ids(export_client) == [export_id]


async def test_operator_lists_exports_of_all_organisations_or_one(
    export_client: ExportClient,
    api_client: httpx.AsyncClient,
    owner_url: str,
    bearer: Bearer,
    operator_headers: dict[str, str],
) -> None:
    neighbour = create_tenant(owner_url)
    their_client = ExportClient(api_client, neighbour.org_id, bearer(neighbour.coordinator, neighbour.org_id))
    their_id, own_id = await their_client.start_export(), await export_client.start_export()
    export_client.headers = operator_headers
    assert (await _list_ids(export_client))[:2] == [own_id, their_id]
    assert await _list_ids(export_client, org_id=neighbour.org_id) == [their_id]


async def test_list_contains_no_download_links(export_client: ExportClient, activity_factory: ActivityFactory) -> None:
    activity_factory.create_activity(activity_factory.create_mentor())
    export_id = await export_client.start_export()
    assert (await export_client.wait_for_completion(export_id))["download_url"]
    page = await _list_page(export_client)
    assert [item["id"] for item in page["items"]] == [export_id]
    assert all(item.get("download_url") is None for item in page["items"])
    assert "X-Amz-Signature" not in str(page)


@pytest.mark.parametrize(
    "query",
    [
        {"page_size": 201},
        {"page_size": 0},
        {"page_size": "many"},
        {"page_token": "broken"},
        {"page_token": "eyJhIjoxfQ"},
        {"page_token": "\x00"},
        {"status": "lost"},
        {"created_after": "yesterday"},
        {"created_before": "2026-01-01T00:00:00"},
    ],
    ids=str,
)
async def test_invalid_list_parameter_is_named(export_client: ExportClient, query: dict[str, Any]) -> None:
    response = await export_client.http_client.get(EXPORTS, params=query, headers=export_client.headers)
    problem = assert_problem(response, 422)
    assert any(next(iter(query)) in error["pointer"] for error in problem["errors"])


async def test_page_size_of_200_is_accepted(export_client: ExportClient) -> None:
    assert await _list_ids(export_client, page_size=200) == []


async def test_truncated_page_token_is_rejected(export_client: ExportClient) -> None:
    for _ in range(2):
        await export_client.start_export()
    token = (await _list_page(export_client, page_size=1))["next_page_token"]
    response = await export_client.http_client.get(
        EXPORTS, params={"page_token": token[:-4]}, headers=export_client.headers
    )
    assert_problem(response, 422)
