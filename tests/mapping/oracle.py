"""The specification of mapping documents as a slow and plain interpreter: it knows no Polars and no compiler."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from decimal import Context, Decimal
from typing import Any

from tests.mapping.operations import rounded
from tests.mapping.reading import Document, Reading, Row, is_empty

_YES_NO = {
    "yes": {"nb": "Ja", "nn": "Ja", "en": "Yes"},
    "no": {"nb": "Nei", "nn": "Nei", "en": "No"},
}
Cells = tuple[Any, ...]


@dataclass(frozen=True)
class Fault:
    code: str
    column: str | None
    rejects: bool
    message: str | None
    """None: what a column's fault is called is not specified."""
    rows: list[int]


@dataclass(frozen=True)
class Report:
    written: list[Cells]
    apart: list[Cells]
    faults: list[Fault]
    rejected: int
    countable: int
    not_countable: dict[str, int]


def interpret(document: Document, rows: list[Row], locale: str) -> Report:
    faults = [fault for fault in _judged(document, Reading(document, rows, locale), locale) if fault.rows]
    rejected = {at for fault in faults if fault.rejects for at in fault.rows}
    remaining = [row for at, row in enumerate(rows) if at not in rejected]
    return _written(document, Reading(document, remaining, locale), locale, faults)


def _judged(document: Document, reading: Reading, locale: str) -> Iterator[Fault]:
    """Pass 1: over all rows of the source."""
    places = range(len(reading.rows))
    for column in document["columns"]:
        missing = [at for at in places if _lacks(column, reading, at)]
        yield Fault("required", column["id"], column.get("if_missing", "reject") == "reject", None, missing)
        unknown = [at for at in places if _is_unknown(column, reading, at)]
        policy = column.get("unknown", "fail")
        if policy == "fail":
            yield Fault("unknown_choice", column["id"], True, None, unknown)
        elif policy == "fallback":
            yield Fault("choice_replaced", column["id"], False, None, unknown)
    for rule in document.get("rules", []):
        faulty = [at for at in places if reading.is_true(rule["when"], at)]
        rejects = rule["severity"] == "reject"
        yield Fault(rule["code"], rule.get("column"), rejects, rule["message"][locale], faulty)


def _lacks(column: Any, reading: Reading, at: int) -> bool:
    return reading.is_true(column.get("required", False), at) and is_empty(reading.value(column["value"], at))


def _is_unknown(column: Any, reading: Reading, at: int) -> bool:
    if column["type"] != "choice":
        return False
    code = reading.value(column["value"], at)
    return code is not None and reading.label(column["options"], code) is None


def _written(document: Document, reading: Reading, locale: str, faults: list[Fault]) -> Report:
    """Pass 2: over the rows that remain, evaluated anew."""
    reasons = [reading.reason(at) for at in range(len(reading.rows))]
    cells = [
        tuple(_cell(column, reading, at, locale) for column in document["columns"]) for at in range(len(reading.rows))
    ]
    counting = document["counting"]
    sorts = counting.get("rows_that_do_not_count", "in_report") == "apart"
    is_apart = [sorts and reason is not None for reason in reasons]
    return Report(
        written=[row for row, apart in zip(cells, is_apart, strict=True) if not apart],
        apart=[row for row, apart in zip(cells, is_apart, strict=True) if apart],
        faults=faults,
        rejected=len({at for fault in faults if fault.rejects for at in fault.rows}),
        countable=reasons.count(None),
        not_countable={reason["code"]: reasons.count(reason) for reason in counting["reasons"]},
    )


def _cell(column: Any, reading: Reading, at: int, locale: str) -> Any:
    value = reading.value(column["value"], at)
    return None if value is None else _present_cell(column, reading, value, locale)


def _present_cell(column: Any, reading: Reading, value: Any, locale: str) -> Any:
    match column["type"]:
        case "decimal":
            return _decimal_cell(value, column.get("decimals", 2))
        case "time":
            return value.replace(second=0, microsecond=0)
        case "duration":
            return timedelta(minutes=value)
        case "yes_no":
            return column.get("labels", _YES_NO)["yes" if value else "no"][locale]
        case "choice":
            return _choice_cell(column, reading, value)
        case _:
            return value


def _decimal_cell(value: float, decimals: int) -> Decimal | None:
    number = rounded(value, decimals)
    return None if number is None else Decimal(number).quantize(Decimal(1).scaleb(-decimals), context=Context(prec=38))


def _choice_cell(column: Any, reading: Reading, code: str) -> str | None:
    """Under "fail" a code may be unknown only now, when day functions see fewer rows: it has no label, so none."""
    instead = {"keep": code, "fallback": reading.label(column["options"], column.get("fallback"))}
    label = reading.label(column["options"], code)
    return instead.get(column.get("unknown", "fail")) if label is None else label
