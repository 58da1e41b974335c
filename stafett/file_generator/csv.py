"""CSV as a Norwegian Excel opens it, and as programs read it."""

import re
from collections.abc import Iterable, Iterator

import polars as pl

from stafett.domain.export import CsvProfile
from stafett.file_generator.durations import with_clock_durations, with_iso_durations

_BYTE_ORDER_MARK = "\N{ZERO WIDTH NO-BREAK SPACE}".encode()
_TO_THE_MINUTE, _ROWS_AT_ONCE = "%H:%M", 5_000
_STARTS_A_FORMULA = r"^[=+\-@\t\r\x00]"


def csv_chunks(frames: Iterable[pl.DataFrame], profile: CsvProfile) -> Iterator[bytes]:
    """The whole file, frame by frame; the header stands before the first."""
    for number, frame in enumerate(_of_few_rows(frames)):
        match profile:
            case "excel":
                yield (_BYTE_ORDER_MARK if number == 0 else b"") + _for_excel(frame, header=number == 0)
            case "machine":
                yield _for_programs(frame, header=number == 0)


def _of_few_rows(frames: Iterable[pl.DataFrame]) -> Iterator[pl.DataFrame]:
    """So few that their text fits into memory, however wide they are; and one without rows for its header."""
    for frame in frames:
        yield from frame.iter_slices(_ROWS_AT_ONCE) if frame.height else [frame]


def _disarmed(header: str) -> str:
    return f"'{header}" if re.match(_STARTS_A_FORMULA, header) else header


def _for_excel(frame: pl.DataFrame, *, header: bool) -> bytes:
    """Text that Excel would take for a formula gets an apostrophe before it; numbers are numbers and stay so."""
    safe = frame.with_columns(pl.col(pl.String).str.replace(_STARTS_A_FORMULA, "'${0}")).rename(_disarmed)
    written = with_clock_durations(safe).write_csv(
        include_header=header,
        separator=";",
        line_terminator="\r\n",
        date_format="%d.%m.%Y",
        time_format=_TO_THE_MINUTE,
        decimal_comma=True,
    )
    return written.encode()


def _for_programs(frame: pl.DataFrame, *, header: bool) -> bytes:
    spelled = with_iso_durations(frame)
    return spelled.write_csv(include_header=header, line_terminator="\n", time_format=_TO_THE_MINUTE).encode()
