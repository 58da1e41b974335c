import csv
import io
from datetime import date, time, timedelta

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stafett.domain.export import CsvProfile
from stafett.file_generator.csv import render_csv

# NUL ends a text for csv readers, surrogates are no text at all; both never come out of PostgreSQL.
TEXT = st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"]), min_size=1, max_size=20)
FORMULAS = ("=1+1", "+47 22 33", "-ingen-", "@her", "\tinn", "\rinn")


def written(frames: list[pl.DataFrame], profile: CsvProfile) -> bytes:
    return b"".join(render_csv(frames, profile))


@given(st.lists(st.tuples(TEXT, st.integers(-(2**53), 2**53)), min_size=1, max_size=5))
def test_every_value_comes_back_from_the_machine_profile(rows: list[tuple[str, int]]) -> None:
    frame = pl.DataFrame(rows, schema={"tekst": pl.String, "antall": pl.Int64}, orient="row")
    text = written([frame], "machine").decode("utf-8")
    assert list(csv.reader(io.StringIO(text, newline="")))[1:] == [[said, str(number)] for said, number in rows]


@given(st.lists(TEXT, min_size=1, max_size=5))
def test_no_text_of_the_excel_profile_starts_a_formula(texts: list[str]) -> None:
    frame = pl.DataFrame({"tekst": texts})
    text = written([frame], "excel").decode("utf-8-sig")
    cells = [row[0] for row in list(csv.reader(io.StringIO(text, newline=""), delimiter=";"))[1:]]
    assert [cell[0] in "=+-@\t\r" for cell in cells] == [False] * len(texts)
    assert [cell.removeprefix("'") if cell != said else cell for cell, said in zip(cells, texts, strict=True)] == texts


@pytest.mark.parametrize("text", FORMULAS)
def test_formulas_are_defused_for_excel_alone(text: str) -> None:
    frame = pl.DataFrame({"tekst": [text]})
    assert f"'{text}" in written([frame], "excel").decode("utf-8-sig")
    assert f"'{text}" not in written([frame], "machine").decode()


def test_excel_in_norway_reads_it_without_being_asked() -> None:
    frame = pl.DataFrame({"dato": [date(2026, 2, 1)], "tall": [-1.5], "sted": ["Tromsø"], "tom": [None]})
    assert written([frame], "excel") == b"\xef\xbb\xbfdato;tall;sted;tom\r\n01.02.2026;-1,5;Troms\xc3\xb8;\r\n"


def test_programs_read_it_without_knowing_norwegian() -> None:
    frame = pl.DataFrame({"dato": [date(2026, 2, 1)], "tall": [-1.5], "sted": ["Tromsø"]})
    assert written([frame], "machine") == b"dato,tall,sted\n2026-02-01,-1.5,Troms\xc3\xb8\n"


@pytest.mark.parametrize("profile", ["excel", "machine"])
def test_the_header_and_the_mark_stand_once_however_many_parts_there_are(profile: CsvProfile) -> None:
    frame = pl.DataFrame({"n": [1, 2, 3]})
    parts = [frame[:1], frame[1:2], frame[2:]]
    assert written(parts, profile) == written([frame], profile)


def test_a_header_that_looks_like_a_formula_is_disarmed_for_excel_only() -> None:
    frame = pl.DataFrame({"=1+1": ["a"], "Sted": ["b"]})
    assert b"".join(render_csv([frame], "excel")).decode("utf-8-sig").startswith("'=1+1;Sted")
    assert b"".join(render_csv([frame], "machine")).startswith(b"=1+1,Sted")


def test_many_rows_are_the_same_bytes_in_pieces() -> None:
    frame = pl.DataFrame({"n": range(12_000)})
    for profile in ("excel", "machine"):
        whole, pieces = render_csv([frame], profile), render_csv(frame.iter_slices(1_000), profile)
        assert b"".join(whole) == b"".join(pieces)


def test_durations_and_times_are_spelled_for_people_and_for_programs() -> None:
    frame = pl.DataFrame({"d": [timedelta(minutes=90), timedelta(hours=30), None], "t": [time(9, 5)] * 3})
    assert b"".join(render_csv([frame], "excel")).splitlines()[1:] == [b"1:30;09:05", b"30:00;09:05", b";09:05"]
    machine = b"".join(render_csv([frame], "machine")).splitlines()[1:]
    assert machine == [b"PT1H30M,09:05", b"P1DT6H,09:05", b",09:05"]
