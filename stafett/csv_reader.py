"""Reads CSV files that users submit, with limits on their size and with the errors of the file as a whole."""

import csv
import io
import re
from collections.abc import Iterator, Sequence

from stafett.domain.errors import InvalidRequestError, RequestIssue
from stafett.domain.formula_text import FORMULA_START

MAX_ERRORS = 100
_ESCAPED_FORMULA = re.compile(f"'+{FORMULA_START}")
_MAX_LINES = 1_000_000
_MAX_CHARACTERS_PER_ROW = 64 * 1024
"""Several times the longest row. The parser reads a row as a whole, and a row can extend over many lines."""


def iterate_rows(
    content: bytes, columns: Sequence[str], required_columns: Sequence[str]
) -> Iterator[tuple[int, dict[str, str]]]:
    """Yield each line that is not empty, with its number, as values by column name.

    Raises ``InvalidRequestError`` if the file is not CSV, or its header has an unknown column or lacks a required one.
    """
    text = _decode(content)
    lines = _BoundedLines(text)
    reader = csv.reader(lines, delimiter=_detect_delimiter(lines.first), strict=True)
    try:
        names = _parse_header(next(reader, []), columns, required_columns, has_line_breaks="\n" in text or "\r" in text)
        lines.start_row()
        for cells in reader:
            lines.start_row()
            if any(cells):
                yield reader.line_num, _parse_row(reader.line_num, names, cells)
    except csv.Error as error:
        raise InvalidRequestError(
            [RequestIssue(f"line:{reader.line_num}", "csv", f"The file is not valid CSV: {error}")]
        ) from None


def list_column_names(content: bytes) -> list[str]:
    """List the names of the columns as the header has them."""
    header = _BoundedLines(_decode(content)).first
    return [name.strip() for name in next(csv.reader([header], delimiter=_detect_delimiter(header)), [])]


class _BoundedLines:
    """The lines of a file; raises ``InvalidRequestError`` for a row or a file that is too long."""

    def __init__(self, text: str) -> None:
        self._lines = io.StringIO(text, newline="")
        self._line_number = self._row_length = 0
        self.first, _, _ = text[:_MAX_CHARACTERS_PER_ROW].partition("\n")

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        line = self._lines.readline(_MAX_CHARACTERS_PER_ROW + 1)
        if not line:
            raise StopIteration
        self._line_number += 1
        self._row_length += len(line)
        if self._row_length > _MAX_CHARACTERS_PER_ROW:
            detail = f"A row has at most {_MAX_CHARACTERS_PER_ROW} characters"
            raise InvalidRequestError(
                [RequestIssue(f"line:{self._line_number}", "row_too_long", detail, _MAX_CHARACTERS_PER_ROW)]
            )
        if self._line_number > _MAX_LINES:
            detail = f"A file has at most {_MAX_LINES} lines"
            raise InvalidRequestError([RequestIssue(f"line:{self._line_number}", "too_many_lines", detail, _MAX_LINES)])
        return line

    def start_row(self) -> None:
        """Count the characters of the next row."""
        self._row_length = 0


def _decode(content: bytes) -> str:
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise InvalidRequestError([RequestIssue(f"line:{line}", "encoding", "The text is not UTF-8")]) from None


def _detect_delimiter(header: str) -> str:
    return next((mark for mark in ";\t" if mark in header), ",")


def _parse_header(
    header: Sequence[str], columns: Sequence[str], required_columns: Sequence[str], *, has_line_breaks: bool
) -> list[str]:
    if len(header) > len(columns):
        detail = f"The header has {len(header)} columns; at most {len(columns)} are known"
        issues = [RequestIssue("line:1", "too_many_columns", detail, len(columns))]
        if not has_line_breaks:
            detail = "The body has no line breaks; curl keeps them with --data-binary in place of -d"
            issues.append(RequestIssue("line:1", "no_line_breaks", detail))
        raise InvalidRequestError(issues)
    names = [name.strip().lower() for name in header]
    unknown = (number for number, name in enumerate(names, start=1) if name not in columns)
    missing = (name for name in required_columns if name not in names)
    issues = [
        RequestIssue("line:1", "unknown_column", f"Column {number} has an unknown name", number) for number in unknown
    ]
    issues += [RequestIssue("line:1", "missing_column", f"The column {name} is missing", name) for name in missing]
    if len(set(names)) < len(names):
        issues.append(RequestIssue("line:1", "repeated_column", "A column name occurs twice"))
    if issues:
        raise InvalidRequestError(issues[:MAX_ERRORS])
    return names


def _parse_row(line: int, names: Sequence[str], cells: Sequence[str]) -> dict[str, str]:
    if len(cells) != len(names):
        detail = f"The line has {len(cells)} cells, the header {len(names)}"
        raise InvalidRequestError([RequestIssue(f"line:{line}", "cells", detail, len(names))])
    return {name: _unescape_formula(cell) for name, cell in zip(names, cells, strict=True)}


def _unescape_formula(cell: str) -> str:
    """Remove the apostrophe with which a rendered file escapes a text that a spreadsheet would read as a formula."""
    return cell[1:] if _ESCAPED_FORMULA.match(cell) else cell
