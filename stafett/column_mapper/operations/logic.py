"""Names, conditions and comparisons; a condition about what is missing is false, never missing itself."""

from itertools import pairwise
from typing import Any

import polars as pl

from stafett.column_mapper.expression_parser import OperationCall, OperationHandler, with_article
from stafett.column_mapper.scope import UnknownNameError
from stafett.column_mapper.values import (
    DTYPES,
    INVALID_VALUE,
    ORDERED_KINDS,
    Value,
    ValueKind,
    common_kind,
    derive_value,
    literal_value,
)

_MAX_LIST_ITEMS = 1000
_MIRRORED_OPERATORS = {
    "lt": "gt",
    "le": "ge",
    "gt": "lt",
    "ge": "le",
    "eq_missing": "eq_missing",
    "ne_missing": "ne_missing",
}


def var(call: OperationCall) -> Value:
    call.check_argument_count(1, 2)
    try:
        found = call.scope.resolve(call.literal_argument(0, str, "a name"))
    except UnknownNameError as unknown:
        raise call.error("unknown_name", str(unknown), 0) from None
    if len(call.arguments) == 1:
        return found
    first, default = call.to_common_kind([found, call.parse_argument(1)])
    both = (first, default)
    expr = pl.coalesce(first.expr, default.expr)
    return derive_value(
        both,
        first.kind,
        expr,
        max_abs=_max_abs(*both),
        max_text_units=max(first.max_text_units, default.max_text_units),
    )


def if_(call: OperationCall) -> Value:
    call.check_argument_count(2)
    pairs, odd = divmod(len(call.arguments), 2)
    conditions = [call.parse_argument(2 * number, ValueKind.BOOLEAN) for number in range(pairs)]
    outcomes = [call.parse_argument(2 * number + 1) for number in range(pairs)]
    outcomes.append(call.parse_argument(len(call.arguments) - 1) if odd else literal_value(None))
    numbers = [*range(1, 2 * pairs, 2), len(call.arguments) - 1]
    *outcomes, otherwise = call.to_common_kind(outcomes, indices=numbers)
    if otherwise.kind is ValueKind.INVALID:
        return INVALID_VALUE
    expr = otherwise.expr
    for condition, outcome in zip(reversed(conditions), reversed(outcomes), strict=True):
        expr = pl.when(condition.expr).then(outcome.expr).otherwise(expr)
    every = (*conditions, *outcomes, otherwise)
    size = max(value.max_text_units for value in (*outcomes, otherwise))
    return derive_value(every, otherwise.kind, expr, max_abs=_max_abs(*outcomes, otherwise), max_text_units=size)


def _parse_operand_pair(call: OperationCall) -> tuple[Value, Value]:
    call.check_argument_count(2, 2)
    one, other = call.to_common_kind(call.parse_arguments())
    return one, other


def equal(call: OperationCall) -> Value:
    one, other = _parse_operand_pair(call)
    return derive_value((one, other), ValueKind.BOOLEAN, _compare("eq_missing", one, other))


def not_equal(call: OperationCall) -> Value:
    one, other = _parse_operand_pair(call)
    return derive_value((one, other), ValueKind.BOOLEAN, _compare("ne_missing", one, other))


def _compare(operator: str, left: Value, right: Value) -> pl.Expr:
    """A constant stands on the right: on the left, Polars takes what is the same in every row for one row."""
    if left.is_constant and not right.is_constant:
        left, right, operator = right, left, _MIRRORED_OPERATORS[operator]
    compared: pl.Expr = getattr(left.expr, operator)(right.expr)
    return compared


def _ordering_operation(operator: str, max_arguments: int) -> OperationHandler:
    def compare(call: OperationCall) -> Value:
        call.check_argument_count(2, max_arguments)
        values = call.to_common_kind(call.parse_arguments(), ORDERED_KINDS)
        values[1:-1] = [call.scope.to_atomic(value) for value in values[1:-1]]  # held against both its neighbours
        steps = [_compare(operator, low, high) for low, high in pairwise(values)]
        expr = steps[0] if len(steps) == 1 else pl.all_horizontal(*steps)
        return derive_value(values, ValueKind.BOOLEAN, expr.fill_null(False))

    return compare


def _logical_operation(combine: Any) -> OperationHandler:
    def of_conditions(call: OperationCall) -> Value:
        call.check_argument_count(1)
        conditions = call.parse_arguments(ValueKind.BOOLEAN)
        return derive_value(
            conditions, ValueKind.BOOLEAN, combine([condition.null_as_false for condition in conditions])
        )

    return of_conditions


def not_(call: OperationCall) -> Value:
    call.check_argument_count(1, 1)
    condition = call.parse_argument(0, ValueKind.BOOLEAN)
    return derive_value([condition], ValueKind.BOOLEAN, ~condition.null_as_false)


def in_(call: OperationCall) -> Value:
    call.check_argument_count(2, 2)
    if isinstance(call.arguments[1], list):
        return _is_in_list(call, call.arguments[1])
    needle, hay = call.scope.to_atomic(call.parse_argument(0, ValueKind.TEXT)), call.parse_argument(1, ValueKind.TEXT)
    # A constant becomes a column: searched for a column, Polars gives it one row even where there are none.
    searched = pl.when(needle.expr.is_not_null()).then(hay.expr) if hay.is_constant else hay.expr
    return derive_value(
        (needle, hay), ValueKind.BOOLEAN, searched.str.contains(needle.expr, literal=True).fill_null(False)
    )


def _is_in_list(call: OperationCall, items: list[Any]) -> Value:
    wanted = call.parse_argument(0)
    if not 1 <= len(items) <= _MAX_LIST_ITEMS or any(one is None or isinstance(one, dict | list) for one in items):
        raise call.error("literal_expected", "Expected a list of 1 to 1000 literals, none of them null.", 1)
    kind = wanted.kind
    for place, one in enumerate(items):
        met = common_kind(kind, literal_value(one).kind)
        if met is None:
            detail = f"{with_article(literal_value(one).kind).capitalize()} is never {with_article(kind)}."
            raise call.error("types_differ", detail, 1, place)
        kind = met
    if kind is ValueKind.INVALID:
        return INVALID_VALUE
    among = pl.Series(items, dtype=DTYPES[kind], strict=False)
    return derive_value([wanted], ValueKind.BOOLEAN, wanted.cast_to(kind).expr.is_in(among.implode()).fill_null(False))


def empty(call: OperationCall) -> Value:
    call.check_argument_count(1, 1)
    value = call.parse_argument(0)
    return derive_value([value], ValueKind.BOOLEAN, is_empty(value))


def is_empty(value: Value) -> pl.Expr:
    """Whether there is nothing, or nothing to be seen."""
    if value.kind is ValueKind.TEXT:
        return value.expr.str.strip_chars().fill_null("") == ""
    return value.expr.is_null()


def _max_abs(*values: Value) -> float:
    return max(value.max_abs for value in values)


OPERATIONS: dict[str, OperationHandler] = {
    "var": var,
    "if": if_,
    "==": equal,
    "!=": not_equal,
    "<": _ordering_operation("lt", 3),
    "<=": _ordering_operation("le", 3),
    ">": _ordering_operation("gt", 2),
    ">=": _ordering_operation("ge", 2),
    "and": _logical_operation(pl.all_horizontal),
    "or": _logical_operation(pl.any_horizontal),
    "!": not_,
    "in": in_,
    "empty": empty,
}
