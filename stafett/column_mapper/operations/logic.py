"""Operations on names, conditions and comparisons. A condition is never missing: it is false instead."""

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import polars as pl

from stafett.column_mapper.expression_parser import OperationCall, with_article
from stafett.column_mapper.operation import (
    CONDITION,
    MAX_ARGUMENTS,
    NUMBER_RANGE,
    ORDERED,
    TEXT,
    VALUE,
    Argument,
    ArgumentType,
    Operation,
    name_type,
)
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


def _resolve(call: OperationCall, name: str, default: Value | None = None) -> Value:
    try:
        value = call.scope.resolve(name)
    except UnknownNameError as error:
        raise call.error("unknown_name", str(error), 0) from None
    if default is None:
        return value
    value, default = call.to_common_kind([value, default])
    return derive_value(
        (value, default),
        value.kind,
        pl.coalesce(value.expr, default.expr),
        max_abs=_max_abs(value, default),
        size=SizeBound.largest((value.size, default.size)),
    )


def _choose(call: OperationCall, *arguments: Value) -> Value:
    pairs, odd = divmod(len(arguments), 2)
    conditions = [call.convert(2 * pair, arguments[2 * pair], ValueKind.BOOLEAN) for pair in range(pairs)]
    indices = [*range(1, 2 * pairs, 2), len(arguments) - 1]
    outcomes = [arguments[index] for index in indices[:-1]]
    *outcomes, otherwise = call.to_common_kind(
        [*outcomes, arguments[-1] if odd else literal_value(None)], indices=indices
    )
    if otherwise.kind is ValueKind.INVALID:
        return INVALID_VALUE
    expr = otherwise.expr
    for condition, outcome in zip(reversed(conditions), reversed(outcomes), strict=True):
        expr = pl.when(condition.expr).then(outcome.expr).otherwise(expr)
    operands = (*conditions, *outcomes, otherwise)
    size = SizeBound.largest(value.size for value in (*outcomes, otherwise))
    return derive_value(operands, otherwise.kind, expr, max_abs=_max_abs(*outcomes, otherwise), size=size)


def _equality(operator: str) -> Callable[..., Value]:
    def compare(call: OperationCall, *arguments: Value) -> Value:
        left, right = call.to_common_kind(arguments)
        return derive_value((left, right), ValueKind.BOOLEAN, _compare(operator, left, right))

    return compare


def _compare(operator: str, left: Value, right: Value) -> pl.Expr:
    """Compare with a constant on the right: with one on the left, Polars returns a single row."""
    if left.is_constant and not right.is_constant:
        left, right, operator = right, left, _MIRRORED_OPERATORS[operator]
    compared: pl.Expr = getattr(left.expr, operator)(right.expr)
    return compared


def _ordering(operator: str) -> Callable[..., Value]:
    def compare(call: OperationCall, *arguments: Value) -> Value:
        values = call.to_common_kind(arguments, ORDERED_KINDS)
        values[1:-1] = [call.scope.to_atomic(value) for value in values[1:-1]]  # compared with both neighbours
        comparisons = [_compare(operator, low, high) for low, high in pairwise(values)]
        expr = comparisons[0] if len(comparisons) == 1 else pl.all_horizontal(*comparisons)
        return derive_value(values, ValueKind.BOOLEAN, expr.fill_null(False))

    return compare


def _combination(combine: Callable[[list[pl.Expr]], pl.Expr]) -> Callable[..., Value]:
    def combine_conditions(_call: OperationCall, *conditions: Value) -> Value:
        expr = combine([condition.null_as_false for condition in conditions])
        return derive_value(conditions, ValueKind.BOOLEAN, expr)

    return combine_conditions


def _negate(_call: OperationCall, condition: Value) -> Value:
    return derive_value([condition], ValueKind.BOOLEAN, ~condition.null_as_false)


def _contain(call: OperationCall, needle: Value, haystack: Value | list[Any]) -> Value:
    if isinstance(haystack, list):
        return _contain_in_list(call, needle, haystack)
    needle = call.scope.to_atomic(call.convert(0, needle, ValueKind.TEXT))
    # When a constant is searched for a column, Polars returns one row even if there are none. So it becomes a column.
    searched = pl.when(needle.expr.is_not_null()).then(haystack.expr) if haystack.is_constant else haystack.expr
    return derive_value(
        (needle, haystack), ValueKind.BOOLEAN, searched.str.contains(needle.expr, literal=True).fill_null(False)
    )


