"""Names of attachments in a bundle."""

import re
import unicodedata
from datetime import date
from pathlib import PureWindowsPath
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stafett.attachment_bundler.names import build_member_name, is_compressed

DAY, ACTIVITY = date(2026, 3, 29), UUID("7f0c2a1e-0000-4000-8000-000000000001")
START = f"attachments/2026-03-29-{ACTIVITY}-1-"
AWKWARD = st.sampled_from(
    ["CON", "nul.txt", "a.", "b ", "../../etc/passwd", "..\\x", "a\x00b.pdf", "\u202egpj.exe", "a" * 300, "𐐷" * 99, ""]
)
FILE_NAMES = st.one_of(st.text(), AWKWARD, st.builds("{}.{}".format, st.text(), st.text()))
MIME_TYPES = st.sampled_from(["application/pdf", "image/png", "text/plain", "application/octet-stream", "", "x/../y"])


def build_name(file_name: str, mime_type: str = "application/pdf", number: int = 1) -> str:
    return build_member_name(DAY, ACTIVITY, number, file_name, mime_type)


@given(FILE_NAMES, MIME_TYPES)
def test_every_name_is_valid_on_every_operating_system(file_name: str, mime_type: str) -> None:
    name = build_name(file_name, mime_type)
    folder, last = name.split("/")
    assert folder == "attachments"
    assert not re.search(r'[<>:"/\\|?*]', last)
    assert all(unicodedata.category(one)[0] in "LMN" or one in "-." for one in last)
    assert not PureWindowsPath(last).is_reserved()
    assert last[-1] not in ". "
    assert len(last.encode()) <= 200
    assert len(name) <= 210
    assert re.fullmatch(r"[^.]+\.[a-z0-9]+", last)
    assert unicodedata.is_normalized("NFC", name)


@given(st.lists(FILE_NAMES, min_size=2, max_size=30))
def test_names_are_unique_ignoring_case_and_accents(file_names: list[str]) -> None:
    names = [build_name(file_name, number=number) for number, file_name in enumerate(file_names, 1)]
    folded = {unicodedata.normalize("NFKD", name).casefold().encode("ascii", "ignore") for name in names}
    assert len(folded) == len(names)


@pytest.mark.parametrize(
    ("file_name", "mime_type", "expected"),
    [
        ("Møtereferat på Røros.pdf", "application/pdf", "Møtereferat-på-Røros.pdf"),
        ("Áhkku ja áddjá, čáhci.PDF", "application/pdf", "Áhkku-ja-áddjá-čáhci.pdf"),
        ("A\u030arsmøte.pdf", "application/pdf", "Årsmøte.pdf"),
        ("..\\møte?.pdf", "application/pdf", "møte.pdf"),
        ("liste.tar.gz", "application/gzip", "liste-tar.gz"),
        ("bilde", "image/png", "bilde.png"),
        ("bilde.", "image/png", "bilde.png"),
        (".pdf", "application/pdf", "pdf.pdf"),
        ("???.pdf", "application/pdf", "file.pdf"),
        ("notat.æøå", "unknown/type", "notat-æøå.bin"),
        ("", "", "file.bin"),
    ],
)
def test_readable_characters_and_valid_extensions_are_preserved(file_name: str, mime_type: str, expected: str) -> None:
    assert build_name(file_name, mime_type) == START + expected


@pytest.mark.parametrize(
    ("name", "mime_type", "compressed"),
    [
        ("a.xlsx", "", True),
        ("a.bin", "application/pdf", True),
        ("a.JPG", "application/octet-stream", True),
        ("a.bin", "application/vnd.oasis.opendocument.text", True),
        ("a.csv", "text/csv", False),
        ("a.svg", "image/svg+xml", False),
        ("a.bmp", "image/bmp", False),
    ],
)
def test_compressed_files_are_recognised_by_type_or_extension(name: str, mime_type: str, *, compressed: bool) -> None:
    assert is_compressed(name, mime_type) is compressed
