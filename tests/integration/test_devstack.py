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

PATIENCE = 20.0
LEFT = ("row", "kept", b"object")

# Played by another process, so that it can be killed: the servers alone, then the whole stack.
SERVERS = """
import asyncio, sys
from pathlib import Path
from stafett.devstack.options import StackOptions
from stafett.devstack.stack import servers
async def main():
    async with servers(StackOptions(Path(sys.argv[1]), durable=False)) as running:
        print(*running.pids.values(), flush=True)
        await asyncio.Event().wait()
asyncio.run(main())
"""
STACK = """
import asyncio, os, sys
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from stafett.devstack.dev import Program, run_stack
from stafett.devstack.options import StackOptions
LOOK = "import os, signal; assert os.environ['GREETING'] == 'hei'; signal.pause()"
async def prepare(addresses):
    return {"GREETING": "hei"}
programs = tuple(Program(name, (sys.executable, "-c", LOOK)) for name in ("api", "worker", "worker"))
options = StackOptions(Path(sys.argv[1]), durable=False)
asyncio.run(run_stack(options, prepare, programs, lambda _port: nullcontext(), partial(print, flush=True)))
"""


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not condition():  # noqa: ASYNC110 - what is waited for is another process
            await asyncio.sleep(0.01)


def gone(pids: list[int]) -> bool:
    return not any(psutil.pid_exists(pid) and psutil.Process(pid).status() != "zombie" for pid in pids)


@asynccontextmanager
async def playing(script: str, data_dir: Path) -> AsyncIterator[asyncio.subprocess.Process]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", script, str(data_dir), stdout=asyncio.subprocess.PIPE
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def line(process: asyncio.subprocess.Process, words: str = "") -> str:
    assert process.stdout is not None
    async with asyncio.timeout(PATIENCE):
        while said := (await process.stdout.readline()).decode():
            if words in said:
                return said
    raise AssertionError(f"it ended without saying {words!r}")


@asynccontextmanager
async def bucket_of(addresses: StackAddresses) -> AsyncIterator[Minio]:
    with urllib3.PoolManager(timeout=5.0) as pool:
        yield Minio(
            addresses.s3_endpoint.removeprefix("http://"),
            access_key=addresses.s3_access_key,
            secret_key=addresses.s3_secret_key,
            secure=False,
            region="us-east-1",
            http_client=pool,
        )


def without_bucket(stack: StackFile) -> None:
    host = stack.s3_endpoint.removeprefix("http://")
    with urllib3.PoolManager(timeout=5.0) as pool:
        s3 = Minio(host, stack.s3_access_key, stack.s3_secret_key, secure=False, region="us-east-1", http_client=pool)
        s3.remove_bucket(stack.s3_bucket)


async def leave_something(addresses: StackAddresses) -> None:
    async with await psycopg.AsyncConnection.connect(addresses.postgres_url) as connection:
        await connection.execute("CREATE TABLE kept AS SELECT 'row' AS what")
    client = await Client.connect(addresses.temporal_address, namespace=addresses.temporal_namespace)
    await client.start_workflow("Kept", id="kept", task_queue="nobody")
    async with bucket_of(addresses) as s3:
        await asyncio.to_thread(s3.put_object, addresses.s3_bucket, "kept", io.BytesIO(b"object"), 6)


async def find_it_again(addresses: StackAddresses) -> tuple[object, str, bytes]:
    async with await psycopg.AsyncConnection.connect(addresses.postgres_url) as connection:
        row = await (await connection.execute("SELECT what FROM kept")).fetchone()
    client = await Client.connect(addresses.temporal_address, namespace=addresses.temporal_namespace)
    workflow = await client.get_workflow_handle("kept").describe()
    async with bucket_of(addresses) as s3:
        answer = await asyncio.to_thread(s3.get_object, addresses.s3_bucket, "kept")
    try:
        return row and row[0], workflow.id, answer.data
    finally:
        answer.close()


def listening(pids: list[int]) -> set[str]:
    found = (held for pid in pids for held in psutil.Process(pid).net_connections(kind="inet"))
    return {held.laddr.ip for held in found if held.status == psutil.CONN_LISTEN}


async def test_what_was_stored_survives_kill_9_of_every_server(tmp_path: Path) -> None:
    options = StackOptions(tmp_path / "blåbær, and #1?", durable=False)
    async with run_servers(options, print_status=pytest.fail) as running:
        await leave_something(running.addresses)
        addresses, pids = running.addresses, running.pids
        assert listening(list(pids.values())) == {"127.0.0.1"}
        for name, pid in pids.items():
            await running.kill(name)
            await running.restart(name)
            assert running.pids[name] != pid
        assert await find_it_again(addresses) == LEFT
        await asyncio.gather(*(running.kill(name) for name in pids))
    async with run_servers(options, print_status=pytest.fail) as running:
        assert await find_it_again(running.addresses) == LEFT
        assert running.addresses == addresses


