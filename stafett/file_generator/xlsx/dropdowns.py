"""Dropdown lists of cells: inline in the data validation if Excel's limits allow it, otherwise on a hidden sheet."""

from xlsxwriter.utility import xl_col_to_name  # type: ignore[import-untyped]  # XlsxWriter ships no types

from stafett.file_generator.xlsx import labels
from stafett.file_generator.xlsx.builder import WorkbookBuilder
from stafett.file_generator.xlsx.cell_text import count_utf16_units
from stafett.file_generator.xlsx.columns import AllowedValues
from stafett.file_generator.xlsx.xlsxwriter_bridge import Sheet

_MAX_INLINE_LENGTH = 255


class DropdownLists:
    """The dropdown lists of a workbook; columns with the same values share one list."""

    def __init__(self, builder: WorkbookBuilder) -> None:
        self._builder = builder
        self._sheet_name: str | None = None
        self._formulas: dict[tuple[str, ...], str] = {}

    def add_validation(
        self, sheet: Sheet, column: int, row_range: tuple[int, int], allowed_values: AllowedValues
    ) -> None:
        """Add the list to a range of rows of a column; rows and columns are 0-based, and the range is inclusive."""
        translate = self._builder.spec.translate
        options = {
            "validate": "list",
            "source": self._get_list_source(allowed_values.values),
            "ignore_blank": allowed_values.allows_blank,
            "error_type": "warning" if allowed_values.allows_other_values else "stop",
            "error_title": translate(labels.NOT_IN_LIST),
            "error_message": translate(labels.CHOOSE_FROM_LIST),
        }
        if sheet.data_validation(row_range[0], column, row_range[1], column, options) != 0:
            raise RuntimeError("XlsxWriter rejected a data validation")

    def write_hidden_sheet(self) -> None:
        """Write the lists that are too long to be inline to a hidden sheet, after all other sheets."""
        if self._sheet_name is None:
            return
        sheet = self._builder.add_sheet(self._sheet_name)
        sheet.hide()
        for column, values in enumerate(self._formulas):
            for row, value in enumerate(values):
                sheet.write_string(row, column, value, self._builder.formats.text)

    def _get_list_source(self, values: tuple[str, ...]) -> list[str] | str:
        if count_utf16_units(",".join(values)) <= _MAX_INLINE_LENGTH and all(_fits_inline(value) for value in values):
            return list(values)
        if values not in self._formulas:
            self._formulas[values] = self._reserve_hidden_column(len(values))
        return self._formulas[values]

    def _reserve_hidden_column(self, row_count: int) -> str:
        if self._sheet_name is None:
            self._sheet_name = self._builder.allocate_sheet_name(self._builder.spec.translate(labels.LISTS_SHEET), 1)
        letters, quoted = xl_col_to_name(len(self._formulas)), self._sheet_name.replace("'", "''")
        return f"='{quoted}'!${letters}$1:${letters}${row_count}"


def _fits_inline(value: str) -> bool:
    return not set(value) & set(',"\n\t') and value == value.strip()
