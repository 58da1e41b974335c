"""Rows cut the same way however they come: a file may not depend on how its rows were staged."""

from collections.abc import Iterable, Iterator

import polars as pl
import polars.selectors as cs

_CELLS = 80_000
_FEWEST_ROWS, _MOST_ROWS = 64, 8192
_BYTES_OF_TEXT = 8 * 1024 * 1024


def pieces(frames: Iterable[pl.DataFrame]) -> Iterator[pl.DataFrame]:
    """Of some thousand rows each, fewer where the texts are long."""
    for block in _blocks(frames):
        yield from _light(block)


def _blocks(frames: Iterable[pl.DataFrame]) -> Iterator[pl.DataFrame]:
    waiting = pl.DataFrame()
    for frame in frames:
        waiting = frame if waiting.is_empty() else pl.concat([waiting, frame])
        size = min(max(_FEWEST_ROWS, _CELLS // max(1, frame.width)), _MOST_ROWS)
        whole = waiting.height - waiting.height % size
        for first in range(0, whole, size):
            yield waiting[first : first + size]
        waiting = waiting[whole:]
    if not waiting.is_empty():
        yield waiting


def _light(block: pl.DataFrame) -> Iterator[pl.DataFrame]:
    if block.height == 1 or _text_in(block) <= _BYTES_OF_TEXT:
        yield block
        return
    half = block.height // 2
    yield from _light(block[:half])
    yield from _light(block[half:])


def _text_in(block: pl.DataFrame) -> int:
    sums = block.select(cs.string().str.len_bytes().cast(pl.Int64).sum())
    return sum(sums.row(0)) if sums.width else 0
