"""The table of an export's deviations: one line each, and below it how to correct each kind of problem."""

from collections import Counter
from collections.abc import Container, Iterable, Sequence
from operator import itemgetter
from typing import Annotated

import typer
from rich.console import Console

from stafett.cli.formats import format_words
from stafett.cli.tables import Column, Columns, print_table
from stafett.cli.terminal import make_console, print_lines
from stafett.domain.export_outputs import DeviationOutcome

MAX_ROWS_SHOWN = 20
KindOption = Annotated[
    DeviationOutcome | None,
    typer.Option(
        "--kind",
        help="Only this kind, which is the column `outcome` of the file; `warning` includes those of other kinds that"
        " have a warning, too. Default: all.",
    ),
]
MentorOption = Annotated[
    str | None, typer.Option("--mentor", help="Only activities of mentors whose name contains this text.")
]
_CORRECTION = "To correct one:    stafett activity correct ACTIVITY_ID --help"
_COLUMNS: Columns = {
    "date": Column(itemgetter("date")),
    "row": Column(itemgetter("row")),
    "outcome": Column(lambda row: format_words(row["outcome"])),
    "mentor": Column(itemgetter("mentor"), min_width=12),
    "place": Column(itemgetter("place"), drop_order=2),
    "problem": Column(itemgetter("problem"), min_width=20, wraps=True),
    "sheet": Column(itemgetter("sheet"), drop_order=1),
    "activity_id": Column(itemgetter("activity_id"), drop_order=3, is_id=True),
}


def select_deviations(
    rows: Sequence[dict[str, str]],
    kind: DeviationOutcome | None,
    mentor: str | None,
    warning_codes: Container[str] = (),
) -> Sequence[dict[str, str]]:
    """Select the rows of a kind, and of the mentors whose names contain a text.

    A row can have a warning and another outcome; the codes of warnings find it.
    """
    name = (mentor or "").casefold()
    return [
        row
        for row in rows
        if name in row["mentor"].casefold()
        and (
            kind in {None, row["outcome"]}
            or (kind is DeviationOutcome.WARNING and any(code in warning_codes for code in row["codes"].split()))
        )
    ]


def describe_selection(kind: DeviationOutcome | None, mentor: str | None) -> str:
    """Describe which rows are selected, as far as options specify it."""
    words = (kind and f"of the kind {format_words(kind)}", mentor and f"of a mentor whose name contains '{mentor}'")
    return " and ".join(filter(None, words))


def print_deviations(
    rows: Sequence[dict[str, str]],
    console: Console | None = None,
    *,
    report_id: str | None = None,
    limit: int | None = MAX_ROWS_SHOWN,
    total: int = 0,
    selection: str = "",
) -> None:
    """Print how to correct each kind of problem, one line per row, at most `limit` of them, and the next commands.

    The rows can be a selection of the `total`, such as "of this kind".
    """
    if not rows:
        print_lines(f"None of the {total} deviations is {selection}." if total else "No deviations.")
        return
    console = console or make_console()
    for line in _describe_problems(rows):
        console.print(line, soft_wrap=True)
    print_table(rows[:limit], _COLUMNS, console, option_for_all="--output FILE")
    if limit is not None and len(rows) > limit:
        hint = f"{len(rows) - limit} more: --all prints them, --output FILE writes them as CSV."
        console.print(hint, soft_wrap=True)
    for line in (_CORRECTION, f"For a new version: stafett reexport start {report_id or 'REPORT'}"):
        console.print(line, soft_wrap=True)


def _describe_problems(rows: Iterable[dict[str, str]]) -> list[str]:
    counts = Counter((row["outcome"], row["problem"], row["repair"]) for row in rows)
    lines = []
    for (outcome, problem, repair), count in counts.most_common():
        lines += [f"{count} {format_words(outcome)}: {problem}", f"    {repair}"]
    return [*lines, ""]
