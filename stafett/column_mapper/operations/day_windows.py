"""Operations on all rows of a mentor's day or of an event's day. Parts are split between days, so they have all."""

import json
from dataclasses import replace

import polars as pl

from stafett.activity_frames import OSLO_DAY
from stafett.column_mapper.expression_parser import OperationCall
from stafett.column_mapper.operation import CONDITION, Argument, Operation
from stafett.column_mapper.scope import EVENT_ID, Scope
from stafett.column_mapper.values import Value, ValueKind, derive_value

_DAY_KEYS, _EVENT_KEYS = ("mentor_id", OSLO_DAY), (EVENT_ID, OSLO_DAY)
WINDOW_KEYS = ("mentor_id", EVENT_ID, OSLO_DAY)
"""The columns that determine which rows a window has."""

_MAX_ROWS = 2**32


def _count_in_day(call: OperationCall, condition: Value) -> Value:
    return _count(call, condition, _number_days(call.scope), "day")


def _rank_in_day(call: OperationCall, condition: Value) -> Value:
    return _rank(call, condition, _number_days(call.scope), "day")


def _count_at_event(call: OperationCall, condition: Value) -> Value:
    return _count(call, condition, _number_events(call.scope), "event")


def _rank_at_event(call: OperationCall, condition: Value) -> Value:
    return _rank(call, condition, _number_events(call.scope), "event")


def _count(call: OperationCall, condition: Value, window: Value, name: str) -> Value:
    condition = _materialise_condition(call, condition)
    count = condition.expr.cast(pl.Int64).sum().over(window.expr)
    return _materialise_result(call, f"{name} count", derive_value([condition, window], ValueKind.INTEGER, count))


def _rank(call: OperationCall, condition: Value, window: Value, name: str) -> Value:
    """Rank the rows with one running count over rows sorted by window. Windows of Polars are ten times slower."""
    condition, order = _materialise_condition(call, condition), _order_by_window(call.scope, window, name)
    sorted_condition, sorted_window = condition.expr.cast(pl.Int64).gather(order.expr), window.expr.gather(order.expr)
    running = _materialise_result(
        call, f"{name} running", derive_value([condition, order], ValueKind.INTEGER, sorted_condition.cum_sum())
    )
    is_first = sorted_window != sorted_window.shift(1)
    count_before = pl.when(is_first).then(running.expr - sorted_condition).forward_fill().fill_null(0)
    rank = (running.expr - count_before).gather(order.expr.arg_sort())
    return _materialise_result(
        call, f"{name} rank", derive_value([running], ValueKind.INTEGER, pl.when(condition.expr).then(rank))
    )


def _materialise_condition(call: OperationCall, condition: Value) -> Value:
    return call.scope.materialise(f"if {_serialise_arguments(call)}", replace(condition, expr=condition.null_as_false))


def _number_days(scope: Scope) -> Value:
    """Number each mentor's days by the index of their first row."""
    row = _number_rows(scope)
    day = derive_value([row], ValueKind.INTEGER, row.expr.min().over(_DAY_KEYS))
    return scope.materialise_window("day number", day)


def _number_events(scope: Scope) -> Value:
    """Number each event's days by the index of their first row; a row without an event is one of its own."""
    row, event_id = _number_rows(scope), pl.col(EVENT_ID)
    number = pl.when(event_id.is_null()).then(row.expr).otherwise(row.expr.min().over(_EVENT_KEYS))
    return scope.materialise_window("event number", derive_value([row], ValueKind.INTEGER, number))


def _number_rows(scope: Scope) -> Value:
    return scope.materialise_window("row index", Value(ValueKind.INTEGER, pl.int_range(pl.len())))


def _order_by_window(scope: Scope, window: Value, name: str) -> Value:
    by_window_and_row = (window.expr * _MAX_ROWS + pl.col("row index")).arg_sort()
    return scope.materialise_window(f"{name} order", derive_value([window], ValueKind.INTEGER, by_window_and_row))


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
    Operation(
        "event_rank",
        _CONDITION,
        "integer",
        "1, 2, 3 … for the rows of the same event and day where the condition is true. Missing where it is not true.",
        _rank_at_event,
    ),
    Operation(
        "event_count",
        _CONDITION,
        "integer",
        "The number of rows of the same event and day where the condition is true.",
        _count_at_event,
    ),
)
