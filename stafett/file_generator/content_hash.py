"""The hash of a report's content: what it says, however a writer spells it."""

import hashlib
from collections.abc import Iterable, Iterator

import polars as pl

from stafett.file_generator.durations import format_iso_durations

_ESCAPES = {"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r"}
_NULL_CELL = "\\N"
_ROWS_PER_SLICE = 5_000


class ContentHash:
    """A line a row, cells parted by tabs, ISO dates, no value that could be taken for another: this form is ours."""

    def __init__(self) -> None:
        self._hash = hashlib.sha256()
        self._has_header = False

    def hash_frames(self, frames: Iterable[pl.DataFrame]) -> Iterator[pl.DataFrame]:
        """The same frames, taken note of as they pass."""
        return map(self._hash_frame, frames)

    def hexdigest(self) -> str:
        return self._hash.hexdigest()

    def _hash_frame(self, frame: pl.DataFrame) -> pl.DataFrame:
        if not self._has_header:
            self._has_header = True
            self._hash_rows(pl.DataFrame([frame.columns], orient="row"))
        for few in frame.iter_slices(_ROWS_PER_SLICE):
            self._hash_rows(few)
        return frame

    def _hash_rows(self, frame: pl.DataFrame) -> None:
        frame = format_iso_durations(frame)
        cells = (
            pl.col(name).cast(pl.String).str.replace_many(_ESCAPES).fill_null(_NULL_CELL) for name in frame.columns
        )
        if frame.height:
            lines: str = frame.select(pl.concat_str(*cells, separator="\t").str.join("\n")).item()
            self._hash.update(f"{lines}\n".encode())
