"""Operations on all rows of a mentor's day. Parts are split between days, so a part has every row of a day."""

import json
from dataclasses import replace

import polars as pl

from stafett.activity_frames import OSLO_DAY
from stafett.column_mapper.expression_parser import OperationCall
from stafett.column_mapper.operation import CONDITION, Argument, Operation
from stafett.column_mapper.scope import Scope
from stafett.column_mapper.values import Value, ValueKind, derive_value

DAY_KEYS = ("mentor_id", OSLO_DAY)
_MAX_ROWS = 2**32


def _count_in_day(call: OperationCall, condition: Value) -> Value:
    condition, day = _materialise_condition(call, condition), _number_days(call.scope)
    count = condition.expr.cast(pl.Int64).sum().over(day.expr)
    return _materialise_result(call, "count", derive_value([condition, day], ValueKind.INTEGER, count))


def _rank_in_day(call: OperationCall, condition: Value) -> Value:
    """Rank the rows with one running count over rows sorted by day. A window per day is ten times slower."""
    condition, day = _materialise_condition(call, condition), _number_days(call.scope)
    order = _order_by_day(call.scope, day)
    sorted_condition, sorted_day = condition.expr.cast(pl.Int64).gather(order.expr), day.expr.gather(order.expr)
    running = _materialise_result(
        call, "running", derive_value([condition, order], ValueKind.INTEGER, sorted_condition.cum_sum())
    )
    is_first_of_day = sorted_day != sorted_day.shift(1)
    count_before_day = pl.when(is_first_of_day).then(running.expr - sorted_condition).forward_fill().fill_null(0)
    rank = (running.expr - count_before_day).gather(order.expr.arg_sort())
    return _materialise_result(
        call, "rank", derive_value([running], ValueKind.INTEGER, pl.when(condition.expr).then(rank))
    )


def _materialise_condition(call: OperationCall, condition: Value) -> Value:
    return call.scope.materialise(f"if {_serialise_arguments(call)}", replace(condition, expr=condition.null_as_false))


def _number_days(scope: Scope) -> Value:
    """Number each mentor's days by the index of their first row."""
    row = scope.materialise_window("row index", Value(ValueKind.INTEGER, pl.int_range(pl.len())))
    day = derive_value([row], ValueKind.INTEGER, row.expr.min().over(DAY_KEYS))
    return scope.materialise_window("day number", day)


def _order_by_day(scope: Scope, day: Value) -> Value:
    by_day_and_row = (day.expr * _MAX_ROWS + pl.col("row index")).arg_sort()
    return scope.materialise_window("row order", derive_value([day], ValueKind.INTEGER, by_day_and_row))


def _materialise_result(call: OperationCall, name: str, value: Value) -> Value:
    """Materialise the result, because Polars does not support nested windows."""
    return call.scope.materialise_window(f"{name} {_serialise_arguments(call)}", replace(value, max_abs=_MAX_ROWS))


def _serialise_arguments(call: OperationCall) -> str:
    return json.dumps(call.arguments, sort_keys=True)


_CONDITION = (Argument("condition", CONDITION),)
OPERATIONS = (
    Operation(
        "day_rank",
        _CONDITION,
        "integer",
        "1, 2, 3 … for the rows of the same mentor and day where the condition is true. Missing where it is not true.",
        _rank_in_day,
    ),
    Operation(
        "day_count",
        _CONDITION,
        "integer",
        "The number of rows of the same mentor and day where the condition is true.",
        _count_in_day,
    ),
)
