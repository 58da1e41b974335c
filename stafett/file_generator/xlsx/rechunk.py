"""Splits rows the same way however they were staged, so that a file does not depend on the staged parts."""

from collections.abc import Iterable, Iterator

import polars as pl
import polars.selectors as cs

_CELLS_PER_CHUNK = 80_000
_MIN_ROWS, _MAX_ROWS = 64, 8192
_MAX_TEXT_BYTES = 8 * 1024 * 1024


def rechunk(frames: Iterable[pl.DataFrame]) -> Iterator[pl.DataFrame]:
    """Yield chunks of at most ``_MAX_ROWS`` rows, fewer where rows are wide or texts long."""
    for chunk in _split_by_rows(frames):
        yield from _split_by_text_size(chunk)


def _split_by_rows(frames: Iterable[pl.DataFrame]) -> Iterator[pl.DataFrame]:
    pending = pl.DataFrame()
    for frame in frames:
        pending = frame if pending.is_empty() else pl.concat([pending, frame])
        size = min(max(_MIN_ROWS, _CELLS_PER_CHUNK // max(1, frame.width)), _MAX_ROWS)
        complete_rows = pending.height - pending.height % size
        for first in range(0, complete_rows, size):
            yield pending[first : first + size]
        pending = pending[complete_rows:]
    if not pending.is_empty():
        yield pending


def _split_by_text_size(chunk: pl.DataFrame) -> Iterator[pl.DataFrame]:
    if chunk.height == 1 or _count_text_bytes(chunk) <= _MAX_TEXT_BYTES:
        yield chunk
        return
    half = chunk.height // 2
    yield from _split_by_text_size(chunk[:half])
    yield from _split_by_text_size(chunk[half:])


def _count_text_bytes(chunk: pl.DataFrame) -> int:
    sums = chunk.select(cs.string().str.len_bytes().cast(pl.Int64).sum())
    return sum(sums.row(0)) if sums.width else 0
