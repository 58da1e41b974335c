"""Processes of an earlier stack: their pids are stored while they run, and the next stack stops leftovers."""

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
except ModuleNotFoundError as error:
    raise DevStackError(
        "The embedded stack is not part of this installation; run `make setup` in a checkout."
    ) from error

_GRACE_SECONDS = 5.0


def record_pids(folder: DataFolder, pids: Iterable[int]) -> None:
    """Store the pids with the processes' creation times, because pids are reused."""
    write_atomically(
        folder.pids_file,
        json.dumps({str(pid): created_at for pid in pids if (created_at := _get_creation_time(pid)) is not None}),
    )


def stop_leftover_processes(folder: DataFolder) -> list[int]:
    """Stop what an earlier stack of this folder left running, and return its pids. The caller has locked the folder."""
    leftovers = [
        process
        for pid, created_at in _load_recorded_pids(folder)
        if (process := _find_own_process(folder, pid, created_at))
    ]
    _stop_processes(leftovers, signal.SIGINT)
    folder.pids_file.unlink(missing_ok=True)
    return [process.pid for process in leftovers]


def stop_orphans(program: Path, cwd: Path) -> None:
    """Stop every process that runs exactly this program in exactly this folder."""
    _stop_processes(
        [process for process in psutil.process_iter() if _is_running_program(process, program, cwd)], signal.SIGQUIT
    )


def is_alive(pid: int) -> bool:
    """Check whether the process exists and is not a zombie."""
    with suppress(psutil.Error):
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    return False


def is_listening_on(pid: int, port: int) -> bool:
    """Check whether this very process listens on the port."""
    with suppress(psutil.Error):
        sockets = psutil.Process(pid).net_connections(kind="tcp")
        return any(item.status == psutil.CONN_LISTEN and item.laddr.port == port for item in sockets)
    return False


def _get_creation_time(pid: int) -> float | None:
    with suppress(psutil.Error):
        return float(psutil.Process(pid).create_time())
    return None


def _load_recorded_pids(folder: DataFolder) -> list[tuple[int, float]]:
    with suppress(OSError, ValueError, AttributeError):
        return [(int(pid), float(created_at)) for pid, created_at in json.loads(folder.pids_file.read_text()).items()]
    return []


def _find_own_process(folder: DataFolder, pid: int, created_at: float) -> Any:
    """Find a recorded process. The pid may be reused, so its creation time must match or it must use our folder."""
    with suppress(psutil.Error):
        process = psutil.Process(pid)
        is_same_process = abs(process.create_time() - created_at) < 1.0
        if is_same_process or _uses_path(process, folder.path):
            return process
    return None


def _uses_path(process: Any, path: Path) -> bool:
    with suppress(psutil.Error):
        return any(str(path) in argument for argument in (*process.cmdline(), process.cwd()))
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
