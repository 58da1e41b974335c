"""The cells of each column type, and the checks on their values."""

from collections.abc import Mapping, Sequence
from typing import assert_never

import polars as pl

from stafett.column_mapper.document import (
    ChoiceColumn,
    Column,
    DateColumn,
    DecimalColumn,
    DurationColumn,
    IntegerColumn,
    MappingDocument,
    TextColumn,
    TimeColumn,
    YesNoColumn,
)
from stafett.column_mapper.messages import (
    CHOICE_REPLACED,
    REPAIR_CHOICE,
    REPAIR_MISSING_VALUE,
    REPAIR_TEXT,
    ROW_TOO_LARGE,
    TEXT_TRUNCATED,
    UNKNOWN_CHOICE,
    VALUE_MISSING,
)
from stafett.column_mapper.operations.logic import is_empty
from stafett.column_mapper.operations.numbers import round_half_up
from stafett.column_mapper.program import IS_TOO_LARGE, RowCheck
from stafett.column_mapper.scope import Scope
from stafett.column_mapper.size_bounds import SizeBound
from stafett.column_mapper.values import MAX_EXACT_INTEGER, Value, ValueKind
from stafett.domain.export import Locale

_NANOSECONDS_PER_MINUTE, _MICROSECONDS_PER_MINUTE = 60 * 10**9, 60 * 10**6
_MAX_MINUTES = 10**9
_NON_BMP_CHARACTER = "[\U00010000-\U0010ffff]"
MAX_CELL_LENGTH = 32_767
TEXT_TRUNCATED_CODE = "text_cut"
"""The code of a check for workbooks only: other formats do not truncate texts."""
ROW_TOO_LARGE_CODE = "row_too_large"


def accepted_kinds(column: Column) -> Sequence[ValueKind]:
    """Return the types that a column's value can have."""
    match column:
        case TextColumn() | ChoiceColumn():
            return [ValueKind.TEXT]
        case IntegerColumn() | DurationColumn():
            return [ValueKind.INTEGER]
        case DecimalColumn():
            return [ValueKind.INTEGER, ValueKind.DECIMAL]
        case DateColumn():
            return [ValueKind.DATE]
        case TimeColumn():
            return [ValueKind.TIME]
        case YesNoColumn():
            return [ValueKind.BOOLEAN]
        case _:
            assert_never(column)


def build_output_expr(column: Column, value: Value, scope: Scope) -> pl.Expr:
    """Return the value as the report writes it. Missing values stay missing."""
    expr = value.expr
    match column:
        case TextColumn() | IntegerColumn() | DateColumn():
            return expr
        case DecimalColumn(decimals=decimals):
            return _to_decimal(value, decimals, scope)
        case TimeColumn():
            return (expr.cast(pl.Int64) // _NANOSECONDS_PER_MINUTE * _NANOSECONDS_PER_MINUTE).cast(pl.Time)
        case DurationColumn():
            bounded = pl.when(expr.is_between(-_MAX_MINUTES, _MAX_MINUTES)).then(expr)
            return (bounded * _MICROSECONDS_PER_MINUTE).cast(pl.Duration("us"))
        case YesNoColumn(labels=labels):
            yes, no = labels.yes.in_locale(scope.locale), labels.no.in_locale(scope.locale)
            return pl.when(expr).then(pl.lit(yes)).when(expr.not_()).then(pl.lit(no))
        case ChoiceColumn():
            return _replace_codes_by_labels(column, expr, scope.taxonomies.get(column.options, {}))
        case _:
            assert_never(column)


def _to_decimal(value: Value, decimals: int, scope: Scope) -> pl.Expr:
    """Cast to an exact decimal. Polars multiplies doubles in this cast, so a large number is cast in two pieces."""
    dtype = pl.Decimal(38, decimals)
    if value.kind is ValueKind.INTEGER:
        return value.expr.cast(dtype)
    rounded = scope.null_if_inexact(round_half_up(value, decimals))
    if value.max_abs * 10**decimals <= MAX_EXACT_INTEGER:
        return rounded.expr.cast(dtype)
    expr = scope.to_atomic(rounded).expr
    whole = expr.cast(pl.Int64)
    return whole.cast(dtype) + (expr - whole.cast(pl.Float64)).cast(dtype)


def _replace_codes_by_labels(column: ChoiceColumn, code: pl.Expr, options: Mapping[str, str]) -> pl.Expr:
    match column.unknown:
        case "fail":
            otherwise = pl.lit(None, dtype=pl.String)
        case "keep":
            otherwise = code
        case "fallback":
            otherwise = pl.when(code.is_not_null()).then(pl.lit(options.get(column.fallback or "")))
        case _:
            assert_never(column.unknown)
    return code.replace_strict(list(options), list(options.values()), default=otherwise, return_dtype=pl.String)


def build_required_checks(column: Column, value: Value, required: Value, locale: Locale) -> list[RowCheck]:
    if column.required is False:
        return []
    message = VALUE_MISSING[locale].format(header=column.header.in_locale(locale))
    is_missing = required.null_as_false & is_empty(value)
    memory = SizeBound.total((required.memory, value.size))
    rejects_row, repair = column.if_missing == "reject", REPAIR_MISSING_VALUE[locale]
    return [RowCheck("required", column.id, rejects_row, message, is_missing, memory, repair)]


def build_cell_length_check(column: TextColumn, value: Value, locale: Locale) -> RowCheck:
    """Build the check on a text's length in UTF-16 units, as Excel counts.

    It compares the byte length first, because Polars stores that.
    """
    text = value.expr
    units = text.str.len_chars() + text.str.count_matches(_NON_BMP_CHARACTER)
    is_too_long = pl.when(text.str.len_bytes() > MAX_CELL_LENGTH).then(units > MAX_CELL_LENGTH).fill_null(False)
    message = TEXT_TRUNCATED[locale].format(header=column.header.in_locale(locale))
    return RowCheck(TEXT_TRUNCATED_CODE, column.id, False, message, is_too_long, repair=REPAIR_TEXT[locale])


def build_row_size_check(locale: Locale) -> RowCheck:
    """Build the check on rows whose texts are longer than the service accepts, so that they cannot be mapped."""
    message, repair = ROW_TOO_LARGE[locale], REPAIR_TEXT[locale]
    return RowCheck(ROW_TOO_LARGE_CODE, None, True, message, pl.col(IS_TOO_LARGE), repair=repair)


def build_choice_checks(
    column: ChoiceColumn, value: Value, options: Mapping[str, str], locale: Locale
) -> list[RowCheck]:
    repair = REPAIR_CHOICE[locale]
    header, is_unknown = column.header.in_locale(locale), value.expr.is_in(list(options)).not_().fill_null(False)
    match column.unknown:
        case "fail":
            message = UNKNOWN_CHOICE[locale].format(header=header)
            return [RowCheck("unknown_choice", column.id, True, message, is_unknown, repair=repair)]
        case "fallback":
            label = options.get(column.fallback or "", "")
            message = CHOICE_REPLACED[locale].format(header=header, label=label)
            return [RowCheck("choice_replaced", column.id, False, message, is_unknown, repair=repair)]
        case "keep":
            return []
        case _:
            assert_never(column.unknown)


def list_possible_values(document: MappingDocument, column: Column, locale: Locale) -> list[str] | None:
    """Return every value that the document can write in a column, or ``None`` if they cannot be listed."""
    match column:
        case ChoiceColumn():
            return [option.label.in_locale(locale) for option in document.taxonomies[column.options]]
        case YesNoColumn(labels=labels):
            return [labels.yes.in_locale(locale), labels.no.in_locale(locale)]
        case _:
            return None
