"""The checks of ``stafett doctor`` on this machine and a data folder; each failure names the next step."""

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from functools import partial
from itertools import chain
from pathlib import Path

import psycopg

from stafett.database.connection_budget import ConnectionBudget, count_api_connections, count_worker_connections
from stafett.devstack import privileges
from stafett.devstack.binaries import find_program
from stafett.devstack.data_folder import MIN_FREE_BYTES, DataFolder
from stafett.devstack.doctor import Check, DoctorCheck, run_check
from stafett.devstack.doctor.stack import list_stack_checks
from stafett.devstack.errors import DevStackError
from stafett.devstack.loopback import minimal_environment
from stafett.domain.errors import SettingsError
from stafett.settings import Settings

_CLIENT_VARIABLES = {
    "STAFETT_API_URL",
    "STAFETT_TOKEN",
    "STAFETT_TOKEN_FILE",
    "STAFETT_DATA_DIR",
    "STAFETT_PROFILE",
    "STAFETT_PROFILES",
}
_VERSION_FLAGS = {"postgres": "--version", "initdb": "--version", "temporal": "--version", "weed": "version"}


def diagnose(data_dir: Path | None = None) -> list[DoctorCheck]:
    """Check this machine and, if a data folder is named, the folder and the stack that runs on it."""
    checks: dict[str, Check] = {
        "Python": _check_python,
        **{name: partial(_check_program, name) for name in _VERSION_FLAGS},
        "privileges": _check_privileges,
        "loopback": _check_loopback,
        "clock": _check_clock,
        "settings": _check_settings,
        "connections": _check_connections,
    }
    if data_dir is not None:
        folder = DataFolder.from_path(data_dir)
        checks |= {"data folder": partial(_check_folder_state, folder), "disk": partial(_check_disk_space, folder)}
        if folder.find_running_pid() is not None:
            checks |= list_stack_checks(folder)
    return list(chain.from_iterable(run_check(subject, check) for subject, check in checks.items()))


def _check_python() -> DoctorCheck:
    version = ".".join(map(str, sys.version_info[:3]))
    return DoctorCheck("Python", ok=True, message=f"{version} at {sys.executable}.")


def _check_program(name: str) -> DoctorCheck:
    try:
        program = find_program(name)
        completed = subprocess.run(
            [program, _VERSION_FLAGS[name]],
            capture_output=True,
            text=True,
            check=True,
            timeout=20,
            env=minimal_environment(Path(tempfile.gettempdir())),
        )
    except DevStackError as error:
        return DoctorCheck(name, ok=False, message=str(error))
    except (OSError, subprocess.SubprocessError) as error:
        return DoctorCheck(name, ok=False, message=f"{name} is installed but does not run ({error}); run `make setup`.")
    return DoctorCheck(name, ok=True, message=f"{completed.stdout.strip().splitlines()[0]}.")


def _check_privileges() -> DoctorCheck:
    try:
        prefix = privileges.unprivileged_prefix(privileges.DEFAULT_STOP_SIGNAL)
    except DevStackError as error:
        return DoctorCheck("privileges", ok=False, message=str(error))
    root = f"root; PostgreSQL will run as `{privileges.UNPRIVILEGED_USER}`"
    user = root if os.geteuid() == 0 else "an ordinary user"
    warning = "" if prefix else " Without setpriv, servers outlive a stack killed with -9 until its next start."
    return DoctorCheck("privileges", ok=True, message=f"You are {user}.{warning}")


def _check_loopback() -> DoctorCheck:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", 0))
        except OSError as error:
            message = f"Servers cannot listen on 127.0.0.1 ({error.strerror}); check the loopback interface."
            return DoctorCheck("loopback", ok=False, message=message)
    return DoctorCheck("loopback", ok=True, message="Servers can listen on 127.0.0.1.")


def _check_clock() -> DoctorCheck:
    if time.time() < Path(__file__).stat().st_mtime:
        return DoctorCheck("clock", ok=False, message="The clock is earlier than the files of this program; set it.")
    return DoctorCheck("clock", ok=True, message=time.strftime("The time is %Y-%m-%dT%H:%M:%SZ.", time.gmtime()))


def _check_settings() -> DoctorCheck:
    """Check the STAFETT_* variables, which production processes read; `stafett dev` sets its own."""
    variables = sorted(name for name in os.environ if name.startswith("STAFETT_"))
    sections = tuple(f"STAFETT_{section.upper()}" for section in Settings.model_fields)
    unknown = [name for name in variables if not name.startswith(sections) and name not in _CLIENT_VARIABLES]
    try:
        Settings.load()
    except SettingsError as error:
        return DoctorCheck("settings", ok=False, message=f"{str(error).rstrip('.')}; correct or unset it.")
    if unknown:
        return DoctorCheck("settings", ok=False, message=f"Unknown setting {', '.join(unknown)}; correct or unset it.")
    message = (
        f"{len(variables)} STAFETT_* variables are set and valid." if variables else "No STAFETT_* variable is set."
    )
    return DoctorCheck("settings", ok=True, message=message)


def _check_connections() -> Iterator[DoctorCheck]:
    """Check that PostgreSQL admits each process with the settings of the environment, if they name a server."""
    try:
        settings = Settings.load()
    except SettingsError:  # reported by another check
        return
    database = settings.database
    url = database.api_url or database.worker_url or database.maintenance_url
    if url is None or database.transaction_pooling:
        return
    try:
        budget = ConnectionBudget.load(url.get_secret_value())
    except psycopg.Error:
        yield DoctorCheck("connections", ok=False, message="PostgreSQL did not answer; check the URLs.")
        return
    maximum = {"an API process": count_api_connections(settings), "a worker": count_worker_connections(settings)}
    needed = ", ".join(f"{name} may open {number}" for name, number in maximum.items())
    occupied = f"{budget.announced} are announced by processes, and {budget.others} others are open"
    message = f"PostgreSQL admits {budget.limit} connections; {needed}; {occupied}."
    yield DoctorCheck("connections", ok=max(maximum.values()) <= budget.limit, message=message)


def _check_folder_state(folder: DataFolder) -> DoctorCheck:
    def build_check(message: str, *, ok: bool = True) -> DoctorCheck:
        return DoctorCheck("data folder", ok=ok, message=f"{folder.path} {message}.")

    nearest = _find_nearest_existing(folder.path)
    if not nearest.is_dir():
        return build_check(f"cannot be created, because {nearest} is not a folder; choose another", ok=False)
    if not os.access(nearest, os.R_OK | os.W_OK | os.X_OK):
        return build_check(f"cannot be used, because you cannot write to {nearest}; choose another", ok=False)
    if not folder.path.exists():
        return build_check("does not exist yet; `stafett dev` will create it")
    if folder.has_foreign_files():
        return build_check("contains files that are not Stafett's; choose an empty folder", ok=False)
    holder = folder.find_running_pid()
    return build_check(f"is used by a running stack (pid {holder})" if holder is not None else "is free to use")


def _check_disk_space(folder: DataFolder) -> DoctorCheck:
    free = shutil.disk_usage(_find_nearest_existing(folder.path)).free
    requirement = "" if free >= MIN_FREE_BYTES else f"; at least {MIN_FREE_BYTES // 1_000_000} MB are required"
    return DoctorCheck("disk", ok=not requirement, message=f"{free // 1_000_000} MB are free{requirement}.")


def _find_nearest_existing(path: Path) -> Path:
    return next(candidate for candidate in (path, *path.parents) if candidate.exists())
