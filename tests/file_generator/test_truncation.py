from typing import Any

import pytest

from stafett.file_generator.xlsx.builder import SheetLimits
from stafett.file_generator.xlsx.cell_text import MAX_CELL_UNITS, count_utf16_units
from tests.support.workbooks import TEXT_DOCUMENT, build_text_frame, open_workbook, read_with_openpyxl, render_xlsx


def read_failures(file: bytes) -> list[tuple[Any, ...]]:
    """Read message, column, code, outcome and count of each partial failure."""
    rows = [row[:5] for row in open_workbook(file)["Avvik"].iter_rows(values_only=True)]
    (header,) = [number for number, row in enumerate(rows) if row[0] == "Hva"]
    return rows[header + 1 :]


def test_longest_text_that_fits_is_not_truncated() -> None:
    text = "æ" * MAX_CELL_UNITS
    file = render_xlsx([build_text_frame(text)], TEXT_DOCUMENT)
    assert read_with_openpyxl(file) == [[text]]
    assert [message for message, *_ in read_failures(file)] == ["Ingen aktivitet er avvist eller har en merknad."]


@pytest.mark.parametrize("character", ["a", "æ", "𝄞", "<"])
def test_longer_text_is_truncated_with_a_mark_between_characters(character: str) -> None:
    file = render_xlsx([build_text_frame(character * (MAX_CELL_UNITS + 1))], TEXT_DOCUMENT)
    ((text,),) = read_with_openpyxl(file)
    assert text.endswith(f"{character} … [kuttet]")
    assert MAX_CELL_UNITS - 1 <= count_utf16_units(text) <= MAX_CELL_UNITS
    assert [count for *_, count in read_failures(file)] == [1]


def test_truncated_cells_are_reported_to_the_reader() -> None:
    long_text = "x" * 40_000
    frames = [
        build_text_frame("kort", long_text, "kort"),
        build_text_frame(long_text, None),
        build_text_frame(long_text),
    ]
    ((message, *details),) = read_failures(render_xlsx(frames, TEXT_DOCUMENT, limits=SheetLimits(max_rows=5)))
    assert message.endswith("er kuttet i: Rapport!A3, Rapport!A5, Rapport (2)!A3")
    assert details == ["Tekst", "text_cut", "Merknad", 3]


def test_many_truncated_cells_are_counted_and_the_first_listed() -> None:
    frames = [build_text_frame(*["x" * 32_768] * 12)]
    ((message, *details),) = read_failures(render_xlsx(frames, TEXT_DOCUMENT))
    assert message.endswith("Rapport!A10, Rapport!A11 …")
    assert details[-1] == 12
