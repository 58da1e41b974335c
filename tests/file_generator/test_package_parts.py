"""Checks what makes Excel offer a repair: elements, order and references as the standard requires them."""

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
from tests.support.workbooks import (
    build_column,
    build_document,
    build_frame,
    build_mapped_rows,
    build_workbook_spec,
    join_chunks,
    localize,
)

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
    """A workbook's parts with all features: two sheets of rows, two of excluded rows, a chart and hidden lists."""
    kinds = [{"code": f"c{number}", "label": localize(f"et valg, nr. {number}")} for number in range(3)]
    types = ("text", "integer", "decimal", "date", "time", "duration", "yes_no")
    columns = [build_column(type_, type_.title()) for type_ in types] + [build_column("choice", "Valg", options="kind")]
    summary = {
        "title": localize("Etter form & <slikt>"),
        "by": "the_yes_no",
        "measures": [{"header": localize("Tellende"), "count": "countable"}],
        "chart": localize("Tellende & «slikt»"),
    }
    document = build_document(*columns, taxonomies={"kind": kinds}, summary=summary, layout={"start_cell": "B2"})
    rows = build_frame(*(["<&>\x00 ", 10**number, *[None] * 4, "Ja", None] for number in range(18)))
    rows.columns = [column.header.nb for column in document.columns]
    spec = build_workbook_spec(document, build_mapped_rows(18, 18, totals=(Total(label="Ja", figures=(18,)),)))
    file = join_chunks(
        render_workbook(spec, report_frames=[rows], excluded_frames=[rows], limits=SheetLimits(max_rows=12))
    )
    with zipfile.ZipFile(io.BytesIO(file)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def iterate_sheets(parts: dict[str, bytes]) -> Iterator[ET.Element]:
    for name, content in parts.items():
        if name.startswith("xl/worksheets/sheet"):
            yield ET.fromstring(content)  # noqa: S314 - we wrote it


def test_every_part_is_xml(parts: dict[str, bytes]) -> None:
    assert [ET.fromstring(content).tag for content in parts.values()]  # noqa: S314 - we wrote it
    assert len([name for name in parts if name.startswith("xl/worksheets/sheet")]) == 8


def test_exactly_the_existing_parts_have_a_content_type(parts: dict[str, bytes]) -> None:
    types = ET.fromstring(parts["[Content_Types].xml"])  # noqa: S314 - we wrote it
    typed_parts = {element.attrib["PartName"].removeprefix("/") for element in types if "PartName" in element.attrib}
    assert typed_parts == {name for name in parts if not name.endswith(".rels") and name != "[Content_Types].xml"}


def test_every_relationship_targets_an_internal_part(parts: dict[str, bytes]) -> None:
    for name, content in parts.items():
        if name.endswith(".rels"):
            base = PurePosixPath(name).parent.parent
            for element in ET.fromstring(content):  # noqa: S314 - we wrote it
                assert _normalise(base / element.attrib["Target"]) in parts
                assert element.attrib.get("TargetMode") != "External"


def _normalise(path: PurePosixPath) -> str:
    name = re.sub(r"[^/]+/\.\./", "", str(path))
    return name.removeprefix("/")


def test_elements_of_a_sheet_have_the_standards_order(parts: dict[str, bytes]) -> None:
    for sheet in iterate_sheets(parts):
        positions = [ORDER.index(element.tag.removeprefix(MAIN)) for element in sheet]
        assert positions == sorted(positions)


def test_rows_and_cells_are_in_order_and_have_existing_styles(parts: dict[str, bytes]) -> None:
    styles = ET.fromstring(parts["xl/styles.xml"]).find(f"{MAIN}cellXfs")  # noqa: S314 - we wrote it
    assert styles is not None
    for sheet in iterate_sheets(parts):
        rows = list(sheet.iter(f"{MAIN}row"))
        assert all(int(row.attrib["r"]) < int(next_row.attrib["r"]) for row, next_row in pairwise(rows))
        for row in rows:
            cells = list(row)
            assert all(cell.attrib["r"].lstrip("ABCDEFGHIJKLMNOP") == row.attrib["r"] for cell in cells)
            assert all(_column_key(cell) < _column_key(next_cell) for cell, next_cell in pairwise(cells))
            assert all(int(cell.attrib.get("s", 0)) < len(styles) for cell in cells)
        assert list(sheet.iter(f"{MAIN}f")) == []


def _column_key(cell: ET.Element) -> tuple[int, str]:
    letters = cell.attrib["r"].rstrip("0123456789")
    return len(letters), letters


def test_only_the_first_sheet_is_selected(parts: dict[str, bytes]) -> None:
    views = [next(sheet.iter(f"{MAIN}sheetView")) for sheet in iterate_sheets(parts)]
    assert [view.attrib.get("tabSelected") for view in views] == ["1", *[None] * 7]


def test_tables_have_unique_ids_and_names(parts: dict[str, bytes]) -> None:
    tables = [ET.fromstring(content) for name, content in parts.items() if name.startswith("xl/tables/")]  # noqa: S314 - we wrote it
    assert len({table.attrib["id"] for table in tables}) == len(tables)
    assert len({table.attrib["displayName"].casefold() for table in tables}) == len(tables)
