import zipfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import openpyxl
import pytest

import stafett.column_mapper
from stafett.column_mapper import load_mapping
from stafett.column_mapper.template import TemplateDifference, UnreadableTemplateError, compare_template
from stafett.domain.errors import StafettError
from tests.support.mapping.nhf_template import LISTS, SHEET, NhfTemplate

ORGANISATIONS = Path(stafett.column_mapper.__file__).parent / "organisations"
NHF = load_mapping((ORGANISATIONS / "nhf" / "2020-01-01.json").read_bytes())
UNREADABLE = "it is not an Excel workbook (.xlsx), or it is encrypted or damaged."
Compare = Callable[[], list[TemplateDifference]]


@pytest.fixture
def template() -> NhfTemplate:
    return NhfTemplate()


@pytest.fixture
def compare(template: NhfTemplate, tmp_path: Path) -> Compare:
    """Compare NHF's document with the template as the test has changed it."""
    return lambda: compare_template(NHF, template.save(tmp_path), "nb")


def list_differences(compare: Compare) -> list[tuple[str, str, str]]:
    return [(difference.location, difference.code, difference.detail) for difference in compare()]


def test_nhf_document_matches_the_handmade_template(compare: Compare) -> None:
    assert list_differences(compare) == []


def test_missing_header_is_reported_with_its_column(template: NhfTemplate, compare: Compare) -> None:
    template.sheet.delete_cols(19)
    assert list_differences(compare) == [
        ("column activity_id", "header_missing", "The template has no header “Aktivitets-ID”.")
    ]


def test_missing_header_in_the_middle_leaves_the_others_in_order(template: NhfTemplate, compare: Compare) -> None:
    template.sheet.data_validations.dataValidation.clear()
    template.sheet.delete_cols(8)
    assert list_differences(compare) == [("column place", "header_missing", "The template has no header “Sted”.")]


def test_extra_header_is_reported_with_its_cell(template: NhfTemplate, compare: Compare) -> None:
    template.write("T4", "Fylke")
    detail = "The template has “Fylke”; the document has no such column."
    assert list_differences(compare) == [("Likepersonsaktivitet!T4", "header_extra", detail)]


def test_repeated_header_is_reported_as_extra(template: NhfTemplate, compare: Compare) -> None:
    template.write("T4", "Dato")
    detail = "The template has “Dato” a second time; the document has no such column."
    assert list_differences(compare) == [("Likepersonsaktivitet!T4", "header_extra", detail)]


def test_misspelt_header_is_reported_with_the_expected_one(template: NhfTemplate, compare: Compare) -> None:
    template.write("S4", "Aktivitets ID")
    template.write("E4", "Varighet\n(minutter)")
    assert list_differences(compare) == [
        (
            "Likepersonsaktivitet!E4",
            "header_spelling",
            "The template has “Varighet\n(minutter)”; the document has “Varighet (minutter)” (column minutes).",
        ),
        (
            "Likepersonsaktivitet!S4",
            "header_spelling",
            "The template has “Aktivitets ID”; the document has “Aktivitets-ID” (column activity_id).",
        ),
    ]


def test_only_the_moved_header_is_reported_as_out_of_order(template: NhfTemplate, compare: Compare) -> None:
    for cell, text in (("G4", "Sted"), ("H4", "Deltakere"), ("I4", "Likeperson")):
        template.write(cell, text)
    detail = "“Likeperson” is out of order: in the document it comes after “Timer”."
    assert list_differences(compare) == [("Likepersonsaktivitet!I4", "header_order", detail)]


def test_empty_cell_between_headers_is_reported(template: NhfTemplate, compare: Compare) -> None:
    template.sheet.data_validations.dataValidation.clear()
    template.sheet.insert_cols(3)
    detail = "The header row is empty between “Kategori” and “Aktivitetstype”."
    assert list_differences(compare) == [("Likepersonsaktivitet!C4", "header_empty", detail)]


