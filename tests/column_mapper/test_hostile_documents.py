"""Any document is either rejected with all its issues or maps every possible row."""

import json
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import polars as pl
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from stafett.column_mapper import InvalidMappingError, MappingDocument, MappingIssue, compile_mapping, load_mapping
from stafett.domain.export import Locale
from tests.support.hypothesis_profiles import scale_examples
from tests.support.mapping.costly_documents import (
    COSTLY_DOCUMENTS,
    LOCALES,
    ROWS,
    column,
    document_of,
    in_all_locales,
    var,
)
from tests.support.mapping.mutations import ANY_JSON, BUNDLED_DOCUMENTS, mutations

NO_DEADLINE = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
EXAMPLES_600 = settings(NO_DEADLINE, max_examples=scale_examples(600))
EXAMPLES_300 = settings(NO_DEADLINE, max_examples=scale_examples(300))
MAX_EXACT_INTEGER = 9_007_199_254_740_991

_TIMEOUT_SECONDS, _MEMORY_GIB = 20, 4

_QUOTATION = re.compile("“[^”]*”", re.DOTALL)
_PYTHON_TERMS = re.compile(
    r"Value error|Tuple|Dictionary|after validation|Input tag|discriminator|\\z|\bsys\.|<class|NoneType|None|utf-8-sig"
    r"|pydantic|object at|model_type|integer string conversion"
)


@contextmanager
def time_limit() -> Iterator[None]:
    """Fail a call that uses too much CPU time, instead of hanging. The machine may have other work."""

    def fail(*_: object) -> None:
        raise TimeoutError("the document was not processed in time")

    previous_handler = signal.signal(signal.SIGPROF, fail)
    signal.setitimer(signal.ITIMER_PROF, _TIMEOUT_SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, previous_handler)


def list_issues(content: bytes | str) -> tuple[MappingIssue, ...]:
    try:
        load_mapping(content)
    except InvalidMappingError as error:
        return error.issues
    return ()


def is_valid_pointer(pointer: str, document: Any) -> bool:
    """Return whether the pointer leads into the document or to a missing member of one of its objects."""
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


def is_sentence(detail: str) -> bool:
    unquoted = _QUOTATION.sub("", detail)
    return (
        detail.splitlines() == [detail]
        and detail[-1] in ".?"
        and len(detail) < 600
        and not _PYTHON_TERMS.search(unquoted)
    )


def assert_helpful_issues(issues: tuple[MappingIssue, ...], raw: Any) -> None:
    assert issues
    for issue in issues:
        assert is_valid_pointer(issue.pointer, raw), issue
        assert is_sentence(issue.detail), issue
        assert re.fullmatch("[a-z0-9_]+", issue.code), issue


def assert_maps(document: MappingDocument, locale: Locale) -> None:
    program = compile_mapping(document, locale)
    parts = {rows.height: program.apply(rows) for rows in (ROWS, ROWS[:1], ROWS.clear())}
    for height, part in parts.items():
        assert part.report_rows.height + part.excluded_rows.height + part.rejected == height
        assert part.countable + sum(part.not_countable.values()) == height - part.rejected
        assert part.report_rows.schema == part.excluded_rows.schema == parts[ROWS.height].report_rows.schema


@time_limit()
def check_content(content: bytes | str, raw: Any = None) -> MappingDocument | None:
    """Check that the content is rejected with helpful issues or is a document that maps any rows."""
    try:
        document = load_mapping(content)
    except InvalidMappingError as error:
        assert_helpful_issues(error.issues, raw)
        return None
    for locale in LOCALES:
        assert_maps(document, locale)
    reloaded = load_mapping(json.dumps(document.as_json(), sort_keys=True, indent=1))
    assert (reloaded, reloaded.sha256) == (document, document.sha256)
    assert document.as_json() == raw, "the parsed document differs from its source"
    return document


def check_document(raw: Any) -> MappingDocument | None:
    return check_content(json.dumps(raw), raw)


@EXAMPLES_600
@given(mutations())
def test_mutated_document_is_rejected_with_issues_or_maps_all_rows(raw: Any) -> None:
    check_document(raw)


@EXAMPLES_600
@given(ANY_JSON)
def test_arbitrary_json_is_rejected_with_issues_or_maps_all_rows(raw: Any) -> None:
    check_document(raw)
    check_document(document_of(raw) | {"values": {"v": raw}, "rules": [raw]})


