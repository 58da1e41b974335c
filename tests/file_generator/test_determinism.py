import hashlib
import itertools
import subprocess
import sys
from datetime import date, time, timedelta
from decimal import Decimal

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stafett.file_generator.xlsx import render_workbook
from stafett.file_generator.xlsx.rechunk import rechunk
from tests.support.workbooks import (
    SCHEMA,
    TEXT_DOCUMENT,
    build_document,
    build_frame,
    build_mapped_rows,
    build_text_frame,
    build_workbook_spec,
    join_chunks,
    render_xlsx,
)

ROWS = [
    (
        f"Notat nr. {number}, og litt til <&>",
        number,
        Decimal(number) / 4,
        date(2026, 1, 1) + timedelta(days=number % 365),
        time(number % 24, number % 60),
        timedelta(minutes=number),
        "Ja",
        "gruppe" if number % 3 else None,
    )
    for number in range(25_000)
]
ALL_ROWS = pl.DataFrame(ROWS, schema=SCHEMA, orient="row")


def test_same_rows_give_the_same_bytes() -> None:
    assert render_xlsx([ALL_ROWS]) == render_xlsx([ALL_ROWS])


@settings(max_examples=5, deadline=None)
@given(st.lists(st.integers(0, ALL_ROWS.height), max_size=5))
def test_bytes_do_not_depend_on_how_the_rows_are_split(cuts: list[int]) -> None:
    boundaries = sorted({0, *cuts, ALL_ROWS.height})
    parts = [ALL_ROWS[first:last] for first, last in itertools.pairwise(boundaries)]
    assert hashlib.sha256(render_xlsx(parts)).hexdigest() == hashlib.sha256(render_xlsx([ALL_ROWS])).hexdigest()


def test_single_row_parts_and_empty_parts_give_the_same_file() -> None:
    few = ALL_ROWS[:100]
    assert render_xlsx([*(few[row] for row in range(100)), few.clear()]) == render_xlsx([few])


def test_another_process_in_another_time_zone_gives_the_same_bytes() -> None:
    code = (
        "import hashlib; from tests.support.workbooks import TEXT_DOCUMENT, build_text_frame, render_xlsx;"
        "print(hashlib.sha256(render_xlsx([build_text_frame('a', 'b')], TEXT_DOCUMENT)).hexdigest())"
    )
    zone = {"TZ": "Pacific/Kiritimati", "PYTHONHASHSEED": "7", "PYTHONPATH": ":".join(sys.path)}
    completed = subprocess.run([sys.executable, "-c", code], env=zone, capture_output=True, text=True, check=True)
    assert (
        completed.stdout.strip() == hashlib.sha256(render_xlsx([build_text_frame("a", "b")], TEXT_DOCUMENT)).hexdigest()
    )


def test_long_texts_are_rechunked_to_bounded_pieces() -> None:
    long = build_text_frame(*["x" * 32_000] * 2000)
    sizes = [piece.height for piece in rechunk([long])]
    assert sum(sizes) == 2000
    assert max(sizes) * 32_000 <= 8 * 1024 * 1024


def test_fewer_rows_than_announced_is_an_error() -> None:
    spec = build_workbook_spec(build_document(), build_mapped_rows(3))
    with pytest.raises(RuntimeError, match="3 rows were expected, but 1 were received"):
        join_chunks(render_workbook(spec, report_frames=[build_frame(["a", *[None] * 7])]))
