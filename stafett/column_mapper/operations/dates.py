"""Operations on dates, times of day and instants. Instants are converted to Europe/Oslo."""

import json
import re
from collections.abc import Callable
from contextlib import suppress
from datetime import date, time

import polars as pl

from stafett.column_mapper.expression_parser import OperationCall
from stafett.column_mapper.operation import DATE, INSTANT, TIME, Argument, ArgumentType, Operation
from stafett.column_mapper.values import Value, ValueKind, constant_value, derive_value

_MAX_MINUTES_BETWEEN, _MAX_DAYS_BETWEEN = 160_000_000, 3_660_000
_LITERAL_DATE = ArgumentType(
    "a date such as 2026-01-31, as a literal",
    {"type": "string", "format": "date", "pattern": "^[0-9]{4}-[0-9]{2}-[0-9]{2}$"},
    is_literal=True,
)
_LITERAL_TIME = ArgumentType(
    "a time such as 09:30 or 09:30:15, as a literal",
    {"type": "string", "pattern": "^([01][0-9]|2[0-3]):[0-5][0-9](:[0-5][0-9])?$"},
    is_literal=True,
)


def _parse_date(call: OperationCall, text: str) -> Value:
    return _parse_literal(call, text, _LITERAL_DATE, ValueKind.DATE, date.fromisoformat)


def _parse_time(call: OperationCall, text: str) -> Value:
    return _parse_literal(call, text, _LITERAL_TIME, ValueKind.TIME, time.fromisoformat)


def _parse_literal(
    call: OperationCall, text: str, expected: ArgumentType, kind: ValueKind, parse: Callable[[str], object]
) -> Value:
    with suppress(ValueError):
        if re.fullmatch(expected.json_schema["pattern"], text):
            return constant_value(kind, parse(text))
    raise call.error("literal_expected", f"Expected {expected.description}.", 0)


def _oslo_operation(return_kind: ValueKind, extract: Callable[[pl.Expr], pl.Expr]) -> Callable[..., Value]:
    """Build an operation on local time. Its result is materialised: time zones are slow, and many columns share it."""

    def convert_to_oslo(call: OperationCall, instant: Value) -> Value:
        local = derive_value([instant], return_kind, extract(instant.expr.dt.convert_time_zone("Europe/Oslo")))
        if call.is_invalid:
            return local
        return call.scope.materialise(f"{return_kind} of {json.dumps(call.arguments)}", local)

    return convert_to_oslo


def _count_minutes_between(_call: OperationCall, start: Value, end: Value) -> Value:
    expr = (end.expr - start.expr).dt.total_minutes()
    return derive_value((start, end), ValueKind.INTEGER, expr, max_abs=_MAX_MINUTES_BETWEEN)


def _count_days_between(_call: OperationCall, start: Value, end: Value) -> Value:
    expr = (end.expr - start.expr).dt.total_days()
    return derive_value((start, end), ValueKind.INTEGER, expr, max_abs=_MAX_DAYS_BETWEEN)


def _component(extract: Callable[[pl.Expr], pl.Expr], max_abs: int) -> Callable[..., Value]:
    def extract_component(_call: OperationCall, value: Value) -> Value:
        return derive_value([value], ValueKind.INTEGER, extract(value.expr).cast(pl.Int64), max_abs=max_abs)

    return extract_component


_DATE, _TIME, _INSTANT = Argument("date", DATE), Argument("time", TIME), Argument("instant", INSTANT)
OPERATIONS = (
    Operation("date", (Argument("date", _LITERAL_DATE),), "date", "The date.", _parse_date),
    Operation("time", (Argument("time", _LITERAL_TIME),), "time", "The time of day.", _parse_time),
    Operation(
        "date_of",
        (_INSTANT,),
        "date",
        "The date in Europe/Oslo.",
        _oslo_operation(ValueKind.DATE, lambda local: local.dt.date()),
    ),
    Operation(
        "time_of",
        (_INSTANT,),
        "time",
        "The time of day in Europe/Oslo.",
        _oslo_operation(ValueKind.TIME, lambda local: local.dt.time()),
    ),
    Operation("year", (_DATE,), "integer", "The year.", _component(lambda day: day.dt.year(), 10_000)),
    Operation("month", (_DATE,), "integer", "The month, 1 to 12.", _component(lambda day: day.dt.month(), 12)),
    Operation("day", (_DATE,), "integer", "The day of the month, 1 to 31.", _component(lambda day: day.dt.day(), 31)),
    Operation(
        "weekday",
        (_DATE,),
        "integer",
        "The day of the week: 1 is Monday, 7 is Sunday.",
        _component(lambda day: day.dt.weekday(), 7),
    ),
    Operation(
        "week",
        (_DATE,),
        "integer",
        "The week number (ISO 8601), as in Norwegian calendars.",
        _component(lambda day: day.dt.week(), 53),
    ),
    Operation("hour", (_TIME,), "integer", "The hour, 0 to 23.", _component(lambda clock: clock.dt.hour(), 23)),
    Operation("minute", (_TIME,), "integer", "The minute, 0 to 59.", _component(lambda clock: clock.dt.minute(), 59)),
    Operation(
        "minutes_between",
        (_INSTANT, _INSTANT),
        "integer",
        "Whole minutes from the first to the second, truncated. Negative if the second is earlier.",
        _count_minutes_between,
    ),
    Operation(
        "days_between",
        (_DATE, _DATE),
        "integer",
        "Days from the first to the second. Negative if the second is earlier.",
        _count_days_between,
    ),
)
