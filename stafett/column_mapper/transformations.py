"""What no expression can say is registered here, under a name that documents use.

A transformation is a pure function of columns: no clock, no chance, no look at other rows. Changing what one does
changes reports that were made with it, so a changed one gets a new name.
"""

from collections.abc import Callable
from dataclasses import dataclass

import polars as pl

from stafett.column_mapper.values import Kind

Function = Callable[..., pl.Expr]


@dataclass(frozen=True)
class Transformation:
    """A registered function: what it takes, what it gives, and what it does in a sentence."""

    name: str
    takes: tuple[Kind, ...]
    gives: Kind
    lengthens: float
    function: Function

    @property
    def words(self) -> str:
        return (self.function.__doc__ or "").strip()


TRANSFORMATIONS: dict[str, Transformation] = {}


def transformation(
    name: str, *, takes: tuple[Kind, ...], gives: Kind, lengthens: float = 1
) -> Callable[[Function], Function]:
    """Register a function under a name; a text it gives is at most ``lengthens`` times as long as those it takes."""

    def register(function: Function) -> Function:
        if name in TRANSFORMATIONS:
            raise ValueError(f"there is a transformation {name} already")
        TRANSFORMATIONS[name] = Transformation(name, takes, gives, lengthens, function)
        return function

    return register


@transformation("initials", takes=(Kind.TEXT,), gives=Kind.TEXT, lengthens=2)
def initials(text: pl.Expr) -> pl.Expr:
    """The first letter of each word, each with a full stop: “Kari Anne Nordmann” is “K.A.N.”."""
    words = text.str.split(" ").list.eval(pl.element().filter(pl.element() != "").str.head(1) + ".")
    return words.list.join("")


@transformation("sentence_case", takes=(Kind.TEXT,), gives=Kind.TEXT, lengthens=3)
def sentence_case(text: pl.Expr) -> pl.Expr:
    """A capital first, and the rest as it is: “åpen gruppe i Oslo” is “Åpen gruppe i Oslo”."""
    return text.str.head(1).str.to_uppercase() + text.str.slice(1)
