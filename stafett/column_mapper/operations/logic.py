"""Names, conditions and comparisons; a condition about what is missing is false, never missing itself."""

from itertools import pairwise
from typing import Any

import polars as pl

from stafett.column_mapper.expression_parser import Call, Operation, a
from stafett.column_mapper.scope import UnknownNameError
from stafett.column_mapper.values import DTYPES, ORDERED, UNKNOWN, Kind, Value, literal, made_of, meeting

_MOST_IN_A_LIST = 1000
_MIRRORED = {"lt": "gt", "le": "ge", "gt": "lt", "ge": "le", "eq_missing": "eq_missing", "ne_missing": "ne_missing"}


def var(call: Call) -> Value:
    call.takes(1, 2)
    try:
        found = call.scope.find(call.literal(0, str, "a name"))
    except UnknownNameError as unknown:
        raise call.refused("unknown_name", str(unknown), 0) from None
    if len(call.given) == 1:
        return found
    first, default = call.alike([found, call.value(1)])
    both = (first, default)
    expr = pl.coalesce(first.expr, default.expr)
    return made_of(both, first.kind, expr, most=_most(*both), size=max(first.size, default.size))


def if_(call: Call) -> Value:
    call.takes(2)
    pairs, odd = divmod(len(call.given), 2)
    conditions = [call.value(2 * number, Kind.BOOLEAN) for number in range(pairs)]
    outcomes = [call.value(2 * number + 1) for number in range(pairs)]
    outcomes.append(call.value(len(call.given) - 1) if odd else literal(None))
    numbers = [*range(1, 2 * pairs, 2), len(call.given) - 1]
    *outcomes, otherwise = call.alike(outcomes, numbers=numbers)
    if otherwise.kind is Kind.UNKNOWN:
        return UNKNOWN
    expr = otherwise.expr
    for condition, outcome in zip(reversed(conditions), reversed(outcomes), strict=True):
        expr = pl.when(condition.expr).then(outcome.expr).otherwise(expr)
    every = (*conditions, *outcomes, otherwise)
    size = max(value.size for value in (*outcomes, otherwise))
    return made_of(every, otherwise.kind, expr, most=_most(*outcomes, otherwise), size=size)


def _equal(call: Call) -> tuple[Value, Value]:
    call.takes(2, 2)
    one, other = call.alike(call.values())
    return one, other


def equal(call: Call) -> Value:
    one, other = _equal(call)
    return made_of((one, other), Kind.BOOLEAN, _compared("eq_missing", one, other))


def unequal(call: Call) -> Value:
    one, other = _equal(call)
    return made_of((one, other), Kind.BOOLEAN, _compared("ne_missing", one, other))


def _compared(how: str, one: Value, other: Value) -> pl.Expr:
    """A constant stands on the right: on the left, Polars takes what is the same in every row for one row."""
    if one.is_constant and not other.is_constant:
        one, other, how = other, one, _MIRRORED[how]
    compared: pl.Expr = getattr(one.expr, how)(other.expr)
    return compared


def _ordered(name: str, most: int) -> Operation:
    def compare(call: Call) -> Value:
        call.takes(2, most)
        values = call.alike(call.values(), ORDERED)
        values[1:-1] = [call.scope.settled(value) for value in values[1:-1]]  # held against both its neighbours
        steps = [_compared(name, low, high) for low, high in pairwise(values)]
        expr = steps[0] if len(steps) == 1 else pl.all_horizontal(*steps)
        return made_of(values, Kind.BOOLEAN, expr.fill_null(False))

    return compare


def _joined(join: Any) -> Operation:
    def of_conditions(call: Call) -> Value:
        call.takes(1)
        conditions = call.values(Kind.BOOLEAN)
        return made_of(conditions, Kind.BOOLEAN, join([condition.truth for condition in conditions]))

    return of_conditions


def not_(call: Call) -> Value:
    call.takes(1, 1)
    condition = call.value(0, Kind.BOOLEAN)
    return made_of([condition], Kind.BOOLEAN, ~condition.truth)


def in_(call: Call) -> Value:
    call.takes(2, 2)
    if isinstance(call.given[1], list):
        return _one_of(call, call.given[1])
    needle, hay = call.scope.settled(call.value(0, Kind.TEXT)), call.value(1, Kind.TEXT)
    # A constant becomes a column: searched for a column, Polars gives it one row even where there are none.
    searched = pl.when(needle.expr.is_not_null()).then(hay.expr) if hay.is_constant else hay.expr
    return made_of((needle, hay), Kind.BOOLEAN, searched.str.contains(needle.expr, literal=True).fill_null(False))


def _one_of(call: Call, listed: list[Any]) -> Value:
    wanted = call.value(0)
    if not 1 <= len(listed) <= _MOST_IN_A_LIST or any(one is None or isinstance(one, dict | list) for one in listed):
        raise call.refused("literal_expected", "Expected a list of 1 to 1000 literals, none of them null.", 1)
    kind = wanted.kind
    for place, one in enumerate(listed):
        met = meeting(kind, literal(one).kind)
        if met is None:
            detail = f"{a(literal(one).kind).capitalize()} is never {a(kind)}."
            raise call.refused("types_differ", detail, 1, place)
        kind = met
    if kind is Kind.UNKNOWN:
        return UNKNOWN
    among = pl.Series(listed, dtype=DTYPES[kind], strict=False)
    return made_of([wanted], Kind.BOOLEAN, wanted.to(kind).expr.is_in(among.implode()).fill_null(False))


def empty(call: Call) -> Value:
    call.takes(1, 1)
    value = call.value(0)
    return made_of([value], Kind.BOOLEAN, is_empty(value))


def is_empty(value: Value) -> pl.Expr:
    """Whether there is nothing, or nothing to be seen."""
    if value.kind is Kind.TEXT:
        return value.expr.str.strip_chars().fill_null("") == ""
    return value.expr.is_null()


def _most(*values: Value) -> float:
    return max(value.most for value in values)


OPERATIONS: dict[str, Operation] = {
    "var": var,
    "if": if_,
    "==": equal,
    "!=": unequal,
    "<": _ordered("lt", 3),
    "<=": _ordered("le", 3),
    ">": _ordered("gt", 2),
    ">=": _ordered("ge", 2),
    "and": _joined(pl.all_horizontal),
    "or": _joined(pl.any_horizontal),
    "!": not_,
    "in": in_,
    "empty": empty,
}
