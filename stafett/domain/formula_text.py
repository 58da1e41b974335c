"""Texts that a spreadsheet would run as a formula when it opens a CSV file (CSV injection)."""

_FORMULA_SIGNS = "=+\\-@＝＋－＠﹦﹢﹣﹫−⁺⁻⁼"  # noqa: RUF001 - spreadsheets read full-width and other forms as the plain ones
_IGNORED_CHARACTERS = (
    "\x00-\x20\x7f-\xa0\xad\u034f\u061c\u115f\u1160\u1680\u17b4\u17b5\u180b-\u180f\u2000-\u200f\u2028-\u202f"
    "\u205f-\u206f\u3000\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff9-\ufffb"
)
"""Controls, white space and characters without width, which spreadsheets skip before a formula."""

FORMULA_START = f"(?:[{_IGNORED_CHARACTERS}]*[{_FORMULA_SIGNS}]|[\t\r\x00])"
"""Pattern for the start of such a text, for Python and for Polars."""
