"""CSV files of the API, in either profile: read as rows, or saved as they are."""

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path

from stafett.domain.errors import StafettError

_BYTE_ORDER_MARK = "\N{ZERO WIDTH NO-BREAK SPACE}"


def read_csv_rows(content: bytes) -> list[dict[str, str]]:
    """Parse a file whose first line has the names of its columns."""
    text = content.decode().removeprefix(_BYTE_ORDER_MARK)
    return list(csv.DictReader(io.StringIO(text, newline=""), delimiter=_read_delimiter(text)))


def replace_rows(content: bytes, rows: Sequence[Mapping[str, str]]) -> bytes:
    """Render these rows in place of the file's own, in its profile."""
    text = content.decode()
    header, line_break, _ = text.partition("\r\n" if "\r\n" in text else "\n")
    file, delimiter = io.StringIO(newline=""), _read_delimiter(text)
    file.write(f"{header}{line_break}")
    names = header.removeprefix(_BYTE_ORDER_MARK).split(delimiter)
    csv.DictWriter(file, names, delimiter=delimiter, lineterminator=line_break).writerows(rows)
    return file.getvalue().encode()


def _read_delimiter(text: str) -> str:
    return ";" if ";" in text.partition("\n")[0] else ","


def save_csv(output: str, content: bytes) -> None:
    try:
        Path(output).write_bytes(content)
    except OSError as error:
        raise StafettError(f"{output} cannot be written: {error.strerror}.") from None
