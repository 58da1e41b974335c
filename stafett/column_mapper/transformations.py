"""What no expression can say is registered here, under a name that documents use.

A transformation is a pure function of columns: no clock, no chance, no look at other rows. Changing what one does
changes reports that were made with it, so a changed one gets a new name.
"""

from collections.abc import Callable
from dataclasses import dataclass

import polars as pl

from stafett.column_mapper.values import ValueKind

ColumnFunction = Callable[..., pl.Expr]


@dataclass(frozen=True)
class Transformation:
    """A registered function: what it takes, what it gives, and what it does in a sentence."""

    name: str
    argument_kinds: tuple[ValueKind, ...]
    return_kind: ValueKind
    max_growth: float
    function: ColumnFunction

    @property
    def description(self) -> str:
        return (self.function.__doc__ or "").strip()


TRANSFORMATIONS: dict[str, Transformation] = {}


def register_transformation(
    name: str, *, argument_kinds: tuple[ValueKind, ...], return_kind: ValueKind, max_growth: float = 1
) -> Callable[[ColumnFunction], ColumnFunction]:
    """Register a function under a name; a text it gives is at most ``lengthens`` times as long as those it takes."""

    def register(function: ColumnFunction) -> ColumnFunction:
        if name in TRANSFORMATIONS:
            raise ValueError(f"there is a transformation {name} already")
        TRANSFORMATIONS[name] = Transformation(name, argument_kinds, return_kind, max_growth, function)
        return function

    return register


@register_transformation("initials", argument_kinds=(ValueKind.TEXT,), return_kind=ValueKind.TEXT, max_growth=2)
def initials(text: pl.Expr) -> pl.Expr:
    """The first letter of each word, each with a full stop: “Kari Anne Nordmann” is “K.A.N.”."""
    words = text.str.split(" ").list.eval(pl.element().filter(pl.element() != "").str.head(1) + ".")
    return words.list.join("")


@register_transformation("sentence_case", argument_kinds=(ValueKind.TEXT,), return_kind=ValueKind.TEXT, max_growth=3)
def sentence_case(text: pl.Expr) -> pl.Expr:
    """A capital first, and the rest as it is: “åpen gruppe i Oslo” is “Åpen gruppe i Oslo”."""
    return text.str.head(1).str.to_uppercase() + text.str.slice(1)
