"""Differences between a template and a document, and the format of their locations."""

from openpyxl.utils.cell import get_column_letter, quote_sheetname

from stafett.domain.frozen import FrozenModel


class TemplateDifference(FrozenModel):
    """One difference, located at a cell or sheet of the template, or at a column of the document."""

    location: str
    code: str
    detail: str


def format_cell_location(sheet: str, row: int, column: int) -> str:
    name = sheet if sheet.isalnum() else quote_sheetname(sheet)
    return f"{name}!{format_cell_reference(row, column)}"


def format_cell_reference(row: int, column: int) -> str:
    return f"{get_column_letter(column)}{row}"