async def test_two_stacks_run_side_by_side_and_leave_nothing(tmp_path: Path) -> None:
    first, second = (StackOptions(tmp_path / name, durable=False) for name in ("first", "second"))
    async with asyncio.timeout(PATIENCE), run_servers(first) as one, run_servers(second) as other:
        pids = [*one.pids.values(), *other.pids.values()]
        assert one.addresses.temporal_address != other.addresses.temporal_address
        assert one.addresses.s3_secret_key != other.addresses.s3_secret_key
        assert len(set(pids)) == 6
    assert gone(pids)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ties a child to its parent's life")
async def test_servers_die_with_a_parent_killed_by_9(tmp_path: Path) -> None:
    async with playing(SERVERS, tmp_path / "data") as parent:
        pids = [int(pid) for pid in (await line(parent)).split()]
        everything = [child.pid for child in psutil.Process(parent.pid).children(recursive=True)]
        assert set(pids) <= set(everything)
        parent.kill()
        await until(partial(gone, everything))


async def test_a_stack_restarts_what_dies_and_ends_whole(tmp_path: Path) -> None:
    data_dir = tmp_path / "data"
    async with playing(STACK, data_dir) as stack:
        await line(stack, "Ready")
        before = load_stack_file(data_dir)
        assert len(before.pids.worker) == 2
        for pid in (before.pids.worker[1], before.pids.postgres):
            psutil.Process(pid).kill()
            assert f"(pid {pid}) ended with signal 9; restarted as pid" in await line(stack, "restarted as")
        await until(lambda: load_stack_file(data_dir).pids.postgres != before.pids.postgres)
        after = load_stack_file(data_dir)
        assert after.pids.worker[0] == before.pids.worker[0]
        assert after.database_url == before.database_url
        # Nothing has migrated here, and programs that only wait are neither an API nor a worker.
        await asyncio.to_thread(without_bucket, after)
        findings = await asyncio.to_thread(diagnose, data_dir)
        wrong = {finding.subject: finding.message for finding in findings if not finding.ok}
        assert wrong.keys() == {"running api", "schema", "bucket", "audit bucket", "worker", "readiness"}
        assert "which migrates" in wrong["schema"]
        assert "which makes it" in wrong["bucket"]
        assert any("every job waits" in finding.message for finding in findings if finding.subject == "worker")
        everything = [child.pid for child in psutil.Process(stack.pid).children(recursive=True)]
        stack.send_signal(signal.SIGTERM)
        await line(stack, "Stopped")
        assert await stack.wait() == 0
    assert gone(everything)
    assert not (data_dir / "stack.json").exists()
    assert not (data_dir / "pids.json").exists()


async def test_an_interrupted_first_start_is_repaired_by_the_next(tmp_path: Path) -> None:
    data_dir = tmp_path / "data"
    async with playing(SERVERS, data_dir) as parent:
        await until((data_dir / "postgres.new" / "PG_VERSION").exists)
        parent.kill()
    async with run_servers(StackOptions(data_dir, durable=False)) as running:
        assert set(running.pids) == {"postgres", "temporal", "s3"}
        assert json.loads((data_dir / "pids.json").read_text()).keys() == {str(pid) for pid in running.pids.values()}
    assert not (data_dir / "postgres.new").exists()


@pytest.mark.parametrize(
    "made", ["", "CREATE TABLE namespaces (id int)", "CREATE TABLE cluster_metadata_info (id int)"]
)
async def test_tables_that_an_interrupted_first_start_left_half_made_are_made_anew(tmp_path: Path, made: str) -> None:
    folder = DataFolder.from_path(tmp_path / "data")
    with folder.acquire_lock(), closing(sqlite3.connect(folder.temporal / "temporal.db")) as database:
        database.execute(made)
        database.commit()
    async with run_servers(StackOptions(tmp_path / "data", durable=False)) as running:
        assert running.pids.keys() == {"postgres", "temporal", "s3"}


async def test_a_server_that_cannot_start_says_why(tmp_path: Path) -> None:
    options = StackOptions(tmp_path / "data", durable=False, temporal_args=("--no-such-flag",))
    with pytest.raises(DevStackError, match=r"temporal ended with status 1 before it was ready.*no-such-flag"):
        async with run_servers(options):
            pytest.fail("it started")
