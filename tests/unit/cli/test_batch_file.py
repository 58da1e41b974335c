"""Lines and values of a batch's file, beside the API's verdict on its items."""

from datetime import UTC, datetime
from pathlib import Path
from typing import cast
from uuid import UUID

import pytest

from stafett.bulk.csv_format import TEMPLATE_COLUMNS
from stafett.cli.batch_file import BatchFile, read_batch_file
from stafett.cli.batch_results import format_item_errors, format_validation
from stafett.cli.client import ApiClient, ApiError, FieldProblem, Json
from stafett.domain.errors import StafettError

_MENTORS = [UUID(int=number) for number in range(1, 15)]
_CELLS = "samtalegruppe;{};60;5;1;Oslo;ja;ja;;"
_PAST, _FUTURE = "02.03.2026 10:00", "02.03.2126 10:00"


class _Mentors:
    """An API that has every peer mentor."""

    def get(self, _path: str) -> Json:
        return {"display_name": "Åse Ødegård"}


_API = cast("ApiClient", _Mentors())


def _build_csv(*lines: str) -> BatchFile:
    rows = [f";{mentor};{cells};" for mentor, cells in zip(_MENTORS, lines, strict=False)]
    return BatchFile("\r\n".join([";".join(TEMPLATE_COLUMNS), *rows]).encode(), None)


def _build_result(*codes: str | None, warnings: tuple[tuple[str, int], ...] = ()) -> Json:
    items = [
        {"client_ref": f"ref {number}", "mentor_id": str(mentor), "error": code and {"code": code, "message": "No."}}
        for number, (mentor, code) in enumerate(zip(_MENTORS, codes, strict=False), start=1)
    ]
    failed = sum(code is not None for code in codes)
    counts = {"total": len(codes), "registered": len(codes) - failed, "failed": failed}
    listed = [{"code": code, "rows": rows, "message": "Consider this."} for code, rows in warnings]
    return {"items": items, "counts": counts, "warnings": listed}


def test_failed_item_has_the_line_and_the_values_of_the_file() -> None:
    file = _build_csv(
        _CELLS.format(_PAST),
        "gruppe;02.03.2026 10:00;0;5;1;Oslo;ja;ja;;",
        _CELLS.format(_PAST),
        _CELLS.format(_PAST),
    )
    items = _build_result(None, "invalid_activity", "overlapping_activity", "mentor_not_found")["items"]
    overlap = "starts_at '02.03.2026 10:00', duration_minutes '60'. (overlapping_activity)"
    assert format_item_errors(_API, items, file) == [
        "line 3, ref 2, Åse Ødegård: No. The file has activity_type 'gruppe', duration_minutes '0'. (invalid_activity)",
        f"line 4, ref 3, Åse Ødegård: No. The file has {overlap}",
        f"line 5, ref 4: No. The file has mentor_id '{_MENTORS[3]}'. (mentor_not_found)",
    ]


def test_failed_item_of_a_stored_batch_has_its_reference_only() -> None:
    items = _build_result(None, "invalid_activity")["items"]
    assert format_item_errors(_API, items) == ["ref 2, Åse Ødegård: No. (invalid_activity)"]


def test_item_with_a_line_break_in_its_note_does_not_shift_the_lines() -> None:
    note = 'samtalegruppe;02.03.2026 10:00;60;5;1;Oslo;ja;ja;"one\r\ntwo";'
    file = _build_csv(note, _CELLS.format(_PAST))
    assert [file.name_place(position) for position in (0, 1, 2)] == ["line 3", "line 4", None]


def test_item_of_a_json_file_has_its_number_and_its_effective_value() -> None:
    overriding = {"mentor_id": "y", "overrides": {"activity_type": "gruppe", "duration_minutes": 0}}
    file = BatchFile(b"", {"activity": {"duration_minutes": 60}, "items": [{"mentor_id": "x"}, overriding]})
    assert file.name_place(1) == "item 2"
    assert file.quote_values(1, "invalid_activity").startswith("activity_type 'gruppe', duration_minutes 0")
    assert file.quote_values(0, "overlapping_activity") == "duration_minutes 60"


def test_warnings_name_the_lines_that_they_are_about() -> None:
    file = _build_csv(*[_CELLS.format(_PAST)] * 3, _CELLS.format(_FUTURE))
    warnings = ("several_mentors_at_one_event", 3), ("starts_in_future", 1)
    assert format_validation(_API, _build_result(None, None, None, None, warnings=warnings), file)[1:] == [
        "Warning: Consider this.",
        "  one event: lines 2, 3 and 4",
        "Warning: Consider this.",
        f"  line 5, ref 4, Åse Ødegård: starts_at '{_FUTURE}'",
    ]


