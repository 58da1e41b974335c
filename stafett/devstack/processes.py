"""Processes of an earlier stack: written down while they run, found and ended by the next."""

import json
import signal
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

from stafett.devstack.data_folder import DataFolder, write_whole
from stafett.devstack.errors import DevStackError

try:
    import psutil  # type: ignore[import-untyped]  # the package ships no types
except ModuleNotFoundError as missing:
    raise DevStackError(
        "The embedded stack is not part of this installation; run `make setup` in a checkout."
    ) from missing

_GRACE_SECONDS = 5.0


def record(folder: DataFolder, pids: Iterable[int]) -> None:
    """Write down what runs, each with its time of birth, for numbers are used again."""
    write_whole(folder.pids, json.dumps({str(pid): born for pid in pids if (born := _born(pid)) is not None}))


def end_left_over(folder: DataFolder) -> list[int]:
    """End what an earlier stack of this folder left running; the caller holds the folder."""
    left = [process for pid, born in _recorded(folder) if (process := _still_ours(folder, pid, born))]
    _end(left, signal.SIGINT)
    folder.pids.unlink(missing_ok=True)
    return [process.pid for process in left]


def end_orphans(program: Path, cwd: Path) -> None:
    """End what runs this very program in this very folder."""
    _end([process for process in psutil.process_iter() if _runs(process, program, cwd)], signal.SIGQUIT)


def lives(pid: int) -> bool:
    """Whether there is such a process now, and not merely its remains."""
    with suppress(psutil.Error):
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    return False


def listens(pid: int, port: int) -> bool:
    """Whether this process, and not somebody else, listens on the port."""
    with suppress(psutil.Error):
        sockets = psutil.Process(pid).net_connections(kind="tcp")
        return any(held.status == psutil.CONN_LISTEN and held.laddr.port == port for held in sockets)
    return False


def _born(pid: int) -> float | None:
    with suppress(psutil.Error):
        return float(psutil.Process(pid).create_time())
    return None


def _recorded(folder: DataFolder) -> list[tuple[int, float]]:
    with suppress(OSError, ValueError, AttributeError):
        return [(int(pid), float(born)) for pid, born in json.loads(folder.pids.read_text()).items()]
    return []


def _still_ours(folder: DataFolder, pid: int, born: float) -> Any:
    """The number may be somebody else's by now: the same birth, or a life in our folder, is asked for."""
    with suppress(psutil.Error):
        process = psutil.Process(pid)
        same_birth = abs(process.create_time() - born) < 1.0
        if same_birth or _mentions(process, folder.path):
            return process
    return None


def _mentions(process: Any, path: Path) -> bool:
    with suppress(psutil.Error):
        return any(str(path) in word for word in (*process.cmdline(), process.cwd()))
    return False


def _runs(process: Any, program: Path, cwd: Path) -> bool:
    with suppress(psutil.Error):
        return bool(process.exe() == str(program.resolve()) and process.cwd() == str(cwd))
    return False


def _end(processes: list[Any], asked: signal.Signals) -> None:
    for process in processes:
        with suppress(psutil.Error):
            process.send_signal(asked)
    _, alive = psutil.wait_procs(processes, timeout=_GRACE_SECONDS)
    for process in alive:
        with suppress(psutil.Error):
            process.kill()
    psutil.wait_procs(alive, timeout=_GRACE_SECONDS)
