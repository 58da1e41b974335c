import io
import zipfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import openpyxl
import pytest
from openpyxl.worksheet.datavalidation import DataValidation

import stafett.column_mapper
from stafett.column_mapper import MappingDocument, load_mapping
from stafett.column_mapper.template import (
    TemplateDifference,
    UnreadableTemplateError,
    compare_template,
    render_blank_template,
)
from stafett.column_mapper.template.text_matching import find_out_of_order
from stafett.domain.errors import StafettError
from stafett.domain.export import Locale
from tests.mapping.nhf_template import LISTS, SHEET, NhfTemplate

ORGANISATIONS = Path(stafett.column_mapper.__file__).parent / "organisations"
NHF = load_mapping((ORGANISATIONS / "nhf" / "2020-01-01.json").read_bytes())
DOCUMENTS = sorted(ORGANISATIONS.glob("*/*.json"))
LOCALES: tuple[Locale, ...] = ("nb", "nn", "en")


@pytest.fixture
def template() -> NhfTemplate:
    return NhfTemplate()


@pytest.fixture
def found(template: NhfTemplate, tmp_path: Path) -> Callable[[], list[TemplateDifference]]:
    return lambda: compare_template(NHF, template.saved(tmp_path), "nb")


Found = Callable[[], list[TemplateDifference]]


def _said(found: Found) -> list[tuple[str, str, str]]:
    return [(one.location, one.code, one.detail) for one in found()]


def _changed(**changes: Any) -> MappingDocument:
    return NHF.model_copy(update=changes)


def _loaded(content: bytes) -> Any:
    return openpyxl.load_workbook(io.BytesIO(content))


def test_nhf_document_agrees_with_a_template_made_by_hand(found: Found) -> None:
    assert _said(found) == []


def test_a_template_in_another_language_is_said_to_be_and_compared_in_it(template: NhfTemplate, tmp_path: Path) -> None:
    template.write("H4", "Stedet")
    found = compare_template(NHF, template.saved(tmp_path), "nn")
    assert [(one.location, one.code, one.detail) for one in found] == [
        (SHEET, "language", "The headers are the document's in “nb”, not in “nn”; they are compared as such."),
        (f"{SHEET}!H4", "header_spelling", "The template says “Stedet”, the document “Sted” (column place)."),
    ]


def test_a_missing_header_is_named_with_its_column(template: NhfTemplate, found: Found) -> None:
    template.sheet.delete_cols(19)
    assert _said(found) == [("column activity_id", "header_missing", "The template has no “Aktivitets-ID”.")]


def test_a_missing_header_in_the_middle_puts_no_other_out_of_order(template: NhfTemplate, found: Found) -> None:
    template.sheet.data_validations.dataValidation.clear()
    template.sheet.delete_cols(8)
    assert _said(found) == [("column place", "header_missing", "The template has no “Sted”.")]


def test_a_header_too_many_is_named_with_its_cell(template: NhfTemplate, found: Found) -> None:
    template.write("T4", "Fylke")
    detail = "The template has “Fylke”, the document has no such column."
    assert _said(found) == [("Likepersonsaktivitet!T4", "header_extra", detail)]


def test_a_header_that_comes_twice_is_one_too_many(template: NhfTemplate, found: Found) -> None:
    template.write("T4", "Dato")
    detail = "The template has “Dato” a second time, the document has no such column."
    assert _said(found) == [("Likepersonsaktivitet!T4", "header_extra", detail)]


def test_a_header_in_other_spelling_is_said_beside_the_one_that_was_meant(template: NhfTemplate, found: Found) -> None:
    template.write("S4", "Aktivitets ID")
    template.write("E4", "Varighet\n(minutter)")
    assert _said(found) == [
        (
            "Likepersonsaktivitet!E4",
            "header_spelling",
            "The template says “Varighet\n(minutter)”, the document “Varighet (minutter)” (column minutes).",
        ),
        (
            "Likepersonsaktivitet!S4",
            "header_spelling",
            "The template says “Aktivitets ID”, the document “Aktivitets-ID” (column activity_id).",
        ),
    ]


def test_of_headers_out_of_order_the_one_that_moved_is_named(template: NhfTemplate, found: Found) -> None:
    for cell, text in (("G4", "Sted"), ("H4", "Deltakere"), ("I4", "Likeperson")):
        template.write(cell, text)
    detail = "“Likeperson” stands in another place: in the document it comes after “Timer”."
    assert _said(found) == [("Likepersonsaktivitet!I4", "header_order", detail)]