@pytest.mark.parametrize("code", ["several_mentors_at_one_event", "starts_in_future"])
def test_warning_names_no_lines_if_the_file_has_other_ones(code: str) -> None:
    file = _build_csv(*[_CELLS.format(_FUTURE)] * 2)
    lines = format_validation(_API, _build_result(None, None, warnings=((code, 7),)), file)
    assert lines[1:] == ["Warning: Consider this."]


def test_at_most_ten_errors_are_printed() -> None:
    file = _build_csv(*[_CELLS.format(_PAST)] * 12)
    first, *lines = format_validation(_API, _build_result(*["overlapping_activity"] * 12), file)
    assert first == "0 of 12 items would register, 12 would fail."
    assert (len(lines), lines[-1]) == (11, "  and 2 more: --json has all of them")


def test_events_are_the_same_as_the_api_derives() -> None:
    file = _build_csv(*[_CELLS.format(_PAST)] * 2, _CELLS.format(_FUTURE))
    assert file.find_shared_events(range(3)) == [[0, 1]]
    assert file.find_shared_events([0, 2]) == []
    assert file.find_starts_after(datetime(2026, 3, 2, 9, tzinfo=UTC)) == [2]


@pytest.mark.parametrize(
    ("pointer", "detail"),
    [
        ("line:2/activity_type", "is wrong; the file has 'gruppe'"),
        ("line:9/activity_type", "is wrong."),
        ("query:org_id", "is wrong."),
    ],
)
def test_error_of_the_api_in_a_line_has_the_value(pointer: str, detail: str) -> None:
    file = _build_csv("gruppe;02.03.2026 10:00;60;5;1;Oslo;ja;ja;;")
    error = ApiError(f"Invalid. {pointer}: is wrong. (x, 422)", 422, [FieldProblem(pointer, "is wrong.")], "x")
    changed = file.quote_rejected_values(error)
    assert changed.fields == (FieldProblem(pointer, detail),)
    assert (str(changed), changed.code) == (f"Invalid. {pointer}: {detail} (x, 422)", "x")


def test_error_in_the_header_names_the_command_that_prints_a_template() -> None:
    error = ApiError("Invalid. line:1: is wrong. (x, 422)", 422, [FieldProblem("line:1", "is wrong.")], "x")
    assert str(BatchFile(b"", None).quote_rejected_values(error)) == (
        "Invalid. line:1: is wrong. (x, 422) `stafett bulk template` prints a file with all columns."
    )


@pytest.mark.parametrize("content", [b"", b"\xff", b"nonsense;x\r\n1;2", b'{"items": 3}'])
def test_file_that_cannot_be_read_is_left_to_the_api(content: bytes, tmp_path: Path) -> None:
    (path := tmp_path / "batch").write_bytes(content)
    file = read_batch_file(path)
    assert (len(file), file.content, file.name_place(0)) == (0, content, None)
    assert file.quote_values(0, "invalid_activity") == ""


@pytest.mark.parametrize(
    ("content", "message"), [("{", "is not valid JSON"), ("[1]", "does not contain a JSON object")]
)
def test_json_file_must_have_an_object(content: str, message: str, tmp_path: Path) -> None:
    (path := tmp_path / "batch.json").write_text(content)
    with pytest.raises(StafettError, match=message):
        read_batch_file(path)


def test_unknown_column_is_named_with_the_nearest_known_one() -> None:
    header = "mentor_id;activity_type;start_at;duration_minutes"
    fields = [FieldProblem("line:1", "Kolonne 3 har et ukjent navn"), FieldProblem("line:1", "The column x is missing")]
    error = BatchFile(header.encode(), None).quote_rejected_values(ApiError("Wrong.", 422, fields))
    named, other = (field.detail for field in error.fields)
    assert named == "Kolonne 3 har et ukjent navn: the file has 'start_at'; the nearest known one is starts_at"
    assert other == "The column x is missing"


def test_workbook_is_refused_with_what_to_do(tmp_path: Path) -> None:
    (file := tmp_path / "batch.xlsx").write_bytes(b"PK\x03\x04")
    with pytest.raises(StafettError, match="an Excel workbook: save it as CSV"):
        read_batch_file(file)


def test_unknown_mentor_has_the_name_of_the_file_and_the_words_are_in_its_language() -> None:
    line = f";{_MENTORS[0]};{_CELLS.format(_PAST)};Kari Nordmann"
    file = BatchFile("\r\n".join([";".join(TEMPLATE_COLUMNS), line]).encode(), None, "nb")
    (text,) = format_item_errors(_API, _build_result("mentor_not_found")["items"], file)
    expected = f"linje 2, ref 1, Kari Nordmann: No. Filen har mentor_id '{_MENTORS[0]}'. (mentor_not_found)"
    assert text == expected
    warned = _build_result(None, warnings=(("starts_in_future", 1),))
    assert "Advarsel: Consider this." in format_validation(_API, warned, file)
