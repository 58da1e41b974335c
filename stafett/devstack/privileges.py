"""Uses ``setpriv`` to end child processes with their parent, and to run PostgreSQL without root privileges."""

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
UNPRIVILEGED_USER = "nobody"
_CAPABILITIES = (("dac_read_search", 2), ("dac_override", 1))


def parent_death_prefix(death_signal: signal.Signals) -> tuple[str, ...]:
    """Return a command prefix that ends a program when its parent dies, if the system supports it."""
    setpriv = _find_setpriv()
    return (setpriv, "--pdeathsig", death_signal.name.removeprefix("SIG"), "--") if setpriv else ()


def unprivileged_prefix(death_signal: signal.Signals) -> tuple[str, ...]:
    """Return the same for a program that refuses root: unprivileged, but able to reach its folder in a closed one."""
    if os.geteuid() != 0:
        return parent_death_prefix(death_signal)
    setpriv = _find_setpriv()
    if setpriv is None:
        raise DevStackError(
            "PostgreSQL refuses to run as root and `setpriv` (util-linux) is missing; "
            "install it or run as an ordinary user."
        )
    account, capability = _get_unprivileged_account(), f"+{_choose_capability()}"
    return (
        *(setpriv, "--reuid", str(account.pw_uid), "--regid", str(account.pw_gid), "--clear-groups"),
        *("--inh-caps", capability, "--ambient-caps", capability, "--securebits", "+no_setuid_fixup"),
        *("--pdeathsig", death_signal.name.removeprefix("SIG"), "--"),
    )


def chown_to_unprivileged(folder: Path) -> None:
    """Give the folder itself, and nothing above it, to the unprivileged account."""
    folder.chmod(0o700)
    if os.geteuid() == 0:
        os.chown(folder, _get_unprivileged_account().pw_uid, _get_unprivileged_account().pw_gid)


@functools.cache
def _find_setpriv() -> str | None:
    """Find the ``setpriv`` of util-linux; the one of BusyBox lacks the options that we need."""
    path = shutil.which("setpriv") if sys.platform == "linux" else None
    if path is None:
        return None
    usage = subprocess.run([path, "--help"], capture_output=True, text=True, check=False)
    return path if "--pdeathsig" in usage.stdout + usage.stderr else None


def _get_unprivileged_account() -> pwd.struct_passwd:
    try:
        return pwd.getpwnam(UNPRIVILEGED_USER)
    except KeyError:
        raise DevStackError(
            f"PostgreSQL refuses to run as root and there is no account `{UNPRIVILEGED_USER}`; run as an ordinary user."
        ) from None


def _choose_capability() -> str:
    status = Path("/proc/self/status").read_text()
    bounding = int(next(line for line in status.splitlines() if line.startswith("CapBnd")).split()[1], 16)
    for name, bit in _CAPABILITIES:
        if bounding >> bit & 1:
            return name
    raise DevStackError(
        "PostgreSQL refuses to run as root and this container has no capability to read its folder "
        "otherwise; run as an ordinary user."
    )
