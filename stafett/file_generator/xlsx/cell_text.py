"""Texts as cells hold them: at most so long, and spelled so that XML and Excel give the same text back."""

import re

import polars as pl

from stafett.column_mapper.cells import MAX_CELL_LENGTH
from stafett.column_mapper.localized import Localized
from stafett.domain.export import Locale

MAX_CELL_UNITS, MAX_HEADER_UNITS = MAX_CELL_LENGTH, 255
_CONTROL_CHARACTERS = re.compile("[\x00-\x1f\x7f\ufffe\uffff]+")
_TRUNCATION_MARK = Localized(nb=" … [kuttet]", nn=" … [kutta]", en=" … [cut]")
_BYTES_PER_UTF16_UNIT = 2
LINE_HEIGHT, _LINE_FILL_RATIO = 15, 0.9

# Both are looked for in a whole column at once, its texts put together with a bar between them.
_SEPARATOR = "|"
_NEEDS_ESCAPING = r"[&<>\x00-\x08\x0B-\x1F\x{FFFE}\x{FFFF}]|_x[0-9A-Fa-f]{4}_"
_NEEDS_SPACE_PRESERVED = r"^ | $|  | \||\| |[\t\n]"

_ESCAPE_SEQUENCE = r"_x[0-9A-Fa-f]{4}_"
_INVALID_XML_CODES = [*range(0x09), 0x0B, 0x0C, *range(0x0D, 0x20), 0xFFFE, 0xFFFF]
_ESCAPES = {"&": "&amp;", "<": "&lt;", ">": "&gt;"} | {chr(code): f"_x{code:04X}_" for code in _INVALID_XML_CODES}


def has_special_text(text: pl.Expr) -> pl.Expr:
    """Whether one of the next two does; mostly none, so this is what is asked of every column."""
    return text.str.join(_SEPARATOR).str.contains(f"{_NEEDS_ESCAPING}|{_NEEDS_SPACE_PRESERVED}")


def has_escapable_text(text: pl.Expr) -> pl.Expr:
    """Whether any of a column's texts has a character to be escaped."""
    return text.str.join(_SEPARATOR).str.contains(_NEEDS_ESCAPING)


def has_significant_spaces(text: pl.Expr) -> pl.Expr:
    """Whether any of a column's texts has spaces or line breaks that XML readers may drop."""
    return text.str.join(_SEPARATOR).str.contains(_NEEDS_SPACE_PRESERVED)


def escape_text(text: pl.Expr) -> pl.Expr:
    """What looks like an escape gets its underscores escaped, each of them, for they may overlap."""
    literal = text.str.replace_all("_x", "_x005F_x", literal=True)
    return pl.when(text.str.contains(_ESCAPE_SEQUENCE)).then(literal).otherwise(text).str.replace_many(_ESCAPES)


def count_utf16_units(text: str) -> int:
    """Excel counts UTF-16."""
    return len(text.encode("utf-16-le")) // _BYTES_PER_UTF16_UNIT


def truncate_text(text: str, locale: Locale) -> str:
    """The beginning of a text, no character halved, and a mark that says there was more."""
    mark = _TRUNCATION_MARK.in_locale(locale)
    return take_utf16_units(text, MAX_CELL_UNITS - count_utf16_units(mark)) + mark


def estimate_line_count(text: pl.Expr, chars_per_line: int, *, has_breaks: bool) -> pl.Expr:
    """How many lines of so many characters a text takes, about: words do not fill them."""
    characters = text.str.len_chars()
    lines = (
        pl.when(characters <= chars_per_line)
        .then(1)
        .otherwise(characters // int(chars_per_line * _LINE_FILL_RATIO + 1) + 1)
    )
    return lines + text.str.count_matches("\n", literal=True) if has_breaks else lines


def replace_control_characters(text: str) -> str:
    """On one line, without characters that attributes and names cannot have."""
    return _CONTROL_CHARACTERS.sub(" ", text)


def take_utf16_units(text: str, max_units: int) -> str:
    """At most so many UTF-16 units of it."""
    return text.encode("utf-16-le")[: max_units * _BYTES_PER_UTF16_UNIT].decode("utf-16-le", errors="ignore")
