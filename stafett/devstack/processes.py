"""Processes of an earlier stack: written down while they run, found and ended by the next."""

import json
import signal
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

from stafett.devstack.data_folder import DataFolder, write_atomically
from stafett.devstack.errors import DevStackError

try:
    import psutil  # type: ignore[import-untyped]  # the package ships no types
except ModuleNotFoundError as missing:
    raise DevStackError(
        "The embedded stack is not part of this installation; run `make setup` in a checkout."
    ) from missing

_GRACE_SECONDS = 5.0


def record_pids(folder: DataFolder, pids: Iterable[int]) -> None:
    """Write down what runs, each with its time of birth, for numbers are used again."""
    write_atomically(
        folder.pids_file, json.dumps({str(pid): born for pid in pids if (born := _creation_time(pid)) is not None})
    )


def stop_leftover_processes(folder: DataFolder) -> list[int]:
    """End what an earlier stack of this folder left running; the caller holds the folder."""
    left = [process for pid, born in _load_recorded_pids(folder) if (process := _find_own_process(folder, pid, born))]
    _stop_processes(left, signal.SIGINT)
    folder.pids_file.unlink(missing_ok=True)
    return [process.pid for process in left]


def stop_orphans(program: Path, cwd: Path) -> None:
    """End what runs this very program in this very folder."""
    _stop_processes(
        [process for process in psutil.process_iter() if _is_running_program(process, program, cwd)], signal.SIGQUIT
    )


def is_alive(pid: int) -> bool:
    """Whether there is such a process now, and not merely its remains."""
    with suppress(psutil.Error):
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    return False


def is_listening_on(pid: int, port: int) -> bool:
    """Whether this process, and not somebody else, listens on the port."""
    with suppress(psutil.Error):
        sockets = psutil.Process(pid).net_connections(kind="tcp")
        return any(held.status == psutil.CONN_LISTEN and held.laddr.port == port for held in sockets)
    return False


def _creation_time(pid: int) -> float | None:
    with suppress(psutil.Error):
        return float(psutil.Process(pid).create_time())
    return None


def _load_recorded_pids(folder: DataFolder) -> list[tuple[int, float]]:
    with suppress(OSError, ValueError, AttributeError):
        return [(int(pid), float(born)) for pid, born in json.loads(folder.pids_file.read_text()).items()]
    return []


def _find_own_process(folder: DataFolder, pid: int, created_at: float) -> Any:
    """The number may be somebody else's by now: the same birth, or a life in our folder, is asked for."""
    with suppress(psutil.Error):
        process = psutil.Process(pid)
        same_birth = abs(process.create_time() - created_at) < 1.0
        if same_birth or _uses_path(process, folder.path):
            return process
    return None


def _uses_path(process: Any, path: Path) -> bool:
    with suppress(psutil.Error):
        return any(str(path) in word for word in (*process.cmdline(), process.cwd()))
    return False


def _is_running_program(process: Any, program: Path, cwd: Path) -> bool:
    with suppress(psutil.Error):
        return bool(process.exe() == str(program.resolve()) and process.cwd() == str(cwd))
    return False


def _stop_processes(processes: list[Any], stop_signal: signal.Signals) -> None:
    for process in processes:
        with suppress(psutil.Error):
            process.send_signal(stop_signal)
    _, alive = psutil.wait_procs(processes, timeout=_GRACE_SECONDS)
    for process in alive:
        with suppress(psutil.Error):
            process.kill()
    psutil.wait_procs(alive, timeout=_GRACE_SECONDS)
