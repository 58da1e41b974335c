"""A ZIP file that is made as it goes, read by other programs."""

import io
import shutil
import subprocess
import tracemalloc
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from zipfile import ZipFile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stafett.attachment_bundler.zip_stream import ZipStream

AT = datetime(2026, 12, 31, 23, 59, 59, tzinfo=UTC)
MORE_THAN_4_GIB = 2**32 + 1


def zipped(members: list[tuple[list[bytes], bool]], at: datetime = AT, size: int = 0) -> bytes:
    stream, out = ZipStream(at), bytearray()
    for number, (chunks, stored) in enumerate(members):
        for chunk in stream.member(f"vedlegg-{number}-æøå.bin", size or sum(map(len, chunks)), chunks, stored=stored):
            out += chunk
    return bytes(out + stream.end())


@given(st.lists(st.tuples(st.lists(st.binary()), st.booleans()), max_size=6))
def test_every_member_comes_back(members: list[tuple[list[bytes], bool]]) -> None:
    with ZipFile(io.BytesIO(zipped(members))) as read:
        assert [read.read(name) for name in read.namelist()] == [b"".join(chunks) for chunks, _ in members]
        assert read.testzip() is None


def test_the_same_members_are_the_same_bytes() -> None:
    members = [([b"a" * 1000], True), ([b"b" * 1000], False)]
    assert zipped(members) == zipped(members)


@pytest.mark.parametrize(("year", "written"), [(1901, 1980), (2026, 2026), (2199, 2107)])
def test_a_year_that_no_zip_file_knows_is_the_nearest_one(year: int, written: int) -> None:
    with ZipFile(io.BytesIO(zipped([([b"x"], True)], AT.replace(year=year)))) as read:
        assert read.infolist()[0].date_time == (written, 12, 31, 23, 59, 58)


@pytest.mark.parametrize("stored", [True, False])
def test_a_member_beyond_4_gib_is_a_zip64_one(tmp_path: Path, *, stored: bool) -> None:
    """Announced as one: that is what decides, and what readers have to understand."""
    content = zipped([([b"lite"], stored)], size=MORE_THAN_4_GIB)
    assert b"\x01\x00" in content[:80]
    with ZipFile(io.BytesIO(content)) as read:
        assert read.read(read.namelist()[0]) == b"lite"
    (tmp_path / "large.zip").write_bytes(content)
    if unzip := shutil.which("unzip"):
        subprocess.run([unzip, "-tqq", str(tmp_path / "large.zip")], check=True, capture_output=True)


@pytest.mark.parametrize("stored", [True, False])
def test_memory_does_not_grow_with_a_member(*, stored: bool) -> None:
    block, blocks = bytes(1024 * 1024), 64

    def content() -> Iterator[bytes]:
        for _ in range(blocks):
            yield block

    stream = ZipStream(AT)
    tracemalloc.start()
    for chunk in stream.member("film.mp4", blocks * len(block), content(), stored=stored):
        assert len(chunk) <= 2 * len(block)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 8 * len(block)
