"""Dates, times of day and instants; a day is a day in Europe/Oslo."""

import re
from collections.abc import Callable
from datetime import date as Date  # noqa: N812 - beside the operation of that name
from datetime import time as Time  # noqa: N812 - the same

import polars as pl

from stafett.column_mapper.operations.building import made_of
from stafett.column_mapper.reader import Call, Operation
from stafett.column_mapper.values import Kind, Value

_TIME = re.compile(r"\d\d:\d\d(:\d\d)?", re.ASCII)
_DATE = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)
_MINUTES_OF_300_YEARS, _DAYS_OF_10_000_YEARS = 160_000_000, 3_660_000


def date(call: Call) -> Value:
    call.takes(1, 1)
    written: str = call.literal(0, str, 'a date such as "2026-01-31"')
    try:
        day = Date.fromisoformat(written) if _DATE.fullmatch(written) else None
    except ValueError:
        day = None
    if day is None:
        raise call.refused("literal_expected", 'Expected a date such as "2026-01-31".', 0)
    return Value(Kind.DATE, pl.lit(day), is_plain=True)


def time(call: Call) -> Value:
    call.takes(1, 1)
    written: str = call.literal(0, str, 'a time such as "09:30"')
    try:
        moment = Time.fromisoformat(written) if _TIME.fullmatch(written) else None
    except ValueError:
        moment = None
    if moment is None:
        raise call.refused("literal_expected", 'Expected a time such as "09:30" or "09:30:15".', 0)
    return Value(Kind.TIME, pl.lit(moment), is_plain=True)


def _part(of: Kind, gives: Kind, how: Callable[[pl.Expr], pl.Expr], most: int = 0) -> Operation:
    def part(call: Call) -> Value:
        call.takes(1, 1)
        value = call.value(0, of)
        return made_of([value], gives, how(value.expr), most=most)

    return part


def _in_oslo(instant: pl.Expr) -> pl.Expr:
    return instant.dt.convert_time_zone("Europe/Oslo")


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
    "date": date,
    "time": time,
    "date_of": _part(Kind.INSTANT, Kind.DATE, lambda instant: _in_oslo(instant).dt.date()),
    "time_of": _part(Kind.INSTANT, Kind.TIME, lambda instant: _in_oslo(instant).dt.time()),
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