def _contain_in_list(call: OperationCall, needle: Value, items: list[Any]) -> Value:
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


def _check_empty(_call: OperationCall, value: Value) -> Value:
    return derive_value([value], ValueKind.BOOLEAN, is_empty(value), temporary_size=value.size)


def is_empty(value: Value) -> pl.Expr:
    """Return an expression that is true for missing values and blank texts."""
    if value.kind is ValueKind.TEXT:
        return value.expr.str.strip_chars().fill_null("") == ""
    return value.expr.is_null()


def _max_abs(*values: Value) -> float:
    return max(value.max_abs for value in values)


_LITERAL_LIST_OR_TEXT = ArgumentType(
    "a list of literals, or a text",
    {
        "if": {"type": "array"},
        "then": {
            "type": "array",
            "minItems": 1,
            "maxItems": _MAX_LIST_ITEMS,
            "items": {"type": ["string", "number", "boolean"], **NUMBER_RANGE},
        },
        "else": TEXT.json_schema,
    },
    (ValueKind.TEXT,),
    allows_list=True,
)
_CONDITION, _VALUE = Argument("condition", CONDITION), Argument("value", VALUE)
_CONDITIONS = (Argument("condition", CONDITION, 1, MAX_ARGUMENTS),)
_TWO_ORDERED = (Argument("a", ORDERED), Argument("b", ORDERED))
_TWO_OR_THREE_ORDERED = (*_TWO_ORDERED, Argument("c", ORDERED, 0))
OPERATIONS = (
    Operation(
        "var",
        (Argument("name", name_type("a field or value")), Argument("default", VALUE, 0)),
        "the type of the field or value",
        "The field or value of that name, or the default where it is missing.",
        _resolve,
    ),
    Operation(
        "if",
        (_CONDITION, _VALUE, Argument("else if, value", VALUE, 0, MAX_ARGUMENTS - 2)),
        "the common type of the values",
        "The value after the first true condition; otherwise the last argument, if it has no condition, else missing.",
        _choose,
    ),
    Operation(
        "==",
        (_VALUE, _VALUE),
        "boolean",
        "Whether both are equal. A missing value equals only another missing value.",
        _equality("eq_missing"),
    ),
    Operation("!=", (_VALUE, _VALUE), "boolean", "Whether they are not equal.", _equality("ne_missing")),
    Operation(
        "<",
        _TWO_OR_THREE_ORDERED,
        "boolean",
        "Whether a is less than b, and b less than c. False if one is missing.",
        _ordering("lt"),
    ),
    Operation(
        "<=",
        _TWO_OR_THREE_ORDERED,
        "boolean",
        "Whether a is at most b, and b at most c. False if one is missing.",
        _ordering("le"),
    ),
    Operation(">", _TWO_ORDERED, "boolean", "Whether a is greater than b. False if one is missing.", _ordering("gt")),
    Operation(">=", _TWO_ORDERED, "boolean", "Whether a is at least b. False if one is missing.", _ordering("ge")),
    Operation(
        "and",
        _CONDITIONS,
        "boolean",
        "Whether all are true. A missing condition is not true.",
        _combination(pl.all_horizontal),
    ),
    Operation(
        "or",
        _CONDITIONS,
        "boolean",
        "Whether at least one is true. A missing condition is not true.",
        _combination(pl.any_horizontal),
    ),
    Operation("!", (_CONDITION,), "boolean", "Whether the condition is not true. True where it is missing.", _negate),
    Operation(
        "in",
        (_VALUE, Argument("list", _LITERAL_LIST_OR_TEXT)),
        "boolean",
        "Whether the value is one of up to 1000 literals. With two texts, whether the second contains the first.",
        _contain,
    ),
    Operation(
        "empty",
        (_VALUE,),
        "boolean",
        "Whether the value is missing, or a text of white space only.",
        _check_empty,
    ),
)
