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
from tests.xlsx.books import ONLY_TEXT, SCHEMA, document, frame, joined, mapped, rendered, texts, workbook

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
WHOLE = pl.DataFrame(ROWS, schema=SCHEMA, orient="row")


def test_the_same_rows_are_the_same_bytes() -> None:
    assert rendered([WHOLE]) == rendered([WHOLE])


@settings(max_examples=5, deadline=None)
@given(st.lists(st.integers(0, WHOLE.height), max_size=5))
def test_however_the_rows_are_cut_into_parts_the_bytes_are_the_same(cuts: list[int]) -> None:
    places = sorted({0, *cuts, WHOLE.height})
    parts = [WHOLE[first:last] for first, last in itertools.pairwise(places)]
    assert hashlib.sha256(rendered(parts)).hexdigest() == hashlib.sha256(rendered([WHOLE])).hexdigest()


def test_rows_one_by_one_and_empty_parts_are_the_same_file_as_all_at_once() -> None:
    few = WHOLE[:100]
    assert rendered([*(few[row] for row in range(100)), few.clear()]) == rendered([few])


def test_another_process_in_another_zone_makes_the_same_bytes() -> None:
    code = (
        "import hashlib; from tests.xlsx.books import ONLY_TEXT, rendered, texts;"
        "print(hashlib.sha256(rendered([texts('a', 'b')], ONLY_TEXT)).hexdigest())"
    )
    zone = {"TZ": "Pacific/Kiritimati", "PYTHONHASHSEED": "7", "PYTHONPATH": ":".join(sys.path)}
    found = subprocess.run([sys.executable, "-c", code], env=zone, capture_output=True, text=True, check=True)
    assert found.stdout.strip() == hashlib.sha256(rendered([texts("a", "b")], ONLY_TEXT)).hexdigest()


def test_long_texts_are_worked_on_a_few_at_a_time() -> None:
    long = texts(*["x" * 32_000] * 2000)
    sizes = [piece.height for piece in rechunk([long])]
    assert sum(sizes) == 2000
    assert max(sizes) * 32_000 <= 8 * 1024 * 1024


def test_a_row_more_or_less_than_was_announced_is_no_file() -> None:
    book = workbook(document(), mapped(3))
    with pytest.raises(RuntimeError, match="3 rows were announced, and 1 came"):
        joined(render_workbook(book, report_frames=[frame(["a", *[None] * 7])]))
