"""State that all sheets of a workbook under construction share: spec, archive, formats and names."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date

from stafett.column_mapper.document import MappingDocument
from stafett.column_mapper.localized import Localized
from stafett.domain.export import Locale
from stafett.domain.export_outputs import MappedRows
from stafett.file_generator.xlsx import labels
from stafett.file_generator.xlsx.cell_text import count_utf16_units, replace_control_characters, take_utf16_units
from stafett.file_generator.xlsx.page_setup import set_up_pages
from stafett.file_generator.xlsx.truncation import TruncatedTexts
from stafett.file_generator.xlsx.xlsxwriter_bridge import Format, Sheet, StreamedWorkbook
from stafett.storage.zip_archive import MAX_ZIP32_BYTES, ZipArchive

TEXT_FORMAT = "@"
_MAX_SHEET_NAME_LENGTH, _MAX_PAGE_HEADER_UNITS = 31, 100
_DARK_BLUE, _WHITE = "#1F3864", "#FFFFFF"


@dataclass(frozen=True, kw_only=True)
class WorkbookSpec:
    """Everything that the file's bytes depend on: no clock, no host name, no export id."""

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
        return f"{first:%d.%m.%Y}–{last:%d.%m.%Y}"  # noqa: RUF001 - the dash of Norwegian date ranges

    @property
    def title(self) -> str:
        """The title of sheets: whose report it is, and for which period."""
        return f"{self.organisation_name}: {self.period_label}"

    def fill_title_row(self, text: Localized) -> str:
        """Translate a title of the document, and fill in the organisation and the period."""
        title = self.translate(text)
        return title.replace("{organisation}", self.organisation_name).replace("{period}", self.period_label)


@dataclass(frozen=True)
class SheetLimits:
    """Maximum rows and bytes of XML per sheet; the bytes leave room for the XML around the rows."""

    max_rows: int = 1_048_576
    max_bytes: int = MAX_ZIP32_BYTES - 64 * 1024 * 1024


EXCEL_LIMITS = SheetLimits()


class CellFormats:
    """The workbook's cell formats, each created once."""

    def __init__(self, book: StreamedWorkbook) -> None:
        self._book = book
        self._cache: dict[tuple[tuple[str, object], ...], Format] = {}
        self.title = self._get_or_add_format(bold=True, font_size=14)
        self.heading = self._get_or_add_format(bold=True, font_size=12, valign="bottom")
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

    def get_format(
        self, number_format: str, *, wraps: bool = False, left_aligned: bool = False, is_total: bool = False
    ) -> Format:
        """Return the format of cells below a header."""
        properties: dict[str, object] = {"num_format": number_format, "valign": "top", "text_wrap": wraps}
        if is_total:
            properties |= {"bold": True, "top": 1}
        if left_aligned or number_format == TEXT_FORMAT:  # otherwise it would touch the number to its left
            properties |= {"align": "left", "indent": 1}
        return self._get_or_add_format(**properties)

    def _get_or_add_format(self, **properties: object) -> Format:
        key = tuple(properties.items())
        if key not in self._cache:
            self._cache[key] = self._book.add_format(properties)
        return self._cache[key]


@dataclass
class WorkbookBuilder:
    """A workbook under construction, the archive it is written to, and the names in use."""

    spec: WorkbookSpec
    book: StreamedWorkbook
    archive: ZipArchive
    limits: SheetLimits
    formats: CellFormats = field(init=False)
    truncated: TruncatedTexts = field(default_factory=TruncatedTexts)
    has_numbers_as_text: bool = False
    _sheet_names: set[str] = field(default_factory=set)
    _table_names: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.formats = CellFormats(self.book)

    def reserve_sheet_names(self, names: Sequence[str]) -> None:
        """Reserve the sheet names of the mapping document, so that numbered sheets avoid them."""
        self._sheet_names |= {name.casefold() for name in names}

    def add_sheet(self, name: str, number: int = 1) -> Sheet:
        """Add a sheet with this name, or with a numbered name if it continues another (``number`` above 1)."""
        sheet: Sheet = self.book.add_worksheet(
            replace_control_characters(name) if number == 1 else self.allocate_sheet_name(name, number)
        )
        if sheet.get_name() == self.book.worksheets()[0].get_name():
            sheet.activate()
        set_up_pages(sheet, self._build_page_header())
        return sheet

    def _build_page_header(self) -> str:
        """Name the organisation, the report and the period at the top of each page, where ``&`` starts a code."""
        name = take_utf16_units(replace_control_characters(self.spec.organisation_name), _MAX_PAGE_HEADER_UNITS)
        escaped_name = name.replace("&", "&&")
        return f"&L{escaped_name}&C{self.spec.translate(labels.REPORT_TO_BUFDIR)}&R{self.spec.period_label}"

    def allocate_sheet_name(self, name: str, number: int) -> str:
        while True:
            suffix = f" ({number})" if number > 1 else ""
            candidate = (
                take_utf16_units(replace_control_characters(name), _MAX_SHEET_NAME_LENGTH - count_utf16_units(suffix))
                + suffix
            )
            if candidate.casefold() not in self._sheet_names:
                self._sheet_names.add(candidate.casefold())
                return candidate
            number += 1

    def allocate_table_name(self, label: Localized) -> str:
        """Return an unused table name; the second table with this label gets the suffix ``_2``."""
        name, number = label.in_locale(self.spec.locale), 1
        candidate = name
        while candidate.casefold() in self._table_names:
            number += 1
            candidate = f"{name}_{number}"
        self._table_names.add(candidate.casefold())
        return candidate
