"""An interpreter of mapping documents in plain Python, row by row, with the operations that NHF's document needs."""

import math
from collections import defaultdict
from collections.abc import Callable
from datetime import timedelta
from typing import Any
from zoneinfo import ZoneInfo

import polars as pl

Json = Any
Row = dict[str, Any]
_OSLO = ZoneInfo("Europe/Oslo")
_MINUTE = timedelta(minutes=1)
_YES, _NO = "Ja", "Nei"

_OPERATIONS: dict[str, Callable[..., Any]] = {
    "==": lambda left, right: left == right,
    ">": lambda left, right: left is not None and right is not None and left > right,
    ">=": lambda left, right: left is not None and right is not None and left >= right,
    "<": lambda left, right: left is not None and right is not None and left < right,
    "<=": lambda left, right: left is not None and right is not None and left <= right,
    "!": lambda value: not value,
    "/": lambda left, right: left / right,
    "trim": lambda text: None if text is None else text.strip(),
    "empty": lambda value: value is None or (isinstance(value, str) and not value.strip()),
    "time_of": lambda instant: instant.astimezone(_OSLO).time(),
    "minutes_between": lambda begin, end: (end - begin) // _MINUTE,
}


class RowInterpreter:
    """Maps one row at a time, after counting the rows of each mentor and day."""

    def __init__(self, document: Json) -> None:
        self._document = document
        self._values: dict[str, Json] = document["values"]
        self._labels = {
            name: {option["code"]: option["label"]["nb"] for option in options}
            for name, options in document["taxonomies"].items()
        }

    def apply(self, frame: pl.DataFrame) -> tuple[list[tuple[Any, ...]], int]:
        """Return the report's rows and the number of rows that count."""
        rows: list[Row] = list(frame.iter_rows(named=True))
        self._rank_within_days(rows)
        accepted = [row for row in rows if not self._is_rejected(row)]
        if len(accepted) < len(rows):
            rows = [{name: row[name] for name in frame.columns} for row in accepted]
            self._rank_within_days(rows)
        report_rows = [self._map_row(row) for row in rows]
        return report_rows, sum(bool(row["counts"]) for row in rows)

    def _rank_within_days(self, rows: list[Row]) -> None:
        """Set each row's rank and number of rows within its mentor and day, as NHF's document uses them."""
        counts: dict[tuple[str, Any], int] = defaultdict(int)
        ranks: dict[tuple[str, Any], int] = defaultdict(int)
        for row in rows:
            day = (row["mentor_id"], row["oslo_day"])
            counts[day] += 1
            is_counted = bool(self._evaluate_name("kind_counts", row))
            ranks[day] += is_counted
            row["rank"] = ranks[day] if is_counted else None
        for row in rows:
            row["count"] = counts[row["mentor_id"], row["oslo_day"]]

    def _is_rejected(self, row: Row) -> bool:
        is_rejected = False
        row["values"] = [self._evaluate(column["value"], row) for column in self._document["columns"]]
        for column, value in zip(self._document["columns"], row["values"], strict=True):
            if self._evaluate(column.get("required", False), row) and _OPERATIONS["empty"](value):
                is_rejected |= column.get("if_missing", "reject") == "reject"
            if column["type"] == "choice" and value is not None and value not in self._labels[column["options"]]:
                is_rejected |= column.get("unknown", "fail") == "fail"
        for rule in self._document["rules"]:
            if rule["severity"] == "reject":
                is_rejected |= bool(self._evaluate(rule["when"], row))
        return is_rejected

    def _map_row(self, row: Row) -> tuple[Any, ...]:
        columns = self._document["columns"]
        values = row.get("values") or [self._evaluate(column["value"], row) for column in columns]
        return tuple(self._format_cell(column, value) for column, value in zip(columns, values, strict=True))

    def _set_counting_reason(self, row: Row) -> None:
        reason = next((r for r in self._document["counting"]["reasons"] if self._evaluate(r["when"], row)), None)
        row["counts"], row["reason"] = reason is None, reason and reason["label"]["nb"]

    def _format_cell(self, column: Json, value: Any) -> Any:
        match column["type"]:
            case "yes_no":
                return _YES if value else _NO
            case "choice":
                return self._labels[column["options"]].get(value)
            case "time":
                return value.replace(second=0, microsecond=0)
            case "decimal":
                return math.floor(value * 10 ** column["decimals"] + 0.5) / 10 ** column["decimals"]
            case _:
                return value

    def _evaluate(self, expression: Json, row: Row) -> Any:  # noqa: PLR0911 - an interpreter has a case for each operation
        if not isinstance(expression, dict):
            return expression
        ((name, operands),) = expression.items()
        arguments = operands if isinstance(operands, list) else [operands]
        match name:
            case "var":
                return self._evaluate_name(arguments[0], row)
            case "and":
                return all(self._evaluate(argument, row) for argument in arguments)
            case "or":
                return any(self._evaluate(argument, row) for argument in arguments)
            case "if":
                pairs = zip(arguments[::2], arguments[1::2], strict=False)
                otherwise = arguments[-1] if len(arguments) % 2 else None
                return self._evaluate(next((then for when, then in pairs if self._evaluate(when, row)), otherwise), row)
            case "in":
                return self._evaluate(arguments[0], row) in arguments[1]
            case "lookup":
                return self._document["lookups"][arguments[1]].get(self._evaluate(arguments[0], row))
            case "day_rank":
                return row["rank"]
            case "day_count":
                return row["count"]
            case _:
                return _OPERATIONS[name](*[self._evaluate(argument, row) for argument in arguments])

    def _evaluate_name(self, name: str, row: Row) -> Any:
        if name in {"counts", "reason"} and name not in row:
            self._set_counting_reason(row)
        if name not in row:
            row[name] = self._evaluate(self._values[name], row)
        return row[name]
