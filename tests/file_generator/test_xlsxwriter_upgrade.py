from importlib.metadata import version

import pytest
from xlsxwriter import Workbook  # type: ignore[import-untyped]  # XlsxWriter has no type hints
from xlsxwriter.format import Format  # type: ignore[import-untyped]  # the same
from xlsxwriter.packager import Packager  # type: ignore[import-untyped]  # the same
from xlsxwriter.worksheet import Worksheet  # type: ignore[import-untyped]  # the same

from stafett.file_generator.xlsx.xlsxwriter_bridge import XLSXWRITER_VERSION

PRIVATE = {
    Worksheet: """
        _assemble_xml_file _check_dimensions _set_xml_writer _write_rows _write_sheet_data _xml_end_tag _xml_start_tag
    """,
    Workbook: "_get_packager worksheet_class",
    Packager: """
        _add_workbook _create_package _filename _write_core_file _write_root_rels_file _write_theme_file
    """,
    Format: "_get_xf_index",
}
ADVICE = "stafett/file_generator/xlsx/xlsxwriter_bridge.py builds on it: check how it changed before upgrading"


def test_installed_xlsxwriter_has_the_tested_version() -> None:
    assert version("xlsxwriter") == XLSXWRITER_VERSION, f"another XlsxWriter: {ADVICE}, then change XLSXWRITER_VERSION"


@pytest.mark.parametrize(("owner", "name"), [(owner, name) for owner in PRIVATE for name in PRIVATE[owner].split()])
def test_private_attribute_of_xlsxwriter_exists(owner: type, name: str) -> None:
    assert hasattr(owner, name), f"XlsxWriter's {owner.__name__}.{name} is gone; {ADVICE}"


def test_table_and_sheet_have_the_attributes_the_bridge_changes() -> None:
    sheet = Workbook().add_worksheet()
    sheet.add_table(0, 0, 1, 0, {"columns": [{"header": "Dato"}]})
    (table,) = sheet.tables
    keys = {"range", "a_range", "autofilter", "columns", "totals_row_shown"}
    assert keys <= set(table), f"tables have other keys; {ADVICE}"
    assert {"name", "total_string"} <= set(table["columns"][0]), f"columns of tables have other keys; {ADVICE}"
    assert sheet.dim_rowmax == 0, f"a sheet's dimensions have another name; {ADVICE}"
