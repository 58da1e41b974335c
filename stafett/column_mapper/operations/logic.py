"""Operations on names, conditions and comparisons. A condition is never missing: it is false instead."""

from itertools import pairwise
from typing import Any

import polars as pl

from stafett.column_mapper.expression_parser import OperationCall, OperationHandler, with_article
from stafett.column_mapper.scope import UnknownNameError
from stafett.column_mapper.size_bounds import SizeBound
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
        value = call.scope.resolve(call.literal_argument(0, str, "a name"))
    except UnknownNameError as error:
        raise call.error("unknown_name", str(error), 0) from None
    if len(call.arguments) == 1:
        return value
    value, default = call.to_common_kind([value, call.parse_argument(1)])
    return derive_value(
        (value, default),
        value.kind,
        pl.coalesce(value.expr, default.expr),
        max_abs=_max_abs(value, default),
        size=SizeBound.largest((value.size, default.size)),
    )


def if_(call: OperationCall) -> Value:
    call.check_argument_count(2)
    pairs, odd = divmod(len(call.arguments), 2)
    conditions = [call.parse_argument(2 * pair, ValueKind.BOOLEAN) for pair in range(pairs)]
    outcomes = [call.parse_argument(2 * pair + 1) for pair in range(pairs)]
    outcomes.append(call.parse_argument(len(call.arguments) - 1) if odd else literal_value(None))
    indices = [*range(1, 2 * pairs, 2), len(call.arguments) - 1]
    *outcomes, otherwise = call.to_common_kind(outcomes, indices=indices)
    if otherwise.kind is ValueKind.INVALID:
        return INVALID_VALUE
    expr = otherwise.expr
    for condition, outcome in zip(reversed(conditions), reversed(outcomes), strict=True):
        expr = pl.when(condition.expr).then(outcome.expr).otherwise(expr)
    operands = (*conditions, *outcomes, otherwise)
    size = SizeBound.largest(value.size for value in (*outcomes, otherwise))
    return derive_value(operands, otherwise.kind, expr, max_abs=_max_abs(*outcomes, otherwise), size=size)


def _parse_operand_pair(call: OperationCall) -> tuple[Value, Value]:
    call.check_argument_count(2, 2)
    left, right = call.to_common_kind(call.parse_arguments())
    return left, right


def equal(call: OperationCall) -> Value:
    left, right = _parse_operand_pair(call)
    return derive_value((left, right), ValueKind.BOOLEAN, _compare("eq_missing", left, right))


def not_equal(call: OperationCall) -> Value:
    left, right = _parse_operand_pair(call)
    return derive_value((left, right), ValueKind.BOOLEAN, _compare("ne_missing", left, right))


def _compare(operator: str, left: Value, right: Value) -> pl.Expr:
    """Compare with a constant on the right: with one on the left, Polars returns a single row."""
    if left.is_constant and not right.is_constant:
        left, right, operator = right, left, _MIRRORED_OPERATORS[operator]
    compared: pl.Expr = getattr(left.expr, operator)(right.expr)
    return compared


def _ordering_operation(operator: str, max_arguments: int) -> OperationHandler:
    def compare(call: OperationCall) -> Value:
        call.check_argument_count(2, max_arguments)
        values = call.to_common_kind(call.parse_arguments(), ORDERED_KINDS)
        values[1:-1] = [call.scope.to_atomic(value) for value in values[1:-1]]  # compared with both neighbours
        comparisons = [_compare(operator, low, high) for low, high in pairwise(values)]
        expr = comparisons[0] if len(comparisons) == 1 else pl.all_horizontal(*comparisons)
        return derive_value(values, ValueKind.BOOLEAN, expr.fill_null(False))

    return compare


def _logical_operation(combine: Any) -> OperationHandler:
    def combine_conditions(call: OperationCall) -> Value:
        call.check_argument_count(1)
        conditions = call.parse_arguments(ValueKind.BOOLEAN)
        return derive_value(
            conditions, ValueKind.BOOLEAN, combine([condition.null_as_false for condition in conditions])
        )

    return combine_conditions


def not_(call: OperationCall) -> Value:
    call.check_argument_count(1, 1)
    condition = call.parse_argument(0, ValueKind.BOOLEAN)
    return derive_value([condition], ValueKind.BOOLEAN, ~condition.null_as_false)


def in_(call: OperationCall) -> Value:
    call.check_argument_count(2, 2)
    if isinstance(call.arguments[1], list):
        return _compile_list_membership(call, call.arguments[1])
    needle = call.scope.to_atomic(call.parse_argument(0, ValueKind.TEXT))
    haystack = call.parse_argument(1, ValueKind.TEXT)
    # When a constant is searched for a column, Polars returns one row even if there are none. So it becomes a column.
    searched = pl.when(needle.expr.is_not_null()).then(haystack.expr) if haystack.is_constant else haystack.expr
    return derive_value(
        (needle, haystack), ValueKind.BOOLEAN, searched.str.contains(needle.expr, literal=True).fill_null(False)
    )


def _compile_list_membership(call: OperationCall, items: list[Any]) -> Value:
    needle = call.parse_argument(0)
    if not 1 <= len(items) <= _MAX_LIST_ITEMS or any(item is None or isinstance(item, dict | list) for item in items):
        raise call.error("literal_expected", "Expected a list of 1 to 1000 literals, none of them null.", 1)
    kind = needle.kind
    for index, item in enumerate(items):
        widened = common_kind(kind, literal_value(item).kind)
        if widened is None:
            detail = f"{with_article(literal_value(item).kind).capitalize()} is never {with_article(kind)}."
            raise call.error("types_differ", detail, 1, index)
        kind = widened
    if kind is ValueKind.INVALID:
        return INVALID_VALUE
    series = pl.Series(items, dtype=DTYPES[kind], strict=False)
    return derive_value([needle], ValueKind.BOOLEAN, needle.cast_to(kind).expr.is_in(series.implode()).fill_null(False))


def empty(call: OperationCall) -> Value:
    call.check_argument_count(1, 1)
    value = call.parse_argument(0)
    return derive_value([value], ValueKind.BOOLEAN, is_empty(value), temporary_size=value.size)


def is_empty(value: Value) -> pl.Expr:
    """Return an expression that is true for missing values and blank texts."""
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
