"""Renders a blank Excel template from a mapping document."""

from io import BytesIO

from openpyxl import Workbook
from openpyxl.styles import Alignment, Font
from openpyxl.utils.cell import coordinate_to_tuple, get_column_letter, quote_sheetname
from openpyxl.worksheet.datavalidation import DataValidation
from openpyxl.worksheet.worksheet import Worksheet

from stafett.column_mapper.cells import list_possible_values
from stafett.column_mapper.document import (
    ChoiceColumn,
    Column,
    DateColumn,
    DecimalColumn,
    MappingDocument,
)
from stafett.domain.export import Locale

_VALIDATED_ROWS = 1000
_MAX_INLINE_LENGTH = 255
_MIN_COLUMN_WIDTH, _MAX_COLUMN_WIDTH = 10, 40
_NUMBER_FORMATS = {"text": "@", "integer": "0", "time": "hh:mm", "duration": "[h]:mm"}
_LISTS_SHEET_NAME: dict[Locale, str] = {"nb": "Lister", "nn": "Lister", "en": "Lists"}


def render_blank_template(document: MappingDocument, locale: Locale) -> bytes:
    workbook = Workbook()
    sheet = workbook.worksheets[0]
    sheet.title = document.layout.sheet.in_locale(locale)
    workbook.properties.title = document.title
    workbook.properties.language = locale
    for title_row, title in enumerate(document.layout.title_rows, start=1):
        _write_text(sheet, title_row, 1, title.in_locale(locale))
        sheet.cell(title_row, 1).font = Font(bold=True)
    lists = _ListValidationWriter(workbook, document, locale)
    row, first_column = coordinate_to_tuple(document.layout.start_cell)
    for column_index, column in enumerate(document.columns, start=first_column):
        _write_header(sheet, row, column_index, column, locale)
        letters = get_column_letter(column_index)
        lists.add_validation(sheet, column, f"{letters}{row + 1}:{letters}{row + _VALIDATED_ROWS}")
    if document.layout.frozen_header:
        sheet.freeze_panes = f"A{row + 1}"
    file = BytesIO()
    workbook.save(file)
    return file.getvalue()


def _write_header(sheet: Worksheet, row: int, column_index: int, column: Column, locale: Locale) -> None:
    header = column.header.in_locale(locale)
    _write_text(sheet, row, column_index, header)
    cell = sheet.cell(row, column_index)
    cell.font, cell.alignment = Font(bold=True), Alignment(wrap_text=True, vertical="top")
    dimension = sheet.column_dimensions[get_column_letter(column_index)]
    dimension.width = column.width or min(max(len(header) + 2, _MIN_COLUMN_WIDTH), _MAX_COLUMN_WIDTH)
    dimension.number_format = column.number_format or _number_format(column, locale)


def _write_text(sheet: Worksheet, row: int, column: int, text: str) -> None:
    sheet.cell(row, column, text).data_type = "s"  # otherwise a text that starts with = becomes a formula


def _number_format(column: Column, locale: Locale) -> str:
    match column:
        case DateColumn():
            return "yyyy-mm-dd" if locale == "en" else "dd.mm.yyyy"
        case DecimalColumn(decimals=decimals):
            return f"0.{'0' * decimals}" if decimals else "0"
        case _:
            return _NUMBER_FORMATS.get(column.type, "General")


class _ListValidationWriter:
    """Writes the allowed values of columns: inline if they fit into Excel's limits, else on a hidden sheet."""

    def __init__(self, workbook: Workbook, document: MappingDocument, locale: Locale) -> None:
        self._workbook = workbook
        self._document = document
        self._locale: Locale = locale
        self._sheet: Worksheet | None = None
        self._formulas_by_values: dict[tuple[str, ...], str] = {}

    def add_validation(self, sheet: Worksheet, column: Column, cell_range: str) -> None:
        values = list_possible_values(self._document, column, self._locale)
        if values is None:
            return
        keeps_unknown = isinstance(column, ChoiceColumn) and column.unknown == "keep"
        validation = DataValidation(
            type="list",
            formula1=self._formula(tuple(values)),
            allow_blank=column.required is not True,
            showErrorMessage=True,
            errorStyle="warning" if keeps_unknown else "stop",
            sqref=cell_range,
        )
        sheet.add_data_validation(validation)

    def _formula(self, values: tuple[str, ...]) -> str:
        inline = ",".join(values)
        if len(inline) <= _MAX_INLINE_LENGTH and all(_can_inline(value) for value in values):
            return f'"{inline}"'
        if values not in self._formulas_by_values:
            self._formulas_by_values[values] = self._write_to_lists_sheet(values)
        return self._formulas_by_values[values]

    def _write_to_lists_sheet(self, values: tuple[str, ...]) -> str:
        if self._sheet is None:
            self._sheet = self._workbook.create_sheet(self._unused_sheet_name())
            self._sheet.sheet_state = "hidden"
        column = len(self._formulas_by_values) + 1
        for row, value in enumerate(values, start=1):
            _write_text(self._sheet, row, column, value)
        letters = get_column_letter(column)
        return f"{quote_sheetname(self._sheet.title)}!${letters}$1:${letters}${len(values)}"

    def _unused_sheet_name(self) -> str:
        name = _LISTS_SHEET_NAME[self._locale]
        while name.casefold() in {sheet.casefold() for sheet in self._workbook.sheetnames}:
            name += "_"
        return name


def _can_inline(value: str) -> bool:
    return not set(value) & set(',"\n\t') and value == value.strip()
