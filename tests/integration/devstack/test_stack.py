import asyncio
import io
import json
import signal
import sqlite3
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, closing
from functools import partial
from pathlib import Path

import psutil  # type: ignore[import-untyped]  # the package ships no types
import psycopg
import pytest
import urllib3
from minio import Minio
from temporalio.client import Client

from stafett.devstack.data_folder import DataFolder
from stafett.devstack.doctor.machine import diagnose
from stafett.devstack.errors import DevStackError
from stafett.devstack.options import StackAddresses, StackOptions
from stafett.devstack.stack import run_servers
from stafett.devstack.stack_file import StackFile, load_stack_file

TIMEOUT_SECONDS = 120.0
STORED_DATA = ("row", "stored", b"object")

# Scripts for another process, so that it can be killed: the servers alone, then the whole stack.
SERVERS_SCRIPT = """
import asyncio, sys
from pathlib import Path
from stafett.devstack.options import StackOptions
from stafett.devstack.stack import run_servers
async def main():
    async with run_servers(StackOptions(Path(sys.argv[1]), durable=False)) as running:
        print(*running.pids.values(), flush=True)
        await asyncio.Event().wait()
asyncio.run(main())
"""
STACK_SCRIPT = """
import asyncio, os, sys
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from stafett.devstack.dev import AppProcess, run_stack
from stafett.devstack.options import StackOptions
APP = "import os, signal; assert os.environ['GREETING'] == 'hei'; signal.pause()"
async def prepare(addresses):
    return {"GREETING": "hei"}
programs = tuple(AppProcess(name, (sys.executable, "-c", APP)) for name in ("api", "worker", "worker"))
options = StackOptions(Path(sys.argv[1]), durable=False)
asyncio.run(run_stack(options, prepare, programs, lambda _port: nullcontext(), partial(print, flush=True)))
"""