@EXAMPLES_300
@given(
    st.binary(max_size=60)
    | st.tuples(st.sampled_from(BUNDLED_DOCUMENTS), st.integers(0, 9000)).map(lambda arguments: _truncate(*arguments))
)
@example(b"\xef\xbb\xbf{}")
@example(b'{"a":' + b"1" * 5000 + b"}")
@example(b"[" * 200_000)
@example(b'{"a":' * 40_000)
@example(b'{"a": NaN}')
@example(b'{"a": 1, "a": 2}')
@example("\ufeff{}".encode("utf-16"))
def test_arbitrary_bytes_are_rejected_with_issues_or_map_all_rows(content: bytes) -> None:
    try:
        raw = json.loads(content.decode("utf-8-sig"))
    except (ValueError, RecursionError):
        raw = None
    check_content(content, raw)


def _truncate(document: Any, after: int) -> bytes:
    return json.dumps(document, ensure_ascii=False).encode()[:after]


@pytest.mark.parametrize("document", BUNDLED_DOCUMENTS, ids=lambda document: document["title"])
def test_bundled_documents_map_all_rows(document: Any) -> None:
    assert check_document(document)


@pytest.mark.parametrize(
    ("original", "equivalent"),
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
def test_equivalent_json_is_the_same_document(original: str, equivalent: str) -> None:
    text = json.dumps(document_of() | {"columns": [column(0, 0, "integer", width=12)]})
    assert original in text
    assert load_mapping(text.replace(original, equivalent)).sha256 == load_mapping(text).sha256


NAME_PREFIX = "value_of_a_longer_name_"
MISSPELT_NAMES = document_of(
    *({"cat": [var(f"{NAME_PREFIX}{number}_{part}") for part in range(30)]} for number in range(120)),
    values={f"{NAME_PREFIX}{number}": number for number in range(200)},
)
LONG_NAME = "/" * 100_000


@pytest.mark.parametrize(
    "raw",
    [
        pytest.param(MISSPELT_NAMES, id="thousands of misspelt names"),
        pytest.param({LONG_NAME: [1e300] * 15_000}, id="thousands of numbers below a long name"),
        pytest.param(document_of("a", lookups={LONG_NAME: dict.fromkeys(map(str, range(900)), 1)}), id="a long name"),
    ],
)
def test_many_issues_are_reported_in_bounded_size(raw: Any) -> None:
    with time_limit():
        issues = list_issues(json.dumps(raw))
    assert sum(len(issue.pointer) + len(issue.detail) for issue in issues) < 2_000_000


@pytest.mark.parametrize(
    "raw",
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
        pytest.param(document_of({"lower": {"lower": 0.5}}), id="an issue below two operations"),
        pytest.param(document_of({"empty": {"trim": {"nope": 1}}}, kind="yes_no"), id="an issue below a condition"),
        pytest.param(document_of("a", values={"Bad Name": 1}), id="a bad name"),
        pytest.param(document_of({"+": ["a", 1]}, kind="integer"), id="a text in a sum"),
    ],
)
def test_issues_are_sentences_with_valid_pointers(raw: Any) -> None:
    assert check_document(raw) is None


def list_issue_codes(raw: Any) -> set[tuple[str, str]]:
    return {(issue.pointer, issue.code) for issue in list_issues(json.dumps(raw))}


UNKNOWN_OPERATION = {"values": {"v": {"x": 1}}}
UNKNOWN_OPERATION_ISSUE = ("/values/v", "unknown_operation")
WITHOUT_OPTIONS = document_of() | {
    "columns": [{"id": "a", "header": in_all_locales("A"), "type": "choice", "value": "x"}]
}


@pytest.mark.parametrize(
    "raw",
    [
        pytest.param({**document_of(), "columns": 5}, id="columns that are no list"),
        pytest.param({**document_of(), "columns": []}, id="no columns"),
        pytest.param({**document_of("a"), "summary": {}}, id="an empty summary"),
        pytest.param(WITHOUT_OPTIONS, id="a choice without options"),
        pytest.param({**document_of("a"), "layout": {"start_cell": "nowhere"}}, id="a malformed layout"),
    ],
)
def test_issues_of_expressions_follow_once_the_form_is_right(raw: Any) -> None:
    assert list_issue_codes(raw | UNKNOWN_OPERATION) == list_issue_codes(raw) != set()
    assert list_issue_codes(document_of("a") | UNKNOWN_OPERATION) == {UNKNOWN_OPERATION_ISSUE}


