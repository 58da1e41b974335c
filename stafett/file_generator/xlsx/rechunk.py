"""Rows cut the same way however they come: a file may not depend on how its rows were staged."""

from collections.abc import Iterable, Iterator

import polars as pl
import polars.selectors as cs

_CELLS_PER_CHUNK = 80_000
_MIN_ROWS, _MAX_ROWS = 64, 8192
_MAX_TEXT_BYTES = 8 * 1024 * 1024


def rechunk(frames: Iterable[pl.DataFrame]) -> Iterator[pl.DataFrame]:
    """Of some thousand rows each, fewer where the texts are long."""
    for block in _split_by_rows(frames):
        yield from _split_by_text_size(block)


def _split_by_rows(frames: Iterable[pl.DataFrame]) -> Iterator[pl.DataFrame]:
    waiting = pl.DataFrame()
    for frame in frames:
        waiting = frame if waiting.is_empty() else pl.concat([waiting, frame])
        size = min(max(_MIN_ROWS, _CELLS_PER_CHUNK // max(1, frame.width)), _MAX_ROWS)
        whole = waiting.height - waiting.height % size
        for first in range(0, whole, size):
            yield waiting[first : first + size]
        waiting = waiting[whole:]
    if not waiting.is_empty():
        yield waiting


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
