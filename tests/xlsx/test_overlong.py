import pytest

from stafett.file_generator.xlsx import TruncatedCell, TruncatedTexts
from stafett.file_generator.xlsx.builder import SheetLimits
from stafett.file_generator.xlsx.cell_text import MAX_CELL_UNITS, count_utf16_units
from tests.xlsx.books import ONLY_TEXT, by_openpyxl, opened, rendered, texts


def test_the_longest_text_that_fits_stays_whole() -> None:
    cut, text = TruncatedTexts(), "æ" * MAX_CELL_UNITS
    assert by_openpyxl(rendered([texts(text)], ONLY_TEXT, cut=cut)) == [[text]]
    assert cut.count == 0


@pytest.mark.parametrize("letter", ["a", "æ", "𝄞", "<"])
def test_a_longer_one_is_cut_with_a_mark_and_no_character_is_halved(letter: str) -> None:
    cut = TruncatedTexts()
    ((found,),) = by_openpyxl(rendered([texts(letter * (MAX_CELL_UNITS + 1))], ONLY_TEXT, cut=cut))
    assert found.endswith(f"{letter} … [kuttet]")
    assert MAX_CELL_UNITS - 1 <= count_utf16_units(found) <= MAX_CELL_UNITS
    assert cut.count == 1


def test_who_asked_for_the_file_learns_which_and_the_reader_too() -> None:
    cut, long = TruncatedTexts(), "x" * 40_000
    frames = [texts("kort", long, "kort"), texts(long, None), texts(long)]
    file = rendered(frames, ONLY_TEXT, cut=cut, limits=SheetLimits(max_rows=5))
    assert cut.get_cells("the_text") == (
        TruncatedCell(sheet="Rapport", cell="A3"),
        TruncatedCell(sheet="Rapport", cell="A5"),
        TruncatedCell(sheet="Rapport (2)", cell="A3"),
    )
    (failure,) = cut.to_partial_failures("nb")
    assert (failure.code, failure.column, failure.affected_count, failure.is_fatal) == (
        "text_cut",
        "the_text",
        3,
        False,
    )
    assert failure.failure_reason.endswith("er kuttet i: Rapport!A3, Rapport!A5, Rapport (2)!A3")
    rows = list(opened(file)["Avvik"].iter_rows(min_row=3, values_only=True))
    assert [row[:5] for row in rows] == [(failure.failure_reason, "Tekst", "text_cut", "Merknad", 3)]


def test_of_many_the_first_are_named_and_all_are_counted() -> None:
    cut = TruncatedTexts()
    rendered([texts(*["x" * 32_768] * 12)], ONLY_TEXT, cut=cut)
    (failure,) = cut.to_partial_failures("en")
    assert failure.affected_count == 12
    assert failure.failure_reason.endswith("Rapport!A10, Rapport!A11 …")
