"""Names, conditions and comparisons; a condition about what is missing is false, never missing itself."""

from itertools import pairwise
from typing import Any

import polars as pl

from stafett.column_mapper.operations.building import made_of
from stafett.column_mapper.reader import Call, Operation
from stafett.column_mapper.values import DTYPES, ORDERED, UNKNOWN, Kind, Value, literal, meeting

_MOST_IN_A_LIST = 1000


def var(call: Call) -> Value:
    call.takes(1, 2)
    found = call.scope.find(call.literal(0, str, "a name"))
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
    *outcomes, otherwise = call.alike(outcomes)
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
    return made_of((one, other), Kind.BOOLEAN, one.expr.eq_missing(other.expr))


def unequal(call: Call) -> Value:
    one, other = _equal(call)
    return made_of((one, other), Kind.BOOLEAN, one.expr.ne_missing(other.expr))


def _ordered(name: str, most: int) -> Operation:
    def compare(call: Call) -> Value:
        call.takes(2, most)
        values = call.alike(call.values(), ORDERED)
        steps = [getattr(low.expr, name)(high.expr) for low, high in pairwise(values)]
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
    needle, hay = call.values(Kind.TEXT)
    return made_of((needle, hay), Kind.BOOLEAN, hay.expr.str.contains(needle.expr, literal=True).fill_null(False))


def _one_of(call: Call, listed: list[Any]) -> Value:
    wanted = call.value(0)
    if not 1 <= len(listed) <= _MOST_IN_A_LIST or any(one is None or isinstance(one, dict | list) for one in listed):
        raise call.refused("literal_expected", "Expected a list of 1 to 1000 literals, none of them null.", 1)
    kind = wanted.kind
    for one in listed:
        met = meeting(kind, literal(one).kind)
        if met is None:
            raise call.refused("types_differ", f"The list holds {literal(one).kind}, what is looked for is {kind}.", 1)
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
