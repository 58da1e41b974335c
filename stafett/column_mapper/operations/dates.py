"""Dates, times of day and instants; a day is a day in Europe/Oslo."""

import json
import re
from collections.abc import Callable
from contextlib import suppress
from datetime import date, time

import polars as pl

from stafett.column_mapper.expression_parser import Call, Operation
from stafett.column_mapper.values import Kind, Value, constant, made_of

_TIME = re.compile(r"\d\d:\d\d(:\d\d)?", re.ASCII)
_DATE = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)
_MINUTES_OF_300_YEARS, _DAYS_OF_10_000_YEARS = 160_000_000, 3_660_000


def _written_out(kind: Kind, pattern: re.Pattern[str], parse: Callable[[str], object], wanted: str) -> Operation:
    def written_out(call: Call) -> Value:
        call.takes(1, 1)
        written: str = call.literal(0, str, wanted)
        with suppress(ValueError):
            if pattern.fullmatch(written):
                return constant(kind, parse(written))
        raise call.refused("literal_expected", f"Expected {wanted}.", 0)

    return written_out


def _part(of: Kind, gives: Kind, how: Callable[[pl.Expr], pl.Expr], most: int = 0) -> Operation:
    def part(call: Call) -> Value:
        call.takes(1, 1)
        value = call.value(0, of)
        return made_of([value], gives, how(value.expr), most=most)

    return part


def _of_oslo(gives: Kind, how: Callable[[pl.Expr], pl.Expr]) -> Operation:
    """Kept, for many columns ask for the same, and time zones are slow."""

    def of_oslo(call: Call) -> Value:
        call.takes(1, 1)
        instant = call.value(0, Kind.INSTANT)
        made = made_of([instant], gives, how(instant.expr.dt.convert_time_zone("Europe/Oslo")))
        return made if call.is_faulty else call.scope.kept(f"{gives} of {json.dumps(call.given)}", made)

    return of_oslo


def minutes_between(call: Call) -> Value:
    call.takes(2, 2)
    begin, end = call.values(Kind.INSTANT)
    expr = (end.expr - begin.expr).dt.total_minutes()
    return made_of((begin, end), Kind.INTEGER, expr, most=_MINUTES_OF_300_YEARS)


def days_between(call: Call) -> Value:
    call.takes(2, 2)
    begin, end = call.values(Kind.DATE)
    expr = (end.expr - begin.expr).dt.total_days()
    return made_of((begin, end), Kind.INTEGER, expr, most=_DAYS_OF_10_000_YEARS)


def _integer(part: Callable[[pl.Expr], pl.Expr]) -> Callable[[pl.Expr], pl.Expr]:
    return lambda moment: part(moment).cast(pl.Int64)


OPERATIONS: dict[str, Operation] = {
    "date": _written_out(Kind.DATE, _DATE, date.fromisoformat, 'a date such as "2026-01-31"'),
    "time": _written_out(Kind.TIME, _TIME, time.fromisoformat, 'a time such as "09:30" or "09:30:15"'),
    "date_of": _of_oslo(Kind.DATE, lambda local: local.dt.date()),
    "time_of": _of_oslo(Kind.TIME, lambda local: local.dt.time()),
    "year": _part(Kind.DATE, Kind.INTEGER, _integer(lambda day: day.dt.year()), 10_000),
    "month": _part(Kind.DATE, Kind.INTEGER, _integer(lambda day: day.dt.month()), 12),
    "day": _part(Kind.DATE, Kind.INTEGER, _integer(lambda day: day.dt.day()), 31),
    "weekday": _part(Kind.DATE, Kind.INTEGER, _integer(lambda day: day.dt.weekday()), 7),
    "week": _part(Kind.DATE, Kind.INTEGER, _integer(lambda day: day.dt.week()), 53),
    "hour": _part(Kind.TIME, Kind.INTEGER, _integer(lambda moment: moment.dt.hour()), 23),
    "minute": _part(Kind.TIME, Kind.INTEGER, _integer(lambda moment: moment.dt.minute()), 59),
    "minutes_between": minutes_between,
    "days_between": days_between,
}
