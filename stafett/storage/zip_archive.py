"""Streaming ZIP writer: members are deflated by ISA-L or stored, and the same members give the same bytes."""

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from isal import isal_zlib

BLOCK_SIZE = 1024 * 1024
MAX_ZIP32_BYTES = 2**32 - 1
_MAX_ZIP32_MEMBERS = 2**16 - 1
_ZIP64_THRESHOLD = 2**31
"""A member with a larger size hint gets ZIP64 fields, because deflating may increase its size."""

_DEFLATE_LEVEL, _RAW_WINDOW_BITS = 1, -15
_DATA_DESCRIPTOR_FLAG, _UTF8_NAMES_FLAG, _STORED, _DEFLATED = 0x0008, 0x0800, 0, 8
_ZIP32_VERSION, _ZIP64_VERSION, _ZIP64_EXTRA_ID = 20, 45, 1
_CREATED_ON_UNIX, _FILE_MODE = 3 << 8, 0o100644 << 16
_MIN_YEAR, _MAX_YEAR = 1980, 2107


class TooLargeForZipError(Exception):
    """The archive exceeds the limits of ZIP, and ZIP64 is not allowed."""


class SizeAndCrc(NamedTuple):
    """Size and CRC of a stored member, which precede its content for readers that cannot seek."""

    size: int
    crc: int


@dataclass
class _ZipMember:
    name: bytes
    offset: int
    method: int
    uses_zip64: bool
    crc: int = 0
    size: int = 0
    compressed_size: int = 0

    @property
    def version_needed(self) -> int:
        return _ZIP64_VERSION if self.uses_zip64 else _ZIP32_VERSION

    @property
    def flags(self) -> int:
        return _UTF8_NAMES_FLAG | (_DATA_DESCRIPTOR_FLAG if self.method == _DEFLATED else 0)


