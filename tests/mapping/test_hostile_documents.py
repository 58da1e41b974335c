"""No document is a surprise: it is told everything that is wrong with it, or it maps every row there can be."""

import json
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime
from typing import Any

import polars as pl
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from stafett.column_mapper import InvalidMappingError, MappingDocument, MappingIssue, compile_mapping, load_mapping
from stafett.domain.export import Locale
from tests.mapping.mutations import ANYTHING, SOUND, mutations
from tests.mapping.rows import FRAME_SCHEMA

BROAD = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
SOME = settings(BROAD, max_examples=600)
A_FEW = settings(BROAD, max_examples=300)
MANY = settings(BROAD, max_examples=20_000)
MOST = 9_007_199_254_740_991
_HANGS, _GIGABYTES = 20, 4
LOCALES: tuple[Locale, ...] = ("nb", "nn", "en")
_QUOTED = re.compile("“[^”]*”", re.DOTALL)
_OF_PYTHON = re.compile(
    r"Value error|Tuple|Dictionary|after validation|Input tag|discriminator|\\z|\bsys\.|<class|NoneType|None|utf-8-sig"
    r"|pydantic|object at|model_type|integer string conversion"
)


@contextmanager
def soon() -> Iterator[None]:
    """What does not answer fails, instead of being waited for."""

    def fail(*_: object) -> None:
        raise TimeoutError("a document was not answered")

    before = signal.signal(signal.SIGALRM, fail)
    signal.alarm(_HANGS)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def _moment(year: int, month: int, day: int) -> datetime:
    return datetime(year, month, day, 23, 59, 59, 999_999, tzinfo=UTC)


def _row(number: int, text: str, note: str | None, count: int, begin: datetime, end: datetime) -> tuple[Any, ...]:
    counts = (count, -count)
    flags = (number % 2 == 0, number % 3 == 0)
    names = ("m", text, number % 2 == 1)
    day = date(begin.year, begin.month, begin.day)
    kind = "samtalegruppe" if number % 2 else text
    return day, f"{text}{number}", kind, begin, end, *counts, text, *flags, note, *names, text or None, count


ROWS = pl.DataFrame(
    [
        _row(0, "", None, 0, _moment(1900, 1, 1), _moment(2199, 12, 30)),
        _row(1, "İß ŉ\u0301\u2028", "🏳️‍🌈\u200b\u00a0" * 30, 2**31 - 1, _moment(2199, 12, 30), _moment(1900, 1, 1)),
        _row(2, "Bodø", "\t\r\n", 3, _moment(2026, 3, 28), _moment(2026, 3, 29)),
        _row(3, "Bodø", "=1+1, a.b,c", 12, _moment(2026, 3, 28), _moment(2026, 3, 28)),
        _row(4, "${0}\\", None, -1, _moment(1969, 12, 31), _moment(1970, 1, 1)),
    ],
    schema=FRAME_SCHEMA,
    orient="row",
)


def in_three(text: str) -> dict[str, str]:
    return dict.fromkeys(LOCALES, text)


def column(number: int, value: Any, kind: str = "text", **more: Any) -> dict[str, Any]:
    return {"id": f"c{number}", "header": in_three(f"H{number}"), "type": kind, "value": value, **more}


def document_of(*values: Any, kind: str = "text", **more: Any) -> dict[str, Any]:
    """A document of one column a value."""
    columns = [column(number, value, kind) for number, value in enumerate(values)]
    sound = {"format": 1, "title": "t", "effective_from": "2026-01-01", "counting": {"reasons": []}}
    return {**sound, "columns": columns, **more}


def var(name: str) -> dict[str, str]:
    return {"var": name}


def faults_of(written: bytes | str) -> tuple[MappingIssue, ...]:
    try:
        load_mapping(written)
    except InvalidMappingError as error:
        return error.issues
    return ()


def leads_somewhere(pointer: str, document: Any) -> bool:
    """Into the document, or to what an object of it does not have."""
    if pointer == "":
        return True
    steps = [step.replace("~1", "/").replace("~0", "~") for step in pointer.removeprefix("/").split("/")]
    for number, step in enumerate(steps, start=1):
        match document:
            case dict() if step in document:
                document = document[step]
            case list() if step.isdecimal() and int(step) < len(document):
                document = document[int(step)]
            case _:
                return isinstance(document, dict) and number == len(steps)
    return pointer.startswith("/")


