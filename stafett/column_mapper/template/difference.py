"""One thing that a template and a document do not agree on."""

from openpyxl.utils.cell import get_column_letter, quote_sheetname

from stafett.domain.frozen import FrozenModel


class Difference(FrozenModel):
    """What differs, and where: a cell of the template, or a column of the document."""

    place: str
    code: str
    detail: str


def at_cell(sheet: str, row: int, column: int) -> str:
    name = sheet if sheet.isalnum() else quote_sheetname(sheet)
    return f"{name}!{cell_name(row, column)}"


def cell_name(row: int, column: int) -> str:
    return f"{get_column_letter(column)}{row}"
