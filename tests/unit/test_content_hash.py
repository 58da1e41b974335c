import hashlib
from datetime import date

import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from stafett.file_generator.content_hash import ContentHash

CELLS = st.none() | st.text(st.sampled_from("ab\\N\t\n\r;"), max_size=4)


def hash_of(*frames: pl.DataFrame) -> str:
    content = ContentHash()
    assert [frame.height for frame in content.hash_frames(frames)] == [frame.height for frame in frames]
    return content.hexdigest()


def frame_of(rows: list[tuple[str | None, str | None]]) -> pl.DataFrame:
    return pl.DataFrame(rows, schema={"a": pl.String, "b": pl.String}, orient="row")


@given(st.lists(st.tuples(CELLS, CELLS), max_size=4), st.lists(st.tuples(CELLS, CELLS), max_size=4))
def test_two_contents_have_one_hash_only_if_they_are_one(
    one: list[tuple[str | None, str | None]], other: list[tuple[str | None, str | None]]
) -> None:
    assert (hash_of(frame_of(one)) == hash_of(frame_of(other))) == (one == other)


@given(st.lists(st.tuples(CELLS, CELLS), min_size=2, max_size=6), st.integers(1, 5))
def test_the_parts_a_content_comes_in_do_not_matter(rows: list[tuple[str | None, str | None]], cut: int) -> None:
    whole = frame_of(rows)
    assert hash_of(whole[:cut], whole[cut:]) == hash_of(whole)


def test_the_form_is_ours_and_stays() -> None:
    frame = pl.DataFrame({"dato": [date(2026, 2, 1)], "antall": [3], "sted": ["Tromsø\tsentrum"], "tom": [None]})
    spelled = "dato\tantall\tsted\ttom\n2026-02-01\t3\tTromsø\\tsentrum\t\\N\n"
    assert hash_of(frame) == hashlib.sha256(spelled.encode()).hexdigest()