class ZipArchive:
    """Writer of one ZIP file: members are written in order, and finished blocks are taken in between."""

    def __init__(self, timestamp: datetime = datetime(_MIN_YEAR, 1, 1), *, allow_zip64: bool = True) -> None:  # noqa: DTZ001 - ZIP has no time zone
        year = min(max(timestamp.year, _MIN_YEAR), _MAX_YEAR)
        self._dos_time = timestamp.hour << 11 | timestamp.minute << 5 | timestamp.second // 2
        self._dos_date = (year - _MIN_YEAR) << 9 | timestamp.month << 5 | timestamp.day
        self._allow_zip64 = allow_zip64
        self._members: list[_ZipMember] = []
        self._pending = bytearray()
        self._output: list[bytes] = []
        self._output_size = self._bytes_taken = 0
        self._has_open_member = False

    def __contains__(self, name: str) -> bool:
        return name.encode() in {member.name for member in self._members}

    def start_deflated(self, name: str, size_hint: int = 0) -> None:
        """Finish the previous member and start a deflated one of about this size in bytes."""
        self._start_member(name, _DEFLATED, size_hint)
        self._deflater = isal_zlib.compressobj(_DEFLATE_LEVEL, zlib.DEFLATED, _RAW_WINDOW_BITS)

    def start_stored(self, name: str, expected: SizeAndCrc) -> None:
        """Finish the previous member and start an uncompressed one, whose content must match ``expected``."""
        self._start_member(name, _STORED, expected.size, expected.crc)
        self._bytes_remaining = expected.size

    def write(self, content: bytes) -> None:
        """Append content to the current member."""
        if self._members[-1].method == _STORED:
            self._bytes_remaining -= len(content)
            self._append(content)
        else:
            self._write_deflated(content)

    def take_ready(self) -> Iterator[bytes]:
        """Yield the output so far once it fills a block."""
        if self._output_size >= BLOCK_SIZE:
            yield self._take_output()

    def finish(self) -> Iterator[bytes]:
        """Finish the last member, and yield the rest of the file with the central directory."""
        self._finish_member()
        start = self._offset
        for member in self._members:
            self._append(self._build_directory_entry(member))
        count, size = len(self._members), self._offset - start
        if count > _MAX_ZIP32_MEMBERS or start + size > MAX_ZIP32_BYTES:
            zip64_end_offset = self._offset
            record = (44, _ZIP64_VERSION, _ZIP64_VERSION, 0, 0, count, count, size, start)
            self._append(struct.pack("<4sQ2H2L4Q", b"PK\x06\x06", *record))
            self._append(struct.pack("<4sLQL", b"PK\x06\x07", 0, zip64_end_offset, 1))
        count, size, start = min(count, _MAX_ZIP32_MEMBERS), min(size, MAX_ZIP32_BYTES), min(start, MAX_ZIP32_BYTES)
        self._append(struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, count, count, size, start, 0))
        yield self._take_output()

    @property
    def _offset(self) -> int:
        return self._bytes_taken + self._output_size

    def _start_member(self, name: str, method: int, size: int, crc: int = 0) -> None:
        self._finish_member()
        is_large = self._allow_zip64 and size > _ZIP64_THRESHOLD
        member = _ZipMember(name.encode(), self._offset, method, is_large)
        if method == _STORED:
            member.crc, member.size, member.compressed_size = crc, size, size
        self._members.append(member)
        self._has_open_member = True
        sizes = (MAX_ZIP32_BYTES, MAX_ZIP32_BYTES) if is_large else (member.compressed_size, member.size)
        extra = struct.pack("<2H2Q", _ZIP64_EXTRA_ID, 16, member.size, member.compressed_size) if is_large else b""
        header = (member.version_needed, member.flags, method, self._dos_time, self._dos_date, member.crc, *sizes)
        self._append(
            struct.pack("<4s5H3L2H", b"PK\x03\x04", *header, len(member.name), len(extra)) + member.name + extra
        )

    def _write_deflated(self, content: bytes) -> None:
        """Feed ISA-L whole blocks, because its output depends on how the input is split."""
        remaining = memoryview(content)
        if self._pending:
            free = BLOCK_SIZE - len(self._pending)
            self._pending += remaining[:free]
            remaining = remaining[free:]
        if len(self._pending) == BLOCK_SIZE:
            self._deflate_block(self._pending)
            self._pending.clear()
        while len(remaining) >= BLOCK_SIZE:
            self._deflate_block(remaining[:BLOCK_SIZE])
            remaining = remaining[BLOCK_SIZE:]
        self._pending += remaining

    def _deflate_block(self, block: bytes | bytearray | memoryview) -> None:
        member = self._members[-1]
        member.crc = isal_zlib.crc32(block, member.crc)
        member.size += len(block)
        self._write_compressed(self._deflater.compress(block))

    def _write_compressed(self, compressed: bytes) -> None:
        member = self._members[-1]
        member.compressed_size += len(compressed)
        self._append(compressed)
        if not member.uses_zip64 and max(member.size, member.compressed_size) > MAX_ZIP32_BYTES:
            raise TooLargeForZipError

    def _finish_member(self) -> None:
        if not self._has_open_member:
            return
        member, self._has_open_member = self._members[-1], False
        if member.method == _DEFLATED:
            self._deflate_block(self._pending)
            self._pending.clear()
            self._write_compressed(self._deflater.flush())
            layout = "<4sL2Q" if member.uses_zip64 else "<4s3L"
            self._append(struct.pack(layout, b"PK\x07\x08", member.crc, member.compressed_size, member.size))
        elif self._bytes_remaining:
            message = f"{member.size} bytes were expected, but {member.size - self._bytes_remaining} were written."
            raise RuntimeError(message)

    def _build_directory_entry(self, member: _ZipMember) -> bytes:
        """Build a member's entry; values too large for its 32-bit fields go to the ZIP64 field, in this order."""
        large = [value for value in (member.size, member.compressed_size, member.offset) if value >= MAX_ZIP32_BYTES]
        extra = struct.pack(f"<2H{len(large)}Q", _ZIP64_EXTRA_ID, 8 * len(large), *large) if large else b""
        version = _ZIP64_VERSION if large else member.version_needed
        header = (
            _CREATED_ON_UNIX | version,
            version,
            member.flags,
            member.method,
            self._dos_time,
            self._dos_date,
            member.crc,
        )
        sizes = (
            min(member.compressed_size, MAX_ZIP32_BYTES),
            min(member.size, MAX_ZIP32_BYTES),
            len(member.name),
            len(extra),
        )
        trailer = (0, 0, 0, _FILE_MODE, min(member.offset, MAX_ZIP32_BYTES))
        return struct.pack("<4s6H3L5H2L", b"PK\x01\x02", *header, *sizes, *trailer) + member.name + extra

    def _append(self, content: bytes) -> None:
        self._output.append(content)
        self._output_size += len(content)
        if not self._allow_zip64 and self._offset > MAX_ZIP32_BYTES:
            raise TooLargeForZipError

    def _take_output(self) -> bytes:
        taken = self._output[0] if len(self._output) == 1 else b"".join(self._output)
        self._bytes_taken += self._output_size
        self._output, self._output_size = [], 0
        return taken
