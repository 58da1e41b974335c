"""What an expression has become: a Polars expression whose type is known."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC
from enum import StrEnum
from types import MappingProxyType
from typing import Any

import polars as pl
from polars.datatypes import DataTypeClass

from stafett.column_mapper.localized import text_units

MAX_EXACT_INTEGER = 9_007_199_254_740_991
"""Numbers beyond it are not exact everywhere: they count as missing."""


class ValueKind(StrEnum):
    """The types of the mapping language, as people are told of them."""

    TEXT = "text"
    INTEGER = "integer"
    DECIMAL = "decimal"
    BOOLEAN = "boolean"
    DATE = "date"
    TIME = "time"
    INSTANT = "instant"
    NULL = "nothing"
    """The type of ``null``; it goes with every other."""
    INVALID = "unknown"
    """Of what was faulty; it goes with every other, so that one fault is told once."""


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


@dataclass(frozen=True)
class Value:
    """An expression of a known type, and what a compiler has to know of it."""

    kind: ValueKind
    expr: pl.Expr
    layer: int = 0
    """The layer of columns it can be computed on: 0 is the source."""
    depth: int = 0
    """How many operations stand on top of one another; Polars takes ages over high ones."""
    is_atomic: bool = False
    """A column or a literal, which costs nothing to name twice."""
    is_constant: bool = False
    """The same for every row."""
    max_abs: float = MAX_EXACT_INTEGER
    """No number of it lies further from zero."""
    max_text_units: float = 0
    """How long a text may become, in multiples of the longest field or a hundred characters."""

    def cast_to(self, kind: ValueKind) -> "Value":
        """The same as another type that it goes with."""
        if self.kind is kind or kind in _WILDCARD_KINDS:
            return self
        if self.kind in _WILDCARD_KINDS:
            return replace(self, kind=kind, expr=pl.lit(None, dtype=DTYPES[kind]))
        return replace(self, kind=kind, expr=self.expr.cast(DTYPES[kind])).fold_constant()

    def fold_constant(self) -> "Value":
        """What is the same for every row is worked out now; Polars would take a column of one row for it."""
        if not self.is_constant or self.kind in _WILDCARD_KINDS:
            return self
        known = pl.select(self.expr.cast(DTYPES[self.kind])).item()
        return replace(self, expr=constant_value(self.kind, known).expr, depth=0, is_atomic=True)

    @property
    def null_as_false(self) -> pl.Expr:
        """A condition; what is missing is not so."""
        return self.expr.fill_null(False)


INVALID_VALUE = Value(ValueKind.INVALID, pl.lit(None), is_atomic=True)


def column_value(
    kind: ValueKind, name: str, layer: int, *, max_abs: float = MAX_EXACT_INTEGER, max_text_units: float = 0
) -> Value:
    return Value(kind, pl.col(name), layer, is_atomic=True, max_abs=max_abs, max_text_units=max_text_units)


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
            return constant_value(ValueKind.TEXT, value, max_text_units=text_units(value))
        case _:
            raise TypeError("a literal is null, a boolean, a number or a text")


def constant_value(
    kind: ValueKind, value: object, *, max_abs: float = MAX_EXACT_INTEGER, max_text_units: float = 0
) -> Value:
    lit = pl.lit(value, dtype=DTYPES[kind])
    return Value(kind, lit, is_atomic=True, is_constant=True, max_abs=max_abs, max_text_units=max_text_units)


def common_kind(first: ValueKind, second: ValueKind) -> ValueKind | None:
    """The type that both can be taken for, if there is one."""
    if first is second or second in _WILDCARD_KINDS:
        return first if first is not ValueKind.NULL else second
    if first in _WILDCARD_KINDS:
        return second
    return ValueKind.DECIMAL if {first, second} <= NUMERIC_KINDS else None


def derive_value(
    operands: Iterable[Value], kind: ValueKind, expr: pl.Expr, *, max_abs: float = 0, max_text_units: float = 0
) -> Value:
    """A value that needs these others."""
    parts = tuple(operands)
    return Value(
        kind,
        expr,
        layer=max((part.layer for part in parts), default=0),
        depth=max((part.depth for part in parts), default=0),
        is_constant=all(part.is_constant for part in parts),
        max_abs=max_abs,
        max_text_units=max_text_units,
    )
