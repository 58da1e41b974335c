"""A mentor's day: parts are cut between days of Europe/Oslo, so every row of a day is there when it is looked at."""

import json
from dataclasses import replace

import polars as pl

from stafett.activity_frames import OSLO_DAY
from stafett.column_mapper.expression_parser import Call, Operation
from stafett.column_mapper.scope import Scope
from stafett.column_mapper.values import Kind, Value, made_of

_THE_DAY = ("mentor_id", OSLO_DAY)
_MOST_ROWS = 2**32


def day_count(call: Call) -> Value:
    condition, day = _condition(call), _first_of_the_day(call.scope)
    count = condition.expr.cast(pl.Int64).sum().over(day.expr)
    return _answer(call, "count", made_of([condition, day], Kind.INTEGER, count))


def day_rank(call: Call) -> Value:
    """Every day's rows are put side by side and counted on; a window for each day takes ten times as long."""
    condition, day = _condition(call), _first_of_the_day(call.scope)
    order = _side_by_side(call.scope, day)
    number, of_day = condition.expr.cast(pl.Int64).gather(order.expr), day.expr.gather(order.expr)
    running = _answer(call, "running", made_of([condition, order], Kind.INTEGER, number.cum_sum()))
    before_the_day = pl.when(of_day != of_day.shift(1)).then(running.expr - number).forward_fill().fill_null(0)
    rank = (running.expr - before_the_day).gather(order.expr.arg_sort())
    return _answer(call, "rank", made_of([running], Kind.INTEGER, pl.when(condition.expr).then(rank)))


def _condition(call: Call) -> Value:
    call.takes(1, 1)
    value = call.value(0, Kind.BOOLEAN)
    call.scope.looks_at_days = True
    return call.scope.kept(f"if {_spelled(call)}", replace(value, expr=value.truth))


def _first_of_the_day(scope: Scope) -> Value:
    """Each row's day, by the number of the first row in it."""
    row = scope.kept("row number", Value(Kind.INTEGER, pl.int_range(pl.len())))
    return scope.kept("day number", made_of([row], Kind.INTEGER, row.expr.min().over(_THE_DAY)))


def _side_by_side(scope: Scope, day: Value) -> Value:
    by_day_and_place = (day.expr * _MOST_ROWS + pl.col("row number")).arg_sort()
    return scope.kept("row order", made_of([day], Kind.INTEGER, by_day_and_place))


def _answer(call: Call, what: str, value: Value) -> Value:
    """A column of its own: Polars does not look at days within days."""
    return call.scope.kept(f"{what} {_spelled(call)}", replace(value, most=_MOST_ROWS))


def _spelled(call: Call) -> str:
    return json.dumps(call.given, sort_keys=True)


OPERATIONS: dict[str, Operation] = {"day_rank": day_rank, "day_count": day_count}
