"""What an expression has become: a Polars expression whose type is known."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC
from enum import StrEnum
from types import MappingProxyType
from typing import Any

import polars as pl
from polars.datatypes import DataTypeClass

from stafett.column_mapper.localized import size_of

MOST = 9_007_199_254_740_991
"""Numbers beyond it are not exact everywhere: they count as missing."""


class Kind(StrEnum):
    """The types of the mapping language, as people are told of them."""

    TEXT = "text"
    INTEGER = "integer"
    DECIMAL = "decimal"
    BOOLEAN = "boolean"
    DATE = "date"
    TIME = "time"
    INSTANT = "instant"
    NOTHING = "nothing"
    """The type of ``null``; it goes with every other."""
    UNKNOWN = "unknown"
    """Of what was faulty; it goes with every other, so that one fault is told once."""


NUMBERS = frozenset({Kind.INTEGER, Kind.DECIMAL})
ORDERED = NUMBERS | {Kind.DATE, Kind.TIME, Kind.INSTANT}
_OPEN = frozenset({Kind.NOTHING, Kind.UNKNOWN})
DTYPES: Mapping[Kind, pl.DataType | DataTypeClass] = MappingProxyType(
    {
        Kind.TEXT: pl.String,
        Kind.INTEGER: pl.Int64,
        Kind.DECIMAL: pl.Float64,
        Kind.BOOLEAN: pl.Boolean,
        Kind.DATE: pl.Date,
        Kind.TIME: pl.Time,
        Kind.INSTANT: pl.Datetime("us", UTC),
    }
)


@dataclass(frozen=True)
class Value:
    """An expression of a known type, and what a compiler has to know of it."""

    kind: Kind
    expr: pl.Expr
    layer: int = 0
    """The layer of columns it can be computed on: 0 is the source."""
    height: int = 0
    """How many operations stand on top of one another; Polars takes ages over high ones."""
    is_plain: bool = False
    """A column or a literal, which costs nothing to name twice."""
    is_constant: bool = False
    """The same for every row."""
    most: float = MOST
    """No number of it lies further from zero."""
    size: float = 0
    """How long a text may become, in multiples of the longest field or a hundred characters."""

    def to(self, kind: Kind) -> "Value":
        """The same as another type that it goes with."""
        if self.kind is kind or kind in _OPEN:
            return self
        if self.kind in _OPEN:
            return replace(self, kind=kind, expr=pl.lit(None, dtype=DTYPES[kind]))
        return replace(self, kind=kind, expr=self.expr.cast(DTYPES[kind])).folded()

    def folded(self) -> "Value":
        """What is the same for every row is worked out now; Polars would take a column of one row for it."""
        if not self.is_constant or self.kind in _OPEN:
            return self
        known = pl.select(self.expr.cast(DTYPES[self.kind])).item()
        return replace(self, expr=constant(self.kind, known).expr, height=0, is_plain=True)

    @property
    def truth(self) -> pl.Expr:
        """A condition; what is missing is not so."""
        return self.expr.fill_null(False)


UNKNOWN = Value(Kind.UNKNOWN, pl.lit(None), is_plain=True)


def column(kind: Kind, name: str, layer: int, *, most: float = MOST, size: float = 0) -> Value:
    return Value(kind, pl.col(name), layer, is_plain=True, most=most, size=size)


def literal(given: Any) -> Value:
    match given:
        case None:
            return Value(Kind.NOTHING, pl.lit(None), is_plain=True, is_constant=True)
        case bool():
            return constant(Kind.BOOLEAN, given)
        case int():
            return constant(Kind.INTEGER, given, most=abs(given))
        case float():
            return constant(Kind.DECIMAL, given, most=abs(given))
        case str():
            return constant(Kind.TEXT, given, size=size_of(given))
        case _:
            raise TypeError("a literal is null, a boolean, a number or a text")


def constant(kind: Kind, given: object, *, most: float = MOST, size: float = 0) -> Value:
    lit = pl.lit(given, dtype=DTYPES[kind])
    return Value(kind, lit, is_plain=True, is_constant=True, most=most, size=size)


def meeting(one: Kind, other: Kind) -> Kind | None:
    """The type that both can be taken for, if there is one."""
    if one is other or other in _OPEN:
        return one if one is not Kind.NOTHING else other
    if one in _OPEN:
        return other
    return Kind.DECIMAL if {one, other} <= NUMBERS else None


def made_of(values: Iterable[Value], kind: Kind, expr: pl.Expr, *, most: float = 0, size: float = 0) -> Value:
    """A value that needs these others."""
    parts = tuple(values)
    return Value(
        kind,
        expr,
        layer=max((part.layer for part in parts), default=0),
        height=max((part.height for part in parts), default=0),
        is_constant=all(part.is_constant for part in parts),
        most=most,
        size=size,
    )
