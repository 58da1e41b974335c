"""Text in cells: length limits, and escaping so that XML and Excel return the original text."""

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

# Both patterns are searched in a whole column at once, its texts joined by the separator.
_SEPARATOR = "|"
_NEEDS_ESCAPING = r"[&<>\x00-\x08\x0B-\x1F\x{FFFE}\x{FFFF}]|_x[0-9A-Fa-f]{4}_"
_NEEDS_SPACE_PRESERVED = r"^ | $|  | \||\| |[\t\n]"

_ESCAPE_SEQUENCE = r"_x[0-9A-Fa-f]{4}_"
_INVALID_XML_CODES = [*range(0x09), 0x0B, 0x0C, *range(0x0D, 0x20), 0xFFFE, 0xFFFF]
_ESCAPES = {"&": "&amp;", "<": "&lt;", ">": "&gt;"} | {chr(code): f"_x{code:04X}_" for code in _INVALID_XML_CODES}


def has_special_text(text: pl.Expr) -> pl.Expr:
    """Check both conditions below in one search; few columns meet either, so every column is checked with this one."""
    return text.str.join(_SEPARATOR).str.contains(f"{_NEEDS_ESCAPING}|{_NEEDS_SPACE_PRESERVED}")


def has_escapable_text(text: pl.Expr) -> pl.Expr:
    """Check whether any text of a column has a character that must be escaped."""
    return text.str.join(_SEPARATOR).str.contains(_NEEDS_ESCAPING)


def has_significant_spaces(text: pl.Expr) -> pl.Expr:
    """Check whether any text of a column has spaces or line breaks that XML readers may drop."""
    return text.str.join(_SEPARATOR).str.contains(_NEEDS_SPACE_PRESERVED)


def escape_text(text: pl.Expr) -> pl.Expr:
    """Escape text for XML. In text that looks like an escape, escape every ``_x``, because matches may overlap."""
    protected = text.str.replace_all("_x", "_x005F_x", literal=True)
    return pl.when(text.str.contains(_ESCAPE_SEQUENCE)).then(protected).otherwise(text).str.replace_many(_ESCAPES)


def count_utf16_units(text: str) -> int:
    """Count UTF-16 code units, as Excel does."""
    return len(text.encode("utf-16-le")) // _BYTES_PER_UTF16_UNIT


def truncate_text(text: str, locale: Locale) -> str:
    """Shorten a text to the limit of a cell, without splitting a character, and append a mark."""
    mark = _TRUNCATION_MARK.in_locale(locale)
    return take_utf16_units(text, MAX_CELL_UNITS - count_utf16_units(mark)) + mark


def estimate_line_count(text: pl.Expr, chars_per_line: int, *, has_newlines: bool) -> pl.Expr:
    """Estimate the lines that a text takes; wrapped words do not fill a line completely."""
    characters = text.str.len_chars()
    lines = (
        pl.when(characters <= chars_per_line)
        .then(1)
        .otherwise(characters // int(chars_per_line * _LINE_FILL_RATIO + 1) + 1)
    )
    return lines + text.str.count_matches("\n", literal=True) if has_newlines else lines


def replace_control_characters(text: str) -> str:
    """Replace line breaks and other characters that attributes and names cannot contain with spaces."""
    return _CONTROL_CHARACTERS.sub(" ", text)


def take_utf16_units(text: str, max_units: int) -> str:
    """Return the start of a text, at most ``max_units`` UTF-16 code units long."""
    return text.encode("utf-16-le")[: max_units * _BYTES_PER_UTF16_UNIT].decode("utf-16-le", errors="ignore")
