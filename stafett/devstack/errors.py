"""What can go wrong with the embedded stack, each in one sentence."""

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from stafett.domain.errors import StafettError

_MAX_OUTPUT_LINES = 5


class DevStackError(StafettError):
    """The embedded stack cannot do what was asked."""


class ProcessExitedError(DevStackError):
    """A process ended before it was ready."""


@contextmanager
def translate_folder_errors(path: Path) -> Iterator[None]:
    """Turn what the operating system says about the data folder into a sentence."""
    try:
        yield
    except OSError as fault:
        raise DevStackError(_describe_os_error(fault, path)) from fault


def summarise_output(output: bytes) -> str:
    """What a program said before it ended, fit to follow our own sentence."""
    lines = [line.strip() for line in output.decode(errors="replace").splitlines() if line.strip()]
    # A log often goes on after the line that matters.
    full = [line for line in lines if "no space left" in line.lower()]
    told = " | ".join(full[-1:] or lines[-_MAX_OUTPUT_LINES:])
    return f"Its last words: {told}" if told else "It said nothing"


def _describe_os_error(error: OSError, path: Path) -> str:
    match error.errno:
        case errno.ENOSPC | errno.EDQUOT:
            return f"The disk that holds {path} is full; free some space or choose another --data-dir."
        case errno.EACCES | errno.EPERM | errno.EROFS:
            return f"{path} cannot be written to; choose a --data-dir that belongs to you."
        case errno.EEXIST | errno.ENOTDIR:
            return f"{path} is not a folder; choose another --data-dir."
        case _:
            return f"{path} cannot be used as a data folder: {error.strerror}."
