"""Upper bounds on the sizes of values, which follow from a document before a row is read."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

import polars as pl

CELL_BYTES = 16
"""The bytes of a number, or of the reference to a text."""

MAX_ROW_BYTES = 32 * 1024 * 1024
"""The maximum memory that mapping one row may take."""

MAX_FIELD_BYTES: Mapping[str, int] = MappingProxyType(
    {
        "id": 36,
        "activity_type": 32,
        "place": 800,
        "note": 16_000,
        "mentor_id": 36,
        "mentor_name": 800,
        "branch": 800,
        "registered_by": 36,
        "event_id": 36,
    }
)
"""The maximum bytes of each text of an activity: four for each of its characters."""


@dataclass(frozen=True)
class SizeBound:
    """Upper bound on a value's text length and on its bytes, which depend on the bytes of the row's own texts."""

    text_units: float = 0
    """In multiples of the longest field or of 100 characters."""
    fixed_bytes: float = CELL_BYTES
    bytes_per_field: Mapping[str, float] = field(default_factory=dict)
    """How many times the value can contain each text of the activity."""

    @classmethod
    def from_text(cls, text: str) -> "SizeBound":
        return cls(len(text) / 100, CELL_BYTES + len(text.encode()))

    @classmethod
    def from_characters(cls, count: int) -> "SizeBound":
        """Return the bound of ASCII texts with at most this many characters."""
        return cls(count / 100, CELL_BYTES + count)

    @classmethod
    def from_field(cls, name: str) -> "SizeBound":
        return cls(1, bytes_per_field={name: 1})

    @classmethod
    def total(cls, sizes: Iterable["SizeBound"]) -> "SizeBound":
        units, fixed_bytes, bytes_per_field = 0.0, 0.0, dict[str, float]()
        for size in sizes:
            units += size.text_units
            fixed_bytes += size.fixed_bytes
            for name, factor in size.bytes_per_field.items():
                bytes_per_field[name] = bytes_per_field.get(name, 0) + factor
        return cls(units, fixed_bytes, bytes_per_field)

    @classmethod
    def largest(cls, sizes: Iterable["SizeBound"]) -> "SizeBound":
        """Return a bound that is at least each of these."""
        units, fixed_bytes, bytes_per_field = 0.0, 0.0, dict[str, float]()
        for size in sizes:
            units, fixed_bytes = max(units, size.text_units), max(fixed_bytes, size.fixed_bytes)
            for name, factor in size.bytes_per_field.items():
                bytes_per_field[name] = max(bytes_per_field.get(name, 0), factor)
        return cls(units, fixed_bytes, bytes_per_field)

    def scale(self, factor: float, *, byte_factor: float | None = None) -> "SizeBound":
        by = factor if byte_factor is None else byte_factor
        return SizeBound(
            self.text_units * factor,
            self.fixed_bytes * by,
            {name: bytes_ * by for name, bytes_ in self.bytes_per_field.items()},
        )

    @property
    def max_bytes(self) -> float:
        """The bytes if every text of the activity is as long as it can be."""
        return self.fixed_bytes + sum(factor * MAX_FIELD_BYTES[name] for name, factor in self.bytes_per_field.items())

    def to_expr(self) -> pl.Expr:
        """Return the bound for each row, from the lengths of its texts."""
        texts = (
            pl.col(name).str.len_bytes().fill_null(0).cast(pl.Float64) * factor
            for name, factor in self.bytes_per_field.items()
        )
        return pl.sum_horizontal(pl.lit(self.fixed_bytes), *texts).ceil().cast(pl.Int64)


NOTHING, CELL = SizeBound(fixed_bytes=0), SizeBound()
