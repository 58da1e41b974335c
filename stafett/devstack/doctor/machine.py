"""``stafett doctor``: what stands in the way of a stack, each with the next step."""

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from stafett.devstack import privileges
from stafett.devstack.binaries import find_program
from stafett.devstack.data_folder import MIN_FREE_BYTES, DataFolder
from stafett.devstack.doctor.check import DoctorCheck
from stafett.devstack.doctor.stack import check_stack
from stafett.devstack.errors import DevStackError
from stafett.devstack.loopback import minimal_environment
from stafett.domain.errors import SettingsError
from stafett.settings import Settings

_CLIENT_VARIABLES = {"STAFETT_API_URL", "STAFETT_TOKEN"}
_VERSION_FLAGS = {"postgres": "--version", "initdb": "--version", "temporal": "--version", "weed": "version"}


def diagnose(data_dir: Path | None = None) -> list[DoctorCheck]:
    """Look at this machine, and at a data folder and the stack on it if one is named."""
    findings = [
        _check_python(),
        *map(_check_program, _VERSION_FLAGS),
        _check_privileges(),
        _check_loopback(),
        _check_clock(),
        _check_settings(),
    ]
    if data_dir is not None:
        findings += _check_folder(DataFolder.from_path(data_dir))
    return findings


def _check_python() -> DoctorCheck:
    version = ".".join(map(str, sys.version_info[:3]))
    return DoctorCheck("Python", ok=True, message=f"{version} at {sys.executable}.")


def _check_program(name: str) -> DoctorCheck:
    try:
        program = find_program(name)
        answer = subprocess.run(
            [program, _VERSION_FLAGS[name]],
            capture_output=True,
            text=True,
            check=True,
            timeout=20,
            env=minimal_environment(Path(tempfile.gettempdir())),
        )
    except DevStackError as missing:
        return DoctorCheck(name, ok=False, message=str(missing))
    except (OSError, subprocess.SubprocessError) as fault:
        return DoctorCheck(name, ok=False, message=f"{name} is there but does not run ({fault}); run `make setup`.")
    return DoctorCheck(name, ok=True, message=f"{answer.stdout.strip().splitlines()[0]}.")


def _check_privileges() -> DoctorCheck:
    try:
        prefix = privileges.unprivileged_prefix(privileges.DEFAULT_STOP_SIGNAL)
    except DevStackError as missing:
        return DoctorCheck("privileges", ok=False, message=str(missing))
    who = "root; PostgreSQL will run as nobody" if os.geteuid() == 0 else "an ordinary user"
    tie = "" if prefix else " Without setpriv, servers outlive a stack killed with -9 until its next start."
    return DoctorCheck("privileges", ok=True, message=f"You are {who}.{tie}")


def _check_loopback() -> DoctorCheck:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", 0))
        except OSError as fault:
            sentence = f"127.0.0.1 cannot be listened on ({fault.strerror}); check the loopback interface."
            return DoctorCheck("loopback", ok=False, message=sentence)
    return DoctorCheck("loopback", ok=True, message="127.0.0.1 can be listened on.")


def _check_clock() -> DoctorCheck:
    if time.time() < Path(__file__).stat().st_mtime:
        return DoctorCheck("clock", ok=False, message="The clock is behind the files of this program; set it.")
    return DoctorCheck("clock", ok=True, message=time.strftime("It is %Y-%m-%dT%H:%M:%SZ.", time.gmtime()))


def _check_settings() -> DoctorCheck:
    """They matter to the processes of production; `stafett dev` sets its own."""
    given = sorted(name for name in os.environ if name.startswith("STAFETT_"))
    sections = tuple(f"STAFETT_{section.upper()}" for section in Settings.model_fields)
    strange = [name for name in given if not name.startswith(sections) and name not in _CLIENT_VARIABLES]
    try:
        Settings.load()
    except SettingsError as fault:
        return DoctorCheck("settings", ok=False, message=f"{str(fault).rstrip('.')}; correct or unset it.")
    if strange:
        return DoctorCheck(
            "settings", ok=False, message=f"No setting is called {', '.join(strange)}; correct or unset it."
        )
    sentence = f"{len(given)} STAFETT_* variables are set and understood." if given else "No STAFETT_* variable is set."
    return DoctorCheck("settings", ok=True, message=sentence)


def _check_folder(folder: DataFolder) -> Iterator[DoctorCheck]:
    yield _check_folder_state(folder)
    yield _check_disk_space(folder)
    if folder.find_running_pid() is not None:
        yield from check_stack(folder)


def _check_folder_state(folder: DataFolder) -> DoctorCheck:
    def finding(message: str, *, ok: bool = True) -> DoctorCheck:
        return DoctorCheck("data folder", ok=ok, message=f"{folder.path} {message}.")

    nearest = _find_nearest_existing(folder.path)
    if not nearest.is_dir():
        return finding(f"cannot be made, for {nearest} is not a folder; choose another", ok=False)
    if not os.access(nearest, os.R_OK | os.W_OK | os.X_OK):
        return finding(f"cannot be used, for {nearest} is not yours to write to; choose another", ok=False)
    if not folder.path.exists():
        return finding("does not exist yet; `stafett dev` will make it")
    if folder.has_foreign_files():
        return finding("holds files that are not Stafett's; choose an empty folder", ok=False)
    holder = folder.find_running_pid()
    return finding(f"is used by a running stack (pid {holder})" if holder is not None else "is free to use")


def _check_disk_space(folder: DataFolder) -> DoctorCheck:
    free = shutil.disk_usage(_find_nearest_existing(folder.path)).free
    step = "" if free >= MIN_FREE_BYTES else f"; at least {MIN_FREE_BYTES // 1_000_000} MB are wanted"
    return DoctorCheck("disk", ok=not step, message=f"{free // 1_000_000} MB are free{step}.")


def _find_nearest_existing(path: Path) -> Path:
    return next(candidate for candidate in (path, *path.parents) if candidate.exists())
