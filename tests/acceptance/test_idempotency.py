"""Idempotency-Key: the same click is the same job, whatever happens in between."""

import asyncio
from collections.abc import Callable
from uuid import uuid4

import httpx
import psycopg

from stafett.testing import ExportClient, create_tenant, wait_until
from tests.acceptance.dev_stack import EXPORTS, DevStack, assert_problem, kill


async def test_twenty_equal_posts_at_once_are_one_job(button: ExportClient, owner: psycopg.Connection) -> None:
    key = str(uuid4())
    answers = await asyncio.gather(*(button.request_export(key) for _ in range(20)))
    assert {answer.status_code for answer in answers} == {202}
    assert len({answer.json()["id"] for answer in answers}) == 1
    assert _jobs(owner, button.org_id) == 1


async def test_the_same_key_with_another_body_is_refused(button: ExportClient, owner: psycopg.Connection) -> None:
    key = str(uuid4())
    (await button.request_export(key)).raise_for_status()
    assert_problem(await button.request_export(key, locale="en"), 422)
    assert _jobs(owner, button.org_id) == 1


async def test_the_same_body_written_otherwise_is_the_same_job(button: ExportClient) -> None:
    key = str(uuid4())
    short, long = await button.request_export(key), await button.request_export(key, locale="nb", csv_profile="excel")
    assert (long.status_code, long.json()["id"]) == (202, short.json()["id"])


async def test_the_same_key_in_another_organisation_is_another_job(
    button: ExportClient, gateway: httpx.AsyncClient, owner_url: str, bearer: Callable[..., dict[str, str]]
) -> None:
    key, neighbour = str(uuid4()), create_tenant(owner_url)
    their_button = ExportClient(gateway, neighbour.org_id, bearer(neighbour.coordinator, neighbour.org_id))
    mine, theirs = await button.request_export(key), await their_button.request_export(key)
    assert (mine.status_code, theirs.status_code) == (202, 202)
    assert mine.json()["id"] != theirs.json()["id"]


async def test_without_a_key_each_post_is_a_job(button: ExportClient) -> None:
    assert await button.start_export() != await button.start_export()


async def test_a_key_of_255_characters_is_taken_and_a_longer_one_is_not(button: ExportClient) -> None:
    assert (await button.request_export("k" * 255)).status_code == 202
    assert_problem(await button.request_export("k" * 256), 422)


async def test_a_refused_post_does_not_use_up_its_key(button: ExportClient) -> None:
    key = str(uuid4())
    assert_problem(await button.request_export(key, locale="sv"), 422)
    assert (await button.request_export(key)).status_code == 202


async def test_a_key_is_remembered_when_the_api_was_killed_and_came_back(dev: DevStack, button: ExportClient) -> None:
    key, old = str(uuid4()), dev.facts["pids"]["api"]
    before = await button.request_export(key)
    said = len(await dev.said())
    kill(old)

    async def alive() -> bool:
        if dev.facts["pids"]["api"] == old:
            return False
        async with dev.gateway() as again:
            try:
                return (await again.get("/healthz")).is_success
            except httpx.TransportError:
                return False

    await wait_until(alive, bool)
    assert "api" in (await dev.said())[said:].lower()
    async with dev.gateway() as again:
        after = await ExportClient(again, button.org_id, button.headers).request_export(key)
    assert (after.status_code, after.json()["id"]) == (202, before.json()["id"])
    assert after.headers["Location"] == f"{EXPORTS}/{before.json()['id']}"


def _jobs(owner: psycopg.Connection, org_id: str) -> int:
    row = owner.execute("SELECT count(*) FROM exports WHERE org_id = %s", [org_id]).fetchone()
    assert row is not None
    return int(row[0])