@pytest.mark.parametrize(
    ("raw", "pointers"),
    [
        pytest.param(
            document_of({"lookup": [var("id"), "l"]}, lookups={"l": {}}), {"/lookups/l"}, id="use of an empty lookup"
        ),
        pytest.param(
            document_of({"label": [var("id"), "t"]}, taxonomies={"t": []}),
            {"/taxonomies/t"},
            id="use of an empty taxonomy",
        ),
        pytest.param(
            {**document_of("a"), "columns": [column(0, "a", decimals=9)]}, {"/columns/0/decimals"}, id="one bad column"
        ),
    ],
)
def test_each_issue_is_reported_once(raw: Any, pointers: set[str]) -> None:
    assert {pointer for pointer, _ in list_issue_codes(raw)} == pointers


@pytest.mark.parametrize(("arguments", "number"), [([True, 1, "a"], 2), ([True, 1, False, 2, "a"], 4)])
def test_issue_points_to_the_branch_of_another_type(arguments: list[Any], number: int) -> None:
    assert list_issue_codes(document_of({"if": arguments})) >= {(f"/columns/0/value/if/{number}", "types_differ")}


@pytest.mark.parametrize("day", ["0", "1735689600", "20260101", "2026-01-01T00:00:00", 20260101])
def test_effective_from_must_be_an_iso_date(day: Any) -> None:
    assert {pointer for pointer, _ in list_issue_codes(document_of("a") | {"effective_from": day})} == {
        "/effective_from"
    }


@pytest.mark.parametrize("value", [{"in": [var("note"), None]}, {"in": [None, var("note")]}, {"in": [None, None]}])
def test_constant_condition_maps_rows_and_an_empty_report(value: Any) -> None:
    assert check_document(document_of(value, kind="yes_no"))


def test_sum_beyond_exact_integers_does_not_wrap() -> None:
    measures = [{"header": in_all_locales("H"), "sum": "c0"}]
    raw = document_of(
        MAX_EXACT_INTEGER, kind="integer", summary={"title": in_all_locales("S"), "by": "c1", "measures": measures}
    )
    raw["columns"].append(column(1, True, "yes_no"))
    rows = pl.concat([ROWS] * 500)
    part = compile_mapping(load_mapping(json.dumps(raw)), "nb").apply(rows)
    assert part.totals["Ja"][0] in {None, rows.height * MAX_EXACT_INTEGER}


_MAP_ROWS_SCRIPT = """
import json, resource, sys
import polars as pl
from stafett.column_mapper import InvalidMappingError, compile_mapping, load_mapping
from stafett.file_generator.csv import render_csv
from tests.support.mapping.costly_documents import COSTLY_DOCUMENTS, ROWS

limit = int(sys.argv[2]) << 30
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
rows = pl.concat([ROWS.with_columns(pl.col("note").fill_null("a note of some words, as people write it"))] * 10_000)
try:
    document = load_mapping(json.dumps(COSTLY_DOCUMENTS[sys.argv[1]]))
except InvalidMappingError:
    sys.exit()
part = compile_mapping(document, "nb").apply(rows)
assert part.report_rows.height == rows.height
assert sum(len(chunk) for chunk in render_csv([part.report_rows], "excel"))
"""


@pytest.mark.parametrize("name", COSTLY_DOCUMENTS)
def test_costly_document_is_rejected_or_maps_50_000_rows_in_bounds(name: str) -> None:
    completed = subprocess.run(
        [sys.executable, "-c", _MAP_ROWS_SCRIPT, name, str(_MEMORY_GIB)],
        capture_output=True,
        check=False,
        text=True,
        timeout=_TIMEOUT_SECONDS,
    )
    assert completed.returncode == 0, completed.stderr


def test_document_too_long_in_one_language_is_rejected() -> None:
    label = {"nb": "kort", "nn": "kort", "en": "long " * 200}
    grown = {"cat": [{"label": [{"var": "place"}, "t"]}] * 6}
    document = BUNDLED_DOCUMENTS[-1] | {
        "values": {"grown": grown},
        "taxonomies": {"t": [{"code": "a", "label": label}]},
    }
    with pytest.raises(InvalidMappingError) as error:
        load_mapping(json.dumps(document))
    assert "too_long" in {issue.code for issue in error.value.issues}


def test_row_too_wide_for_memory_is_rejected() -> None:
    words = {"nb": "x" * 1000, "nn": "-", "en": "-"}
    columns = [
        {"id": f"c{n}", "header": dict.fromkeys(words, f"{n}"), "type": "text", "value": "y" * 1000} for n in range(31)
    ]
    with pytest.raises(InvalidMappingError) as error:
        load_mapping(json.dumps(BUNDLED_DOCUMENTS[-1] | {"columns": columns, "rules": [], "summary": None}))
    assert {(issue.pointer, issue.code) for issue in error.value.issues} == {("/columns", "too_wide")}
