import pytest

from stafett.file_generator.xlsx import TruncatedCell, TruncatedTexts
from stafett.file_generator.xlsx.builder import SheetLimits
from stafett.file_generator.xlsx.cell_text import MAX_CELL_UNITS, count_utf16_units
from tests.support.workbooks import TEXT_DOCUMENT, build_text_frame, open_workbook, read_with_openpyxl, render_xlsx


def test_longest_text_that_fits_is_not_truncated() -> None:
    truncated, text = TruncatedTexts(), "æ" * MAX_CELL_UNITS
    assert read_with_openpyxl(render_xlsx([build_text_frame(text)], TEXT_DOCUMENT, truncated=truncated)) == [[text]]
    assert truncated.count == 0


@pytest.mark.parametrize("character", ["a", "æ", "𝄞", "<"])
def test_longer_text_is_truncated_with_a_mark_between_characters(character: str) -> None:
    truncated = TruncatedTexts()
    ((text,),) = read_with_openpyxl(
        render_xlsx([build_text_frame(character * (MAX_CELL_UNITS + 1))], TEXT_DOCUMENT, truncated=truncated)
    )
    assert text.endswith(f"{character} … [kuttet]")
    assert MAX_CELL_UNITS - 1 <= count_utf16_units(text) <= MAX_CELL_UNITS
    assert truncated.count == 1


def test_truncated_cells_are_reported_to_caller_and_reader() -> None:
    truncated, long_text = TruncatedTexts(), "x" * 40_000
    frames = [
        build_text_frame("kort", long_text, "kort"),
        build_text_frame(long_text, None),
        build_text_frame(long_text),
    ]
    file = render_xlsx(frames, TEXT_DOCUMENT, truncated=truncated, limits=SheetLimits(max_rows=5))
    assert truncated.get_cells("the_text") == (
        TruncatedCell(sheet="Rapport", cell="A3"),
        TruncatedCell(sheet="Rapport", cell="A5"),
        TruncatedCell(sheet="Rapport (2)", cell="A3"),
    )
    (failure,) = truncated.to_partial_failures("nb")
    assert (failure.code, failure.column, failure.affected_count, failure.is_fatal) == (
        "text_cut",
        "the_text",
        3,
        False,
    )
    assert failure.failure_reason.endswith("er kuttet i: Rapport!A3, Rapport!A5, Rapport (2)!A3")
    rows = list(open_workbook(file)["Avvik"].iter_rows(min_row=3, values_only=True))
    assert [row[:5] for row in rows] == [(failure.failure_reason, "Tekst", "text_cut", "Merknad", 3)]


def test_many_truncated_cells_are_counted_and_the_first_listed() -> None:
    truncated = TruncatedTexts()
    render_xlsx([build_text_frame(*["x" * 32_768] * 12)], TEXT_DOCUMENT, truncated=truncated)
    (failure,) = truncated.to_partial_failures("en")
    assert failure.affected_count == 12
    assert failure.failure_reason.endswith("Rapport!A10, Rapport!A11 …")