def is_a_sentence(detail: str) -> bool:
    ours = _QUOTED.sub("", detail)
    return detail.splitlines() == [detail] and detail[-1] in ".?" and len(detail) < 600 and not _OF_PYTHON.search(ours)


def assert_good(faults: tuple[MappingIssue, ...], given: Any) -> None:
    assert faults
    for fault in faults:
        assert leads_somewhere(fault.pointer, given), fault
        assert is_a_sentence(fault.detail), fault
        assert re.fullmatch("[a-z0-9_]+", fault.code), fault


def assert_maps(document: MappingDocument, locale: Locale) -> None:
    program = compile_mapping(document, locale)
    parts = {rows.height: program.apply(rows) for rows in (ROWS, ROWS[:1], ROWS.clear())}
    for height, part in parts.items():
        assert part.report_rows.height + part.excluded_rows.height + part.rejected == height
        assert part.countable + sum(part.not_countable.values()) == height - part.rejected
        assert part.report_rows.schema == part.excluded_rows.schema == parts[ROWS.height].report_rows.schema


@soon()
def judge(written: bytes | str, given: Any = None) -> MappingDocument | None:
    """The promise: refused with good reasons, or a document that maps whatever rows there are."""
    try:
        document = load_mapping(written)
    except InvalidMappingError as error:
        assert_good(error.issues, given)
        return None
    for locale in LOCALES:
        assert_maps(document, locale)
    again = load_mapping(json.dumps(document.as_json(), sort_keys=True, indent=1))
    assert (again, again.sha256) == (document, document.sha256)
    assert document.as_json() == given, "what was read is what was written"
    return document


def judged(given: Any) -> MappingDocument | None:
    return judge(json.dumps(given), given)


@SOME
@given(mutations())
def test_a_document_after_accidents_is_refused_with_good_reasons_or_maps_every_row(given: Any) -> None:
    judged(given)


@SOME
@given(ANYTHING)
def test_json_of_any_shape_is_answered(given: Any) -> None:
    judged(given)
    judged(document_of(given) | {"values": {"v": given}, "rules": [given]})


@A_FEW
@given(st.binary(max_size=60) | st.tuples(st.sampled_from(SOUND), st.integers(0, 9000)).map(lambda cut: _cut(*cut)))
@example(b"\xef\xbb\xbf{}")
@example(b'{"a":' + b"1" * 5000 + b"}")
@example(b"[" * 200_000)
@example(b'{"a":' * 40_000)
@example(b'{"a": NaN}')
@example(b'{"a": 1, "a": 2}')
@example("\ufeff{}".encode("utf-16"))
def test_bytes_of_any_kind_are_answered(written: bytes) -> None:
    try:
        given = json.loads(written.decode("utf-8-sig"))
    except (ValueError, RecursionError):
        given = None
    judge(written, given)


def _cut(document: Any, after: int) -> bytes:
    return json.dumps(document, ensure_ascii=False).encode()[:after]


@pytest.mark.soak
@MANY
@given(mutations())
def test_twenty_thousand_documents_after_accidents_are_refused_or_map_every_row(given: Any) -> None:
    judged(given)


@pytest.mark.soak
@MANY
@given(ANYTHING)
def test_twenty_thousand_shapes_of_json_are_answered(given: Any) -> None:
    judged(document_of(given) | {"values": {"v": given}, "rules": [given]})


@pytest.mark.parametrize("document", SOUND, ids=lambda document: document["title"])
def test_the_real_documents_keep_the_promise(document: Any) -> None:
    assert judged(document)


@pytest.mark.parametrize(
    ("written", "same"),
    [
        ('"width": 12', '"width": 12.0'),
        ('"width": 12', '"width": 1.2e1'),
        ('"format": 1', '"format": 1.0'),
        ('"title"', '"\\u0074itle"'),
        ('{"', ' {\t"'),
        ('"value": 0', '"value": -0.0'),
        ('"value": 0', '"value": 0e7'),
    ],
)
def test_another_spelling_is_the_same_document(written: str, same: str) -> None:
    text = json.dumps(document_of() | {"columns": [column(0, 0, "integer", width=12)]})
    assert written in text
    assert load_mapping(text.replace(written, same)).sha256 == load_mapping(text).sha256


NAME = "value_of_a_longer_name_"
MISSPELT = document_of(
    *({"cat": [var(f"{NAME}{one}_{other}") for other in range(30)]} for one in range(120)),
    values={f"{NAME}{number}": number for number in range(200)},
)
LONG_NAME = "/" * 100_000


