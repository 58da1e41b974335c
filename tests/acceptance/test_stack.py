"""`stafett dev`: what it promises in stack.json, and how it looks after its processes."""

import json
import signal
from pathlib import Path

import httpx
import psycopg
from minio import Minio
from temporalio.client import Client

from stafett.testing import ActivityFactory, ExportClient, Json, wait_until
from tests.acceptance.dev_stack import DevStack, all_gone, is_gone, kill, run

_FIELDS = {
    "api_url",
    "console_url",
    "temporal_address",
    "temporal_ui_url",
    "temporal_namespace",
    "database_url",
    "s3_endpoint",
    "s3_access_key",
    "s3_secret_key",
    "s3_bucket",
    "pids",
}


async def test_stack_json_has_exactly_the_fields_of_the_contract(dev: DevStack) -> None:
    assert dev.facts.keys() == _FIELDS
    assert dev.facts["pids"].keys() == {"postgres", "temporal", "s3", "api", "worker"}
    assert isinstance(dev.facts["pids"]["worker"], list)
    assert dev.facts["console_url"] is None


async def test_every_process_that_stack_json_names_is_alive(dev: DevStack) -> None:
    assert dev.all_pids()
    assert not any(map(is_gone, dev.all_pids()))
    assert len(set(dev.all_pids())) == len(dev.all_pids())


async def test_every_server_that_stack_json_names_answers(dev: DevStack, anybody: httpx.AsyncClient) -> None:
    facts = dev.facts
    assert (await anybody.get(f"{facts['api_url']}/healthz")).status_code == 200
    assert (await anybody.get(facts["temporal_ui_url"], follow_redirects=True)).status_code == 200
    temporal = await Client.connect(facts["temporal_address"], namespace=facts["temporal_namespace"])
    assert await temporal.service_client.check_health()
    with psycopg.connect(facts["database_url"]) as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)
    host = facts["s3_endpoint"].removeprefix("http://")
    s3 = Minio(host, access_key=facts["s3_access_key"], secret_key=facts["s3_secret_key"], secure=False)
    assert s3.bucket_exists(facts["s3_bucket"])


async def test_readyz_names_each_server_the_api_needs(gateway: httpx.AsyncClient) -> None:
    ready = await gateway.get("/readyz")
    assert ready.status_code == 200
    assert ready.json().keys() >= {"database", "temporal", "s3"}


async def test_the_api_describes_itself(gateway: httpx.AsyncClient) -> None:
    described = (await gateway.get("/openapi.json")).raise_for_status().json()
    assert described["openapi"].startswith("3.1")
    assert described["paths"].keys() >= {"/api/v1/bufdir-exports", "/api/v1/bufdir-exports/{export_id}"}
    assert (await gateway.get("/docs")).status_code == 200


async def test_the_description_says_that_errors_are_problems(gateway: httpx.AsyncClient) -> None:
    described = (await gateway.get("/openapi.json")).raise_for_status().json()
    operations = [each for path in described["paths"].values() for each in path.values()]
    answers = [(status, answer) for operation in operations for status, answer in operation["responses"].items()]
    shared = described["components"]["responses"]
    whole = [
        (status, shared[answer["$ref"].rpartition("/")[2]] if "$ref" in answer else answer)
        for status, answer in answers
    ]
    refusals = [answer["content"] for status, answer in whole if status >= "400"]
    kinds = {kind for content in refusals for kind in content}
    assert kinds == {"application/problem+json", "application/json"}  # the latter is what /readyz says
    assert len(refusals) > 5 * len(operations) - 20


async def test_a_killed_worker_is_replaced_and_the_next_export_runs(
    dev: DevStack, button: ExportClient, diary: ActivityFactory
) -> None:
    diary.create_activity(diary.create_mentor())
    old = dev.facts["pids"]["worker"]
    said = len(await dev.said())
    for pid in old:
        kill(pid)
    export_id = await button.start_export()
    facts = await wait_until(lambda: _facts(dev), lambda facts: not set(old) & set(facts["pids"]["worker"]))
    assert len(facts["pids"]["worker"]) == len(old)
    assert not any(map(is_gone, facts["pids"]["worker"]))
    assert "worker" in (await dev.said())[said:]
    assert (await button.wait_for_completion(export_id))["status"] == "completed"


async def test_the_doctor_finds_a_running_stack_well(dev: DevStack) -> None:
    findings = (await dev.run("doctor", "--json")).json
    assert findings
    assert all(finding["ok"] for finding in findings)


async def test_the_doctor_names_a_variable_and_a_schema_that_are_wrong(
    dev: DevStack, owner: psycopg.Connection
) -> None:
    (newest,) = owner.execute("SELECT version_num FROM alembic_version").fetchone() or ("",)
    owner.execute("UPDATE alembic_version SET version_num = '9999'")
    try:
        answer = await dev.run("doctor", "--json", env={"STAFETT_S3__ENDPOINT": "nowhere"})
    finally:
        owner.execute("UPDATE alembic_version SET version_num = %s", [newest])
    assert answer.code == 1
    wrong = {finding["subject"]: finding["message"] for finding in json.loads(answer.out) if not finding["ok"]}
    assert wrong.keys() == {"settings", "schema"}
    assert "STAFETT_S3__ENDPOINT" in wrong["settings"]
    assert "9999" in wrong["schema"]


async def test_a_second_stack_stands_beside_the_first_and_leaves_nothing(
    dev: DevStack, tmp_path: Path, anybody: httpx.AsyncClient
) -> None:
    beside = DevStack(tmp_path / "data")
    try:
        await beside.start()
        family, facts = beside.family(), beside.facts
        places = ("api_url", "temporal_address", "temporal_ui_url", "database_url", "s3_endpoint")
        assert all(facts[place] != dev.facts[place] for place in places)
        assert not set(beside.all_pids()) & set(dev.all_pids())
        for stack in (dev, beside):
            assert (await anybody.get(f"{stack.facts['api_url']}/readyz")).status_code == 200
        taken = await run("dev", "--data-dir", beside.data_dir)
    finally:
        code = await beside.end(signal.SIGINT)
    taken.refused_in_a_sentence(str(beside.data_dir))
    assert code == 0, await beside.said()
    await all_gone(family, within=0)


async def _facts(dev: DevStack) -> Json:
    return dev.facts
