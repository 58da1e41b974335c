"""A ZIP file that is made as it goes, read by other programs."""

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


def known(chunks: list[bytes]) -> SizeAndCrc:
    content = b"".join(chunks)
    return SizeAndCrc(len(content), zlib.crc32(content))


def zipped(members: list[Content], at: datetime = AT, announced: int = 0, *, with_zip64: bool = True) -> bytes:
    archive, out = ZipArchive(at, allow_zip64=with_zip64), bytearray()
    for number, (chunks, stored) in enumerate(members):
        name = f"vedlegg-{number}-æøå.bin"
        if stored:
            archive.start_stored(name, known(chunks))
        else:
            archive.start_deflated(name, announced)
        for chunk in chunks:
            archive.write(chunk)
            out += b"".join(archive.take_ready())
    return bytes(out + b"".join(archive.finish()))


def hold_against_unzip(content: bytes, folder: Path) -> None:
    (folder / "made.zip").write_bytes(content)
    if unzip := shutil.which("unzip"):
        subprocess.run([unzip, "-tqq", str(folder / "made.zip")], check=True, capture_output=True)


@given(st.lists(st.tuples(st.lists(st.binary()), st.booleans()), max_size=6))
def test_every_member_comes_back(members: list[Content]) -> None:
    with ZipFile(io.BytesIO(zipped(members))) as read:
        assert [read.read(name) for name in read.namelist()] == [b"".join(chunks) for chunks, _ in members]
        assert read.testzip() is None
        assert [info.compress_type for info in read.infolist()] == [
            ZIP_STORED if stored else ZIP_DEFLATED for _, stored in members
        ]


def test_the_same_members_are_the_same_bytes_however_they_come() -> None:
    long = b"".join(number.to_bytes(4, "big") for number in range(700_000))
    pieces = [long[start : start + 99_999] for start in range(0, len(long), 99_999)]
    assert zipped([(pieces, False), (pieces, True)]) == zipped([([long], False), ([long], True)])


def test_a_reader_that_cannot_seek_knows_a_stored_members_end_beforehand() -> None:
    with ZipFile(io.BytesIO(zipped([([b"lite"], True), ([b"lite"], False)]))) as read:
        assert [bool(info.flag_bits & 0x08) for info in read.infolist()] == [False, True]


@pytest.mark.parametrize("came", [b"to", b"fire!"])
def test_a_stored_member_that_is_not_what_was_announced_is_no_file(came: bytes) -> None:
    archive = ZipArchive(AT)
    archive.start_stored("a", known([b"tre"]))
    archive.write(came)
    with pytest.raises(RuntimeError, match=f"3 bytes were announced, and {len(came)} came"):
        list(archive.finish())


@pytest.mark.parametrize(("year", "written"), [(1901, 1980), (2026, 2026), (2199, 2107)])
def test_a_year_that_no_zip_file_knows_is_the_nearest_one(year: int, written: int) -> None:
    with ZipFile(io.BytesIO(zipped([([b"x"], True)], AT.replace(year=year)))) as read:
        assert read.infolist()[0].date_time == (written, 12, 31, 23, 59, 58)


def test_a_member_that_is_announced_beyond_4_gib_is_a_zip64_one(tmp_path: Path) -> None:
    """Announced as one: that is what decides, and what readers have to understand."""
    content = zipped([([b"lite"], False), ([b"mer"], True)], announced=MORE_THAN_4_GIB)
    with ZipFile(io.BytesIO(content)) as read:
        assert [read.read(name) for name in read.namelist()] == [b"lite", b"mer"]
        assert read.infolist()[0].extract_version == 45
    hold_against_unzip(content, tmp_path)


def test_what_lies_beyond_4_gib_is_found_again(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Every field of ZIP64, as they would be, with the limit brought near."""
    monkeypatch.setattr(zip_archive, "_ZIP64_THRESHOLD", 1000)
    members: list[Content] = [([b"a" * 5000], True), ([b"b" * 5000], False), ([b"c"], True)]
    content = zipped(members, announced=5000)
    with ZipFile(io.BytesIO(content)) as read:
        assert [read.read(name) for name in read.namelist()] == [b"".join(chunks) for chunks, _ in members]
    hold_against_unzip(content, tmp_path)


def test_more_members_than_the_old_form_counts(tmp_path: Path) -> None:
    content = zipped([([b""], True)] * 65_536)
    with ZipFile(io.BytesIO(content)) as read:
        assert len(read.namelist()) == 65_536
    hold_against_unzip(content, tmp_path)


@pytest.mark.parametrize("stored", [True, False])
def test_without_zip64_more_is_refused(monkeypatch: pytest.MonkeyPatch, *, stored: bool) -> None:
    monkeypatch.setattr(zip_archive, "MAX_ZIP32_BYTES", 1000)
    noise = b"".join(zlib.crc32(bytes([number])).to_bytes(4, "big") for number in range(256)) * 2
    with pytest.raises(TooLargeForZipError):
        zipped([([noise], stored)], with_zip64=False)


@pytest.mark.parametrize("stored", [True, False])
def test_memory_does_not_grow_with_a_member(*, stored: bool) -> None:
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
def test_more_than_4_gib_for_real(tmp_path: Path) -> None:
    """A film, a text, and a third member that begins beyond both."""
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
    with ZipFile(path) as read:
        assert [info.file_size for info in read.infolist()] == [blocks * BLOCK_SIZE, blocks * BLOCK_SIZE, 2]
        assert read.testzip() is None
    if unzip := shutil.which("unzip"):
        subprocess.run([unzip, "-tqq", str(path)], check=True, capture_output=True)
