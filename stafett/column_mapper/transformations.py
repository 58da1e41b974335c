"""Registry of named transformations, for what expressions cannot express.

A transformation is a pure function of columns: it uses no clock, no randomness and no other rows. Changing a function
would change reports that were made with it, so a changed transformation gets a new name.
"""

from collections.abc import Callable
from dataclasses import dataclass

import polars as pl

from stafett.column_mapper.values import ValueKind

ColumnFunction = Callable[..., pl.Expr]


@dataclass(frozen=True)
class Transformation:
    """A registered function with its argument types, return type and description."""

    name: str
    argument_kinds: tuple[ValueKind, ...]
    return_kind: ValueKind
    max_growth: float
    """Upper bound on the length of the result, in multiples of the combined length of the text arguments."""
    memory_growth: float
    """Upper bound on the memory that computing it takes, in multiples of the combined size of the arguments."""
    function: ColumnFunction

    @property
    def description(self) -> str:
        """The function's docstring, which the command line and the published schema show."""
        return (self.function.__doc__ or "").strip()


TRANSFORMATIONS: dict[str, Transformation] = {}


def register_transformation(
    name: str,
    *,
    argument_kinds: tuple[ValueKind, ...],
    return_kind: ValueKind,
    max_growth: float = 1,
    memory_growth: float = 4,
) -> Callable[[ColumnFunction], ColumnFunction]:
    """Register a function under a name. ``max_growth`` bounds the length of a text that it returns."""

    def register(function: ColumnFunction) -> ColumnFunction:
        if name in TRANSFORMATIONS:
            raise ValueError(f"transformation {name} is already registered")
        TRANSFORMATIONS[name] = Transformation(name, argument_kinds, return_kind, max_growth, memory_growth, function)
        return function

    return register


@register_transformation(
    "initials", argument_kinds=(ValueKind.TEXT,), return_kind=ValueKind.TEXT, max_growth=2, memory_growth=50
)
def initials(text: pl.Expr) -> pl.Expr:
    """The first character of each word, each followed by a full stop: “Kari Anne Nordmann” becomes “K.A.N.”."""
    words = text.str.split(" ").list.eval(pl.element().filter(pl.element() != "").str.head(1) + ".")
    return words.list.join("")


@register_transformation("sentence_case", argument_kinds=(ValueKind.TEXT,), return_kind=ValueKind.TEXT, max_growth=3)
def sentence_case(text: pl.Expr) -> pl.Expr:
    """The text with its first character in upper case: “åpen gruppe i Oslo” becomes “Åpen gruppe i Oslo”."""
    return text.str.head(1).str.to_uppercase() + text.str.slice(1)
