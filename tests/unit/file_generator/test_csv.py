import csv
import io
from datetime import date, time, timedelta

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stafett.domain.export import CsvProfile
from stafett.file_generator.csv import render_csv

# CSV readers end a text at NUL, and surrogates are not text. PostgreSQL returns neither.
TEXT = st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"]), min_size=1, max_size=20)
FORMULAS = ("=1+1", "+47 22 33", "-ingen-", "@her", "\tinn", "\rinn")
IGNORED_PREFIXES = (
    " ",
    "\n",
    "\u00a0",
    "\u00ad",
    "\u200b",
    "\u200d",
    "\u2060",
    "\ufeff",
    "\u3000",
    "\u202e",
    " \u00a0\ufeff",
)
OTHER_SIGNS = ("\uff1d1+1", "\uff0b47", "\uff0d1", "\uff20her", "\ufe661", "\u22121")


def render(frames: list[pl.DataFrame], profile: CsvProfile) -> bytes:
    return b"".join(render_csv(frames, profile))


@given(st.lists(st.tuples(TEXT, st.integers(-(2**53), 2**53)), min_size=1, max_size=5))
def test_every_value_can_be_read_back_from_the_machine_profile(rows: list[tuple[str, int]]) -> None:
    frame = pl.DataFrame(rows, schema={"tekst": pl.String, "antall": pl.Int64}, orient="row")
    text = render([frame], "machine").decode("utf-8")
    assert list(csv.reader(io.StringIO(text, newline="")))[1:] == [[value, str(number)] for value, number in rows]


@given(st.lists(TEXT, min_size=1, max_size=5))
def test_no_text_in_the_excel_profile_starts_a_formula(texts: list[str]) -> None:
    frame = pl.DataFrame({"tekst": texts})
    text = render([frame], "excel").decode("utf-8-sig")
    cells = [row[0] for row in list(csv.reader(io.StringIO(text, newline=""), delimiter=";"))[1:]]
    assert [cell[0] in "=+-@\t\r" for cell in cells] == [False] * len(texts)
    assert [
        cell.removeprefix("'") if cell != value else cell for cell, value in zip(cells, texts, strict=True)
    ] == texts


@pytest.mark.parametrize("text", [*FORMULAS, *OTHER_SIGNS, *(f"{prefix}=1+1" for prefix in IGNORED_PREFIXES)])
def test_formulas_are_disarmed_only_for_excel(text: str) -> None:
    frame = pl.DataFrame({"tekst": [text]})
    assert f"'{text}" in render([frame], "excel").decode("utf-8-sig")
    assert f"'{text}" not in render([frame], "machine").decode()


@pytest.mark.parametrize("text", ["", " ", "\u00a0Bodø", "a=b", "1-2", "– først", "Å = A", "\ufeff"])  # noqa: RUF001 - the dash is the case
def test_texts_that_are_no_formulas_are_unchanged_for_excel(text: str) -> None:
    frame = pl.DataFrame({"tekst": [text], "tall": [-1]})
    (_, row) = csv.reader(io.StringIO(render([frame], "excel").decode("utf-8-sig"), newline=""), delimiter=";")
    assert row == [text, "-1"]


def test_excel_profile_uses_norwegian_formats() -> None:
    frame = pl.DataFrame({"dato": [date(2026, 2, 1)], "tall": [-1.5], "sted": ["Tromsø"], "tom": [None]})
    assert render([frame], "excel") == b"\xef\xbb\xbfdato;tall;sted;tom\r\n01.02.2026;-1,5;Troms\xc3\xb8;\r\n"


def test_machine_profile_uses_language_neutral_formats() -> None:
    frame = pl.DataFrame({"dato": [date(2026, 2, 1)], "tall": [-1.5], "sted": ["Tromsø"]})
    assert render([frame], "machine") == b"dato,tall,sted\n2026-02-01,-1.5,Troms\xc3\xb8\n"


@pytest.mark.parametrize("profile", ["excel", "machine"])
def test_header_and_byte_order_mark_are_written_once_for_many_parts(profile: CsvProfile) -> None:
    frame = pl.DataFrame({"n": [1, 2, 3]})
    parts = [frame[:1], frame[1:2], frame[2:]]
    assert render(parts, profile) == render([frame], profile)


def test_formula_in_a_header_is_disarmed_only_for_excel() -> None:
    frame = pl.DataFrame({"=1+1": ["a"], "Sted": ["b"]})
    assert b"".join(render_csv([frame], "excel")).decode("utf-8-sig").startswith("'=1+1;Sted")
    assert b"".join(render_csv([frame], "machine")).startswith(b"=1+1,Sted")


def test_many_rows_render_to_the_same_bytes_in_chunks() -> None:
    frame = pl.DataFrame({"n": range(12_000)})
    for profile in ("excel", "machine"):
        whole, chunked = render_csv([frame], profile), render_csv(frame.iter_slices(1_000), profile)
        assert b"".join(whole) == b"".join(chunked)


def test_durations_and_times_are_formatted_by_profile() -> None:
    frame = pl.DataFrame({"d": [timedelta(minutes=90), timedelta(hours=30), None], "t": [time(9, 5)] * 3})
    assert b"".join(render_csv([frame], "excel")).splitlines()[1:] == [b"1:30;09:05", b"30:00;09:05", b";09:05"]
    machine = b"".join(render_csv([frame], "machine")).splitlines()[1:]
    assert machine == [b"PT1H30M,09:05", b"P1DT6H,09:05", b",09:05"]
