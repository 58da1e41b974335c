import hashlib
from datetime import date

import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from stafett.file_generator.content_hash import ContentHash

CELLS = st.none() | st.text(st.sampled_from("ab\\N\t\n\r;"), max_size=4)


def compute_hash(*frames: pl.DataFrame) -> str:
    content = ContentHash()
    assert [frame.height for frame in map(content.hash_frame, frames)] == [frame.height for frame in frames]
    return content.hexdigest()


def make_frame(rows: list[tuple[str | None, str | None]]) -> pl.DataFrame:
    return pl.DataFrame(rows, schema={"a": pl.String, "b": pl.String}, orient="row")


@given(st.lists(st.tuples(CELLS, CELLS), max_size=4), st.lists(st.tuples(CELLS, CELLS), max_size=4))
def test_hashes_are_equal_exactly_if_the_contents_are(
    one: list[tuple[str | None, str | None]], other: list[tuple[str | None, str | None]]
) -> None:
    assert (compute_hash(make_frame(one)) == compute_hash(make_frame(other))) == (one == other)


@given(st.lists(st.tuples(CELLS, CELLS), min_size=2, max_size=6), st.integers(1, 5))
def test_hash_does_not_depend_on_the_chunks(rows: list[tuple[str | None, str | None]], cut: int) -> None:
    whole = make_frame(rows)
    assert compute_hash(whole[:cut], whole[cut:]) == compute_hash(whole)


def test_hashed_serialisation_is_stable() -> None:
    frame = pl.DataFrame({"dato": [date(2026, 2, 1)], "antall": [3], "sted": ["Tromsø\tsentrum"], "tom": [None]})
    serialised = "dato\tantall\tsted\ttom\n2026-02-01\t3\tTromsø\\tsentrum\t\\N\n"
    assert compute_hash(frame) == hashlib.sha256(serialised.encode()).hexdigest()
