"""Putting values together."""

from collections.abc import Iterable

import polars as pl

from stafett.column_mapper.values import Kind, Value


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