def test_an_empty_cell_between_headers_is_said(template: NhfTemplate, found: Found) -> None:
    template.sheet.data_validations.dataValidation.clear()
    template.sheet.insert_cols(3)
    detail = "There is nothing between “Kategori” and “Aktivitetstype”."
    assert _said(found) == [("Likepersonsaktivitet!C4", "header_empty", detail)]


def test_headers_in_another_row_are_found_and_still_compared(template: NhfTemplate, found: Found) -> None:
    template.sheet.insert_rows(3, amount=2)
    template.write("S6", "ID")
    codes = {one.code: one.location for one in found()}
    assert codes == {
        "header_place": "Likepersonsaktivitet!A6",
        "header_extra": "Likepersonsaktivitet!S6",
        "header_missing": "column activity_id",
    }


def test_headers_that_begin_in_another_column_are_said_to(template: NhfTemplate, found: Found) -> None:
    template.sheet.data_validations.dataValidation.clear()
    template.sheet.insert_cols(1)
    detail = "The headers begin at B4, in the document at A4."
    assert _said(found) == [("Likepersonsaktivitet!B4", "header_place", detail)]


def test_a_sheet_of_another_spelling_is_taken_for_the_one_that_was_meant(template: NhfTemplate, found: Found) -> None:
    template.sheet.title = "Likepersonaktivitet"
    detail = "There is no sheet “Likepersonsaktivitet”; “Likepersonaktivitet” is probably meant, and is compared."
    assert _said(found) == [("Likepersonaktivitet", "sheet_spelling", detail)]


def test_a_sheet_that_is_not_there_is_said_with_those_that_are(template: NhfTemplate, found: Found) -> None:
    template.sheet.title = "Ark1"
    detail = "There is no sheet “Likepersonsaktivitet”; there are: “Ark1”, “Valg”."
    assert _said(found) == [("workbook", "sheet_missing", detail)]


def test_an_empty_sheet_has_no_headers(tmp_path: Path) -> None:
    book = openpyxl.Workbook()
    book.worksheets[0].title = SHEET
    book.save(tmp_path / "tom.xlsx")
    (one,) = compare_template(NHF, tmp_path / "tom.xlsx", "nb")
    assert (one.location, one.code) == (SHEET, "no_headers")


@pytest.mark.parametrize(
    ("header", "formula", "expected"),
    [
        (
            "Kategori",
            '"Individuelt likepersonsarbeid, Likepersonsarbeid i gruppe,Opplæring av likepersoner"',
            [("B4", "value_missing", "lacks “Øvrig aktivitet”, which the document writes.")],
        ),
        (
            "Tellende",
            '"Ja,Nei,Vet ikke"',
            [("P4", "value_extra", "has “Vet ikke”, which the document never writes.")],
        ),
        (
            "Tellende",
            '"ja,Nei"',
            [("P4", "value_spelling", "says “ja”, the document “Ja”.")],
        ),
        (
            "Gruppestørrelse",
            f"{LISTS}!$B$2:$B$5",
            [("K4", "value_missing", "lacks “Ingen deltakere”, which the document writes.")],
        ),
        (
            "Gruppestørrelse",
            f"'{LISTS}'!B:B",
            [],
        ),
        (
            "Aktivitetstype",
            "=valg!A1:A8",
            [],
        ),
    ],
)
def test_what_a_list_allows_is_held_against_what_is_written(
    template: NhfTemplate, found: Found, header: str, formula: str, expected: list[tuple[str, str, str]]
) -> None:
    template.allow(header, formula)
    begin = f"The template's list for “{header}” "
    assert _said(found) == [(f"{SHEET}!{cell}", code, begin + detail) for cell, code, detail in expected]


def test_a_list_on_the_same_sheet_is_read_there(template: NhfTemplate, found: Found) -> None:
    template.write("Z10", "Ja")
    template.write("Z11", "Nei")
    template.allow("I Norge", "$Z$10:$Z$11")
    assert _said(found) == []


def test_a_list_in_a_column_of_free_text_is_said(template: NhfTemplate, found: Found) -> None:
    template.allow("Merknad", '"Bra,Dårlig"')
    detail = "The template has a list for “Merknad”; the document's column is of type text."
    assert _said(found) == [("Likepersonsaktivitet!R4", "list_unexpected", detail)]


