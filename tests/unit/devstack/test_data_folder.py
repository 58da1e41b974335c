import asyncio
import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from stafett.devstack.credentials import load_or_create_credentials
from stafett.devstack.data_folder import DataFolder, write_atomically
from stafett.devstack.doctor.machine import diagnose
from stafett.devstack.errors import DevStackError, translate_folder_errors
from stafett.devstack.options import StackOptions
from stafett.devstack.processes import record_pids, stop_leftover_processes
from stafett.devstack.stack import run_servers
from stafett.devstack.stack_file import load_stack_file


async def fail_to_start(data_dir: Path) -> str:
    with pytest.raises(DevStackError) as error:
        async with run_servers(StackOptions(data_dir)):
            pytest.fail("it started")
    return str(error.value)


def test_foreign_folder_is_rejected_and_left_untouched(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("mine")
    tmp_path.chmod(0o755)
    assert "contains files that are not Stafett's" in asyncio.run(fail_to_start(tmp_path))
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]
    assert tmp_path.stat().st_mode & 0o777 == 0o755


async def test_file_in_place_of_the_folder_is_rejected(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("mine")
    assert "is not a folder" in await fail_to_start(tmp_path / "data")
    assert "is not a folder" in await fail_to_start(tmp_path / "data" / "below")


async def test_unwritable_folder_is_rejected() -> None:
    assert "cannot be" in await fail_to_start(Path("/proc/stafett"))


async def test_nearly_full_disk_is_rejected(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=20_000_000))
    assert "has 20 MB left" in await fail_to_start(tmp_path / "data")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_full_disk_is_reported_in_one_sentence() -> None:
    with pytest.raises(DevStackError, match="is full"), translate_folder_errors(Path("/dev/full")):
        os.write(os.open("/dev/full", os.O_WRONLY), b"x")


async def test_data_of_another_postgres_version_is_rejected(tmp_path: Path) -> None:
    (tmp_path / ".stafett").touch()
    (tmp_path / "postgres").mkdir()
    (tmp_path / "postgres" / "PG_VERSION").write_text("16\n")
    assert "written by PostgreSQL 16" in await fail_to_start(tmp_path)


async def test_second_stack_on_a_folder_reports_the_pid_of_the_first(tmp_path: Path) -> None:
    folder = DataFolder.from_path(tmp_path / "data")
    with folder.acquire_lock():
        assert folder.find_running_pid() == os.getpid()
        assert f"pid {os.getpid()}" in await fail_to_start(folder.path)
    assert folder.find_running_pid() is None


async def test_taken_api_port_is_reported_in_one_sentence(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(DevStackError, match=f"Port {port} is taken"):
            async with run_servers(StackOptions(tmp_path / "data", api_port=port)):
                pytest.fail("it started")


def test_credentials_are_created_once_and_readable_only_by_the_owner(tmp_path: Path) -> None:
    folder = DataFolder.from_path(tmp_path)
    credentials = load_or_create_credentials(folder)
    assert load_or_create_credentials(folder) == credentials
    assert folder.secrets_file.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("damage", ["", "{}", '{"postgres": "x"}', None])
def test_lost_credentials_are_never_recreated_beside_existing_data(tmp_path: Path, damage: str | None) -> None:
    folder = DataFolder.from_path(tmp_path)
    folder.postgres.mkdir()
    if damage is not None:
        folder.secrets_file.write_text(damage)
    with pytest.raises(DevStackError, match="missing or damaged"):
        load_or_create_credentials(folder)


def test_folder_without_a_stack_is_reported_in_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(DevStackError, match="No stack is running"):
        load_stack_file(tmp_path)


def test_stack_file_without_a_lock_is_stale(tmp_path: Path) -> None:
    (tmp_path / "stack.json").write_text("{}")
    with pytest.raises(DevStackError, match="no longer running"):
        load_stack_file(tmp_path)


def test_damaged_stack_file_is_reported_in_one_sentence(tmp_path: Path) -> None:
    folder = DataFolder.from_path(tmp_path / "data")
    with folder.acquire_lock():
        write_atomically(folder.stack_file, "{")
        with pytest.raises(DevStackError, match="is damaged"):
            load_stack_file(folder.path)


def test_leftover_process_is_stopped_but_not_one_with_a_reused_pid(tmp_path: Path) -> None:
    folder = DataFolder.from_path(tmp_path)
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        folder.pids_file.write_text(f'{{"{process.pid}": 12.5}}')
        assert stop_leftover_processes(folder) == []
        assert process.poll() is None
        record_pids(folder, [process.pid])
        assert stop_leftover_processes(folder) == [process.pid]


@pytest.mark.parametrize(
    ("variable", "value", "message"),
    [
        ("STAFETT_WORKER__THREADS", "many", "STAFETT_WORKER__THREADS: Input should be a valid integer"),
        ("STAFETT_DATABSE__API_URL", "x", "Unknown setting STAFETT_DATABSE__API_URL"),
    ],
)
def test_diagnosis_names_the_invalid_variable(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str, message: str
) -> None:
    monkeypatch.setenv(variable, value)
    failed = [finding for finding in diagnose() if not finding.ok]
    assert [finding.subject for finding in failed] == ["settings"]
    assert message in failed[0].message


def test_diagnosis_names_the_problem_of_the_folder(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("mine")
    failed = [finding for finding in diagnose(tmp_path) if not finding.ok]
    assert [finding.subject for finding in failed] == ["data folder"]
    assert "choose an empty folder" in failed[0].message
