"""The table of an export's deviations: one line each, and below it how to correct each kind of problem."""

import csv
import io
from collections import Counter
from collections.abc import Iterable, Sequence

from rich.console import Console
from rich.table import Table

from stafett.cli.terminal import make_console, print_lines

_BYTE_ORDER_MARK = "\N{ZERO WIDTH NO-BREAK SPACE}"
_COLUMNS = ("date", "row", "outcome", "mentor", "place", "problem", "sheet", "activity_id")
_MIN_WIDTHS = {"problem": 30}
_DROPPED_FIRST = ("activity_id", "sheet", "place")


def read_deviations(content: bytes) -> list[dict[str, str]]:
    """Parse the API's file, in either CSV profile."""
    text = content.decode().removeprefix(_BYTE_ORDER_MARK)
    delimiter = ";" if text.startswith("date;") else ","
    return list(csv.DictReader(io.StringIO(text, newline=""), delimiter=delimiter))


def print_deviations(rows: Sequence[dict[str, str]], console: Console | None = None) -> None:
    """Print the rows, without wrapping: on a narrow terminal the least important columns are left out."""
    if not rows:
        print_lines("No deviations.")
        return
    console = console or make_console()
    columns = _choose_columns(rows, console.width)
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0))
    for name in columns:
        table.add_column(name, no_wrap=True, overflow="ellipsis")
    for row in rows:
        table.add_row(*(row[name] for name in columns))
    console.print(table)
    for line in _describe_problems(rows):
        console.print(line)


def _choose_columns(rows: Sequence[dict[str, str]], width: int) -> list[str]:
    """Drop columns until the rest fits, with at least the minimum of the problem's text."""
    columns = list(_COLUMNS)
    for name in _DROPPED_FIRST:
        if _measure(rows, columns) > width:
            columns.remove(name)
    return columns


def _measure(rows: Iterable[dict[str, str]], columns: Sequence[str]) -> int:
    widths = dict.fromkeys(columns, 0)
    for row in rows:
        for name in columns:
            widths[name] = max(widths[name], len(name), min(len(row[name]), _MIN_WIDTHS.get(name, len(row[name]))))
    return sum(widths.values()) + len(columns) - 1


def _describe_problems(rows: Iterable[dict[str, str]]) -> list[str]:
    counts = Counter((row["outcome"], row["problem"], row["repair"]) for row in rows)
    lines = [""]
    for (outcome, problem, repair), count in counts.most_common():
        lines += [f"{count} {outcome}: {problem}", f"    {repair}"]
    return lines