@pytest.mark.parametrize("formula", ['INDIRECT("A1")', "OFFSET(Valg!$A$1,0,0,3,1)", "Ukjent", "Borte!$A$1:$A$2"])
def test_a_list_that_would_have_to_be_computed_is_left_to_people(
    template: NhfTemplate, found: Found, formula: str
) -> None:
    template.allow("Kategori", formula)
    detail = f"The list for “Kategori” is computed ({formula}); please compare it by hand."
    assert _said(found) == [("Likepersonsaktivitet!B4", "list_computed", detail)]


def test_a_list_that_excel_keeps_among_its_extensions_is_read(template: NhfTemplate, tmp_path: Path) -> None:
    template.allow("Tellende", "Ukjent")
    path = template.saved(tmp_path)
    extended = (
        '<extLst><ext xmlns:x14="http://schemas.microsoft.com/office/spreadsheetml/2009/9/main"'
        ' uri="{CCE6A557-97BC-4b89-ADB6-D9C93CAAB3DF}"><x14:dataValidations'
        ' xmlns:xm="http://schemas.microsoft.com/office/excel/2006/main" count="1">'
        '<x14:dataValidation type="list"><x14:formula1><xm:f>Valg!$B$1:$B$4</xm:f></x14:formula1>'
        "<xm:sqref>K5:K500</xm:sqref></x14:dataValidation></x14:dataValidations></ext></extLst></worksheet>"
    )
    _rewrite(path, "xl/worksheets/sheet1.xml", lambda part: part.replace(b"</worksheet>", extended.encode()))
    details = [one.detail for one in compare_template(NHF, path, "nb") if one.location.endswith("K4")]
    assert details == [
        "The template's list for “Gruppestørrelse” lacks “Mer enn 12 deltakere”, which the document writes."
    ]


def _rewrite(path: Path, part: str, change: Callable[[bytes], bytes]) -> None:
    with zipfile.ZipFile(path) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in parts.items():
            archive.writestr(name, change(content) if name == part else content)


def _refusal(path: Path) -> str:
    with pytest.raises(UnreadableTemplateError) as refused:
        compare_template(NHF, path, "nb")
    return str(refused.value).removeprefix(f"{path} cannot be read as a template: ")


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "it is empty."),
        (b"Dato;Kategori\r\n", "it is not an Excel workbook (.xlsx), or it is damaged."),
        (b"PK\x03\x04 and no more", "it is not an Excel workbook (.xlsx), or it is damaged."),
        (
            b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(500),
            "it is encrypted, or of Excel's old form (.xls); save it as .xlsx.",
        ),
        (bytes(20 * 1024 * 1024 + 1), "it is larger than 20 MiB."),
    ],
    ids=["nothing", "csv", "cut off", "encrypted", "huge"],
)
def test_what_is_no_workbook_is_refused_in_a_sentence(tmp_path: Path, content: bytes, reason: str) -> None:
    path = tmp_path / "mal.xlsx"
    path.write_bytes(content)
    assert _refusal(path) == reason


def test_a_template_that_is_not_there_is_refused_in_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(StafettError, match=r"borte\.xlsx cannot be read: No such file or directory\.$"):
        compare_template(NHF, tmp_path / "borte.xlsx", "nb")


def test_a_zip_bomb_is_refused_before_it_is_unpacked(template: NhfTemplate, tmp_path: Path) -> None:
    path = template.saved(tmp_path)
    _rewrite(path, "xl/theme/theme1.xml", lambda _: bytes(65 * 1024 * 1024))
    assert _refusal(path) == "unpacked it is larger than 64 MiB."


def test_a_workbook_of_millions_of_cells_is_refused(template: NhfTemplate, tmp_path: Path) -> None:
    path = template.saved(tmp_path)
    _rewrite(path, "xl/worksheets/sheet1.xml", lambda _: b"<worksheet><sheetData><row>" + b"<c/>" * 2_100_000)
    assert _refusal(path) == "it has more than 2000000 cells and other elements."


def test_entities_that_grow_are_refused(template: NhfTemplate, tmp_path: Path) -> None:
    path = template.saved(tmp_path)
    bomb = b'<!DOCTYPE x [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;">]><worksheet>&b;</worksheet>'
    _rewrite(path, "xl/worksheets/sheet1.xml", lambda _: bomb)
    assert _refusal(path) == "it has a document type, which no spreadsheet program writes."


