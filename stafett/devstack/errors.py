"""What can go wrong with the embedded stack, each in one sentence."""

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from stafett.domain.errors import StafettError

_TOLD_LINES = 5


class DevStackError(StafettError):
    """The embedded stack cannot do what was asked."""


class ProcessEndedError(DevStackError):
    """A process ended before it was ready."""


@contextmanager
def folder_faults(path: Path) -> Iterator[None]:
    """Turn what the operating system says about the data folder into a sentence."""
    try:
        yield
    except OSError as fault:
        raise DevStackError(_sentence(fault, path)) from fault


def last_words(said: bytes) -> str:
    """What a program said before it ended, fit to follow our own sentence."""
    lines = [line.strip() for line in said.decode(errors="replace").splitlines() if line.strip()]
    # A log often goes on after the line that matters.
    full = [line for line in lines if "no space left" in line.lower()]
    told = " | ".join(full[-1:] or lines[-_TOLD_LINES:])
    return f"Its last words: {told}" if told else "It said nothing"


def _sentence(fault: OSError, path: Path) -> str:
    match fault.errno:
        case errno.ENOSPC | errno.EDQUOT:
            return f"The disk that holds {path} is full; free some space or choose another --data-dir."
        case errno.EACCES | errno.EPERM | errno.EROFS:
            return f"{path} cannot be written to; choose a --data-dir that belongs to you."
        case errno.EEXIST | errno.ENOTDIR:
            return f"{path} is not a folder; choose another --data-dir."
        case _:
            return f"{path} cannot be used as a data folder: {fault.strerror}."
