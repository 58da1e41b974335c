"""Splits rows the same way however they were staged, so that a file does not depend on the staged parts."""

from collections.abc import Iterable, Iterator

import polars as pl

from stafett.activity_frames import count_text_bytes, cut_into_slices

_CELLS_PER_CHUNK = 80_000
_MIN_ROWS, _MAX_ROWS = 64, 8192
_MAX_TEXT_BYTES, _MAX_PENDING_BYTES = 8 * 1024 * 1024, 128 * 1024 * 1024


def rechunk(frames: Iterable[pl.DataFrame]) -> Iterator[pl.DataFrame]:
    """Yield chunks of at most ``_MAX_ROWS`` rows, fewer where rows are wide or texts long."""
    for chunk in _split_by_rows(frames):
        yield from _split_by_text_size(chunk)


def _split_by_rows(frames: Iterable[pl.DataFrame]) -> Iterator[pl.DataFrame]:
    """Split rows by their number, and earlier where their texts would take too much memory."""
    pending = pl.DataFrame()
    for frame in frames:
        pending = frame if pending.is_empty() else pl.concat([pending, frame])
        *complete, last = _cut_into_chunks(pending)
        yield from complete
        pending = last
    if not pending.is_empty():
        yield pending


def _cut_into_chunks(rows: pl.DataFrame) -> list[pl.DataFrame]:
    """Cut rows into chunks; the last one may continue with the next frame, so it is empty if none can."""
    size = min(max(_MIN_ROWS, _CELLS_PER_CHUNK // max(1, rows.width)), _MAX_ROWS)
    row_bytes = count_text_bytes(rows)
    chunks = [rows[positions] for positions in cut_into_slices(row_bytes, _MAX_PENDING_BYTES, size)]
    return chunks if chunks and chunks[-1].height < size else [*chunks, rows.clear()]


def _split_by_text_size(chunk: pl.DataFrame) -> Iterator[pl.DataFrame]:
    if chunk.height == 1 or count_text_bytes(chunk).sum() <= _MAX_TEXT_BYTES:
        yield chunk
        return
    half = chunk.height // 2
    yield from _split_by_text_size(chunk[:half])
    yield from _split_by_text_size(chunk[half:])
