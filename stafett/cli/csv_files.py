"""CSV files of the API, in either profile: read as rows, or saved as they are."""

import csv
import io
from pathlib import Path

from stafett.domain.errors import StafettError

_BYTE_ORDER_MARK = "\N{ZERO WIDTH NO-BREAK SPACE}"


def read_csv_rows(content: bytes) -> list[dict[str, str]]:
    """Parse a file whose first line has the names of its columns."""
    text = content.decode().removeprefix(_BYTE_ORDER_MARK)
    delimiter = ";" if ";" in text.partition("\n")[0] else ","
    return list(csv.DictReader(io.StringIO(text, newline=""), delimiter=delimiter))


def save_csv(output: str, content: bytes) -> None:
    try:
        Path(output).write_bytes(content)
    except OSError as error:
        raise StafettError(f"{output} cannot be written: {error.strerror}.") from None
