"""Idempotency-Key: repeated requests start one export."""

import asyncio
from collections.abc import Callable
from uuid import uuid4

import httpx
import psycopg

from stafett.testing import ExportClient, create_tenant, wait_until
from tests.support.dev_stack import EXPORTS, DevStack, assert_problem, kill


async def test_twenty_concurrent_equal_posts_start_one_job(
    export_client: ExportClient, owner_connection: psycopg.Connection
) -> None:
    key = str(uuid4())
    responses = await asyncio.gather(*(export_client.request_export(key) for _ in range(20)))
    assert {response.status_code for response in responses} == {202}
    assert len({response.json()["id"] for response in responses}) == 1
    assert _count_jobs(owner_connection, export_client.org_id) == 1


async def test_same_key_with_another_body_is_rejected(
    export_client: ExportClient, owner_connection: psycopg.Connection
) -> None:
    key = str(uuid4())
    (await export_client.request_export(key)).raise_for_status()
    assert_problem(await export_client.request_export(key, locale="en"), 422)
    assert _count_jobs(owner_connection, export_client.org_id) == 1


async def test_same_key_with_explicit_defaults_returns_the_same_job(export_client: ExportClient) -> None:
    key = str(uuid4())
    first, repeated = (
        await export_client.request_export(key),
        await export_client.request_export(key, locale="nb", csv_profile="excel"),
    )
    assert (repeated.status_code, repeated.json()["id"]) == (202, first.json()["id"])


async def test_same_key_in_another_organisation_starts_another_job(
    export_client: ExportClient, api_client: httpx.AsyncClient, owner_url: str, bearer: Callable[..., dict[str, str]]
) -> None:
    key, neighbour = str(uuid4()), create_tenant(owner_url)
    their_client = ExportClient(api_client, neighbour.org_id, bearer(neighbour.coordinator, neighbour.org_id))
    own, theirs = await export_client.request_export(key), await their_client.request_export(key)
    assert (own.status_code, theirs.status_code) == (202, 202)
    assert own.json()["id"] != theirs.json()["id"]


async def test_each_post_without_a_key_starts_a_job(export_client: ExportClient) -> None:
    assert await export_client.start_export() != await export_client.start_export()


async def test_key_of_255_characters_is_accepted_and_of_256_rejected(export_client: ExportClient) -> None:
    assert (await export_client.request_export("k" * 255)).status_code == 202
    assert_problem(await export_client.request_export("k" * 256), 422)


async def test_rejected_post_does_not_use_its_key(export_client: ExportClient) -> None:
    key = str(uuid4())
    assert_problem(await export_client.request_export(key, locale="sv"), 422)
    assert (await export_client.request_export(key)).status_code == 202


async def test_key_is_still_known_after_the_api_was_killed(dev_stack: DevStack, export_client: ExportClient) -> None:
    key, old_pid = str(uuid4()), dev_stack.stack_json["pids"]["api"]
    before = await export_client.request_export(key)
    output_length = len(await dev_stack.read_output())
    kill(old_pid)

    async def is_alive() -> bool:
        if dev_stack.stack_json["pids"]["api"] == old_pid:
            return False
        async with dev_stack.api_client() as new_client:
            try:
                return (await new_client.get("/healthz")).is_success
            except httpx.TransportError:
                return False

    await wait_until(is_alive, bool)
    assert "api" in (await dev_stack.read_output())[output_length:].lower()
    async with dev_stack.api_client() as new_client:
        after = await ExportClient(new_client, export_client.org_id, export_client.headers).request_export(key)
    assert (after.status_code, after.json()["id"]) == (202, before.json()["id"])
    assert after.headers["Location"] == f"{EXPORTS}/{before.json()['id']}"


def _count_jobs(owner_connection: psycopg.Connection, org_id: str) -> int:
    row = owner_connection.execute("SELECT count(*) FROM exports WHERE org_id = %s", [org_id]).fetchone()
    assert row is not None
    return int(row[0])
