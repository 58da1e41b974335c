"""What may be chosen in a cell: a list in the validation itself where Excel takes it, else on a hidden sheet."""

from xlsxwriter.utility import xl_col_to_name  # type: ignore[import-untyped]  # XlsxWriter says nothing of its types

from stafett.file_generator.xlsx import labels
from stafett.file_generator.xlsx.builder import Edition
from stafett.file_generator.xlsx.cell_text import units
from stafett.file_generator.xlsx.columns import AllowedValues
from stafett.file_generator.xlsx.xlsxwriter_bridge import Sheet

_LONGEST_INLINE = 255


class Choices:
    """The lists of a workbook; those of the same values are one."""

    def __init__(self, edition: Edition) -> None:
        self._edition = edition
        self._name: str | None = None
        self._known: dict[tuple[str, ...], str] = {}

    def allow(self, sheet: Sheet, column: int, rows: tuple[int, int], allowed: AllowedValues) -> None:
        """In these rows of a column, counted from 0, both included."""
        say = self._edition.workbook.say
        options = {
            "validate": "list",
            "source": self._source(allowed.values),
            "ignore_blank": allowed.nothing_too,
            "error_type": "warning" if allowed.others_too else "stop",
            "error_title": say(labels.NOT_IN_LIST),
            "error_message": say(labels.CHOOSE),
        }
        if sheet.data_validation(rows[0], column, rows[1], column, options) != 0:
            raise RuntimeError("XlsxWriter refused a list of values")

    def finish(self) -> None:
        """Write the hidden sheet, behind all others."""
        if self._name is None:
            return
        sheet = self._edition.add_sheet(self._name)
        sheet.hide()
        for column, values in enumerate(self._known):
            for row, value in enumerate(values):
                sheet.write_string(row, column, value, self._edition.formats.text)

    def _source(self, values: tuple[str, ...]) -> list[str] | str:
        if units(",".join(values)) <= _LONGEST_INLINE and all(_fits_inline(value) for value in values):
            return list(values)
        if values not in self._known:
            self._known[values] = self._place(len(values))
        return self._known[values]

    def _place(self, rows: int) -> str:
        if self._name is None:
            self._name = self._edition.free_name(self._edition.workbook.say(labels.LISTS), 1)
        letters, quoted = xl_col_to_name(len(self._known)), self._name.replace("'", "''")
        return f"='{quoted}'!${letters}$1:${letters}${rows}"


def _fits_inline(value: str) -> bool:
    return not set(value) & set(',"\n\t') and value == value.strip()
