"""An empty workbook as an organisation would hand it out, made of its document."""

from io import BytesIO

from openpyxl import Workbook
from openpyxl.styles import Alignment, Font
from openpyxl.utils.cell import coordinate_to_tuple, get_column_letter, quote_sheetname
from openpyxl.worksheet.datavalidation import DataValidation
from openpyxl.worksheet.worksheet import Worksheet

from stafett.column_mapper.cells import written_in
from stafett.column_mapper.document import (
    ChoiceColumn,
    Column,
    DateColumn,
    DecimalColumn,
    MappingDocument,
)
from stafett.domain.export import Locale

_ROWS = 1000
_LONGEST_INLINE = 255
_NARROWEST, _WIDEST = 10, 40
_NUMBER_FORMATS = {"text": "@", "integer": "0", "time": "hh:mm", "duration": "[h]:mm"}
_LISTS: dict[Locale, str] = {"nb": "Lister", "nn": "Lister", "en": "Lists"}


def blank_template(document: MappingDocument, locale: Locale) -> bytes:
    workbook = Workbook()
    sheet = workbook.worksheets[0]
    sheet.title = document.layout.sheet.in_(locale)
    workbook.properties.title = document.title
    workbook.properties.language = locale
    for number, title in enumerate(document.layout.title_rows, start=1):
        _write(sheet, number, 1, title.in_(locale))
        sheet.cell(number, 1).font = Font(bold=True)
    lists = _Lists(workbook, document, locale)
    row, first = coordinate_to_tuple(document.layout.start_cell)
    for number, column in enumerate(document.columns, start=first):
        _head(sheet, row, number, column, locale)
        lists.allow(sheet, column, f"{get_column_letter(number)}{row + 1}:{get_column_letter(number)}{row + _ROWS}")
    if document.layout.frozen_header:
        sheet.freeze_panes = f"A{row + 1}"
    file = BytesIO()
    workbook.save(file)
    return file.getvalue()


def _head(sheet: Worksheet, row: int, number: int, column: Column, locale: Locale) -> None:
    header = column.header.in_(locale)
    _write(sheet, row, number, header)
    cell = sheet.cell(row, number)
    cell.font, cell.alignment = Font(bold=True), Alignment(wrap_text=True, vertical="top")
    below = sheet.column_dimensions[get_column_letter(number)]
    below.width = column.width or min(max(len(header) + 2, _NARROWEST), _WIDEST)
    below.number_format = column.number_format or _number_format(column, locale)


def _write(sheet: Worksheet, row: int, column: int, text: str) -> None:
    sheet.cell(row, column, text).data_type = "s"  # a text that begins with = is no formula


def _number_format(column: Column, locale: Locale) -> str:
    match column:
        case DateColumn():
            return "yyyy-mm-dd" if locale == "en" else "dd.mm.yyyy"
        case DecimalColumn(decimals=decimals):
            return f"0.{'0' * decimals}" if decimals else "0"
        case _:
            return _NUMBER_FORMATS.get(column.type, "General")


class _Lists:
    """The values that columns allow: written in place if Excel lets them, else on a hidden sheet."""

    def __init__(self, workbook: Workbook, document: MappingDocument, locale: Locale) -> None:
        self._workbook = workbook
        self._document = document
        self._locale: Locale = locale
        self._sheet: Worksheet | None = None
        self._known: dict[tuple[str, ...], str] = {}

    def allow(self, sheet: Worksheet, column: Column, cells: str) -> None:
        values = written_in(self._document, column, self._locale)
        if values is None:
            return
        keeps = isinstance(column, ChoiceColumn) and column.unknown == "keep"
        validation = DataValidation(
            type="list",
            formula1=self._formula(tuple(values)),
            allow_blank=column.required is not True,
            showErrorMessage=True,
            errorStyle="warning" if keeps else "stop",
            sqref=cells,
        )
        sheet.add_data_validation(validation)

    def _formula(self, values: tuple[str, ...]) -> str:
        inline = ",".join(values)
        if len(inline) <= _LONGEST_INLINE and all(_fits_inline(value) for value in values):
            return f'"{inline}"'
        if values not in self._known:
            self._known[values] = self._on_a_sheet(values)
        return self._known[values]

    def _on_a_sheet(self, values: tuple[str, ...]) -> str:
        if self._sheet is None:
            self._sheet = self._workbook.create_sheet(self._free_name())
            self._sheet.sheet_state = "hidden"
        column = len(self._known) + 1
        for row, value in enumerate(values, start=1):
            _write(self._sheet, row, column, value)
        letter = get_column_letter(column)
        return f"{quote_sheetname(self._sheet.title)}!${letter}$1:${letter}${len(values)}"

    def _free_name(self) -> str:
        name = _LISTS[self._locale]
        while name.casefold() in {sheet.casefold() for sheet in self._workbook.sheetnames}:
            name += "_"
        return name


def _fits_inline(value: str) -> bool:
    return not set(value) & set(',"\n\t') and value == value.strip()