async def wait_for(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(TIMEOUT_SECONDS):
        while not condition():  # noqa: ASYNC110 - another process fulfils the condition
            await asyncio.sleep(0.01)


def are_gone(pids: list[int]) -> bool:
    return not any(psutil.pid_exists(pid) and psutil.Process(pid).status() != "zombie" for pid in pids)


@asynccontextmanager
async def run_script(script: str, data_dir: Path) -> AsyncIterator[asyncio.subprocess.Process]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", script, str(data_dir), stdout=asyncio.subprocess.PIPE
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def read_line(process: asyncio.subprocess.Process, text: str = "") -> str:
    assert process.stdout is not None
    async with asyncio.timeout(TIMEOUT_SECONDS):
        while line := (await process.stdout.readline()).decode():
            if text in line:
                return line
    raise AssertionError(f"the process ended without printing {text!r}")


@asynccontextmanager
async def open_s3(addresses: StackAddresses) -> AsyncIterator[Minio]:
    with urllib3.PoolManager(timeout=5.0) as pool:
        yield Minio(
            addresses.s3_endpoint.removeprefix("http://"),
            access_key=addresses.s3_access_key,
            secret_key=addresses.s3_secret_key,
            secure=False,
            region="us-east-1",
            http_client=pool,
        )


def remove_bucket(stack: StackFile) -> None:
    host = stack.s3_endpoint.removeprefix("http://")
    with urllib3.PoolManager(timeout=5.0) as pool:
        s3 = Minio(host, stack.s3_access_key, stack.s3_secret_key, secure=False, region="us-east-1", http_client=pool)
        s3.remove_bucket(stack.s3_bucket)


async def store_data(addresses: StackAddresses) -> None:
    async with await psycopg.AsyncConnection.connect(addresses.postgres_url) as connection:
        await connection.execute("CREATE TABLE stored AS SELECT 'row' AS what")
    client = await Client.connect(addresses.temporal_address, namespace=addresses.temporal_namespace)
    await client.start_workflow("Stored", id="stored", task_queue="unpolled")
    async with open_s3(addresses) as s3:
        await asyncio.to_thread(s3.put_object, addresses.s3_bucket, "stored", io.BytesIO(b"object"), 6)


async def load_data(addresses: StackAddresses) -> tuple[object, str, bytes]:
    async with await psycopg.AsyncConnection.connect(addresses.postgres_url) as connection:
        row = await (await connection.execute("SELECT what FROM stored")).fetchone()
    client = await Client.connect(addresses.temporal_address, namespace=addresses.temporal_namespace)
    workflow = await client.get_workflow_handle("stored").describe()
    async with open_s3(addresses) as s3:
        response = await asyncio.to_thread(s3.get_object, addresses.s3_bucket, "stored")
    try:
        return row and row[0], workflow.id, response.data
    finally:
        response.close()


def find_listen_addresses(pids: list[int]) -> set[str]:
    connections = (conn for pid in pids for conn in psutil.Process(pid).net_connections(kind="inet"))
    return {conn.laddr.ip for conn in connections if conn.status == psutil.CONN_LISTEN}


async def test_stored_data_survives_sigkill_of_every_server(tmp_path: Path) -> None:
    options = StackOptions(tmp_path / "blåbær, and #1?", durable=False)
    async with run_servers(options, print_status=pytest.fail) as running:
        await store_data(running.addresses)
        addresses, pids = running.addresses, running.pids
        assert find_listen_addresses(list(pids.values())) == {"127.0.0.1"}
        for name, pid in pids.items():
            await running.kill(name)
            await running.restart(name)
            assert running.pids[name] != pid
        assert await load_data(addresses) == STORED_DATA
        await asyncio.gather(*(running.kill(name) for name in pids))
    async with run_servers(options, print_status=pytest.fail) as running:
        assert await load_data(running.addresses) == STORED_DATA
        assert running.addresses == addresses


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux kills a child process with its parent")
async def test_servers_end_when_their_parent_is_killed(tmp_path: Path) -> None:
    async with run_script(SERVERS_SCRIPT, tmp_path / "data") as parent:
        pids = [int(pid) for pid in (await read_line(parent)).split()]
        descendants = [child.pid for child in psutil.Process(parent.pid).children(recursive=True)]
        assert set(pids) <= set(descendants)
        parent.kill()
        await wait_for(partial(are_gone, descendants))


async def test_stack_restarts_killed_processes_and_stops_completely(tmp_path: Path) -> None:
    data_dir = tmp_path / "data"
    async with run_script(STACK_SCRIPT, data_dir) as stack:
        await read_line(stack, "Ready")
        before = load_stack_file(data_dir)
        assert len(before.pids.worker) == 2
        for pid in (before.pids.worker[1], before.pids.postgres):
            psutil.Process(pid).kill()
            assert f"(pid {pid}) was terminated by signal 9; restarted as pid" in await read_line(stack, "restarted as")
        await wait_for(lambda: load_stack_file(data_dir).pids.postgres != before.pids.postgres)
        after = load_stack_file(data_dir)
        assert after.pids.worker[0] == before.pids.worker[0]
        assert after.database_url == before.database_url
        # The schema was not migrated, and the processes of this stack are neither an API nor a worker.
        await asyncio.to_thread(remove_bucket, after)
        findings = await asyncio.to_thread(diagnose, data_dir)
        failures = {finding.subject: finding.message for finding in findings if not finding.ok}
        assert failures.keys() == {"running api", "schema", "bucket", "audit bucket", "worker", "readiness", "api call"}
        assert "to migrate" in failures["schema"]
        assert "to create it" in failures["bucket"]
        assert any("every job waits" in finding.message for finding in findings if finding.subject == "worker")
        descendants = [child.pid for child in psutil.Process(stack.pid).children(recursive=True)]
        stack.send_signal(signal.SIGTERM)
        await read_line(stack, "Stopped")
        assert await stack.wait() == 0
    assert are_gone(descendants)
    assert not (data_dir / "stack.json").exists()
    assert not (data_dir / "pids.json").exists()


async def test_interrupted_first_start_is_repaired_by_the_next(tmp_path: Path) -> None:
    data_dir = tmp_path / "data"
    async with run_script(SERVERS_SCRIPT, data_dir) as parent:
        await wait_for((data_dir / "postgres.new" / "PG_VERSION").exists)
        parent.kill()
    async with run_servers(StackOptions(data_dir, durable=False)) as running:
        assert set(running.pids) == {"postgres", "temporal", "s3"}
        assert json.loads((data_dir / "pids.json").read_text()).keys() == {str(pid) for pid in running.pids.values()}
    assert not (data_dir / "postgres.new").exists()


async def test_incomplete_temporal_database_of_an_interrupted_start_is_recreated(tmp_path: Path) -> None:
    folder = DataFolder.from_path(tmp_path / "data")
    with folder.acquire_lock(), closing(sqlite3.connect(folder.temporal / "temporal.db")) as database:
        database.execute("CREATE TABLE cluster_metadata_info (id int)")
        database.commit()
    async with run_servers(StackOptions(tmp_path / "data", durable=False)) as running:
        assert running.pids.keys() == {"postgres", "temporal", "s3"}


async def test_error_of_a_server_that_cannot_start_quotes_its_output(tmp_path: Path) -> None:
    options = StackOptions(tmp_path / "data", durable=False, temporal_args=("--no-such-flag",))
    with pytest.raises(DevStackError, match=r"temporal exited with status 1 before it was ready.*no-such-flag"):
        async with run_servers(options):
            pytest.fail("the stack started")
