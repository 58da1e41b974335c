"""Arithmetic operations. Integers stay exact, and results beyond ``MAX_EXACT_INTEGER`` are missing."""

import operator
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import polars as pl

from stafett.column_mapper.expression_parser import OperationCall
from stafett.column_mapper.operation import INTEGER, MAX_ARGUMENTS, NUMBER, ORDERED, Argument, Operation, integer_type
from stafett.column_mapper.values import MAX_EXACT_INTEGER, NUMERIC_KINDS, ORDERED_KINDS, Value, ValueKind, derive_value


def _reduction(combine: Callable[[OperationCall, Value, Value], Value]) -> Callable[..., Value]:
    def reduce_arguments(call: OperationCall, *arguments: Value) -> Value:
        result, *operands = call.to_common_kind(arguments, NUMERIC_KINDS)
        for operand in operands:
            result = call.scope.limit_depth(combine(call, result, operand))
        return result

    return reduce_arguments


def _subtract(call: OperationCall, value: Value, *subtrahends: Value) -> Value:
    if subtrahends:
        return _reduction(partial(_add_or_subtract, operator.sub))(call, value, *subtrahends)
    return derive_value([value], value.kind, -value.expr, max_abs=value.max_abs)


def _add_or_subtract(
    operation: Callable[[pl.Expr, pl.Expr], pl.Expr], call: OperationCall, left: Value, right: Value
) -> Value:
    result = derive_value(
        (left, right), left.kind, operation(left.expr, right.expr), max_abs=left.max_abs + right.max_abs
    )
    return call.scope.null_if_inexact(_increment_depth(result))


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


def _divide(call: OperationCall, *arguments: Value) -> Value:
    dividend, divisor = (call.scope.to_atomic(value.cast_to(ValueKind.DECIMAL)) for value in arguments)
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


def _compute_remainder(call: OperationCall, *arguments: Value) -> Value:
    dividend, divisor = map(call.scope.to_atomic, arguments)
    expr = pl.when(divisor.expr != 0).then(dividend.expr.sign() * (dividend.expr.abs() % divisor.expr.abs()))
    return derive_value((dividend, divisor), ValueKind.INTEGER, expr, max_abs=min(dividend.max_abs, divisor.max_abs))


def _extremum(aggregate: Callable[..., pl.Expr]) -> Callable[..., Value]:
    def aggregate_arguments(call: OperationCall, *arguments: Value) -> Value:
        values = call.to_common_kind(arguments, ORDERED_KINDS)
        extremum = derive_value(values, values[0].kind, aggregate(*(value.expr for value in values)))
        return replace(extremum, max_abs=max(value.max_abs for value in values))

    return aggregate_arguments


def _round(call: OperationCall, value: Value, places: int = 0) -> Value:
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


def _rounding(rounding: Callable[[pl.Expr], pl.Expr]) -> Callable[..., Value]:
    def round_to_integer(call: OperationCall, value: Value) -> Value:
        if value.kind is not ValueKind.DECIMAL:
            return value
        return call.scope.null_if_inexact(
            _to_integer(derive_value([value], ValueKind.DECIMAL, rounding(value.expr), max_abs=value.max_abs + 1)),
        )

    return round_to_integer


def _to_integer(value: Value) -> Value:
    return derive_value([value], ValueKind.INTEGER, value.expr.cast(pl.Int64), max_abs=value.max_abs)


def _make_absolute(_call: OperationCall, value: Value) -> Value:
    return derive_value([value], value.kind, value.expr.abs(), max_abs=value.max_abs)


def _increment_depth(value: Value) -> Value:
    return replace(value, depth=value.depth + 1)


_NUMBER, _INTEGER = Argument("number", NUMBER), Argument("integer", INTEGER)
_NUMBERS, _ORDERED = (Argument("number", NUMBER, 2, MAX_ARGUMENTS),), (Argument("a", ORDERED, 1, MAX_ARGUMENTS),)
_INTEGER_OR_DECIMAL = "integer; decimal if one is a decimal"
OPERATIONS = (
    Operation("+", _NUMBERS, _INTEGER_OR_DECIMAL, "The sum.", _reduction(partial(_add_or_subtract, operator.add))),
    Operation(
        "-",
        (_NUMBER, Argument("number", NUMBER, 0)),
        _INTEGER_OR_DECIMAL,
        "The difference. With one number, its negative.",
        _subtract,
    ),
    Operation("*", _NUMBERS, _INTEGER_OR_DECIMAL, "The product.", _reduction(_multiply_pair)),
    Operation("/", (_NUMBER, _NUMBER), "decimal", "The quotient. Missing if the divisor is 0.", _divide),
    Operation(
        "%",
        (_INTEGER, _INTEGER),
        "integer",
        "The remainder of the division, with the sign of the first integer. Missing if the divisor is 0.",
        _compute_remainder,
    ),
    Operation(
        "min",
        _ORDERED,
        "the type of its arguments",
        "The smallest argument. Missing arguments are ignored.",
        _extremum(pl.min_horizontal),
    ),
    Operation(
        "max",
        _ORDERED,
        "the type of its arguments",
        "The largest argument. Missing arguments are ignored.",
        _extremum(pl.max_horizontal),
    ),
    Operation(
        "round",
        (_NUMBER, Argument("places", integer_type("a number of decimal places", 0, 6), 0)),
        "integer; decimal if places are given",
        "The number rounded to that many decimal places, or to an integer. Ties get the larger absolute value.",
        _round,
    ),
    Operation(
        "floor",
        (_NUMBER,),
        "integer",
        "The largest integer that is not greater than the number.",
        _rounding(lambda number: number.floor()),
    ),
    Operation(
        "ceil",
        (_NUMBER,),
        "integer",
        "The smallest integer that is not less than the number.",
        _rounding(lambda number: number.ceil()),
    ),
    Operation("abs", (_NUMBER,), "the type of its argument", "The absolute value.", _make_absolute),
)