@pytest.mark.parametrize(
    "given",
    [
        pytest.param(MISSPELT, id="thousands of misspelt names"),
        pytest.param({LONG_NAME: [1e300] * 15_000}, id="thousands of numbers below a long name"),
        pytest.param(document_of("a", lookups={LONG_NAME: dict.fromkeys(map(str, range(900)), 1)}), id="a long name"),
    ],
)
def test_many_faults_are_told_in_few_words(given: Any) -> None:
    with soon():
        faults = faults_of(json.dumps(given))
    assert sum(len(fault.pointer) + len(fault.detail) for fault in faults) < 2_000_000


@pytest.mark.parametrize(
    "given",
    [
        pytest.param(document_of("a") | {"a\nb": 1}, id="a name of two lines"),
        pytest.param(document_of("a") | {"a\u2028b": 1}, id="a name with Unicode's line separator"),
        pytest.param(document_of("a") | {"x" * 200_000: 1}, id="an endless name"),
        pytest.param(document_of({"a\nb": 1}), id="an operation of two lines"),
        pytest.param(document_of(var("a\nb")), id="a variable of two lines"),
        pytest.param(document_of("a", kind="foo\nbar"), id="a type of two lines"),
        pytest.param(document_of("a", kind="x" * 100_000), id="an endless type"),
        pytest.param({**document_of(), "columns": [{"type": "text", "text": 5}]}, id="a key named as a type"),
        pytest.param({**document_of(), "columns": []}, id="no columns"),
        pytest.param(document_of({"lower": {"lower": 0.5}}), id="a fault below two operations"),
        pytest.param(document_of({"empty": {"trim": {"nope": 1}}}, kind="yes_no"), id="a fault below a condition"),
        pytest.param(document_of("a", values={"Bad Name": 1}), id="a bad name"),
        pytest.param(document_of({"+": ["a", 1]}, kind="integer"), id="a text in a sum"),
    ],
)
def test_faults_are_told_in_sentences_and_lead_somewhere(given: Any) -> None:
    assert judged(given) is None


def told(given: Any) -> set[tuple[str, str]]:
    return {(fault.pointer, fault.code) for fault in faults_of(json.dumps(given))}


FAULTY = {"values": {"v": {"x": 1}}}
OF_V = ("/values/v", "unknown_operation")
WITHOUT_OPTIONS = document_of() | {"columns": [{"id": "a", "header": in_three("A"), "type": "choice", "value": "x"}]}


@pytest.mark.parametrize(
    "given",
    [
        pytest.param({**document_of(), "columns": 5}, id="columns that are none"),
        pytest.param({**document_of(), "columns": []}, id="no columns"),
        pytest.param({**document_of("a"), "summary": {}}, id="an empty summary"),
        pytest.param(WITHOUT_OPTIONS, id="a choice without options"),
        pytest.param({**document_of("a"), "layout": {"start_cell": "nowhere"}}, id="a malformed layout"),
    ],
)
def test_what_is_malformed_hides_no_fault_of_an_expression(given: Any) -> None:
    assert OF_V in told(given | FAULTY)


@pytest.mark.parametrize(
    ("given", "pointers"),
    [
        pytest.param(
            document_of({"lookup": [var("id"), "l"]}, lookups={"l": {}}), {"/lookups/l"}, id="use of an empty lookup"
        ),
        pytest.param(
            document_of({"label": [var("id"), "t"]}, taxonomies={"t": []}), {"/taxonomies/t"}, id="and of a taxonomy"
        ),
        pytest.param(
            {**document_of("a"), "columns": [column(0, "a", decimals=9)]}, {"/columns/0/decimals"}, id="one bad column"
        ),
    ],
)
def test_one_fault_is_told_once(given: Any, pointers: set[str]) -> None:
    assert {pointer for pointer, _ in told(given)} == pointers


@pytest.mark.parametrize(("arguments", "number"), [([True, 1, "a"], 2), ([True, 1, False, 2, "a"], 4)])
def test_a_value_that_does_not_go_with_the_others_is_pointed_at(arguments: list[Any], number: int) -> None:
    assert told(document_of({"if": arguments})) >= {(f"/columns/0/value/if/{number}", "types_differ")}


