"""Operations on dates, times of day and instants. Instants are converted to Europe/Oslo."""

import json
import re
from collections.abc import Callable
from contextlib import suppress
from datetime import date, time

import polars as pl

from stafett.column_mapper.expression_parser import OperationCall, OperationHandler
from stafett.column_mapper.values import Value, ValueKind, constant_value, derive_value

_TIME_PATTERN = re.compile(r"\d\d:\d\d(:\d\d)?", re.ASCII)
_DATE_PATTERN = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)
_MAX_MINUTES_BETWEEN, _MAX_DAYS_BETWEEN = 160_000_000, 3_660_000


def _literal_operation(
    kind: ValueKind, pattern: re.Pattern[str], parse: Callable[[str], object], expected: str
) -> OperationHandler:
    def parse_literal(call: OperationCall) -> Value:
        call.check_argument_count(1, 1)
        text: str = call.literal_argument(0, str, expected)
        with suppress(ValueError):
            if pattern.fullmatch(text):
                return constant_value(kind, parse(text))
        raise call.error("literal_expected", f"Expected {expected}.", 0)

    return parse_literal


def _component_operation(
    argument_kind: ValueKind, return_kind: ValueKind, extract: Callable[[pl.Expr], pl.Expr], max_abs: int = 0
) -> OperationHandler:
    def extract_component(call: OperationCall) -> Value:
        call.check_argument_count(1, 1)
        value = call.parse_argument(0, argument_kind)
        return derive_value([value], return_kind, extract(value.expr), max_abs=max_abs)

    return extract_component


def _oslo_operation(return_kind: ValueKind, extract: Callable[[pl.Expr], pl.Expr]) -> OperationHandler:
    """Build an operation on local time. Its result is materialised: time zones are slow, and many columns share it."""

    def convert_to_oslo(call: OperationCall) -> Value:
        call.check_argument_count(1, 1)
        instant = call.parse_argument(0, ValueKind.INSTANT)
        local = derive_value([instant], return_kind, extract(instant.expr.dt.convert_time_zone("Europe/Oslo")))
        if call.is_invalid:
            return local
        return call.scope.materialise(f"{return_kind} of {json.dumps(call.arguments)}", local)

    return convert_to_oslo


def minutes_between(call: OperationCall) -> Value:
    call.check_argument_count(2, 2)
    start, end = call.parse_arguments(ValueKind.INSTANT)
    expr = (end.expr - start.expr).dt.total_minutes()
    return derive_value((start, end), ValueKind.INTEGER, expr, max_abs=_MAX_MINUTES_BETWEEN)


def days_between(call: OperationCall) -> Value:
    call.check_argument_count(2, 2)
    start, end = call.parse_arguments(ValueKind.DATE)
    expr = (end.expr - start.expr).dt.total_days()
    return derive_value((start, end), ValueKind.INTEGER, expr, max_abs=_MAX_DAYS_BETWEEN)


def _as_integer(extract: Callable[[pl.Expr], pl.Expr]) -> Callable[[pl.Expr], pl.Expr]:
    return lambda temporal: extract(temporal).cast(pl.Int64)


OPERATIONS: dict[str, OperationHandler] = {
    "date": _literal_operation(ValueKind.DATE, _DATE_PATTERN, date.fromisoformat, 'a date such as "2026-01-31"'),
    "time": _literal_operation(
        ValueKind.TIME, _TIME_PATTERN, time.fromisoformat, 'a time such as "09:30" or "09:30:15"'
    ),
    "date_of": _oslo_operation(ValueKind.DATE, lambda local: local.dt.date()),
    "time_of": _oslo_operation(ValueKind.TIME, lambda local: local.dt.time()),
    "year": _component_operation(ValueKind.DATE, ValueKind.INTEGER, _as_integer(lambda day: day.dt.year()), 10_000),
    "month": _component_operation(ValueKind.DATE, ValueKind.INTEGER, _as_integer(lambda day: day.dt.month()), 12),
    "day": _component_operation(ValueKind.DATE, ValueKind.INTEGER, _as_integer(lambda day: day.dt.day()), 31),
    "weekday": _component_operation(ValueKind.DATE, ValueKind.INTEGER, _as_integer(lambda day: day.dt.weekday()), 7),
    "week": _component_operation(ValueKind.DATE, ValueKind.INTEGER, _as_integer(lambda day: day.dt.week()), 53),
    "hour": _component_operation(
        ValueKind.TIME, ValueKind.INTEGER, _as_integer(lambda time_of_day: time_of_day.dt.hour()), 23
    ),
    "minute": _component_operation(
        ValueKind.TIME, ValueKind.INTEGER, _as_integer(lambda time_of_day: time_of_day.dt.minute()), 59
    ),
    "minutes_between": minutes_between,
    "days_between": days_between,
}
