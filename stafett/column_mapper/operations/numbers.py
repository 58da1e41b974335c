"""Arithmetic: whole numbers stay whole and exact, what is beyond exactness is missing."""

import operator
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import polars as pl

from stafett.column_mapper.expression_parser import OperationCall, OperationHandler
from stafett.column_mapper.values import MAX_EXACT_INTEGER, NUMERIC_KINDS, ORDERED_KINDS, Value, ValueKind, derive_value

_MAX_DECIMAL_PLACES = 6


def _parse_numbers(call: OperationCall) -> list[Value]:
    return call.to_common_kind(call.parse_arguments(ValueKind.INTEGER, ValueKind.DECIMAL), NUMERIC_KINDS)


def _reduce_arguments(call: OperationCall, combine: Callable[[OperationCall, Value, Value], Value]) -> Value:
    made, *others = _parse_numbers(call)
    for other in others:
        made = call.scope.limit_depth(combine(call, made, other))
    return made


def add(call: OperationCall) -> Value:
    call.check_argument_count(2)
    return _reduce_arguments(call, partial(_add_or_subtract, operator.add))


def subtract(call: OperationCall) -> Value:
    call.check_argument_count(1, 2)
    if len(call.arguments) == 2:  # noqa: PLR2004 - the other form
        return _reduce_arguments(call, partial(_add_or_subtract, operator.sub))
    (value,) = _parse_numbers(call)
    return derive_value([value], value.kind, -value.expr, max_abs=value.max_abs)


def _add_or_subtract(
    operation: Callable[[pl.Expr, pl.Expr], pl.Expr], call: OperationCall, left: Value, right: Value
) -> Value:
    made = derive_value(
        (left, right), left.kind, operation(left.expr, right.expr), max_abs=left.max_abs + right.max_abs
    )
    return call.scope.null_if_inexact(_increment_depth(made))


def multiply(call: OperationCall) -> Value:
    call.check_argument_count(2)
    return _reduce_arguments(call, _multiply_pair)


def _multiply_pair(call: OperationCall, left: Value, right: Value) -> Value:
    most = left.max_abs * right.max_abs
    if most <= MAX_EXACT_INTEGER or left.kind is not ValueKind.INTEGER:
        made = derive_value((left, right), left.kind, left.expr * right.expr, max_abs=most)
        return call.scope.null_if_inexact(_increment_depth(made))
    left, right = call.scope.to_atomic(left), call.scope.to_atomic(right)
    # Whole numbers wrap around silently; floating ones tell how large the product really is.
    is_exact = (left.expr.cast(pl.Float64) * right.expr.cast(pl.Float64)).abs() <= MAX_EXACT_INTEGER
    return _increment_depth(
        derive_value(
            (left, right), left.kind, pl.when(is_exact).then(left.expr * right.expr), max_abs=MAX_EXACT_INTEGER
        )
    )


def divide(call: OperationCall) -> Value:
    call.check_argument_count(2, 2)
    one, by = (call.scope.to_atomic(value.cast_to(ValueKind.DECIMAL)) for value in _parse_numbers(call))
    least = _literal_magnitude(call.arguments[1])
    divided = one.expr / (_broadcast(by.expr, one.expr) if by.is_constant else by.expr)
    expr = divided if least else pl.when(by.expr != 0).then(divided)
    most = one.max_abs / least if least else float("inf")
    return call.scope.null_if_inexact(derive_value((one, by), ValueKind.DECIMAL, expr, max_abs=most))


def _broadcast(constant: pl.Expr, like: pl.Expr) -> pl.Expr:
    """Divided by one and the same number, Polars multiplies by its reciprocal, which is another result."""
    return like * 0.0 + constant


def _literal_magnitude(argument: Any) -> float:
    """How far from zero a number stands that is written out; zero if it is not."""
    return abs(argument) if isinstance(argument, int | float) and not isinstance(argument, bool) else 0


def remainder(call: OperationCall) -> Value:
    call.check_argument_count(2, 2)
    one, by = (call.scope.to_atomic(value) for value in call.parse_arguments(ValueKind.INTEGER))
    expr = pl.when(by.expr != 0).then(one.expr.sign() * (one.expr.abs() % by.expr.abs()))
    return derive_value((one, by), ValueKind.INTEGER, expr, max_abs=min(one.max_abs, by.max_abs))


def _extremum_operation(aggregate: Callable[..., pl.Expr]) -> OperationHandler:
    def extreme(call: OperationCall) -> Value:
        call.check_argument_count(1)
        values = call.to_common_kind(call.parse_arguments(), ORDERED_KINDS)
        made = derive_value(values, values[0].kind, aggregate(*(value.expr for value in values)))
        return replace(made, max_abs=max(value.max_abs for value in values))

    return extreme


def round_(call: OperationCall) -> Value:
    call.check_argument_count(1, 2)
    value = call.parse_argument(0, ValueKind.INTEGER, ValueKind.DECIMAL)
    places = call.literal_argument(1, int, "a number of places from 0 to 6") if len(call.arguments) > 1 else 0
    if not 0 <= places <= _MAX_DECIMAL_PLACES:
        raise call.error("out_of_range", "Expected a number of places from 0 to 6.", 1)
    if value.kind is not ValueKind.DECIMAL:
        return value
    rounded = round_half_away(call.scope.to_atomic(value), places)
    return call.scope.null_if_inexact(rounded if places else _to_integer(rounded))


def round_half_away(value: Value, places: int) -> Value:
    """Half a step goes away from zero."""
    scale = 10.0**places
    steps = (value.expr.abs() * scale + 0.5).floor()
    expr = value.expr.sign() * steps / _broadcast(pl.lit(scale), value.expr)
    return derive_value([value], ValueKind.DECIMAL, expr, max_abs=value.max_abs + 1)


def _rounding_operation(rounding: Callable[[pl.Expr], pl.Expr]) -> OperationHandler:
    def to_whole(call: OperationCall) -> Value:
        call.check_argument_count(1, 1)
        value = call.parse_argument(0, ValueKind.INTEGER, ValueKind.DECIMAL)
        if value.kind is not ValueKind.DECIMAL:
            return value
        return call.scope.null_if_inexact(
            _to_integer(derive_value([value], ValueKind.DECIMAL, rounding(value.expr), max_abs=value.max_abs + 1)),
        )

    return to_whole


def _to_integer(value: Value) -> Value:
    return derive_value([value], ValueKind.INTEGER, value.expr.cast(pl.Int64), max_abs=value.max_abs)


def absolute(call: OperationCall) -> Value:
    call.check_argument_count(1, 1)
    value = call.parse_argument(0, ValueKind.INTEGER, ValueKind.DECIMAL)
    return derive_value([value], value.kind, value.expr.abs(), max_abs=value.max_abs)


def _increment_depth(value: Value) -> Value:
    return replace(value, depth=value.depth + 1)


OPERATIONS: dict[str, OperationHandler] = {
    "+": add,
    "-": subtract,
    "*": multiply,
    "/": divide,
    "%": remainder,
    "min": _extremum_operation(pl.min_horizontal),
    "max": _extremum_operation(pl.max_horizontal),
    "round": round_,
    "floor": _rounding_operation(lambda number: number.floor()),
    "ceil": _rounding_operation(lambda number: number.ceil()),
    "abs": absolute,
}
