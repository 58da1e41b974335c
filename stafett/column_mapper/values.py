"""Typed Polars expressions, the results of parsing expressions."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC
from enum import StrEnum
from types import MappingProxyType
from typing import Any

import polars as pl
from polars.datatypes import DataTypeClass

from stafett.column_mapper.size_bounds import CELL, NOTHING, SizeBound

MAX_EXACT_INTEGER = 9_007_199_254_740_991
"""2**53 - 1. Larger numbers are not exact in every program, so they count as missing."""


class ValueKind(StrEnum):
    """The types of the mapping language, named as in messages to users."""

    TEXT = "text"
    INTEGER = "integer"
    DECIMAL = "decimal"
    BOOLEAN = "boolean"
    DATE = "date"
    TIME = "time"
    INSTANT = "instant"
    NULL = "null"
    """The type of ``null``, which combines with every other type."""
    INVALID = "invalid"
    """The type of an invalid expression. It combines with every other type, so that one issue is reported once."""


NUMERIC_KINDS = frozenset({ValueKind.INTEGER, ValueKind.DECIMAL})
ORDERED_KINDS = NUMERIC_KINDS | {ValueKind.DATE, ValueKind.TIME, ValueKind.INSTANT}
_WILDCARD_KINDS = frozenset({ValueKind.NULL, ValueKind.INVALID})
DTYPES: Mapping[ValueKind, pl.DataType | DataTypeClass] = MappingProxyType(
    {
        ValueKind.TEXT: pl.String,
        ValueKind.INTEGER: pl.Int64,
        ValueKind.DECIMAL: pl.Float64,
        ValueKind.BOOLEAN: pl.Boolean,
        ValueKind.DATE: pl.Date,
        ValueKind.TIME: pl.Time,
        ValueKind.INSTANT: pl.Datetime("us", UTC),
    }
)

_FIXED_SIZES: Mapping[ValueKind, SizeBound] = MappingProxyType(
    {
        kind: SizeBound(fixed_bytes=1 if kind is ValueKind.BOOLEAN else 8)
        for kind in DTYPES
        if kind is not ValueKind.TEXT
    }
)


@dataclass(frozen=True)
class Value:
    """A Polars expression with its type and the bounds that the compiler needs."""

    kind: ValueKind
    expr: pl.Expr
    layer: int = 0
    """The first layer of columns that it can be computed from; layer 0 is the source."""
    depth: int = 0
    """How deeply its operations are nested. Polars plans deeply nested expressions in quadratic time."""
    is_atomic: bool = False
    """Whether it is a column or a literal, which costs nothing to use twice."""
    is_constant: bool = False
    """Whether it is the same for every row."""
    max_abs: float = MAX_EXACT_INTEGER
    """Upper bound on the absolute value of a number."""
    size: SizeBound = CELL
    temporary_size: SizeBound = NOTHING
    """Upper bound on the intermediate results while it is computed."""

    @property
    def memory(self) -> SizeBound:
        """Upper bound on what it takes to compute it as an operand. A column or a literal is there already."""
        return NOTHING if self.is_atomic else SizeBound.total((self.size, self.temporary_size))

    def cast_to(self, kind: ValueKind) -> "Value":
        """Cast to another type that this type combines with."""
        if self.kind is kind or kind in _WILDCARD_KINDS:
            return self
        if self.kind in _WILDCARD_KINDS:
            return replace(self, kind=kind, expr=pl.lit(None, dtype=DTYPES[kind]))
        return replace(self, kind=kind, expr=self.expr.cast(DTYPES[kind])).fold_constant()

    def fold_constant(self) -> "Value":
        """Evaluate a constant now, because Polars would compute a column of one row for it."""
        if not self.is_constant or self.kind in _WILDCARD_KINDS:
            return self
        constant = pl.select(self.expr.cast(DTYPES[self.kind])).item()
        expr = constant_value(self.kind, constant).expr
        return replace(self, expr=expr, depth=0, is_atomic=True, temporary_size=NOTHING)

    @property
    def null_as_false(self) -> pl.Expr:
        """A condition that is false where it would be missing."""
        return self.expr.fill_null(False)


INVALID_VALUE = Value(ValueKind.INVALID, pl.lit(None), is_atomic=True)


def column_value(
    kind: ValueKind, name: str, layer: int, *, max_abs: float = MAX_EXACT_INTEGER, size: SizeBound = CELL
) -> Value:
    return Value(kind, pl.col(name), layer, is_atomic=True, max_abs=max_abs, size=size)


def literal_value(value: Any) -> Value:
    match value:
        case None:
            return Value(ValueKind.NULL, pl.lit(None), is_atomic=True, is_constant=True)
        case bool():
            return constant_value(ValueKind.BOOLEAN, value)
        case int():
            return constant_value(ValueKind.INTEGER, value, max_abs=abs(value))
        case float():
            return constant_value(ValueKind.DECIMAL, value, max_abs=abs(value))
        case str():
            return constant_value(ValueKind.TEXT, value, size=SizeBound.from_text(value))
        case _:
            raise TypeError("a literal is null, a boolean, a number or a text")


def constant_value(
    kind: ValueKind, value: object, *, max_abs: float = MAX_EXACT_INTEGER, size: SizeBound = CELL
) -> Value:
    lit = pl.lit(value, dtype=DTYPES[kind])
    return Value(kind, lit, is_atomic=True, is_constant=True, max_abs=max_abs, size=size)


def common_kind(first: ValueKind, second: ValueKind) -> ValueKind | None:
    """Return the type that both convert to, if there is one."""
    if first is second or second in _WILDCARD_KINDS:
        return first if first is not ValueKind.NULL else second
    if first in _WILDCARD_KINDS:
        return second
    return ValueKind.DECIMAL if {first, second} <= NUMERIC_KINDS else None


def derive_value(  # noqa: PLR0913 - the value, and its bounds
    operands: Iterable[Value],
    kind: ValueKind,
    expr: pl.Expr,
    *,
    max_abs: float = 0,
    size: SizeBound = CELL,
    temporary_size: SizeBound = NOTHING,
) -> Value:
    """Build a value that is computed from these operands; ``temporary_size`` is what the operation itself needs."""
    parts = tuple(operands)
    return Value(
        kind,
        expr,
        layer=max((part.layer for part in parts), default=0),
        depth=max((part.depth for part in parts), default=0),
        is_constant=all(part.is_constant for part in parts),
        max_abs=max_abs,
        size=_FIXED_SIZES.get(kind, size),
        temporary_size=SizeBound.total((temporary_size, *(part.memory for part in parts))),
    )