@pytest.mark.parametrize(
    "part", ["xl/workbook.xml", "xl/styles.xml", "[Content_Types].xml", "xl/worksheets/sheet1.xml"]
)
@pytest.mark.parametrize(
    "content", [b"", b"<a/>", b"<worksheet><sheetData><row r='x'>"], ids=["empty", "other", "torn"]
)
def test_a_damaged_part_never_ends_in_a_traceback(
    template: NhfTemplate, tmp_path: Path, part: str, content: bytes
) -> None:
    path = template.saved(tmp_path)
    _rewrite(path, part, lambda _: content)
    with suppress(UnreadableTemplateError):
        compare_template(NHF, path, "nb")


@pytest.mark.parametrize("locale", LOCALES)
@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_a_blank_template_agrees_with_the_document_it_is_made_of(path: Path, locale: Locale, tmp_path: Path) -> None:
    document = load_mapping(path.read_bytes())
    blank = tmp_path / "blank.xlsx"
    blank.write_bytes(render_blank_template(document, locale))
    assert compare_template(document, blank, locale) == []


def test_a_blank_template_looks_as_the_layout_says() -> None:
    sheet = _loaded(render_blank_template(NHF, "nb"))[SHEET]
    assert [sheet["A1"].value, sheet["A2"].value] == [
        "Norges Handikapforbund",
        "Likepersonsaktivitet, rapport til Bufdir",
    ]
    assert [cell.value for cell in sheet[4]] == [column.header.nb for column in NHF.columns]
    assert sheet.freeze_panes == "A5"
    assert sheet.column_dimensions["B"].width == 30
    formats = {letter: sheet.column_dimensions[letter].number_format for letter in "ADEFG"}
    assert formats == {"A": "dd.mm.yyyy", "D": "hh:mm", "E": "0", "F": "0.00", "G": "@"}


def test_a_blank_template_allows_a_thousand_rows_of_each_choice() -> None:
    validations = _loaded(render_blank_template(NHF, "nb"))[SHEET].data_validations.dataValidation
    assert {str(one.sqref): one.formula1 for one in validations}["P5:P1004"] == '"Ja,Nei"'
    assert len(validations) == 7
    assert all(isinstance(one, DataValidation) and one.type == "list" for one in validations)


def test_lists_that_excel_does_not_take_in_place_stand_on_a_hidden_sheet() -> None:
    def option(number: int) -> dict[str, Any]:
        name = f"Fylke nummer {number}, med komma" if number == 1 else f"Fylke nummer {number}"
        return {"code": f"f{number}", "label": {"nb": name, "nn": name, "en": name}}

    raw = NHF.as_json()
    raw["taxonomies"]["category"] = [option(number) for number in range(1, 41)]
    raw["taxonomies"]["size_band"] = [option(1)]
    book = _loaded(render_blank_template(MappingDocument.model_validate(raw), "nb"))
    assert book["Lister"].sheet_state == "hidden"
    assert [book["Lister"]["A40"].value, book["Lister"]["B1"].value] == ["Fylke nummer 40", "Fylke nummer 1, med komma"]
    formulas = {str(one.sqref): one.formula1 for one in book[SHEET].data_validations.dataValidation}
    assert formulas["B5:B1004"] == "'Lister'!$A$1:$A$40"
    assert formulas["K5:K1004"] == "'Lister'!$B$1:$B$1"


def test_a_text_that_begins_like_a_formula_stays_a_text(tmp_path: Path) -> None:
    raw = NHF.as_json()
    raw["columns"][0]["header"] = dict.fromkeys(LOCALES, "=1+1")
    document = MappingDocument.model_validate(raw)
    path = tmp_path / "blank.xlsx"
    path.write_bytes(render_blank_template(document, "nb"))
    assert openpyxl.load_workbook(path)[SHEET]["A4"].data_type == "s"
    assert compare_template(document, path, "nb") == []


def test_a_choice_that_keeps_other_values_only_warns_of_them() -> None:
    column = NHF.columns[1].model_copy(update={"unknown": "keep", "required": False})
    book = _loaded(render_blank_template(_changed(columns=(column,)), "nb"))
    (validation,) = book[SHEET].data_validations.dataValidation
    assert (validation.errorStyle, validation.allow_blank) == ("warning", True)


@pytest.mark.parametrize(
    ("numbers", "moved"),
    [([], []), ([0, 1, 2], []), ([1, 2, 0], [2]), ([2, 0, 1], [0]), ([0, 3, 1, 2], [1]), ([2, 1, 0], [0, 1])],
)
def test_as_few_as_can_be_are_out_of_order(numbers: list[int], moved: list[int]) -> None:
    assert find_out_of_order(numbers) == moved
