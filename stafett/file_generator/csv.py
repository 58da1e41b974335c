"""CSV as a Norwegian Excel opens it, and as programs read it."""

from collections.abc import Iterable, Iterator

import polars as pl

from stafett.domain.export import CsvProfile

_BYTE_ORDER_MARK = "\N{ZERO WIDTH NO-BREAK SPACE}".encode()
_STARTS_A_FORMULA = r"^[=+\-@\t\r\x00]"


def csv_chunks(frames: Iterable[pl.DataFrame], profile: CsvProfile) -> Iterator[bytes]:
    """The whole file, frame by frame; the header stands before the first."""
    for number, frame in enumerate(frames):
        match profile:
            case "excel":
                yield (_BYTE_ORDER_MARK if number == 0 else b"") + _for_excel(frame, header=number == 0)
            case "machine":
                yield frame.write_csv(include_header=number == 0, line_terminator="\n").encode()


def _for_excel(frame: pl.DataFrame, *, header: bool) -> bytes:
    """Text that Excel would take for a formula gets an apostrophe before it; numbers are numbers and stay so."""
    safe = frame.with_columns(pl.col(pl.String).str.replace(_STARTS_A_FORMULA, "'${0}"))
    return safe.write_csv(
        include_header=header, separator=";", line_terminator="\r\n", date_format="%d.%m.%Y", decimal_comma=True
    ).encode()
