"""One workbook in the making: what all its sheets share."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date

from stafett.column_mapper.document import MappingDocument
from stafett.column_mapper.localized import Localized
from stafett.domain.export import Locale
from stafett.domain.export_outputs import MappedRows
from stafett.file_generator.xlsx.cell_text import count_utf16_units, replace_control_characters, take_utf16_units
from stafett.file_generator.xlsx.truncation import TruncatedTexts
from stafett.file_generator.xlsx.xlsxwriter_bridge import Format, Sheet, StreamedWorkbook
from stafett.storage.zip_archive import MAX_ZIP32_BYTES, ZipArchive

TEXT_FORMAT = "@"
_MAX_SHEET_NAME_LENGTH, _A4_PAPER = 31, 9
_DARK_BLUE, _WHITE = "#1F3864", "#FFFFFF"


@dataclass(frozen=True, kw_only=True)
class WorkbookSpec:
    """All that shapes the file: no clock, no host, no key of the export."""

    document: MappingDocument
    locale: Locale
    organisation_name: str
    period: tuple[date, date]
    mapped_rows: MappedRows

    def translate(self, text: Localized) -> str:
        return text.in_locale(self.locale)

    @property
    def period_label(self) -> str:
        first, last = self.period
        if self.locale == "en":
            return f"{first.isoformat()} to {last.isoformat()}"
        return f"{first:%d.%m.%Y}–{last:%d.%m.%Y}"  # noqa: RUF001 - as people write it


@dataclass(frozen=True)
class SheetLimits:
    """How much a sheet holds: rows, and bytes of XML, with room for what stands around the rows."""

    max_rows: int = 1_048_576
    max_bytes: int = MAX_ZIP32_BYTES - 64 * 1024 * 1024


EXCEL_LIMITS = SheetLimits()


class CellFormats:
    """Each look once."""

    def __init__(self, book: StreamedWorkbook) -> None:
        self._book = book
        self._cache: dict[tuple[tuple[str, object], ...], Format] = {}
        self.title = self._get_or_add_format(bold=True, font_size=14)
        self.heading = self._get_or_add_format(bold=True, font_size=12)
        self.header = self._get_or_add_format(
            bold=True,
            font_color=_WHITE,
            bg_color=_DARK_BLUE,
            text_wrap=True,
            valign="top",
            align="left",
            indent=1,
            border=1,
            border_color=_WHITE,
        )
        self.text = self.get_format(TEXT_FORMAT, wraps=True)

    def get_format(self, number_format: str, *, wraps: bool = False, left_aligned: bool = False) -> Format:
        """How cells below a header look."""
        look: dict[str, object] = {"num_format": number_format, "valign": "top", "text_wrap": wraps}
        if left_aligned or number_format == TEXT_FORMAT:  # or it would touch the number before it
            look |= {"align": "left", "indent": 1}
        return self._get_or_add_format(**look)

    def _get_or_add_format(self, **properties: object) -> Format:
        key = tuple(properties.items())
        if key not in self._cache:
            self._cache[key] = self._book.add_format(properties)
        return self._cache[key]


@dataclass
class WorkbookBuilder:
    """The workbook, the file it goes into, and what has been handed out of both."""

    spec: WorkbookSpec
    book: StreamedWorkbook
    archive: ZipArchive
    truncated: TruncatedTexts
    limits: SheetLimits
    formats: CellFormats = field(init=False)
    _sheet_names: set[str] = field(default_factory=set)
    _table_names: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.formats = CellFormats(self.book)

    def reserve_sheet_names(self, names: Sequence[str]) -> None:
        """Names that the document gives; what is numbered goes out of their way."""
        self._sheet_names |= {name.casefold() for name in names}

    def add_sheet(self, name: str, number: int = 1) -> Sheet:
        """A sheet of this name, or the next one that continues it."""
        sheet: Sheet = self.book.add_worksheet(
            replace_control_characters(name) if number == 1 else self.allocate_sheet_name(name, number)
        )
        if sheet.get_name() == self.book.worksheets()[0].get_name():
            sheet.activate()
        sheet.set_paper(_A4_PAPER)
        sheet.set_landscape()
        sheet.fit_to_pages(1, 0)
        sheet.set_footer("&L&A&R&P / &N")
        return sheet

    def allocate_sheet_name(self, name: str, number: int) -> str:
        while True:
            suffix = f" ({number})" if number > 1 else ""
            free = (
                take_utf16_units(replace_control_characters(name), _MAX_SHEET_NAME_LENGTH - count_utf16_units(suffix))
                + suffix
            )
            if free.casefold() not in self._sheet_names:
                self._sheet_names.add(free.casefold())
                return free
            number += 1

    def allocate_table_name(self, label: Localized) -> str:
        """The second table of a kind is called so."""
        name, number = label.in_locale(self.spec.locale), 1
        free = name
        while free.casefold() in self._table_names:
            number += 1
            free = f"{name}_{number}"
        self._table_names.add(free.casefold())
        return free
