"""ZIP files that are made as they go: deflated by ISA-L or stored, and the same bytes from the same members."""

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from isal import isal_zlib

BLOCK = 1024 * 1024
MOST_BYTES = 2**32 - 1
_MOST_MEMBERS = 2**16 - 1
_LARGE = 2**31
"""A member that is announced as larger gets ZIP64's fields: deflated, it may grow."""

_LEVEL, _RAW = 1, -15
_SIZES_FOLLOW, _NAMES_ARE_UTF8, _STORED, _DEFLATED = 0x0008, 0x0800, 0, 8
_PLAIN_VERSION, _ZIP64_VERSION, _ZIP64_FIELDS = 20, 45, 1
_UNIX, _READABLE = 3 << 8, 0o100644 << 16
_FIRST_YEAR, _LAST_YEAR = 1980, 2107


class TooLargeForZipError(Exception):
    """More than a file holds that must do without ZIP64."""


class Known(NamedTuple):
    """What a stored member is, known before it is written: readers that cannot seek need it there."""

    size: int
    crc: int


@dataclass
class _Member:
    name: bytes
    offset: int
    method: int
    is_large: bool
    crc: int = 0
    size: int = 0
    packed: int = 0

    @property
    def version(self) -> int:
        return _ZIP64_VERSION if self.is_large else _PLAIN_VERSION

    @property
    def flags(self) -> int:
        return _NAMES_ARE_UTF8 | (_SIZES_FOLLOW if self.method == _DEFLATED else 0)


class ZipArchive:
    """Write members one after the other, and take what is ready meanwhile."""

    def __init__(self, at: datetime = datetime(_FIRST_YEAR, 1, 1), *, with_zip64: bool = True) -> None:  # noqa: DTZ001 - ZIP knows no zone
        year = min(max(at.year, _FIRST_YEAR), _LAST_YEAR)
        self._clock = at.hour << 11 | at.minute << 5 | at.second // 2
        self._day = (year - _FIRST_YEAR) << 9 | at.month << 5 | at.day
        self._with_zip64 = with_zip64
        self._members: list[_Member] = []
        self._waiting = bytearray()
        self._out: list[bytes] = []
        self._out_size = self._taken = 0
        self._is_open = False

    def __contains__(self, name: str) -> bool:
        return name.encode() in {member.name for member in self._members}

    def begin(self, name: str, size: int = 0) -> None:
        """Begin a member that is deflated, of about this size; the one before is finished."""
        self._begin(name, _DEFLATED, size)
        self._deflater = isal_zlib.compressobj(_LEVEL, zlib.DEFLATED, _RAW)

    def store(self, name: str, known: Known) -> None:
        """Begin a member that goes in as it is; what is written has to be what is known."""
        self._begin(name, _STORED, known.size, known.crc)
        self._missing = known.size

    def write(self, content: bytes) -> None:
        """More of the member."""
        if self._members[-1].method == _STORED:
            self._missing -= len(content)
            self._put(content)
        else:
            self._by_the_block(content)

    def ready(self) -> Iterator[bytes]:
        """What is finished so far, once it is a block."""
        if self._out_size >= BLOCK:
            yield self._take()

    def finish(self) -> Iterator[bytes]:
        """The end of the file."""
        self._end()
        begin = self._offset
        for member in self._members:
            self._put(self._listed(member))
        count, size = len(self._members), self._offset - begin
        if count > _MOST_MEMBERS or begin + size > MOST_BYTES:
            at = self._offset
            facts = (44, _ZIP64_VERSION, _ZIP64_VERSION, 0, 0, count, count, size, begin)
            self._put(struct.pack("<4sQ2H2L4Q", b"PK\x06\x06", *facts))
            self._put(struct.pack("<4sLQL", b"PK\x06\x07", 0, at, 1))
        count, size, begin = min(count, _MOST_MEMBERS), min(size, MOST_BYTES), min(begin, MOST_BYTES)
        self._put(struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, count, count, size, begin, 0))
        yield self._take()

    @property
    def _offset(self) -> int:
        return self._taken + self._out_size

    def _begin(self, name: str, method: int, size: int, crc: int = 0) -> None:
        self._end()
        is_large = self._with_zip64 and size > _LARGE
        member = _Member(name.encode(), self._offset, method, is_large)
        if method == _STORED:
            member.crc, member.size, member.packed = crc, size, size
        self._members.append(member)
        self._is_open = True
        sizes = (MOST_BYTES, MOST_BYTES) if is_large else (member.packed, member.size)
        fields = struct.pack("<2H2Q", _ZIP64_FIELDS, 16, member.size, member.packed) if is_large else b""
        facts = (member.version, member.flags, method, self._clock, self._day, member.crc, *sizes)
        self._put(struct.pack("<4s5H3L2H", b"PK\x03\x04", *facts, len(member.name), len(fields)) + member.name + fields)

    def _by_the_block(self, content: bytes) -> None:
        """What ISA-L makes depends on how it is fed."""
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

    def _deflate(self, block: bytes | bytearray | memoryview) -> None:
        member = self._members[-1]
        member.crc = isal_zlib.crc32(block, member.crc)
        member.size += len(block)
        self._pack(self._deflater.compress(block))

    def _pack(self, packed: bytes) -> None:
        member = self._members[-1]
        member.packed += len(packed)
        self._put(packed)
        if not member.is_large and max(member.size, member.packed) > MOST_BYTES:
            raise TooLargeForZipError

    def _end(self) -> None:
        if not self._is_open:
            return
        member, self._is_open = self._members[-1], False
        if member.method == _DEFLATED:
            self._deflate(self._waiting)
            self._waiting.clear()
            self._pack(self._deflater.flush())
            form = "<4sL2Q" if member.is_large else "<4s3L"
            self._put(struct.pack(form, b"PK\x07\x08", member.crc, member.packed, member.size))
        elif self._missing:
            message = f"{member.size} bytes were announced, and {member.size - self._missing} came."
            raise RuntimeError(message)

    def _listed(self, member: _Member) -> bytes:
        """The member in the directory: ZIP64's fields hold what is too large for the others, in this order."""
        large = [value for value in (member.size, member.packed, member.offset) if value >= MOST_BYTES]
        fields = struct.pack(f"<2H{len(large)}Q", _ZIP64_FIELDS, 8 * len(large), *large) if large else b""
        version = _ZIP64_VERSION if large else member.version
        facts = (_UNIX | version, version, member.flags, member.method, self._clock, self._day, member.crc)
        sizes = (min(member.packed, MOST_BYTES), min(member.size, MOST_BYTES), len(member.name), len(fields))
        ends = (0, 0, 0, _READABLE, min(member.offset, MOST_BYTES))
        return struct.pack("<4s6H3L5H2L", b"PK\x01\x02", *facts, *sizes, *ends) + member.name + fields

    def _put(self, content: bytes) -> None:
        self._out.append(content)
        self._out_size += len(content)
        if not self._with_zip64 and self._offset > MOST_BYTES:
            raise TooLargeForZipError

    def _take(self) -> bytes:
        taken = self._out[0] if len(self._out) == 1 else b"".join(self._out)
        self._taken += self._out_size
        self._out, self._out_size = [], 0
        return taken
