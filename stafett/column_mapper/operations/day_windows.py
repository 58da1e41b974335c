"""A mentor's day: parts are cut between days of Europe/Oslo, so every row of a day is there when it is looked at."""

import json
from dataclasses import replace

import polars as pl

from stafett.activity_frames import OSLO_DAY
from stafett.column_mapper.expression_parser import OperationCall, OperationHandler
from stafett.column_mapper.scope import Scope
from stafett.column_mapper.values import Value, ValueKind, derive_value

_DAY_KEYS = ("mentor_id", OSLO_DAY)
_MAX_ROWS = 2**32


def day_count(call: OperationCall) -> Value:
    condition, day = _parse_condition(call), _number_days(call.scope)
    count = condition.expr.cast(pl.Int64).sum().over(day.expr)
    return _materialise_result(call, "count", derive_value([condition, day], ValueKind.INTEGER, count))


def day_rank(call: OperationCall) -> Value:
    """Every day's rows are put side by side and counted on; a window for each day takes ten times as long."""
    condition, day = _parse_condition(call), _number_days(call.scope)
    order = _order_by_day(call.scope, day)
    number, of_day = condition.expr.cast(pl.Int64).gather(order.expr), day.expr.gather(order.expr)
    running = _materialise_result(
        call, "running", derive_value([condition, order], ValueKind.INTEGER, number.cum_sum())
    )
    before_the_day = pl.when(of_day != of_day.shift(1)).then(running.expr - number).forward_fill().fill_null(0)
    rank = (running.expr - before_the_day).gather(order.expr.arg_sort())
    return _materialise_result(
        call, "rank", derive_value([running], ValueKind.INTEGER, pl.when(condition.expr).then(rank))
    )


def _parse_condition(call: OperationCall) -> Value:
    call.check_argument_count(1, 1)
    value = call.parse_argument(0, ValueKind.BOOLEAN)
    call.scope.uses_day_windows = True
    return call.scope.materialise(f"if {_serialise_arguments(call)}", replace(value, expr=value.null_as_false))


def _number_days(scope: Scope) -> Value:
    """Each row's day, by the number of the first row in it."""
    row = scope.materialise("row number", Value(ValueKind.INTEGER, pl.int_range(pl.len())))
    return scope.materialise("day number", derive_value([row], ValueKind.INTEGER, row.expr.min().over(_DAY_KEYS)))


def _order_by_day(scope: Scope, day: Value) -> Value:
    by_day_and_place = (day.expr * _MAX_ROWS + pl.col("row number")).arg_sort()
    return scope.materialise("row order", derive_value([day], ValueKind.INTEGER, by_day_and_place))


def _materialise_result(call: OperationCall, name: str, value: Value) -> Value:
    """A column of its own: Polars does not look at days within days."""
    return call.scope.materialise(f"{name} {_serialise_arguments(call)}", replace(value, max_abs=_MAX_ROWS))


def _serialise_arguments(call: OperationCall) -> str:
    return json.dumps(call.arguments, sort_keys=True)


OPERATIONS: dict[str, OperationHandler] = {"day_rank": day_rank, "day_count": day_count}
