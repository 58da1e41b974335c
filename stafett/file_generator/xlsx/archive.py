"""A ZIP file that is made as it goes: never ZIP64, which Excel offers to repair, and no clock."""

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

from isal import isal_zlib

from stafett.domain.errors import ExportError
from stafett.domain.export_status import ExportErrorCode

BLOCK = 1024 * 1024
MOST_BYTES = 2**32 - 1
_LEVEL = 1
_RAW = -15
_VERSION, _SIZES_FOLLOW, _NAMES_ARE_UTF8, _DEFLATED = 20, 0x0008, 0x0800, 8
_NEW_YEAR_1980 = (1 << 5) | 1


@dataclass
class _Member:
    name: bytes
    offset: int
    crc: int = 0
    size: int = 0
    packed: int = 0

    @property
    def facts(self) -> tuple[int, ...]:
        """What the local header begins with and the directory repeats."""
        return _VERSION, _SIZES_FOLLOW | _NAMES_ARE_UTF8, _DEFLATED, 0, _NEW_YEAR_1980


class Archive:
    """Write members one after the other, and take the finished blocks meanwhile."""

    def __init__(self) -> None:
        self._members: list[_Member] = []
        self._waiting = bytearray()
        self._out = bytearray()
        self._taken = 0
        self._is_open = False

    def __contains__(self, name: str) -> bool:
        return name.encode() in {member.name for member in self._members}

    def begin(self, name: str) -> None:
        """Begin a member; the one before is finished."""
        self._end()
        member = _Member(name.encode(), self._offset)
        self._members.append(member)
        self._deflater = isal_zlib.compressobj(_LEVEL, zlib.DEFLATED, _RAW)
        self._is_open = True
        self._out += struct.pack("<4s5H3L2H", b"PK\x03\x04", *member.facts, 0, 0, 0, len(member.name), 0) + member.name

    def write(self, content: bytes) -> None:
        """More of the member; what ISA-L makes depends on how it is fed, so it is fed by the block."""
        rest = memoryview(content)
        if self._waiting:
            missing = BLOCK - len(self._waiting)
            self._waiting += rest[:missing]
            rest = rest[missing:]
        if len(self._waiting) == BLOCK:
            self._deflate(self._waiting)
            self._waiting.clear()
        while len(rest) >= BLOCK:
            self._deflate(rest[:BLOCK])
            rest = rest[BLOCK:]
        self._waiting += rest

    def ready(self) -> Iterator[bytes]:
        """The blocks that are finished so far."""
        while len(self._out) >= BLOCK:
            yield self._take(BLOCK)

    def finish(self) -> Iterator[bytes]:
        """The end of the file."""
        self._end()
        begin = self._offset
        for member in self._members:
            self._out += _listed(member)
        count, size = len(self._members), self._offset - begin
        _refuse_beyond(self._offset)
        self._out += struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, count, count, size, begin, 0)
        yield from self.ready()
        yield self._take(len(self._out))

    @property
    def _offset(self) -> int:
        return self._taken + len(self._out)

    def _deflate(self, block: bytes | bytearray | memoryview) -> None:
        member = self._members[-1]
        member.crc = isal_zlib.crc32(block, member.crc)
        member.size += len(block)
        self._pack(self._deflater.compress(block))

    def _pack(self, packed: bytes) -> None:
        member = self._members[-1]
        member.packed += len(packed)
        self._out += packed
        _refuse_beyond(max(self._offset, member.size))

    def _end(self) -> None:
        if not self._is_open:
            return
        self._deflate(self._waiting)
        self._waiting.clear()
        self._pack(self._deflater.flush())
        member, self._is_open = self._members[-1], False
        self._out += struct.pack("<4s3L", b"PK\x07\x08", member.crc, member.packed, member.size)

    def _take(self, size: int) -> bytes:
        taken = bytes(self._out[:size])
        del self._out[:size]
        self._taken += size
        return taken


def _listed(member: _Member) -> bytes:
    sizes = (member.crc, member.packed, member.size, len(member.name))
    return (
        struct.pack("<4sH5H3L5H2L", b"PK\x01\x02", _VERSION, *member.facts, *sizes, 0, 0, 0, 0, 0, member.offset)
        + member.name
    )


def _refuse_beyond(size: int) -> None:
    if size > MOST_BYTES:
        message = "The report is too large for one Excel file; ask for a shorter period, or for CSV."
        raise ExportError(ExportErrorCode.FILE_GENERATION_FAILED, message)
