"""Arithmetic: whole numbers stay whole and exact, what is beyond exactness is missing."""

import operator
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import polars as pl

from stafett.column_mapper.expression_parser import Call, Operation
from stafett.column_mapper.values import MOST, NUMBERS, ORDERED, Kind, Value, made_of

_MOST_PLACES = 6


def _numbers(call: Call) -> list[Value]:
    return call.alike(call.values(Kind.INTEGER, Kind.DECIMAL), NUMBERS)


def _folded(call: Call, step: Callable[[Call, Value, Value], Value]) -> Value:
    made, *others = _numbers(call)
    for other in others:
        made = call.scope.lowered(step(call, made, other))
    return made


def add(call: Call) -> Value:
    call.takes(2)
    return _folded(call, partial(_sum, operator.add))


def subtract(call: Call) -> Value:
    call.takes(1, 2)
    if len(call.given) == 2:  # noqa: PLR2004 - the other form
        return _folded(call, partial(_sum, operator.sub))
    (value,) = _numbers(call)
    return made_of([value], value.kind, -value.expr, most=value.most)


def _sum(how: Callable[[pl.Expr, pl.Expr], pl.Expr], call: Call, one: Value, other: Value) -> Value:
    made = made_of((one, other), one.kind, how(one.expr, other.expr), most=one.most + other.most)
    return call.scope.within_bounds(_higher(made))


def multiply(call: Call) -> Value:
    call.takes(2)
    return _folded(call, _product)


def _product(call: Call, one: Value, other: Value) -> Value:
    most = one.most * other.most
    if most <= MOST or one.kind is not Kind.INTEGER:
        made = made_of((one, other), one.kind, one.expr * other.expr, most=most)
        return call.scope.within_bounds(_higher(made))
    one, other = call.scope.settled(one), call.scope.settled(other)
    # Whole numbers wrap around silently; floating ones tell how large the product really is.
    is_exact = (one.expr.cast(pl.Float64) * other.expr.cast(pl.Float64)).abs() <= MOST
    return _higher(made_of((one, other), one.kind, pl.when(is_exact).then(one.expr * other.expr), most=MOST))


def divide(call: Call) -> Value:
    call.takes(2, 2)
    one, by = (call.scope.settled(value.to(Kind.DECIMAL)) for value in _numbers(call))
    least = _written_out(call.given[1])
    divided = one.expr / (_as_column(by.expr, one.expr) if by.is_constant else by.expr)
    expr = divided if least else pl.when(by.expr != 0).then(divided)
    most = one.most / least if least else float("inf")
    return call.scope.within_bounds(made_of((one, by), Kind.DECIMAL, expr, most=most))


def _as_column(constant: pl.Expr, beside: pl.Expr) -> pl.Expr:
    """Divided by one and the same number, Polars multiplies by its reciprocal, which is another result."""
    return beside * 0.0 + constant


def _written_out(given: Any) -> float:
    """How far from zero a number stands that is written out; zero if it is not."""
    return abs(given) if isinstance(given, int | float) and not isinstance(given, bool) else 0


def remainder(call: Call) -> Value:
    call.takes(2, 2)
    one, by = (call.scope.settled(value) for value in call.values(Kind.INTEGER))
    expr = pl.when(by.expr != 0).then(one.expr.sign() * (one.expr.abs() % by.expr.abs()))
    return made_of((one, by), Kind.INTEGER, expr, most=min(one.most, by.most))


def _extreme(of: Callable[..., pl.Expr]) -> Operation:
    def extreme(call: Call) -> Value:
        call.takes(1)
        values = call.alike(call.values(), ORDERED)
        made = made_of(values, values[0].kind, of(*(value.expr for value in values)))
        return replace(made, most=max(value.most for value in values))

    return extreme


def round_(call: Call) -> Value:
    call.takes(1, 2)
    value = call.value(0, Kind.INTEGER, Kind.DECIMAL)
    places = call.literal(1, int, "a number of places from 0 to 6") if len(call.given) > 1 else 0
    if not 0 <= places <= _MOST_PLACES:
        raise call.refused("out_of_range", "Expected a number of places from 0 to 6.", 1)
    if value.kind is not Kind.DECIMAL:
        return value
    rounded = rounded_to(call.scope.settled(value), places)
    return call.scope.within_bounds(rounded if places else _whole(rounded))


def rounded_to(plain: Value, places: int) -> Value:
    """Half a step goes away from zero."""
    scale = 10.0**places
    steps = (plain.expr.abs() * scale + 0.5).floor()
    expr = plain.expr.sign() * steps / _as_column(pl.lit(scale), plain.expr)
    return made_of([plain], Kind.DECIMAL, expr, most=plain.most + 1)


def _to_whole(how: Callable[[pl.Expr], pl.Expr]) -> Operation:
    def to_whole(call: Call) -> Value:
        call.takes(1, 1)
        value = call.value(0, Kind.INTEGER, Kind.DECIMAL)
        if value.kind is not Kind.DECIMAL:
            return value
        return call.scope.within_bounds(
            _whole(made_of([value], Kind.DECIMAL, how(value.expr), most=value.most + 1)),
        )

    return to_whole


def _whole(value: Value) -> Value:
    return made_of([value], Kind.INTEGER, value.expr.cast(pl.Int64), most=value.most)


def absolute(call: Call) -> Value:
    call.takes(1, 1)
    value = call.value(0, Kind.INTEGER, Kind.DECIMAL)
    return made_of([value], value.kind, value.expr.abs(), most=value.most)


def _higher(value: Value) -> Value:
    return replace(value, height=value.height + 1)


OPERATIONS: dict[str, Operation] = {
    "+": add,
    "-": subtract,
    "*": multiply,
    "/": divide,
    "%": remainder,
    "min": _extreme(pl.min_horizontal),
    "max": _extreme(pl.max_horizontal),
    "round": round_,
    "floor": _to_whole(lambda number: number.floor()),
    "ceil": _to_whole(lambda number: number.ceil()),
    "abs": absolute,
}