def test_headers_in_another_row_are_located_and_compared(template: NhfTemplate, compare: Compare) -> None:
    template.sheet.insert_rows(3, amount=2)
    template.write("S6", "ID")
    codes = {difference.code: difference.location for difference in compare()}
    assert codes == {
        "header_place": "Likepersonsaktivitet!A6",
        "header_extra": "Likepersonsaktivitet!S6",
        "header_missing": "column activity_id",
    }


def test_headers_starting_in_another_column_are_reported(template: NhfTemplate, compare: Compare) -> None:
    template.sheet.data_validations.dataValidation.clear()
    template.sheet.insert_cols(1)
    detail = "The headers start at B4; in the document they start at A4."
    assert list_differences(compare) == [("Likepersonsaktivitet!B4", "header_place", detail)]


def test_sheet_with_a_similar_name_is_compared_instead(template: NhfTemplate, compare: Compare) -> None:
    template.sheet.title = "Likepersonaktivitet"
    detail = "There is no sheet “Likepersonsaktivitet”; the sheet “Likepersonaktivitet” is compared instead."
    assert list_differences(compare) == [("Likepersonaktivitet", "sheet_spelling", detail)]


def test_missing_sheet_is_reported_with_the_existing_sheets(template: NhfTemplate, compare: Compare) -> None:
    template.sheet.title = "Ark1"
    detail = "There is no sheet “Likepersonsaktivitet”. The workbook has: “Ark1”, “Valg”."
    assert list_differences(compare) == [("workbook", "sheet_missing", detail)]


def test_empty_sheet_is_reported_as_without_headers(tmp_path: Path) -> None:
    workbook = openpyxl.Workbook()
    workbook.worksheets[0].title = SHEET
    workbook.save(tmp_path / "tom.xlsx")
    (difference,) = compare_template(NHF, tmp_path / "tom.xlsx", "nb")
    assert (difference.location, difference.code) == (SHEET, "no_headers")


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
            [("P4", "value_spelling", "has “ja”; the document writes “Ja”.")],
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
def test_validation_list_is_compared_with_the_documents_values(
    template: NhfTemplate, compare: Compare, header: str, formula: str, expected: list[tuple[str, str, str]]
) -> None:
    template.set_list(header, formula)
    begin = f"The template's list for “{header}” "
    assert list_differences(compare) == [(f"{SHEET}!{cell}", code, begin + detail) for cell, code, detail in expected]


def test_validation_list_on_the_same_sheet_is_read(template: NhfTemplate, compare: Compare) -> None:
    template.write("Z10", "Ja")
    template.write("Z11", "Nei")
    template.set_list("I Norge", "$Z$10:$Z$11")
    assert list_differences(compare) == []


def test_validation_list_on_a_free_text_column_is_reported(template: NhfTemplate, compare: Compare) -> None:
    template.set_list("Merknad", '"Bra,Dårlig"')
    detail = "The template has a list for “Merknad”; the document's column is of type text."
    assert list_differences(compare) == [("Likepersonsaktivitet!R4", "list_unexpected", detail)]


@pytest.mark.parametrize("formula", ['INDIRECT("A1")', "OFFSET(Valg!$A$1,0,0,3,1)", "Ukjent", "Borte!$A$1:$A$2"])
def test_computed_validation_list_is_left_to_manual_comparison(
    template: NhfTemplate, compare: Compare, formula: str
) -> None:
    template.set_list("Kategori", formula)
    detail = f"The list for “Kategori” is computed ({formula}) and must be compared manually."
    assert list_differences(compare) == [("Likepersonsaktivitet!B4", "list_computed", detail)]


