"""What ``setpriv`` does for us: ties children to our life, and lets PostgreSQL run below root."""

import functools
import os
import pwd
import shutil
import signal
import subprocess
import sys
from pathlib import Path

from stafett.devstack.errors import DevStackError

DEFAULT_STOP_SIGNAL = signal.SIGINT
_CAPABILITIES = (("dac_read_search", 2), ("dac_override", 1))


def parent_death_prefix(death_signal: signal.Signals) -> tuple[str, ...]:
    """The prefix that ends a program when we are gone, where the system knows how."""
    setpriv = _find_setpriv()
    return (setpriv, "--pdeathsig", death_signal.name.removeprefix("SIG"), "--") if setpriv else ()


def unprivileged_prefix(death_signal: signal.Signals) -> tuple[str, ...]:
    """The same for a program that refuses root: as nobody, yet able to reach its folder below a closed one."""
    if os.geteuid() != 0:
        return parent_death_prefix(death_signal)
    setpriv = _find_setpriv()
    if setpriv is None:
        raise DevStackError(
            "PostgreSQL refuses to run as root and `setpriv` (util-linux) is missing; "
            "install it or run as an ordinary user."
        )
    nobody, capability = _get_nobody_account(), f"+{_choose_capability()}"
    return (
        *(setpriv, "--reuid", str(nobody.pw_uid), "--regid", str(nobody.pw_gid), "--clear-groups"),
        *("--inh-caps", capability, "--ambient-caps", capability, "--securebits", "+no_setuid_fixup"),
        *("--pdeathsig", death_signal.name.removeprefix("SIG"), "--"),
    )


def chown_to_unprivileged(folder: Path) -> None:
    """Hand over the folder itself and nothing above it."""
    folder.chmod(0o700)
    if os.geteuid() == 0:
        os.chown(folder, _get_nobody_account().pw_uid, _get_nobody_account().pw_gid)


@functools.cache
def _find_setpriv() -> str | None:
    """BusyBox has a ``setpriv`` too, which cannot do what we need."""
    found = shutil.which("setpriv") if sys.platform == "linux" else None
    if found is None:
        return None
    answer = subprocess.run([found, "--help"], capture_output=True, text=True, check=False)
    return found if "--pdeathsig" in answer.stdout + answer.stderr else None


def _get_nobody_account() -> pwd.struct_passwd:
    try:
        return pwd.getpwnam("nobody")
    except KeyError:
        raise DevStackError(
            "PostgreSQL refuses to run as root and there is no account `nobody`; run as an ordinary user."
        ) from None


def _choose_capability() -> str:
    status = Path("/proc/self/status").read_text()
    bounding = int(next(line for line in status.splitlines() if line.startswith("CapBnd")).split()[1], 16)
    for name, bit in _CAPABILITIES:
        if bounding >> bit & 1:
            return name
    raise DevStackError(
        "PostgreSQL refuses to run as root and this container holds no capability to read its folder "
        "otherwise; run as an ordinary user."
    )
