"""Generated attachment files of seeded activities."""

import re
import struct
import zlib

import pytest

from stafett.seed.attachment_files import DISTINCT_FILE_COUNT, build_attachment_file
from stafett.seed.images import render_gif, render_png
from stafett.seed.pdf import render_pdf


def test_every_xref_entry_of_a_pdf_points_at_its_object() -> None:
    pdf = render_pdf(["Blåbærsyltetøy (rørt)", "C:\\møte"])
    start = int(re.findall(rb"startxref\n(\d+)\n%%EOF", pdf)[0])
    assert pdf[start:].startswith(b"xref\n0 6\n")
    offsets = re.findall(rb"(\d{10}) 00000 n \n", pdf[start:])
    assert [pdf[int(position) :].split(b" ", 1)[0] for position in offsets] == [b"1", b"2", b"3", b"4", b"5"]


def test_text_of_a_pdf_has_the_declared_length() -> None:
    pdf = render_pdf(["én", "to"])
    length, text = re.findall(rb"/Length (\d+) >>\nstream\n(.*)\nendstream", pdf, re.DOTALL)[0]
    assert len(text) == int(length)


def test_brackets_and_backslashes_are_escaped_in_a_pdf() -> None:
    assert rb"(\(a\) \\ b) Tj" in render_pdf([r"(a) \ b"])


def test_png_has_all_pixels_and_valid_checksums() -> None:
    chunks = dict(_parse_chunks(render_png(5)))
    width, height = struct.unpack(">II", chunks[b"IHDR"][:8])
    assert len(zlib.decompress(chunks[b"IDAT"])) == (width + 1) * height
    assert len(chunks[b"PLTE"]) == 128 * 3
    assert list(chunks) == [b"IHDR", b"PLTE", b"IDAT", b"IEND"]


def test_gif_has_a_valid_header_and_trailer() -> None:
    gif = render_gif(5)
    assert gif.startswith(b"GIF89a" + struct.pack("<HH", 120, 80))
    assert gif.endswith(b"\0;")


def test_files_are_distinct_and_named_by_their_mime_type() -> None:
    files = [build_attachment_file(variant) for variant in range(DISTINCT_FILE_COUNT)]
    assert len({file.sha256 for file in files}) == DISTINCT_FILE_COUNT
    assert {(file.name[-4:], file.mime_type) for file in files} == {
        (".pdf", "application/pdf"),
        (".png", "image/png"),
        (".gif", "image/gif"),
    }


@pytest.mark.parametrize("part", ["ø", " ", "å", "..\\møte?", "Áhkku", ";"])
def test_file_names_include_awkward_characters(part: str) -> None:
    assert any(part in build_attachment_file(variant).name for variant in range(DISTINCT_FILE_COUNT))


def _parse_chunks(png: bytes) -> list[tuple[bytes, bytes]]:
    chunks, position = [], 8
    while position < len(png):
        (length,) = struct.unpack(">I", png[position : position + 4])
        kind, content = png[position + 4 : position + 8], png[position + 8 : position + 8 + length]
        assert png[position + 8 + length : position + 12 + length] == struct.pack(">I", zlib.crc32(kind + content))
        chunks.append((kind, content))
        position += 12 + length
    return chunks