def test_validation_list_in_an_excel_extension_is_read(template: NhfTemplate, tmp_path: Path) -> None:
    template.set_list("Tellende", "Ukjent")
    path = template.save(tmp_path)
    extended = (
        '<extLst><ext xmlns:x14="http://schemas.microsoft.com/office/spreadsheetml/2009/9/main"'
        ' uri="{CCE6A557-97BC-4b89-ADB6-D9C93CAAB3DF}"><x14:dataValidations'
        ' xmlns:xm="http://schemas.microsoft.com/office/excel/2006/main" count="1">'
        '<x14:dataValidation type="list"><x14:formula1><xm:f>Valg!$B$1:$B$4</xm:f></x14:formula1>'
        "<xm:sqref>K5:K500</xm:sqref></x14:dataValidation></x14:dataValidations></ext></extLst></worksheet>"
    )
    _rewrite(path, "xl/worksheets/sheet1.xml", lambda part: part.replace(b"</worksheet>", extended.encode()))
    details = [
        difference.detail for difference in compare_template(NHF, path, "nb") if difference.location.endswith("K4")
    ]
    assert details == [
        "The template's list for “Gruppestørrelse” lacks “Mer enn 12 deltakere”, which the document writes."
    ]


def _rewrite(path: Path, part: str, change: Callable[[bytes], bytes]) -> None:
    with zipfile.ZipFile(path) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in parts.items():
            archive.writestr(name, change(content) if name == part else content)


def _read_error(path: Path) -> str:
    with pytest.raises(UnreadableTemplateError) as error:
        compare_template(NHF, path, "nb")
    return str(error.value).removeprefix(f"{path} cannot be read as a template: ")


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", UNREADABLE),
        (b"Dato;Kategori\r\n", UNREADABLE),
        (b"PK\x03\x04 and no more", UNREADABLE),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(500), UNREADABLE),
        (bytes(20 * 1024 * 1024 + 1), "it is larger than 20 MiB."),
    ],
    ids=["empty", "csv", "truncated", "encrypted", "too large"],
)
def test_file_that_is_not_a_workbook_is_rejected_with_a_reason(tmp_path: Path, content: bytes, reason: str) -> None:
    path = tmp_path / "mal.xlsx"
    path.write_bytes(content)
    assert _read_error(path) == reason


def test_missing_template_file_is_rejected_with_a_reason(tmp_path: Path) -> None:
    with pytest.raises(StafettError, match=r"borte\.xlsx cannot be read: No such file or directory\.$"):
        compare_template(NHF, tmp_path / "borte.xlsx", "nb")


def test_zip_bomb_is_rejected_before_unpacking(template: NhfTemplate, tmp_path: Path) -> None:
    path = template.save(tmp_path)
    _rewrite(path, "xl/theme/theme1.xml", lambda _: bytes(65 * 1024 * 1024))
    assert _read_error(path) == "it is larger than 64 MiB unpacked."


def test_expanding_entities_are_rejected(template: NhfTemplate, tmp_path: Path) -> None:
    path = template.save(tmp_path)
    entities = "".join(f'<!ENTITY e{level + 1} "{f"&e{level};" * 100}">' for level in range(6))
    bomb = f'<!DOCTYPE x [<!ENTITY e0 "ha">{entities}]><worksheet>&e6;</worksheet>'
    _rewrite(path, "xl/worksheets/sheet1.xml", lambda _: bomb.encode())
    assert _read_error(path) == UNREADABLE


@pytest.mark.parametrize(
    "part", ["xl/workbook.xml", "xl/styles.xml", "[Content_Types].xml", "xl/worksheets/sheet1.xml"]
)
@pytest.mark.parametrize(
    "content", [b"", b"<a/>", b"<worksheet><sheetData><row r='x'>"], ids=["empty", "another element", "truncated"]
)
def test_damaged_part_raises_no_unexpected_error(
    template: NhfTemplate, tmp_path: Path, part: str, content: bytes
) -> None:
    path = template.save(tmp_path)
    _rewrite(path, part, lambda _: content)
    with suppress(UnreadableTemplateError):
        compare_template(NHF, path, "nb")
