"""Hash of a report's content, independent of the file format and of the writer's version."""

import hashlib

import polars as pl

from stafett.activity_frames import iterate_small_slices
from stafett.file_generator.durations import format_iso_durations

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
        frame = format_iso_durations(frame)
        cells = (
            pl.col(name).cast(pl.String).str.replace_many(_ESCAPES).fill_null(_NULL_CELL) for name in frame.columns
        )
        if frame.height:
            lines: str = frame.select(pl.concat_str(*cells, separator="\t").str.join("\n")).item()
            self._hash.update(f"{lines}\n".encode())
