"""What Excel checks before it offers to repair: forms, orders and references, as the standard has them."""

import io
import re
import zipfile
from collections.abc import Iterator
from itertools import pairwise
from pathlib import PurePosixPath
from xml.etree import ElementTree as ET

import pytest

from stafett.domain.export_outputs import Total
from stafett.file_generator.xlsx import render_workbook
from stafett.file_generator.xlsx.builder import SheetLimits
from tests.xlsx.books import column, document, frame, joined, localized, mapped, workbook

MAIN = "{http://schemas.openxmlformats.org/spreadsheetml/2006/main}"
# ECMA-376, part 1, 18.3.1.99: what a worksheet consists of, in this order.
ORDER = re.findall(
    r"\w+",
    """
    sheetPr dimension sheetViews sheetFormatPr cols sheetData sheetCalcPr sheetProtection protectedRanges scenarios
    autoFilter sortState dataConsolidate customSheetViews mergeCells phoneticPr conditionalFormatting dataValidations
    hyperlinks printOptions pageMargins pageSetup headerFooter rowBreaks colBreaks customProperties cellWatches
    ignoredErrors smartTags drawing legacyDrawing legacyDrawingHF picture oleObjects controls webPublishItems tableParts
    extLst
    """,
)


@pytest.fixture(scope="module")
def parts() -> dict[str, bytes]:
    """Of a workbook with all there is: two sheets of rows, two apart, a chart, a hidden sheet of values."""
    kinds = [{"code": f"c{number}", "label": localized(f"et valg, nr. {number}")} for number in range(3)]
    types = ("text", "integer", "decimal", "date", "time", "duration", "yes_no")
    every = [column(type_, type_.title()) for type_ in types] + [column("choice", "Valg", options="kind")]
    summary = {
        "title": localized("Etter form & <slikt>"),
        "by": "the_yes_no",
        "measures": [{"header": localized("Tellende"), "count": "countable"}],
        "chart": localized("Tellende & «slikt»"),
    }
    by = document(*every, taxonomies={"kind": kinds}, summary=summary, layout={"start_cell": "B2"})
    rows = frame(*(["<&>\x00 ", 10**number, *[None] * 4, "Ja", None] for number in range(18)))
    rows.columns = [one.header.nb for one in by.columns]
    book = workbook(by, mapped(18, 18, totals=(Total(label="Ja", figures=(18,)),)))
    file = joined(render_workbook(book, report_frames=[rows], excluded_frames=[rows], limits=SheetLimits(max_rows=12)))
    with zipfile.ZipFile(io.BytesIO(file)) as found:
        return {name: found.read(name) for name in found.namelist()}


def sheets(parts: dict[str, bytes]) -> Iterator[ET.Element]:
    for name, content in parts.items():
        if name.startswith("xl/worksheets/sheet"):
            yield ET.fromstring(content)  # noqa: S314 - we wrote it


def test_every_part_is_xml(parts: dict[str, bytes]) -> None:
    assert [ET.fromstring(content).tag for content in parts.values()]  # noqa: S314 - we wrote it
    assert len([name for name in parts if name.startswith("xl/worksheets/sheet")]) == 8


def test_every_part_has_its_content_type_and_no_other_has_one(parts: dict[str, bytes]) -> None:
    types = ET.fromstring(parts["[Content_Types].xml"])  # noqa: S314 - we wrote it
    said = {one.attrib["PartName"].removeprefix("/") for one in types if "PartName" in one.attrib}
    assert said == {name for name in parts if not name.endswith(".rels") and name != "[Content_Types].xml"}


def test_every_relationship_leads_to_a_part(parts: dict[str, bytes]) -> None:
    for name, content in parts.items():
        if name.endswith(".rels"):
            base = PurePosixPath(name).parent.parent
            for one in ET.fromstring(content):  # noqa: S314 - we wrote it
                assert _normal(base / one.attrib["Target"]) in parts
                assert one.attrib.get("TargetMode") != "External"


def _normal(path: PurePosixPath) -> str:
    name = re.sub(r"[^/]+/\.\./", "", str(path))
    return name.removeprefix("/")


def test_a_sheets_elements_stand_in_the_standards_order(parts: dict[str, bytes]) -> None:
    for sheet in sheets(parts):
        places = [ORDER.index(element.tag.removeprefix(MAIN)) for element in sheet]
        assert places == sorted(places)


def test_rows_and_cells_go_up_and_every_style_is_there(parts: dict[str, bytes]) -> None:
    styles = ET.fromstring(parts["xl/styles.xml"]).find(f"{MAIN}cellXfs")  # noqa: S314 - we wrote it
    assert styles is not None
    for sheet in sheets(parts):
        rows = list(sheet.iter(f"{MAIN}row"))
        assert all(int(one.attrib["r"]) < int(other.attrib["r"]) for one, other in pairwise(rows))
        for row in rows:
            cells = list(row)
            assert all(cell.attrib["r"].lstrip("ABCDEFGHIJKLMNOP") == row.attrib["r"] for cell in cells)
            assert all(_column(one) < _column(other) for one, other in pairwise(cells))
            assert all(int(cell.attrib.get("s", 0)) < len(styles) for cell in cells)
        assert list(sheet.iter(f"{MAIN}f")) == []


def _column(cell: ET.Element) -> tuple[int, str]:
    letters = cell.attrib["r"].rstrip("0123456789")
    return len(letters), letters


def test_the_first_sheet_is_the_one_that_is_open(parts: dict[str, bytes]) -> None:
    views = [next(sheet.iter(f"{MAIN}sheetView")) for sheet in sheets(parts)]
    assert [view.attrib.get("tabSelected") for view in views] == ["1", *[None] * 7]


def test_tables_have_their_own_numbers_and_names(parts: dict[str, bytes]) -> None:
    tables = [ET.fromstring(content) for name, content in parts.items() if name.startswith("xl/tables/")]  # noqa: S314 - XML of our own making
    assert len({table.attrib["id"] for table in tables}) == len(tables)
    assert len({table.attrib["displayName"].casefold() for table in tables}) == len(tables)
