"""One workbook in the making: what all its sheets share."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date

from stafett.column_mapper.document import MappingDocument
from stafett.column_mapper.localized import Localized
from stafett.domain.export import Locale
from stafett.domain.export_outputs import MappedRows
from stafett.file_generator.xlsx.cell_text import beginning, units, visible
from stafett.file_generator.xlsx.truncation import CutTexts
from stafett.file_generator.xlsx.xlsxwriter_bridge import Book, Format, Sheet
from stafett.storage.zip_archive import MOST_BYTES, ZipArchive

TEXT_FORMAT = "@"
_LONGEST_NAME, _A4 = 31, 9
_DARK, _WHITE = "#1F3864", "#FFFFFF"


@dataclass(frozen=True, kw_only=True)
class Workbook:
    """All that shapes the file: no clock, no host, no key of the export."""

    document: MappingDocument
    locale: Locale
    organisation: str
    period: tuple[date, date]
    mapped: MappedRows

    def say(self, words: Localized) -> str:
        return words.in_(self.locale)

    @property
    def period_in_words(self) -> str:
        first, last = self.period
        if self.locale == "en":
            return f"{first.isoformat()} to {last.isoformat()}"
        return f"{first:%d.%m.%Y}–{last:%d.%m.%Y}"  # noqa: RUF001 - as people write it


@dataclass(frozen=True)
class Limits:
    """How much a sheet holds: rows, and bytes of XML, with room for what stands around the rows."""

    rows: int = 1_048_576
    bytes: int = MOST_BYTES - 64 * 1024 * 1024


EXCEL = Limits()


class Formats:
    """Each look once."""

    def __init__(self, book: Book) -> None:
        self._book = book
        self._known: dict[tuple[tuple[str, object], ...], Format] = {}
        self.title = self._format(bold=True, font_size=14)
        self.heading = self._format(bold=True, font_size=12)
        self.header = self._format(
            bold=True,
            font_color=_WHITE,
            bg_color=_DARK,
            text_wrap=True,
            valign="top",
            align="left",
            indent=1,
            border=1,
            border_color=_WHITE,
        )
        self.text = self.of(TEXT_FORMAT, wraps=True)

    def of(self, number_format: str, *, wraps: bool = False, is_left: bool = False) -> Format:
        """How cells below a header look."""
        look: dict[str, object] = {"num_format": number_format, "valign": "top", "text_wrap": wraps}
        if is_left or number_format == TEXT_FORMAT:  # or it would touch the number before it
            look |= {"align": "left", "indent": 1}
        return self._format(**look)

    def _format(self, **properties: object) -> Format:
        key = tuple(properties.items())
        if key not in self._known:
            self._known[key] = self._book.add_format(properties)
        return self._known[key]


@dataclass
class Edition:
    """The workbook, the file it goes into, and what has been handed out of both."""

    workbook: Workbook
    book: Book
    archive: ZipArchive
    cut: CutTexts
    limits: Limits
    formats: Formats = field(init=False)
    _names: set[str] = field(default_factory=set)
    _tables: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.formats = Formats(self.book)

    def reserve(self, names: Sequence[str]) -> None:
        """Names that the document gives; what is numbered goes out of their way."""
        self._names |= {name.casefold() for name in names}

    def add_sheet(self, name: str, number: int = 1) -> Sheet:
        """A sheet of this name, or the next one that continues it."""
        sheet: Sheet = self.book.add_worksheet(visible(name) if number == 1 else self.free_name(name, number))
        if sheet.get_name() == self.book.worksheets()[0].get_name():
            sheet.activate()
        sheet.set_paper(_A4)
        sheet.set_landscape()
        sheet.fit_to_pages(1, 0)
        sheet.set_footer("&L&A&R&P / &N")
        return sheet

    def free_name(self, name: str, number: int) -> str:
        while True:
            suffix = f" ({number})" if number > 1 else ""
            free = beginning(visible(name), _LONGEST_NAME - units(suffix)) + suffix
            if free.casefold() not in self._names:
                self._names.add(free.casefold())
                return free
            number += 1

    def table_name(self, words: Localized) -> str:
        """The second table of a kind is called so."""
        name, number = words.in_(self.workbook.locale), 1
        free = name
        while free.casefold() in self._tables:
            number += 1
            free = f"{name}_{number}"
        self._tables.add(free.casefold())
        return free
