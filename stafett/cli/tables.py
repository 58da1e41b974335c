"""Tables that fit the terminal: a narrow one has only what distinguishes the entries, and few cells are wrapped."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from rich.console import Console
from rich.text import Text

from stafett.cli.escaping import escape_line
from stafett.cli.terminal import make_console

MIN_SHORT_ID_LENGTH = 8
"""Characters of a shortened id: lists have at least as many, and arguments of commands need them."""

_SPACE, _ELLIPSIS = Text("  "), "…"


@dataclass(frozen=True)
class Column:
    """A column of a table."""

    format_cell: Callable[[Any], object]
    drop_order: int = 0
    """Position in the order in which columns are dropped; 0 for a column that is always shown."""

    min_width: int | None = None
    """The width to which long cells may be cut, with an ellipsis; None for cells that are never cut."""

    wraps: bool = False
    """Whether long cells continue on the next line instead of being cut."""

    is_id: bool = False
    """Whether the cells are ids, which a narrow terminal has in the short form that commands accept."""


Columns = Mapping[str, Column]
"""The columns of a table by their headings."""

Details = Sequence[tuple[str, object]]
"""Labels and values of one resource; the label is empty for a value that continues the one above."""


def print_table(
    items: Sequence[Any], columns: Columns, console: Console | None = None, *, option_for_all: str = "--json"
) -> None:
    """Print the items, and on standard error which columns are missing and which option has them, or that none is."""
    console = console or make_console()
    cells = {heading: [_to_text(column.format_cell(item)) for item in items] for heading, column in columns.items()}
    widths = _measure_all(columns, cells)
    if _total(each.minimum for each in widths.values()) > console.width:
        cells |= {heading: _shorten_ids(cells[heading]) for heading, column in columns.items() if column.is_id}
        widths = _measure_all(columns, cells)
    shown, dropped = _choose_columns(_list_by_drop_order(columns, cells), widths, console.width)
    final_widths = _cut_widths([widths[heading] for heading in shown], console.width)
    fitted = [
        [_fit([Text(heading, style="bold")], width), *_arrange(cells[heading], columns[heading], width, console)]
        for heading, width in zip(shown, final_widths, strict=True)
    ]
    for row in zip(*fitted, strict=True):
        blank_cells = [Text(" " * width) for width in final_widths]
        for index in range(max(map(len, row))):
            line = _SPACE.join(
                cell[index] if index < len(cell) else blank for cell, blank in zip(row, blank_cells, strict=True)
            )
            line.rstrip()
            console.print(line, soft_wrap=True)
    if not items:
        make_console(stderr=True).print("There are no entries.")
    elif dropped:
        names = ", ".join(_name_dropped(heading, cells[heading]) for heading in dropped)
        make_console(stderr=True).print(f"Not shown at this width: {names}. {option_for_all} has everything.")


def _shorten_ids(cells: Sequence[Text]) -> list[Text]:
    """Cut ids to as many characters as distinguish them, and at least to what commands accept."""
    ids = {cell.plain for cell in cells}
    longest = max(map(len, ids), default=0)
    lengths = range(MIN_SHORT_ID_LENGTH, longest)
    length = next((each for each in lengths if len({text[:each] for text in ids}) == len(ids)), longest)
    return [Text(cell.plain[:length]) for cell in cells]


def _list_by_drop_order(columns: Columns, cells: Mapping[str, Sequence[Text]]) -> list[str]:
    """List the columns that may be dropped: first those that are the same for all entries, as they distinguish none."""
    droppable = [heading for heading, column in columns.items() if column.drop_order]
    return sorted(droppable, key=lambda heading: (not _is_constant(cells[heading]), columns[heading].drop_order))


def _is_constant(cells: Sequence[Text]) -> bool:
    return len(cells) > 1 and len({cell.plain for cell in cells}) == 1


def _name_dropped(heading: str, cells: Sequence[Text]) -> str:
    return f"{heading} (all {cells[0].plain})" if _is_constant(cells) and cells[0].plain else heading


class _Widths(NamedTuple):
    """The width of the longest cell, and the width to which the column may be cut."""

    full: int
    minimum: int


def _measure_all(columns: Columns, cells: Mapping[str, Sequence[Text]]) -> dict[str, _Widths]:
    return {heading: _measure(heading, cells[heading], column) for heading, column in columns.items()}


def _measure(heading: str, cells: Sequence[Text], column: Column) -> _Widths:
    full = max([len(heading), *(cell.cell_len for cell in cells)])
    return _Widths(full, full if column.min_width is None else min(full, max(column.min_width, len(heading))))


def _choose_columns(
    candidates: Sequence[str], widths: Mapping[str, _Widths], width: int
) -> tuple[list[str], list[str]]:
    """Return the headings that fit, and those that do not, which are the first of the candidates."""
    shown, dropped = list(widths), list[str]()
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


def _arrange(cells: Sequence[Text], column: Column, width: int, console: Console) -> list[list[Text]]:
    """Arrange each cell on its lines: several if the column wraps, and one otherwise."""
    if not column.wraps:
        return [[cell] for cell in _fit(cells, width)]
    lines = [list(cell.wrap(console, width)) or [Text()] for cell in cells]
    return [[fit for line in each for fit in _fit([line], width)] for each in lines]


def _fit(cells: Sequence[Text], width: int) -> list[Text]:
    """Cut the cells at their end, or in the middle if two that differ would look the same."""
    fitted = [cell.copy() for cell in cells]
    for cell in fitted:
        cell.truncate(width, overflow="ellipsis", pad=True)
    if len({cell.plain for cell in fitted}) == len({cell.plain for cell in cells}):
        return fitted
    return [_cut_middle(cell, width) if cell.cell_len > width else fit for cell, fit in zip(cells, fitted, strict=True)]


def _cut_middle(cell: Text, width: int) -> Text:
    tail_length = (width - 1) // 2
    cut = Text(f"{cell.plain[: width - 1 - tail_length]}{_ELLIPSIS}{cell.plain[-tail_length:]}", style=cell.style)
    cut.truncate(width, overflow="ellipsis", pad=True)
    return cut


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
