"""The table of what differs between two versions of a report."""

from operator import itemgetter

from stafett.cli.client import Json
from stafett.cli.formats import format_words
from stafett.cli.tables import Column, Columns

_SEPARATOR = " · "
"""Between the differences of an activity in the file of changes."""


def format_differences(row: Json) -> str:
    """Format the differences of an activity in words: what was added or removed, and that notes are withheld."""
    if not row["differences"]:
        return str(row["change"])
    return _SEPARATOR.join(map(_format_difference, row["differences"].split(_SEPARATOR)))


def _format_difference(difference: str) -> str:
    name, colon, values = difference.partition(": ")
    if name == "note" and not colon:
        return "note (its texts are withheld)"
    return f"{format_words(name)}{colon}{format_words(values) if name == 'outcome' else values}"


CHANGE_COLUMNS: Columns = {
    "change": Column(itemgetter("change")),
    "date": Column(itemgetter("date")),
    "mentor": Column(itemgetter("mentor"), min_width=12),
    "place": Column(itemgetter("place"), drop_order=2, min_width=10),
    "row before": Column(itemgetter("row_before"), drop_order=4),
    "row after": Column(itemgetter("row_after")),
    "counts": Column(lambda row: f"{row['counted_before'] or '-'} → {row['counted_after'] or '-'}"),
    "differences": Column(format_differences, min_width=20, wraps=True),
    "sheet": Column(lambda row: row["sheet_after"] or row["sheet_before"], drop_order=1),
    "activity": Column(itemgetter("activity_id"), drop_order=3, is_id=True),
}
