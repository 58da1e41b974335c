"""A ZIP file that is handed on while it is made: the standard library's, over a sink that nobody can seek in."""

from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import IO, cast
from zipfile import ZIP_DEFLATED, ZIP_STORED, ZipFile, ZipInfo

_FIRST_YEAR, _LAST_YEAR = 1980, 2107
_UNIX, _READABLE = 3, 0o100644 << 16
_ENOUGH = 256 * 1024


class ZipStream:
    """Members one after the other; ZIP64 where one of them, or all of them, need it."""

    def __init__(self, at: datetime) -> None:
        self._sink = _Sink()
        self._zip = ZipFile(cast("IO[bytes]", self._sink), "w")
        year = min(max(at.year, _FIRST_YEAR), _LAST_YEAR)
        self._at = (year, at.month, at.day, at.hour, at.minute, at.second)

    def member(self, name: str, size: int, chunks: Iterable[bytes], *, stored: bool) -> Iterator[bytes]:
        """The next member; its size decides beforehand whether it is a ZIP64 one."""
        info = ZipInfo(name, self._at)
        info.file_size, info.create_system, info.external_attr = size, _UNIX, _READABLE
        info.compress_type = ZIP_STORED if stored else ZIP_DEFLATED
        with self._zip.open(info, "w") as writer:
            for chunk in chunks:
                writer.write(chunk)
                if self._sink.size >= _ENOUGH:
                    yield self._sink.taken()
        yield self._sink.taken()

    def end(self) -> bytes:
        """The directory."""
        self._zip.close()
        return self._sink.taken()


class _Sink:
    """All that ``ZipFile`` needs of a file that it cannot seek in."""

    def __init__(self) -> None:
        self._waiting: list[bytes] = []
        self.size = 0

    def write(self, content: bytes) -> int:
        self._waiting.append(bytes(content))
        self.size += len(content)
        return len(content)

    def flush(self) -> None:
        """Nothing waits for it."""

    def taken(self) -> bytes:
        taken = b"".join(self._waiting)
        self._waiting, self.size = [], 0
        return taken
