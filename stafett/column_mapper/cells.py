"""What a column's value is written as, and what can be wrong with it."""

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
from stafett.column_mapper.messages import CHOICE_REPLACED, REQUIRED, TEXT_CUT, UNKNOWN_CHOICE
from stafett.column_mapper.operations.logic import is_empty
from stafett.column_mapper.operations.numbers import rounded_to
from stafett.column_mapper.program import Judgement
from stafett.column_mapper.scope import Scope
from stafett.column_mapper.values import MOST, Kind, Value
from stafett.domain.export import Locale

_MINUTE_IN_NANOSECONDS, _MINUTE_IN_MICROSECONDS = 60 * 10**9, 60 * 10**6


_MOST_MINUTES = 10**9
_TWO_UNITS = "[\U00010000-\U0010ffff]"
LONGEST_CELL = 32_767
CUT_IN_A_WORKBOOK = "text_cut"
"""The code of what only a workbook does; in other formats it is no fault."""


def takes(column: Column) -> Sequence[Kind]:
    """The types that a column's value may have."""
    match column:
        case TextColumn() | ChoiceColumn():
            return [Kind.TEXT]
        case IntegerColumn() | DurationColumn():
            return [Kind.INTEGER]
        case DecimalColumn():
            return [Kind.INTEGER, Kind.DECIMAL]
        case DateColumn():
            return [Kind.DATE]
        case TimeColumn():
            return [Kind.TIME]
        case YesNoColumn():
            return [Kind.BOOLEAN]
        case _:
            assert_never(column)


def written(column: Column, value: Value, scope: Scope) -> pl.Expr:
    """The value as it stands in the report; what is missing stays missing."""
    plain = value.expr
    match column:
        case TextColumn() | IntegerColumn() | DateColumn():
            return plain
        case DecimalColumn(decimals=decimals):
            return _as_decimal(value, decimals, scope)
        case TimeColumn():
            return (plain.cast(pl.Int64) // _MINUTE_IN_NANOSECONDS * _MINUTE_IN_NANOSECONDS).cast(pl.Time)
        case DurationColumn():
            sane = pl.when(plain.is_between(-_MOST_MINUTES, _MOST_MINUTES)).then(plain)
            return (sane * _MINUTE_IN_MICROSECONDS).cast(pl.Duration("us"))
        case YesNoColumn(labels=labels):
            yes, no = labels.yes.in_(scope.locale), labels.no.in_(scope.locale)
            return pl.when(plain).then(pl.lit(yes)).when(plain.not_()).then(pl.lit(no))
        case ChoiceColumn():
            return _labelled(column, plain, scope.taxonomies.get(column.options, {}))
        case _:
            assert_never(column)


def _as_decimal(value: Value, decimals: int, scope: Scope) -> pl.Expr:
    """To the digit: a large number goes over in two pieces, for Polars multiplies doubles on the way."""
    dtype = pl.Decimal(38, decimals)
    if value.kind is Kind.INTEGER:
        return value.expr.cast(dtype)
    rounded = scope.within_bounds(rounded_to(value, decimals))
    if value.most * 10**decimals <= MOST:
        return rounded.expr.cast(dtype)
    plain = scope.settled(rounded).expr
    whole = plain.cast(pl.Int64)
    return whole.cast(dtype) + (plain - whole.cast(pl.Float64)).cast(dtype)


def _labelled(column: ChoiceColumn, code: pl.Expr, options: Mapping[str, str]) -> pl.Expr:
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


def missing(column: Column, value: Value, required: Value, locale: Locale) -> list[Judgement]:
    if column.required is False:
        return []
    message = REQUIRED[locale].format(header=column.header.in_(locale))
    return [Judgement("required", column.id, column.if_missing == "reject", message, required.truth & is_empty(value))]


def too_long_for_a_cell(column: TextColumn, value: Value, locale: Locale) -> Judgement:
    """In the UTF-16 units that Excel counts; bytes are looked at first, for they are known already."""
    text = value.expr
    units = text.str.len_chars() + text.str.count_matches(_TWO_UNITS)
    is_too_long = pl.when(text.str.len_bytes() > LONGEST_CELL).then(units > LONGEST_CELL).fill_null(False)
    message = TEXT_CUT[locale].format(header=column.header.in_(locale))
    return Judgement(CUT_IN_A_WORKBOOK, column.id, False, message, is_too_long)


def unknown(column: ChoiceColumn, value: Value, options: Mapping[str, str], locale: Locale) -> list[Judgement]:
    header, is_unknown = column.header.in_(locale), value.expr.is_in(list(options)).not_().fill_null(False)
    match column.unknown:
        case "fail":
            message = UNKNOWN_CHOICE[locale].format(header=header)
            return [Judgement("unknown_choice", column.id, True, message, is_unknown)]
        case "fallback":
            label = options.get(column.fallback or "", "")
            message = CHOICE_REPLACED[locale].format(header=header, label=label)
            return [Judgement("choice_replaced", column.id, False, message, is_unknown)]
        case "keep":
            return []
        case _:
            assert_never(column.unknown)


def written_in(document: MappingDocument, column: Column, locale: Locale) -> list[str] | None:
    """Everything the document can write in a column, if that can be listed."""
    match column:
        case ChoiceColumn():
            return [option.label.in_(locale) for option in document.taxonomies[column.options]]
        case YesNoColumn(labels=labels):
            return [labels.yes.in_(locale), labels.no.in_(locale)]
        case _:
            return None
