"""Tables that fit the terminal: no cell is wrapped, and a narrow terminal has only the most important columns."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from rich.console import Console
from rich.text import Text

from stafett.cli.escaping import escape_line
from stafett.cli.terminal import make_console

_SPACE = Text("  ")


@dataclass(frozen=True)
class Column:
    """A column of a table."""

    format_cell: Callable[[Any], object]
    drop_order: int = 0
    """Position in the order in which columns are dropped; 0 for a column that is always shown."""

    min_width: int | None = None
    """The width to which long cells may be cut, with an ellipsis; None for cells that are never cut."""


Columns = Mapping[str, Column]
"""The columns of a table by their headings."""

Details = Sequence[tuple[str, object]]
"""Labels and values of one resource; the label is empty for a value that continues the one above."""


def print_table(items: Sequence[Any], columns: Columns, console: Console | None = None) -> None:
    """Print one line per item, and on standard error which columns are missing, or that there is no item."""
    console = console or make_console()
    cells = {heading: [_to_text(column.format_cell(item)) for item in items] for heading, column in columns.items()}
    widths = {heading: _measure(heading, cells[heading], column) for heading, column in columns.items()}
    shown, dropped = _choose_columns(columns, widths, console.width)
    final_widths = _cut_widths([widths[heading] for heading in shown], console.width)
    rows = [
        [Text(heading, style="bold") for heading in shown],
        *zip(*(cells[heading] for heading in shown), strict=True),
    ]
    for row in rows:
        line = _SPACE.join(_fit(cell, width) for cell, width in zip(row, final_widths, strict=True))
        line.rstrip()
        console.print(line, soft_wrap=True)
    if not items:
        make_console(stderr=True).print("There are no entries.")
    elif dropped:
        make_console(stderr=True).print(f"Not shown at this width: {', '.join(dropped)}. --json has everything.")


class _Widths(NamedTuple):
    """The width of the longest cell, and the width to which the column may be cut."""

    full: int
    minimum: int


def _measure(heading: str, cells: Sequence[Text], column: Column) -> _Widths:
    full = max([len(heading), *(cell.cell_len for cell in cells)])
    return _Widths(full, full if column.min_width is None else min(full, max(column.min_width, len(heading))))


def _choose_columns(columns: Columns, widths: Mapping[str, _Widths], width: int) -> tuple[list[str], list[str]]:
    """Return the headings that fit, and those that do not."""
    shown, dropped = list(columns), list[str]()
    candidates = sorted(
        (name for name in columns if columns[name].drop_order), key=lambda name: columns[name].drop_order
    )
    for name in candidates:
        if _total(widths[each].minimum for each in shown) <= width:
            break
        shown.remove(name)
        dropped.append(name)
    return shown, dropped


def _cut_widths(widths: Sequence[_Widths], width: int) -> list[int]:
    """Cut the widest of the columns that may be cut, until all fit or none can be cut further."""
    final = [each.full for each in widths]
    while _total(final) > width:
        candidates = [index for index, each in enumerate(widths) if final[index] > each.minimum]
        if not candidates:
            break
        final[max(candidates, key=final.__getitem__)] -= 1
    return final


def _total(widths: Iterable[int]) -> int:
    all_widths = list(widths)
    return sum(all_widths) + _SPACE.cell_len * (len(all_widths) - 1)


def _fit(cell: Text, width: int) -> Text:
    fitted = cell.copy()
    fitted.truncate(width, overflow="ellipsis", pad=True)
    return fitted


def _to_text(cell: object) -> Text:
    if isinstance(cell, Text):
        return cell
    return Text("" if cell is None else escape_line(str(cell)))


def print_details(title: str, details: Details, console: Console | None = None) -> None:
    """Print a title and one line per detail, with the labels aligned."""
    console = console or make_console()
    console.print(Text(escape_line(title)), soft_wrap=True)
    width = max((len(label) for label, _ in details), default=0)
    for label, value in details:
        console.print(Text(f"  {label:{width}}  ") + _to_text(value), soft_wrap=True)
