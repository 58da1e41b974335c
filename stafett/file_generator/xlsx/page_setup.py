"""Printed pages of a sheet, and the widths of its columns, of which those for programs are hidden."""

from collections.abc import Sequence
from itertools import accumulate
from math import ceil
from typing import NamedTuple

from stafett.file_generator.xlsx.xlsxwriter_bridge import Format, Sheet

_A4_PAPER, _A4_LANDSCAPE_WIDTH = 9, 11.69
_SIDE_MARGIN, _TOP_MARGIN, _BOTTOM_MARGIN = 0.4, 0.8, 0.7
_PIXELS_PER_INCH = 96
_PIXELS_PER_CHARACTER, _PADDING_PIXELS = 7, 5
_PAGE_PIXELS = (_A4_LANDSCAPE_WIDTH - 2 * _SIDE_MARGIN) * _PIXELS_PER_INCH
_MAX_REPEATED_COLUMNS = 3
_MIN_SCALE = 0.6
"""The smallest scale at which the text of a cell, 11 points, is readable on paper."""


class ColumnSetup(NamedTuple):
    """Width in characters and format of a column; a hidden one is shown by a click on the + above it."""

    width: float
    cell_format: Format | None = None
    is_hidden: bool = False


def set_up_pages(sheet: Sheet, header: str) -> None:
    """Print on as many A4 pages in landscape as the rows need, each with the header and a page number."""
    sheet.set_paper(_A4_PAPER)
    sheet.set_landscape()
    sheet.set_margins(left=_SIDE_MARGIN, right=_SIDE_MARGIN, top=_TOP_MARGIN, bottom=_BOTTOM_MARGIN)
    sheet.fit_to_pages(1, 0)
    sheet.print_across()
    sheet.set_header(header, {"scale_with_doc": False})
    sheet.set_footer("&L&A&R&P / &N", {"scale_with_doc": False})


def set_up_columns(
    sheet: Sheet, columns: Sequence[ColumnSetup], first_column: int = 0, titles: Sequence[str] = ()
) -> None:
    """Set the columns, and print them on as many pages side by side as a readable scale needs.

    The first columns are repeated on each of these pages, as many as the titles above them need not to be cut off.
    """
    is_after_hidden = False
    for number, column in enumerate(columns, first_column):
        outline = {"level": 1, "hidden": True} if column.is_hidden else {"collapsed": is_after_hidden}
        sheet.set_column(number, number, column.width, column.cell_format, outline)
        is_after_hidden = column.is_hidden
    if is_after_hidden:
        after = first_column + len(columns)
        sheet.set_column(after, after, None, None, {"collapsed": True})
    pixels = sum(column.width * _PIXELS_PER_CHARACTER + _PADDING_PIXELS for column in columns if not column.is_hidden)
    pages = ceil(pixels * _MIN_SCALE / _PAGE_PIXELS)
    if pages > 1:
        sheet.fit_to_pages(pages, 0)
        sheet.repeat_columns(first_column, first_column + _count_columns_below(titles, columns) - 1)


def _count_columns_below(titles: Sequence[str], columns: Sequence[ColumnSetup]) -> int:
    """Count the first columns that are as wide as the longest title together, or one if that were too many."""
    longest = max(map(len, titles), default=1)
    widths = accumulate(0 if column.is_hidden else column.width for column in columns[:_MAX_REPEATED_COLUMNS])
    return next((count for count, width in enumerate(widths, 1) if width >= longest), 1)
