"""CSV files for Norwegian Excel and for programs."""

import re
from collections.abc import Iterable, Iterator

import polars as pl

from stafett.activity_frames import iterate_small_slices
from stafett.domain.export import CsvProfile
from stafett.domain.formula_text import FORMULA_START
from stafett.file_generator.durations import format_clock_durations, format_iso_durations

_BYTE_ORDER_MARK = "\N{ZERO WIDTH NO-BREAK SPACE}".encode()
_TIME_FORMAT = "%H:%M"
_FORMULA_PREFIX = f"^{FORMULA_START}"
"""Text that a spreadsheet would run as a formula (CSV injection) is escaped in the `excel` profile."""


def render_csv(frames: Iterable[pl.DataFrame], profile: CsvProfile) -> Iterator[bytes]:
    """Yield the file in chunks, the first of which starts with the header."""
    for number, frame in enumerate(_slice_frames(frames)):
        match profile:
            case "excel":
                yield (_BYTE_ORDER_MARK if number == 0 else b"") + _to_excel_csv(frame, include_header=number == 0)
            case "machine":
                yield _to_machine_csv(frame, include_header=number == 0)


def _slice_frames(frames: Iterable[pl.DataFrame]) -> Iterator[pl.DataFrame]:
    """Slice frames so that their text fits into memory; an empty frame is passed on, because its header is written."""
    for frame in frames:
        yield from iterate_small_slices(frame) if frame.height else [frame]


def _escape_formula(header: str) -> str:
    return f"'{header}" if re.match(_FORMULA_PREFIX, header) else header


def _to_excel_csv(frame: pl.DataFrame, *, include_header: bool) -> bytes:
    """Prefix text that Excel would evaluate as a formula with an apostrophe; numbers are left as they are."""
    safe = frame.with_columns(pl.col(pl.String).str.replace(_FORMULA_PREFIX, "'${0}")).rename(_escape_formula)
    text = format_clock_durations(safe).write_csv(
        include_header=include_header,
        separator=";",
        line_terminator="\r\n",
        date_format="%d.%m.%Y",
        time_format=_TIME_FORMAT,
        decimal_comma=True,
    )
    return text.encode()


def _to_machine_csv(frame: pl.DataFrame, *, include_header: bool) -> bytes:
    formatted = format_iso_durations(frame)
    return formatted.write_csv(include_header=include_header, line_terminator="\n", time_format=_TIME_FORMAT).encode()