@pytest.mark.parametrize("day", ["0", "1735689600", "20260101", "2026-01-01T00:00:00", 20260101])
def test_the_day_it_holds_from_is_written_as_a_date(day: Any) -> None:
    assert {pointer for pointer, _ in told(document_of("a") | {"effective_from": day})} == {"/effective_from"}


@pytest.mark.parametrize("value", [{"in": [var("note"), None]}, {"in": [None, var("note")]}, {"in": [None, None]}])
def test_an_empty_report_has_room_for_what_is_always_the_same(value: Any) -> None:
    assert judged(document_of(value, kind="yes_no"))


def test_a_sum_beyond_what_is_exact_does_not_wrap() -> None:
    measures = [{"header": in_three("H"), "sum": "c0"}]
    given = document_of(MOST, kind="integer", summary={"title": in_three("S"), "by": "c1", "measures": measures})
    given["columns"].append(column(1, True, "yes_no"))
    rows = pl.concat([ROWS] * 500)
    part = compile_mapping(load_mapping(json.dumps(given)), "nb").apply(rows)
    assert part.totals["Ja"][0] in {None, rows.height * MOST}


def _many(expression: Callable[[int, int], Any], columns: int, each: int) -> dict[str, Any]:
    return document_of(*({"cat": [expression(one, other) for other in range(each)]} for one in range(columns)))


COSTLY = {
    "long literals": document_of(*({"cat": [var("id"), "x" * 40_000]} for _ in range(5))),
    "long texts": _many(lambda one, other: {"cat": [var("note"), f"{one}.{other}"]}, 90, 40),
    "joined parts": document_of(
        *(
            {"join": [str(one), *({"replace": [var("note"), f"{one}{other}", "b"]} for other in range(45))]}
            for one in range(60)
        )
    ),
    "pieces of commas": document_of({"split": [{"cat": [var("id"), "," * 40_000]}, ",", 100_000]}),
    "thousands of capitals": _many(
        lambda one, other: {"substr": [{"upper": {"cat": [var("note"), f"{one}.{other}"]}}, 0, 1]}, 180, 9
    ),
    "thousands of initials": _many(
        lambda one, other: {"transformation": ["initials", {"cat": [var("note"), f"{one}.{other}"]}]}, 180, 5
    ),
}
_APPLIES = """
import json, resource, sys
import polars as pl
from stafett.column_mapper import InvalidMappingError, compile_mapping, read_mapping
from stafett.file_generator.csv import csv_chunks
from tests.mapping.test_hostile_documents import COSTLY, ROWS

limit = int(sys.argv[2]) << 30
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
rows = pl.concat([ROWS.with_columns(pl.col("note").fill_null("a note of some words, as people write it"))] * 10_000)
try:
    document = read_mapping(json.dumps(COSTLY[sys.argv[1]]))
except InvalidMappingError:
    sys.exit()
part = compile_mapping(document, "nb").apply(rows)
assert part.written.height == rows.height
assert sum(len(chunk) for chunk in csv_chunks([part.written], "excel"))
"""


@pytest.mark.parametrize("name", COSTLY)
def test_a_costly_document_is_refused_or_maps_fifty_thousand_rows_in_bounds(name: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", _APPLIES, name, str(_GIGABYTES)],
        capture_output=True,
        check=False,
        text=True,
        timeout=_HANGS,
    )
    assert done.returncode == 0, done.stderr


def test_a_document_is_sound_in_every_language_or_in_none() -> None:
    label = {"nb": "kort", "nn": "kort", "en": "long " * 200}
    grown = {"cat": [{"label": [{"var": "place"}, "t"]}] * 6}
    document = SOUND[-1] | {"values": {"grown": grown}, "taxonomies": {"t": [{"code": "a", "label": label}]}}
    with pytest.raises(InvalidMappingError) as refused:
        load_mapping(json.dumps(document))
    assert "too_long" in {fault.code for fault in refused.value.issues}


def test_a_row_cannot_become_longer_than_memory_holds() -> None:
    words = {"nb": "x" * 1000, "nn": "-", "en": "-"}
    columns = [
        {"id": f"c{n}", "header": dict.fromkeys(words, f"{n}"), "type": "text", "value": "y" * 1000} for n in range(31)
    ]
    with pytest.raises(InvalidMappingError) as refused:
        load_mapping(json.dumps(SOUND[-1] | {"columns": columns, "rules": []}))
    assert {(fault.pointer, fault.code) for fault in refused.value.issues} == {("/columns", "too_wide")}
