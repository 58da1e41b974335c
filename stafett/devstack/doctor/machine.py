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
from stafett.devstack.binaries import find
from stafett.devstack.data_folder import LEAST_FREE_BYTES, DataFolder
from stafett.devstack.doctor.check import Finding
from stafett.devstack.doctor.stack import checkup
from stafett.devstack.errors import DevStackError
from stafett.devstack.loopback import bare_environment
from stafett.domain.errors import SettingsError
from stafett.settings import Settings

_OF_THE_CLIENT = {"STAFETT_API_URL", "STAFETT_TOKEN"}
_VERSION_FLAGS = {"postgres": "--version", "initdb": "--version", "temporal": "--version", "weed": "version"}


def diagnose(data_dir: Path | None = None) -> list[Finding]:
    """Look at this machine, and at a data folder and the stack on it if one is named."""
    findings = [_python(), *map(_program, _VERSION_FLAGS), _privileges(), _loopback(), _clock(), _settings()]
    if data_dir is not None:
        findings += _folder(DataFolder.at(data_dir))
    return findings


def _python() -> Finding:
    version = ".".join(map(str, sys.version_info[:3]))
    return Finding("Python", ok=True, sentence=f"{version} at {sys.executable}.")


def _program(name: str) -> Finding:
    try:
        program = find(name)
        answer = subprocess.run(
            [program, _VERSION_FLAGS[name]],
            capture_output=True,
            text=True,
            check=True,
            timeout=20,
            env=bare_environment(Path(tempfile.gettempdir())),
        )
    except DevStackError as missing:
        return Finding(name, ok=False, sentence=str(missing))
    except (OSError, subprocess.SubprocessError) as fault:
        return Finding(name, ok=False, sentence=f"{name} is there but does not run ({fault}); run `make setup`.")
    return Finding(name, ok=True, sentence=f"{answer.stdout.strip().splitlines()[0]}.")


def _privileges() -> Finding:
    try:
        prefix = privileges.unprivileged(privileges.GENTLE)
    except DevStackError as missing:
        return Finding("privileges", ok=False, sentence=str(missing))
    who = "root; PostgreSQL will run as nobody" if os.geteuid() == 0 else "an ordinary user"
    tie = "" if prefix else " Without setpriv, servers outlive a stack killed with -9 until its next start."
    return Finding("privileges", ok=True, sentence=f"You are {who}.{tie}")


def _loopback() -> Finding:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", 0))
        except OSError as fault:
            sentence = f"127.0.0.1 cannot be listened on ({fault.strerror}); check the loopback interface."
            return Finding("loopback", ok=False, sentence=sentence)
    return Finding("loopback", ok=True, sentence="127.0.0.1 can be listened on.")


def _clock() -> Finding:
    if time.time() < Path(__file__).stat().st_mtime:
        return Finding("clock", ok=False, sentence="The clock is behind the files of this program; set it.")
    return Finding("clock", ok=True, sentence=time.strftime("It is %Y-%m-%dT%H:%M:%SZ.", time.gmtime()))


def _settings() -> Finding:
    """They matter to the processes of production; `stafett dev` sets its own."""
    given = sorted(name for name in os.environ if name.startswith("STAFETT_"))
    sections = tuple(f"STAFETT_{section.upper()}" for section in Settings.model_fields)
    strange = [name for name in given if not name.startswith(sections) and name not in _OF_THE_CLIENT]
    try:
        Settings.load()
    except SettingsError as fault:
        return Finding("settings", ok=False, sentence=f"{str(fault).rstrip('.')}; correct or unset it.")
    if strange:
        return Finding(
            "settings", ok=False, sentence=f"No setting is called {', '.join(strange)}; correct or unset it."
        )
    sentence = f"{len(given)} STAFETT_* variables are set and understood." if given else "No STAFETT_* variable is set."
    return Finding("settings", ok=True, sentence=sentence)


def _folder(folder: DataFolder) -> Iterator[Finding]:
    yield _state(folder)
    yield _disk(folder)
    if folder.holder() is not None:
        yield from checkup(folder)


def _state(folder: DataFolder) -> Finding:
    def finding(sentence: str, *, ok: bool = True) -> Finding:
        return Finding("data folder", ok=ok, sentence=f"{folder.path} {sentence}.")

    nearest = _nearest_existing(folder.path)
    if not nearest.is_dir():
        return finding(f"cannot be made, for {nearest} is not a folder; choose another", ok=False)
    if not os.access(nearest, os.R_OK | os.W_OK | os.X_OK):
        return finding(f"cannot be used, for {nearest} is not yours to write to; choose another", ok=False)
    if not folder.path.exists():
        return finding("does not exist yet; `stafett dev` will make it")
    if folder.is_foreign():
        return finding("holds files that are not Stafett's; choose an empty folder", ok=False)
    holder = folder.holder()
    return finding(f"is used by a running stack (pid {holder})" if holder is not None else "is free to use")


def _disk(folder: DataFolder) -> Finding:
    free = shutil.disk_usage(_nearest_existing(folder.path)).free
    step = "" if free >= LEAST_FREE_BYTES else f"; at least {LEAST_FREE_BYTES // 1_000_000} MB are wanted"
    return Finding("disk", ok=not step, sentence=f"{free // 1_000_000} MB are free{step}.")


def _nearest_existing(path: Path) -> Path:
    return next(candidate for candidate in (path, *path.parents) if candidate.exists())
