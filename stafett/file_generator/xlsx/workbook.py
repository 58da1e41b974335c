"""The whole workbook, as blocks of a finished file: whoever pulls them sets the pace, and may stop at any time."""

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, time
from itertools import chain

import polars as pl

from stafett.domain.errors import ExportError
from stafett.domain.export_outputs import StagedPart
from stafett.domain.export_status import ExportErrorCode
from stafett.file_generator.xlsx import labels
from stafett.file_generator.xlsx.about_sheet import add_about
from stafett.file_generator.xlsx.builder import EXCEL, Edition, Limits, Workbook
from stafett.file_generator.xlsx.cell_text import visible
from stafett.file_generator.xlsx.columns import sheet_columns
from stafett.file_generator.xlsx.dropdowns import Choices
from stafett.file_generator.xlsx.failures_sheet import add_deviations
from stafett.file_generator.xlsx.row_sheets import Listing, ListingSheets
from stafett.file_generator.xlsx.summary_sheet import add_summary
from stafett.file_generator.xlsx.truncation import CutTexts
from stafett.file_generator.xlsx.xlsxwriter_bridge import Book
from stafett.storage.zip_archive import TooLargeForZipError, ZipArchive

_TOO_LARGE = "The report is too large for one Excel file; ask for a shorter period, or for CSV."


def workbook_chunks(
    workbook: Workbook,
    *,
    report: Iterable[pl.DataFrame],
    apart: Iterable[pl.DataFrame] = (),
    cut: CutTexts | None = None,
    limits: Limits = EXCEL,
) -> Iterator[bytes]:
    """The file; when it has all been taken, ``cut`` knows the texts that no cell could hold."""
    archive = ZipArchive(with_zip64=False)  # Excel offers to repair a workbook that uses it
    edition = Edition(workbook, Book(archive), archive, CutTexts() if cut is None else cut, limits)
    try:
        yield from _sheets(edition, report, apart)
        yield from archive.finish()
    except TooLargeForZipError:
        raise ExportError(ExportErrorCode.FILE_GENERATION_FAILED, _TOO_LARGE) from None


def _sheets(edition: Edition, report: Iterable[pl.DataFrame], apart: Iterable[pl.DataFrame]) -> Iterator[bytes]:
    workbook = edition.workbook
    _describe(edition)
    edition.book.begin()
    choices = Choices(edition)
    yield from ListingSheets(edition, choices, _reported(workbook)).chunks(report)
    add_summary(edition)
    if _rows(workbook.mapped.excluded_parts):
        first, frames = _peeked(apart)
        yield from ListingSheets(edition, choices, _apart(workbook, first)).chunks(frames)
    add_deviations(edition)
    add_about(edition)
    choices.finish()
    edition.book.close()


def _describe(edition: Edition) -> None:
    """The file's properties; its clock stands at the end of the period."""
    workbook, layout = edition.workbook, edition.workbook.document.layout
    sheets = (layout.sheet, layout.summary_sheet, layout.apart_sheet)
    edition.reserve([workbook.say(name) for name in (*sheets, layout.partial_failures_sheet, layout.metadata_sheet)])
    titles = [workbook.say(title) for title in layout.title_rows]
    edition.book.set_properties(
        {
            "title": visible(": ".join(titles or [workbook.say(layout.sheet)])),
            "subject": f"{workbook.say(labels.REPORT_TO_BUFDIR)}, {workbook.period_in_words}",
            "author": visible(workbook.organisation),
            "created": datetime.combine(workbook.period[1], time.min),
        }
    )


def _reported(workbook: Workbook) -> Listing:
    document, locale = workbook.document, workbook.locale
    return Listing(
        sheet=workbook.say(document.layout.sheet),
        table=labels.REPORT_TABLE,
        columns=sheet_columns(document, locale),
        rows=_rows(workbook.mapped.parts),
    )


def _apart(workbook: Workbook, first: pl.DataFrame) -> Listing:
    document = workbook.document
    return Listing(
        sheet=workbook.say(document.layout.apart_sheet),
        table=labels.APART_TABLE,
        columns=sheet_columns(document, workbook.locale, first.columns[len(document.columns) :]),
        rows=_rows(workbook.mapped.excluded_parts),
    )


def _rows(parts: Sequence[StagedPart]) -> int:
    return sum(part.rows for part in parts)


def _peeked(frames: Iterable[pl.DataFrame]) -> tuple[pl.DataFrame, Iterator[pl.DataFrame]]:
    """The first frame, and all of them."""
    rest = iter(frames)
    first = next(rest, pl.DataFrame())
    return first, chain([first], rest)
