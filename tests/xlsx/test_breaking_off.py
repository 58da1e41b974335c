import gc
import random
import threading
import weakref
from collections.abc import Generator, Iterator

import polars as pl
import pytest

from stafett.file_generator.xlsx import render_workbook
from tests.xlsx.books import ONLY_TEXT, mapped, texts, workbook


class Frames:
    """Rows without end, that know how many were asked for and whether they were closed."""

    def __init__(self, fails_after: int = 10**9) -> None:
        self.asked = 0
        self.is_closed = False
        self._fails_after = fails_after

    def __iter__(self) -> Iterator[pl.DataFrame]:
        try:
            while True:
                if self.asked == self._fails_after:
                    raise OSError("the staged part is gone")
                self.asked += 1
                noise = random.Random(self.asked)  # noqa: S311 - what does not get smaller fills a block soon
                yield texts(*(noise.randbytes(200).hex() for _ in range(2000)))
        finally:
            self.is_closed = True


def chunks_of(frames: Frames) -> Generator[bytes, None, None]:
    chunks = render_workbook(workbook(ONLY_TEXT, mapped(10**6)), report_frames=frames)
    assert isinstance(chunks, Generator)
    return chunks


def test_no_row_is_read_before_somebody_asks_for_bytes() -> None:
    frames = Frames()
    chunks_of(frames)
    assert frames.asked == 0


def test_the_reader_sets_the_pace() -> None:
    frames = Frames()
    chunks = chunks_of(frames)
    next(chunks)
    asked = frames.asked
    assert asked <= 12
    next(chunks)
    assert frames.asked > asked
    chunks.close()


def test_whoever_stops_early_leaves_nothing_behind() -> None:
    threads, frames = threading.active_count(), Frames()
    chunks = chunks_of(frames)
    next(chunks)
    chunks.close()
    gone = weakref.ref(chunks)
    del chunks
    gc.collect()
    assert gone() is None
    assert frames.is_closed
    assert threading.active_count() == threads


def test_an_error_among_the_rows_is_the_readers_error() -> None:
    frames = Frames(fails_after=3)
    with pytest.raises(OSError, match="the staged part is gone"):
        b"".join(chunks_of(frames))
    assert frames.is_closed
