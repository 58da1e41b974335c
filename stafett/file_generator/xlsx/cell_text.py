"""Texts as cells hold them: at most so long, and spelled so that XML and Excel give the same text back."""

import re

import polars as pl

from stafett.column_mapper.cells import LONGEST_CELL
from stafett.column_mapper.localized import Localized
from stafett.domain.export import Locale

LONGEST, LONGEST_HEADER = LONGEST_CELL, 255
_INVISIBLE = re.compile("[\x00-\x1f\x7f\ufffe\uffff]+")
_MARK = Localized(nb=" … [kuttet]", nn=" … [kutta]", en=" … [cut]")
_BYTES_A_UNIT = 2
LINE_HEIGHT, _FULLNESS = 15, 0.9

# Both are looked for in a whole column at once, its texts put together with a bar between them.
_BAR = "|"
_NEEDS_ESCAPES = r"[&<>\x00-\x08\x0B-\x1F\x{FFFE}\x{FFFF}]|_x[0-9A-Fa-f]{4}_"
_NEEDS_ITS_SPACES = r"^ | $|  | \||\| |[\t\n]"

_LOOKS_ESCAPED = r"_x[0-9A-Fa-f]{4}_"
_NO_XML = [*range(0x09), 0x0B, 0x0C, *range(0x0D, 0x20), 0xFFFE, 0xFFFF]
_ESCAPES = {"&": "&amp;", "<": "&lt;", ">": "&gt;"} | {chr(code): f"_x{code:04X}_" for code in _NO_XML}


def needs_care(text: pl.Expr) -> pl.Expr:
    """Whether one of the next two does; mostly none, so this is what is asked of every column."""
    return text.str.join(_BAR).str.contains(f"{_NEEDS_ESCAPES}|{_NEEDS_ITS_SPACES}")


def needs_escapes(text: pl.Expr) -> pl.Expr:
    """Whether any of a column's texts has a character to be escaped."""
    return text.str.join(_BAR).str.contains(_NEEDS_ESCAPES)


def needs_its_spaces(text: pl.Expr) -> pl.Expr:
    """Whether any of a column's texts has spaces or line breaks that XML readers may drop."""
    return text.str.join(_BAR).str.contains(_NEEDS_ITS_SPACES)


def escaped(text: pl.Expr) -> pl.Expr:
    """What looks like an escape gets its underscores escaped, each of them, for they may overlap."""
    literal = text.str.replace_all("_x", "_x005F_x", literal=True)
    return pl.when(text.str.contains(_LOOKS_ESCAPED)).then(literal).otherwise(text).str.replace_many(_ESCAPES)


def units(text: str) -> int:
    """Excel counts UTF-16."""
    return len(text.encode("utf-16-le")) // _BYTES_A_UNIT


def cut(text: str, locale: Locale) -> str:
    """The beginning of a text, no character halved, and a mark that says there was more."""
    mark = _MARK.in_(locale)
    return beginning(text, LONGEST - units(mark)) + mark


def lines_of(text: pl.Expr, most: int, *, has_breaks: bool) -> pl.Expr:
    """How many lines of so many characters a text takes, about: words do not fill them."""
    characters = text.str.len_chars()
    lines = pl.when(characters <= most).then(1).otherwise(characters // int(most * _FULLNESS + 1) + 1)
    return lines + text.str.count_matches("\n", literal=True) if has_breaks else lines


def visible(text: str) -> str:
    """On one line, without characters that attributes and names cannot have."""
    return _INVISIBLE.sub(" ", text)


def beginning(text: str, most: int) -> str:
    """At most so many UTF-16 units of it."""
    return text.encode("utf-16-le")[: most * _BYTES_A_UNIT].decode("utf-16-le", errors="ignore")
