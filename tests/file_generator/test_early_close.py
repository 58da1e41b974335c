import gc
import random
import threading
import weakref
from collections.abc import Generator, Iterator

import polars as pl
import pytest

from stafett.file_generator.xlsx import render_workbook
from tests.support.workbooks import TEXT_DOCUMENT, build_mapped_rows, build_text_frame, build_workbook_spec


class EndlessFrames:
    """Endless frames that record how many were read and whether they were closed."""

    def __init__(self, fails_after: int = 10**9) -> None:
        self.read_count = 0
        self.is_closed = False
        self._fails_after = fails_after

    def __iter__(self) -> Iterator[pl.DataFrame]:
        try:
            while True:
                if self.read_count == self._fails_after:
                    raise OSError("the staged part is gone")
                self.read_count += 1
                noise = random.Random(self.read_count)  # noqa: S311 - incompressible data soon fills a block
                yield build_text_frame(*(noise.randbytes(200).hex() for _ in range(2000)))
        finally:
            self.is_closed = True


def render_chunks(frames: EndlessFrames) -> Generator[bytes, None, None]:
    chunks = render_workbook(build_workbook_spec(TEXT_DOCUMENT, build_mapped_rows(10**6)), report_frames=frames)
    assert isinstance(chunks, Generator)
    return chunks


def test_no_row_is_read_before_the_first_chunk_is_requested() -> None:
    frames = EndlessFrames()
    render_chunks(frames)
    assert frames.read_count == 0


def test_rows_are_read_only_as_chunks_are_requested() -> None:
    frames = EndlessFrames()
    chunks = render_chunks(frames)
    next(chunks)
    read_count = frames.read_count
    assert read_count <= 12
    next(chunks)
    assert frames.read_count > read_count
    chunks.close()


def test_closing_early_releases_generator_frames_and_threads() -> None:
    threads, frames = threading.active_count(), EndlessFrames()
    chunks = render_chunks(frames)
    next(chunks)
    chunks.close()
    reference = weakref.ref(chunks)
    del chunks
    gc.collect()
    assert reference() is None
    assert frames.is_closed
    assert threading.active_count() == threads


def test_error_while_reading_rows_is_raised_to_the_caller() -> None:
    frames = EndlessFrames(fails_after=3)
    with pytest.raises(OSError, match="the staged part is gone"):
        b"".join(render_chunks(frames))
    assert frames.is_closed
