"""What an expression has become: a Polars expression whose type is known."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC
from enum import StrEnum
from types import MappingProxyType
from typing import Any

import polars as pl
from polars.datatypes import DataTypeClass

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
    most: float = MOST
    """No number of it lies further from zero."""
    size: float = 0
    """How long a text may become, in multiples of the longest field or a thousand characters."""

    def to(self, kind: Kind) -> "Value":
        """The same as another type that it goes with."""
        if self.kind is kind or kind in _OPEN:
            return self
        if self.kind in _OPEN:
            return replace(self, kind=kind, expr=pl.lit(None, dtype=DTYPES[kind]))
        return replace(self, kind=kind, expr=self.expr.cast(DTYPES[kind]))

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
            return Value(Kind.NOTHING, pl.lit(None), is_plain=True)
        case bool():
            return Value(Kind.BOOLEAN, pl.lit(given, dtype=pl.Boolean), is_plain=True)
        case int():
            return Value(Kind.INTEGER, pl.lit(given, dtype=pl.Int64), is_plain=True, most=abs(given))
        case float():
            return Value(Kind.DECIMAL, pl.lit(given, dtype=pl.Float64), is_plain=True, most=abs(given))
        case str():
            return Value(Kind.TEXT, pl.lit(given, dtype=pl.String), is_plain=True, size=len(given) / 1000)
        case _:
            raise TypeError("a literal is null, a boolean, a number or a text")


def meeting(one: Kind, other: Kind) -> Kind | None:
    """The type that both can be taken for, if there is one."""
    if one is other or other in _OPEN:
        return one if one is not Kind.NOTHING else other
    if one in _OPEN:
        return other
    return Kind.DECIMAL if {one, other} <= NUMBERS else None
