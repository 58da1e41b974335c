"""Lists: newest first, page by page, filtered, and without links."""

import asyncio
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from stafett.domain.membership import Role
from stafett.testing import ActivityFactory, ExportClient, Json, Tenant, create_tenant
from tests.acceptance.dev_stack import EXPORTS, assert_problem

Bearer = Callable[..., dict[str, str]]


async def _page(button: ExportClient, **query: Any) -> Json:
    answer = await button.http_client.get(EXPORTS, params=query, headers=button.headers)
    page: Json = answer.raise_for_status().json()
    assert page.keys() == {"items", "next_page_token"}
    return page


async def _ids(button: ExportClient, **query: Any) -> list[str]:
    return [item["id"] for item in (await _page(button, **query))["items"]]


async def test_the_newest_export_comes_first(button: ExportClient) -> None:
    pressed = [await button.start_export() for _ in range(3)]
    assert await _ids(button) == pressed[::-1]


async def test_pages_show_every_export_once(button: ExportClient) -> None:
    pressed = await asyncio.gather(*(button.start_export() for _ in range(7)))
    page = await _page(button, page_size=3)
    seen = [page["items"]]
    while page["next_page_token"]:
        page = await _page(button, page_size=3, page_token=page["next_page_token"])
        seen.append(page["items"])
    assert [len(items) for items in seen] == [3, 3, 1]
    listed = [item["id"] for items in seen for item in items]
    assert sorted(listed) == sorted(pressed)
    assert listed == await _ids(button)


async def test_an_export_made_meanwhile_disturbs_no_page(button: ExportClient) -> None:
    pressed = [await button.start_export() for _ in range(4)]
    first = await _page(button, page_size=2)
    await button.start_export()
    rest = await _ids(button, page_size=2, page_token=first["next_page_token"])
    assert [item["id"] for item in first["items"]] + rest == pressed[::-1]


async def test_a_list_can_be_narrowed_to_a_state(button: ExportClient, diary: ActivityFactory) -> None:
    empty = await button.start_export(reporting_period={"start": "2020-01-01", "end": "2020-12-31"})
    diary.create_activity(diary.create_mentor())
    full = await button.start_export()
    await asyncio.gather(button.wait_for_completion(empty), button.wait_for_completion(full))
    assert await _ids(button, status="completed") == [full]
    assert await _ids(button, status="completed_empty") == [empty]
    assert await _ids(button, status="failed") == []


async def test_a_list_can_be_narrowed_to_a_time(button: ExportClient) -> None:
    older, newer = await button.start_export(), await button.start_export()
    between = (await button.get_export(newer))["created_at"]
    assert older in await _ids(button, created_before=between)
    assert older not in await _ids(button, created_after=between)
    assert await _ids(button, created_after="2000-01-01T00:00:00Z") == [newer, older]
    assert await _ids(button, created_after="2100-01-01T00:00:00Z") == []


async def test_a_list_shows_the_own_organisation_only(
    button: ExportClient, gateway: httpx.AsyncClient, owner_url: str, bearer: Bearer
) -> None:
    neighbour = create_tenant(owner_url)
    theirs = ExportClient(gateway, neighbour.org_id, bearer(neighbour.coordinator, neighbour.org_id))
    their_export, mine = await theirs.start_export(), await button.start_export()
    assert await _ids(button) == [mine]
    assert await _ids(theirs) == [their_export]
    assert await _ids(button, org_id=neighbour.org_id) == []


async def test_an_auditor_lists_what_others_started(button: ExportClient, tenant: Tenant, bearer: Bearer) -> None:
    export_id = await button.start_export()
    button.headers = bearer(tenant.users[Role.AUDITOR], role="auditor")
    assert await _ids(button) == [export_id]


async def test_an_operator_lists_every_organisation_or_one(
    button: ExportClient, gateway: httpx.AsyncClient, owner_url: str, bearer: Bearer, operator: dict[str, str]
) -> None:
    neighbour = create_tenant(owner_url)
    theirs = ExportClient(gateway, neighbour.org_id, bearer(neighbour.coordinator, neighbour.org_id))
    their_export, mine = await theirs.start_export(), await button.start_export()
    button.headers = operator
    assert (await _ids(button))[:2] == [mine, their_export]
    assert await _ids(button, org_id=neighbour.org_id) == [their_export]


async def test_a_list_never_hands_out_links(button: ExportClient, diary: ActivityFactory) -> None:
    diary.create_activity(diary.create_mentor())
    export_id = await button.start_export()
    assert (await button.wait_for_completion(export_id))["download_url"]
    page = await _page(button)
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
async def test_a_list_asked_wrongly_says_where(button: ExportClient, query: dict[str, Any]) -> None:
    answer = await button.http_client.get(EXPORTS, params=query, headers=button.headers)
    problem = assert_problem(answer, 422)
    assert any(next(iter(query)) in error["pointer"] for error in problem["errors"])


async def test_two_hundred_is_the_largest_page(button: ExportClient) -> None:
    assert await _ids(button, page_size=200) == []


async def test_a_token_of_one_list_that_was_tampered_with_is_refused(button: ExportClient) -> None:
    for _ in range(2):
        await button.start_export()
    token = (await _page(button, page_size=1))["next_page_token"]
    answer = await button.http_client.get(EXPORTS, params={"page_token": token[:-4]}, headers=button.headers)
    assert_problem(answer, 422)
