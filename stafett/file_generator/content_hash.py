"""Hash of a report's content, independent of the file format and of the writer's version."""

import hashlib

import polars as pl
import polars.selectors as cs

from stafett.activity_frames import iterate_small_slices
from stafett.file_generator.durations import format_iso_durations

_ESCAPED_CHARACTERS = r"[\\\t\n\r]"
_ESCAPES = {"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r"}
_NULL_CELL = "\\N"


class ContentHash:
    """SHA-256 over an unambiguous text form of our own: a line per row, tab-separated escaped cells, ISO dates."""

    def __init__(self) -> None:
        self._hash = hashlib.sha256()
        self._has_header = False

    def hash_frame(self, frame: pl.DataFrame) -> pl.DataFrame:
        """Add the frame to the hash, and return it."""
        if not self._has_header:
            self._has_header = True
            self._hash_rows(pl.DataFrame([frame.columns], orient="row"))
        for chunk in iterate_small_slices(frame):
            self._hash_rows(chunk)
        return frame

    def hexdigest(self) -> str:
        return self._hash.hexdigest()

    def _hash_rows(self, frame: pl.DataFrame) -> None:
        if frame.is_empty():
            return
        frame = format_iso_durations(frame)
        texts = cs.by_name(_find_columns_to_escape(frame))
        cells = frame.lazy().with_columns(texts.str.replace_many(_ESCAPES)).select(pl.all().cast(pl.String))
        line = pl.concat_str(pl.all().fill_null(_NULL_CELL), separator="\t")
        lines: bytes = cells.select(line.str.join("\n").cast(pl.Binary)).collect().item()
        self._hash.update(lines)
        self._hash.update(b"\n")


def _find_columns_to_escape(frame: pl.DataFrame) -> list[str]:
    """Search first, because most columns need no replacement, which takes longer."""
    found = frame.select(cs.string().str.contains(_ESCAPED_CHARACTERS).any())
    return [name for name in found.columns if found[name].item()]
