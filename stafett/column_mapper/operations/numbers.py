"""Arithmetic operations. Integers stay exact, and results beyond ``MAX_EXACT_INTEGER`` are missing."""

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
    result, *operands = _parse_numbers(call)
    for operand in operands:
        result = call.scope.limit_depth(combine(call, result, operand))
    return result


def add(call: OperationCall) -> Value:
    call.check_argument_count(2)
    return _reduce_arguments(call, partial(_add_or_subtract, operator.add))


def subtract(call: OperationCall) -> Value:
    call.check_argument_count(1, 2)
    if len(call.arguments) == 2:  # noqa: PLR2004 - the binary form
        return _reduce_arguments(call, partial(_add_or_subtract, operator.sub))
    (value,) = _parse_numbers(call)
    return derive_value([value], value.kind, -value.expr, max_abs=value.max_abs)


def _add_or_subtract(
    operation: Callable[[pl.Expr, pl.Expr], pl.Expr], call: OperationCall, left: Value, right: Value
) -> Value:
    result = derive_value(
        (left, right), left.kind, operation(left.expr, right.expr), max_abs=left.max_abs + right.max_abs
    )
    return call.scope.null_if_inexact(_increment_depth(result))


def multiply(call: OperationCall) -> Value:
    call.check_argument_count(2)
    return _reduce_arguments(call, _multiply_pair)


def _multiply_pair(call: OperationCall, left: Value, right: Value) -> Value:
    max_abs = left.max_abs * right.max_abs
    if max_abs <= MAX_EXACT_INTEGER or left.kind is not ValueKind.INTEGER:
        product = derive_value((left, right), left.kind, left.expr * right.expr, max_abs=max_abs)
        return call.scope.null_if_inexact(_increment_depth(product))
    left, right = call.scope.to_atomic(left), call.scope.to_atomic(right)
    # An integer product can overflow silently. The floating-point product shows its true magnitude.
    is_exact = (left.expr.cast(pl.Float64) * right.expr.cast(pl.Float64)).abs() <= MAX_EXACT_INTEGER
    return _increment_depth(
        derive_value(
            (left, right), left.kind, pl.when(is_exact).then(left.expr * right.expr), max_abs=MAX_EXACT_INTEGER
        )
    )


def divide(call: OperationCall) -> Value:
    call.check_argument_count(2, 2)
    dividend, divisor = (call.scope.to_atomic(value.cast_to(ValueKind.DECIMAL)) for value in _parse_numbers(call))
    magnitude = _literal_magnitude(call.arguments[1])
    quotient = dividend.expr / (_broadcast(divisor.expr, dividend.expr) if divisor.is_constant else divisor.expr)
    expr = quotient if magnitude else pl.when(divisor.expr != 0).then(quotient)
    max_abs = dividend.max_abs / magnitude if magnitude else float("inf")
    return call.scope.null_if_inexact(derive_value((dividend, divisor), ValueKind.DECIMAL, expr, max_abs=max_abs))


def _broadcast(constant: pl.Expr, like: pl.Expr) -> pl.Expr:
    """Turn a constant divisor into a column: Polars multiplies by a constant's reciprocal, which rounds differently."""
    return like * 0.0 + constant


def _literal_magnitude(argument: Any) -> float:
    """Return the absolute value of a literal number, or 0 if the argument is an expression."""
    return abs(argument) if isinstance(argument, int | float) and not isinstance(argument, bool) else 0


def remainder(call: OperationCall) -> Value:
    call.check_argument_count(2, 2)
    dividend, divisor = (call.scope.to_atomic(value) for value in call.parse_arguments(ValueKind.INTEGER))
    expr = pl.when(divisor.expr != 0).then(dividend.expr.sign() * (dividend.expr.abs() % divisor.expr.abs()))
    return derive_value((dividend, divisor), ValueKind.INTEGER, expr, max_abs=min(dividend.max_abs, divisor.max_abs))


def _extremum_operation(aggregate: Callable[..., pl.Expr]) -> OperationHandler:
    def aggregate_arguments(call: OperationCall) -> Value:
        call.check_argument_count(1)
        values = call.to_common_kind(call.parse_arguments(), ORDERED_KINDS)
        extremum = derive_value(values, values[0].kind, aggregate(*(value.expr for value in values)))
        return replace(extremum, max_abs=max(value.max_abs for value in values))

    return aggregate_arguments


def round_(call: OperationCall) -> Value:
    call.check_argument_count(1, 2)
    value = call.parse_argument(0, ValueKind.INTEGER, ValueKind.DECIMAL)
    places = call.literal_argument(1, int, "a number of decimal places from 0 to 6") if len(call.arguments) > 1 else 0
    if not 0 <= places <= _MAX_DECIMAL_PLACES:
        raise call.error("out_of_range", "Expected a number of decimal places from 0 to 6.", 1)
    if value.kind is not ValueKind.DECIMAL:
        return value
    rounded = round_half_up(call.scope.to_atomic(value), places)
    return call.scope.null_if_inexact(rounded if places else _to_integer(rounded))


def round_half_up(value: Value, places: int) -> Value:
    """Round ties to the larger absolute value, like ``decimal.ROUND_HALF_UP``."""
    scale = 10.0**places
    steps = (value.expr.abs() * scale + 0.5).floor()
    expr = value.expr.sign() * steps / _broadcast(pl.lit(scale), value.expr)
    return derive_value([value], ValueKind.DECIMAL, expr, max_abs=value.max_abs + 1)


def _rounding_operation(rounding: Callable[[pl.Expr], pl.Expr]) -> OperationHandler:
    def round_to_integer(call: OperationCall) -> Value:
        call.check_argument_count(1, 1)
        value = call.parse_argument(0, ValueKind.INTEGER, ValueKind.DECIMAL)
        if value.kind is not ValueKind.DECIMAL:
            return value
        return call.scope.null_if_inexact(
            _to_integer(derive_value([value], ValueKind.DECIMAL, rounding(value.expr), max_abs=value.max_abs + 1)),
        )

    return round_to_integer


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
