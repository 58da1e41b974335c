"""`stafett dev`: the content of `stack.json`, restarts of processes, and the doctor."""

import json
import signal
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

import httpx
import psycopg
from minio import Minio
from temporalio.client import Client, Schedule
from temporalio.service import RPCError

from stafett.testing import ActivityFactory, ExportClient, Json, wait_until
from tests.support.dev_stack import DevStack, is_gone, kill, run_stafett, wait_until_gone

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
    "metrics_urls",
    "pids",
}


async def test_stack_json_has_exactly_the_fields_of_the_contract(dev_stack: DevStack) -> None:
    assert dev_stack.stack_json.keys() == _FIELDS
    assert dev_stack.stack_json["pids"].keys() == {"postgres", "temporal", "s3", "api", "worker"}
    assert isinstance(dev_stack.stack_json["pids"]["worker"], list)
    assert dev_stack.stack_json["console_url"] == f"{dev_stack.stack_json['api_url']}/console"


async def test_every_process_in_stack_json_is_running(dev_stack: DevStack) -> None:
    assert dev_stack.all_pids()
    assert not any(map(is_gone, dev_stack.all_pids()))
    assert len(set(dev_stack.all_pids())) == len(dev_stack.all_pids())


async def test_every_server_in_stack_json_responds(dev_stack: DevStack, anonymous_client: httpx.AsyncClient) -> None:
    stack_json = dev_stack.stack_json
    assert (await anonymous_client.get(f"{stack_json['api_url']}/healthz")).status_code == 200
    assert (await anonymous_client.get(stack_json["temporal_ui_url"], follow_redirects=True)).status_code == 200
    temporal = await Client.connect(stack_json["temporal_address"], namespace=stack_json["temporal_namespace"])
    assert await temporal.service_client.check_health()
    with psycopg.connect(stack_json["database_url"]) as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)
    host = stack_json["s3_endpoint"].removeprefix("http://")
    s3 = Minio(host, access_key=stack_json["s3_access_key"], secret_key=stack_json["s3_secret_key"], secure=False)
    assert s3.bucket_exists(stack_json["s3_bucket"])


async def test_worker_schedules_the_reconciliation_of_the_bucket_daily(dev_stack: DevStack) -> None:
    stack_json = dev_stack.stack_json
    client = await Client.connect(stack_json["temporal_address"], namespace=stack_json["temporal_namespace"])

    async def load_schedule() -> Schedule | None:
        with suppress(RPCError):  # the worker has not created it yet
            return (await client.get_schedule_handle("reconcile-bucket").describe()).schedule
        return None

    schedule = await wait_until(load_schedule, bool)
    assert schedule is not None
    assert [interval.every for interval in schedule.spec.intervals] == [timedelta(days=1)]


async def test_readyz_lists_the_dependencies_of_the_api(api_client: httpx.AsyncClient) -> None:
    ready = await api_client.get("/readyz")
    assert ready.status_code == 200
    assert ready.json().keys() >= {"database", "temporal", "s3"}


async def test_api_serves_its_openapi_document_and_documentation(api_client: httpx.AsyncClient) -> None:
    document = (await api_client.get("/openapi.json")).raise_for_status().json()
    assert document["openapi"].startswith("3.1")
    assert document["paths"].keys() >= {"/api/v1/bufdir-exports", "/api/v1/bufdir-exports/{export_id}"}
    assert (await api_client.get("/docs")).status_code == 200


async def test_openapi_document_describes_errors_as_problems(api_client: httpx.AsyncClient) -> None:
    document = (await api_client.get("/openapi.json")).raise_for_status().json()
    operations = [operation for path in document["paths"].values() for operation in path.values()]
    responses = [(status, response) for operation in operations for status, response in operation["responses"].items()]
    shared = document["components"]["responses"]
    resolved = [
        (status, shared[response["$ref"].rpartition("/")[2]] if "$ref" in response else response)
        for status, response in responses
    ]
    errors = [response["content"] for status, response in resolved if status >= "400"]
    media_types = {media_type for content in errors for media_type in content}
    assert media_types == {"application/problem+json", "application/json"}  # the latter is the body of /readyz
    assert len(errors) > 5 * len(operations) - 20


async def test_killed_worker_is_restarted_and_the_next_export_completes(
    dev_stack: DevStack, export_client: ExportClient, activity_factory: ActivityFactory
) -> None:
    activity_factory.create_activity(activity_factory.create_mentor())
    old_pids = dev_stack.stack_json["pids"]["worker"]
    output_length = len(await dev_stack.read_output())
    for pid in old_pids:
        kill(pid)
    export_id = await export_client.start_export()
    stack_json = await wait_until(
        lambda: _load_stack_json(dev_stack), lambda stack_json: not set(old_pids) & set(stack_json["pids"]["worker"])
    )
    assert len(stack_json["pids"]["worker"]) == len(old_pids)
    assert not any(map(is_gone, stack_json["pids"]["worker"]))
    assert "worker" in (await dev_stack.read_output())[output_length:]
    assert (await export_client.wait_for_completion(export_id))["status"] == "completed"


async def test_doctor_finds_no_error_in_a_running_stack(dev_stack: DevStack) -> None:
    checks = (await dev_stack.run("doctor", "--json")).json
    assert checks
    assert all(check["ok"] for check in checks)


async def test_doctor_reports_an_invalid_setting_and_a_wrong_schema(
    dev_stack: DevStack, owner_connection: psycopg.Connection
) -> None:
    (revision,) = owner_connection.execute("SELECT version_num FROM alembic_version").fetchone() or ("",)
    owner_connection.execute("UPDATE alembic_version SET version_num = '9999'")
    try:
        result = await dev_stack.run("doctor", "--json", env={"STAFETT_S3__ENDPOINT": "nowhere"})
    finally:
        owner_connection.execute("UPDATE alembic_version SET version_num = %s", [revision])
    assert result.exit_code == 1
    errors = {check["subject"]: check["message"] for check in json.loads(result.stdout) if not check["ok"]}
    assert errors.keys() == {"settings", "schema"}
    assert "STAFETT_S3__ENDPOINT" in errors["settings"]
    assert "9999" in errors["schema"]


async def test_second_stack_runs_beside_the_first_and_leaves_no_processes(
    dev_stack: DevStack, tmp_path: Path, anonymous_client: httpx.AsyncClient
) -> None:
    second_stack = DevStack(tmp_path / "data")
    try:
        await second_stack.start()
        processes, stack_json = second_stack.processes(), second_stack.stack_json
        different = ("api_url", "temporal_address", "temporal_ui_url", "database_url", "s3_endpoint", "s3_secret_key")
        assert all(stack_json[name] != dev_stack.stack_json[name] for name in different)
        assert not set(second_stack.all_pids()) & set(dev_stack.all_pids())
        for stack in (dev_stack, second_stack):
            assert (await anonymous_client.get(f"{stack.stack_json['api_url']}/readyz")).status_code == 200
        rejected = await run_stafett("dev", "--data-dir", second_stack.data_dir)
    finally:
        exit_code = await second_stack.stop(signal.SIGINT)
    rejected.assert_one_line_error(str(second_stack.data_dir))
    assert exit_code == 0, await second_stack.read_output()
    await wait_until_gone(processes)


async def _load_stack_json(dev_stack: DevStack) -> Json:
    return dev_stack.stack_json
