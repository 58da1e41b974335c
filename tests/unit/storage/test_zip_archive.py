"""Streamed ZIP archives, read by other programs."""

import io
import shutil
import subprocess
import tracemalloc
import zlib
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from zipfile import ZIP_DEFLATED, ZIP_STORED, ZipFile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stafett.storage import zip_archive
from stafett.storage.zip_archive import BLOCK_SIZE, SizeAndCrc, TooLargeForZipError, ZipArchive

AT = datetime(2026, 12, 31, 23, 59, 59, tzinfo=UTC)
MORE_THAN_4_GIB = 2**32 + 1
Content = tuple[list[bytes], bool]


def measure(chunks: list[bytes]) -> SizeAndCrc:
    content = b"".join(chunks)
    return SizeAndCrc(len(content), zlib.crc32(content))


def write_archive(members: list[Content], at: datetime = AT, announced: int = 0, *, with_zip64: bool = True) -> bytes:
    archive, out = ZipArchive(at, allow_zip64=with_zip64), bytearray()
    for number, (chunks, stored) in enumerate(members):
        name = f"vedlegg-{number}-æøå.bin"
        if stored:
            archive.start_stored(name, measure(chunks))
        else:
            archive.start_deflated(name, announced)
        for chunk in chunks:
            archive.write(chunk)
            out += b"".join(archive.take_ready())
    return bytes(out + b"".join(archive.finish()))


def check_with_unzip(content: bytes, folder: Path) -> None:
    (folder / "archive.zip").write_bytes(content)
    if unzip := shutil.which("unzip"):
        subprocess.run([unzip, "-tqq", str(folder / "archive.zip")], check=True, capture_output=True)


@given(st.lists(st.tuples(st.lists(st.binary()), st.booleans()), max_size=6))
def test_every_member_is_read_back_unchanged(members: list[Content]) -> None:
    with ZipFile(io.BytesIO(write_archive(members))) as reader:
        assert [reader.read(name) for name in reader.namelist()] == [b"".join(chunks) for chunks, _ in members]
        assert reader.testzip() is None
        assert [info.compress_type for info in reader.infolist()] == [
            ZIP_STORED if stored else ZIP_DEFLATED for _, stored in members
        ]


def test_archive_does_not_depend_on_the_chunks_of_its_members() -> None:
    content = b"".join(number.to_bytes(4, "big") for number in range(700_000))
    chunks = [content[start : start + 99_999] for start in range(0, len(content), 99_999)]
    assert write_archive([(chunks, False), (chunks, True)]) == write_archive([([content], False), ([content], True)])


def test_only_deflated_members_have_their_size_after_the_content() -> None:
    with ZipFile(io.BytesIO(write_archive([([b"lite"], True), ([b"lite"], False)]))) as reader:
        assert [bool(info.flag_bits & 0x08) for info in reader.infolist()] == [False, True]


@pytest.mark.parametrize("content", [b"to", b"fire!"])
def test_stored_member_of_another_size_than_announced_is_rejected(content: bytes) -> None:
    archive = ZipArchive(AT)
    archive.start_stored("a", measure([b"tre"]))
    archive.write(content)
    with pytest.raises(RuntimeError, match=f"3 bytes were expected, but {len(content)} were written"):
        list(archive.finish())


@pytest.mark.parametrize(("year", "written"), [(1901, 1980), (2026, 2026), (2199, 2107)])
def test_year_outside_the_range_of_zip_is_the_nearest_one(year: int, written: int) -> None:
    with ZipFile(io.BytesIO(write_archive([([b"x"], True)], AT.replace(year=year)))) as reader:
        assert reader.infolist()[0].date_time == (written, 12, 31, 23, 59, 58)


def test_member_announced_beyond_4_gib_uses_zip64(tmp_path: Path) -> None:
    """The announced size decides on the format, which readers have to understand."""
    content = write_archive([([b"lite"], False), ([b"mer"], True)], announced=MORE_THAN_4_GIB)
    with ZipFile(io.BytesIO(content)) as reader:
        assert [reader.read(name) for name in reader.namelist()] == [b"lite", b"mer"]
        assert reader.infolist()[0].extract_version == 45
    check_with_unzip(content, tmp_path)


def test_members_beyond_the_zip64_threshold_are_readable(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Cover every field of ZIP64 with a lowered threshold."""
    monkeypatch.setattr(zip_archive, "_ZIP64_THRESHOLD", 1000)
    members: list[Content] = [([b"a" * 5000], True), ([b"b" * 5000], False), ([b"c"], True)]
    content = write_archive(members, announced=5000)
    with ZipFile(io.BytesIO(content)) as reader:
        assert [reader.read(name) for name in reader.namelist()] == [b"".join(chunks) for chunks, _ in members]
    check_with_unzip(content, tmp_path)


def test_more_than_65535_members_are_readable(tmp_path: Path) -> None:
    content = write_archive([([b""], True)] * 65_536)
    with ZipFile(io.BytesIO(content)) as reader:
        assert len(reader.namelist()) == 65_536
    check_with_unzip(content, tmp_path)


@pytest.mark.parametrize("stored", [True, False])
def test_member_beyond_4_gib_is_rejected_without_zip64(monkeypatch: pytest.MonkeyPatch, *, stored: bool) -> None:
    monkeypatch.setattr(zip_archive, "MAX_ZIP32_BYTES", 1000)
    noise = b"".join(zlib.crc32(bytes([number])).to_bytes(4, "big") for number in range(256)) * 2
    with pytest.raises(TooLargeForZipError):
        write_archive([([noise], stored)], with_zip64=False)


@pytest.mark.parametrize("stored", [True, False])
def test_memory_does_not_grow_with_the_size_of_a_member(*, stored: bool) -> None:
    block, blocks = bytes(BLOCK_SIZE), 64
    crc = zlib.crc32(bytes(blocks * BLOCK_SIZE))

    def chunks() -> Iterator[bytes]:
        archive = ZipArchive(AT)
        if stored:
            archive.start_stored("film.mp4", SizeAndCrc(blocks * BLOCK_SIZE, crc))
        else:
            archive.start_deflated("notat.txt", blocks * BLOCK_SIZE)
        for _ in range(blocks):
            archive.write(block)
            yield from archive.take_ready()
        yield from archive.finish()

    tracemalloc.start()
    for chunk in chunks():
        assert len(chunk) <= 2 * BLOCK_SIZE
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 8 * BLOCK_SIZE


@pytest.mark.soak
def test_members_of_more_than_4_gib_are_readable(tmp_path: Path) -> None:
    """A stored member, a deflated one, and a third that begins beyond both."""
    block, blocks = bytes(BLOCK_SIZE), 4 * 1024 + 1
    crc = 0
    for _ in range(blocks):
        crc = zlib.crc32(block, crc)
    archive, path = ZipArchive(AT), tmp_path / "large.zip"
    with path.open("wb") as file:
        archive.start_stored("film.mp4", SizeAndCrc(blocks * BLOCK_SIZE, crc))
        for number in range(2 * blocks):
            if number == blocks:
                archive.start_deflated("notat.txt", blocks * BLOCK_SIZE)
            archive.write(block)
            file.writelines(archive.take_ready())
        archive.start_deflated("manifest.json")
        archive.write(b"{}")
        file.writelines(archive.finish())
    with ZipFile(path) as reader:
        assert [info.file_size for info in reader.infolist()] == [blocks * BLOCK_SIZE, blocks * BLOCK_SIZE, 2]
        assert reader.testzip() is None
    if unzip := shutil.which("unzip"):
        subprocess.run([unzip, "-tqq", str(path)], check=True, capture_output=True)
