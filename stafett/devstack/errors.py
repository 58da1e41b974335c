"""Errors of the embedded stack, each with a one-sentence message for the user."""

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from stafett.domain.errors import StafettError

_MAX_OUTPUT_LINES = 5


class DevStackError(StafettError):
    """The embedded stack cannot do what was requested."""


class ProcessExitedError(DevStackError):
    """A process exited before it was ready."""


@contextmanager
def translate_folder_errors(path: Path) -> Iterator[None]:
    """Translate operating system errors on the data folder to messages for the user."""
    try:
        yield
    except OSError as error:
        raise DevStackError(_describe_os_error(error, path)) from error


def summarise_output(output: bytes) -> str:
    """Quote the last output of a program as a sentence without its full stop."""
    lines = [line.strip() for line in output.decode(errors="replace").splitlines() if line.strip()]
    # A log often continues after the line that explains the failure.
    disk_full = [line for line in lines if "no space left" in line.lower()]
    quoted = " | ".join(disk_full[-1:] or lines[-_MAX_OUTPUT_LINES:])
    return f"Last output: {quoted}" if quoted else "It printed nothing"


def _describe_os_error(error: OSError, path: Path) -> str:
    match error.errno:
        case errno.ENOSPC | errno.EDQUOT:
            return f"The disk of {path} is full; free some space or choose another --data-dir."
        case errno.EACCES | errno.EPERM | errno.EROFS:
            return f"{path} cannot be written to; choose a --data-dir that belongs to you."
        case errno.EEXIST | errno.ENOTDIR:
            return f"{path} is not a folder; choose another --data-dir."
        case _:
            return f"{path} cannot be used as a data folder: {error.strerror}."
