"""Failed items of a batch as a CSV file, and back."""

import csv
import io
from typing import Any
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from stafett.bulk.csv_format import (
    FailedItem,
    parse_request,
    render_failed_csv,
    render_template,
)
from stafett.domain.activity_faults import encode_faults
from stafett.domain.bulk import BulkItemInput, ItemError, ItemOutcome
from stafett.domain.bulk_status import ItemErrorCode, ItemStatus
from stafett.domain.errors import InvalidRequestError
from stafett.domain.export import Locale
from stafett.domain.proxy_activity import ProxyActivity

# Excluded is what a CSV line cannot carry: half a surrogate pair, and outer blanks, which spreadsheets trim.
TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="\0\r"), min_size=1, max_size=30)
WORDS = TEXTS.filter(lambda text: text == text.strip())
NUMBERS = st.integers(-(10**14), 10**14)
OVERRIDES = st.fixed_dictionaries(
    {
        "activity_type": TEXTS,
        "starts_at": st.just("2026-03-02T09:00:00Z"),
        **dict.fromkeys(("duration_minutes", "participants", "new_participants"), NUMBERS),
        "place": TEXTS,
        **dict.fromkeys(("in_person", "in_norway"), st.booleans()),
        "note": TEXTS | st.none(),
    }
)


def make_failed_item(client_ref: str, mentor_id: str, overrides: dict[str, Any]) -> FailedItem:
    outcome = ItemOutcome(
        client_ref=client_ref, mentor_id=mentor_id, status=ItemStatus.FAILED, activity_id=None, error=None, attempts=1
    )
    return FailedItem(outcome, overrides)


@given(st.lists(st.tuples(TEXTS, WORDS, OVERRIDES), min_size=1, max_size=4, unique_by=lambda item: item[0]))
def test_failed_items_are_parsed_back_unchanged(items: list[tuple[str, str, dict[str, Any]]]) -> None:
    file = render_failed_csv(make_failed_item(*item) for item in items)
    same_start = {"starts_at": "2026-03-02T10:00:00+01:00"}
    expected = [
        BulkItemInput(client_ref=ref, mentor_id=mentor, overrides=overrides | same_start)
        for ref, mentor, overrides in items
    ]
    assert list(parse_request(file.encode(), "nhf", None).items) == expected


@given(TEXTS)
def test_no_cell_of_the_file_starts_a_formula(text: str) -> None:
    file = render_failed_csv([make_failed_item(text, "a", {"note": text, "place": text})])
    for cell in file.replace('"', "").split(";"):
        assert not cell.startswith(("=", "+", "-", "@", "\t"))


@pytest.mark.parametrize(
    "text", ["=1+1", "\u00a0=1+1", "\ufeff@her", "\u200b+47", "\n-1", "\uff1d1+1", "\uff0b47", "\uff0d1", "\uff20her"]
)
def test_formula_behind_ignored_characters_is_escaped_and_parsed_back(text: str) -> None:
    overrides = {"activity_type": "x", "starts_at": "y", "duration_minutes": -1, "participants": 1, "place": text}
    overrides |= {"new_participants": 1, "in_person": True, "in_norway": True, "note": text}
    file = render_failed_csv([make_failed_item("a", "b", overrides)])
    assert file.count(f"'{text}") == 2
    assert ";-1;" in file
    (item,) = parse_request(file.encode(), "nhf", None).items
    assert (item.overrides["place"], item.overrides["note"]) == (text, text)


NAMES = "mentor_id;activity_type;starts_at;duration_minutes;participants;new_participants;place;in_person;in_norway"


@pytest.mark.parametrize(
    ("cells", "field", "parsed"),
    [
        ("annet;02.03.2026 10:00;60;5;1;Oslo;ja;nei", "starts_at", "2026-03-02T10:00:00+01:00"),
        ("annet;2026-07-01 10:00;60;5;1;Oslo;ja;nei", "starts_at", "2026-07-01T10:00:00+02:00"),
        ("annet;x;60;5;1;Oslo;SANN;USANN", "in_person", True),
        ("annet;x;60;5;1;Oslo;SANN;USANN", "in_norway", False),
        ("annet;x;seksti;5;1;Oslo;ja;ja", "duration_minutes", "seksti"),
        ("annet;x;;5;1;Oslo;ja;ja", "duration_minutes", None),
        ("annet;x;60;5;1;;ja;ja", "place", ""),
    ],
)
def test_cells_are_parsed_as_users_and_spreadsheets_write_them(cells: str, field: str, parsed: object) -> None:
    for delimiter in ";,\t":
        file = f"{NAMES}\n{uuid4()};{cells}\n".replace(";", delimiter)
        (item,) = parse_request(file.encode("utf-8-sig"), "nhf", None).items
        assert item.overrides[field] == parsed  # type: ignore[index]  # a field's name


@pytest.mark.parametrize(
    ("instant", "cell"),
    [
        ("2026-03-02T09:00:00Z", "02.03.2026 10:00"),
        ("2026-07-02T09:00:00Z", "02.07.2026 11:00"),
        ("2026-10-25T00:30:00Z", "25.10.2026 02:30"),  # the first of two in the night of the change from summer time
        ("2026-10-25T01:30:00Z", "2026-10-25T01:30:00Z"),
        ("2026-03-02T09:00:30Z", "2026-03-02T09:00:30Z"),
        ("tomorrow", "tomorrow"),
    ],
)
def test_start_is_a_time_in_oslo_unless_it_would_be_another_instant(instant: str, cell: str) -> None:
    file = render_failed_csv([make_failed_item("a", "b", {"starts_at": instant})])
    (line,) = list(csv.DictReader(io.StringIO(file.removeprefix("\ufeff"), newline=""), delimiter=";"))
    assert line["starts_at"] == cell


@pytest.mark.parametrize(
    ("locale", "message"),
    [
        ("nb", "duration_minutes må være minst 1. place mangler. in_person må være ja eller nei."),
        ("nn", "duration_minutes må vere minst 1. place manglar. in_person må vere ja eller nei."),
        ("en", "duration_minutes must be at least 1. place is missing. in_person must be true or false"),
    ],
)
def test_invalid_fields_are_explained_in_the_language_of_the_file(locale: Locale, message: str) -> None:
    valid = {"activity_type": "annet", "starts_at": "2026-03-02T09:00:00Z", "participants": 5, "new_participants": 1}
    fields = valid | {"place": None, "in_norway": True, "duration_minutes": 0, "in_person": "kanskje"}
    with pytest.raises(ValidationError) as invalid:
        ProxyActivity.model_validate(fields)
    item = make_failed_item("a", "b", fields)
    error = ItemError(code=ItemErrorCode.INVALID_ACTIVITY, message="In English.", retryable=False)
    outcome = item.outcome.model_copy(update={"error": error})
    failed = item._replace(outcome=outcome, mentor_name="Åse Ødegård", faults=encode_faults(invalid.value))
    file = render_failed_csv([failed], locale)
    assert message in file
    assert ";Åse Ødegård;invalid_activity;" in file
    assert "kanskje" not in file.partition("invalid_activity")[2]


def test_template_has_a_line_for_each_mentor_that_can_be_filled_in() -> None:
    file = render_template([("00000000-0000-4000-8000-000000000001", "Åse Ødegård")])
    filled = file.replace(";" * 10, ";annet;02.03.2026 10:00;60;5;1;Oslo;ja;ja;;", 1)
    (item,) = parse_request(filled.encode(), "nhf", None).items
    assert (item.mentor_id, item.overrides["place"]) == ("00000000-0000-4000-8000-000000000001", "Oslo")


def test_file_with_too_many_lines_is_rejected() -> None:
    lines = "\n".join(f"{number};annet;x;60;5;1;Oslo;ja;ja" for number in range(10_001))
    with pytest.raises(InvalidRequestError) as error:
        parse_request(f"{NAMES}\n{lines}".encode(), "nhf", None)
    assert error.value.issues[0].code == "too_long"


def test_text_that_cannot_be_stored_is_reported_by_line_and_column() -> None:
    file = f"{NAMES};note\n{uuid4()};annet;x;60;5;1;Oslo;ja;ja;a\0b"
    with pytest.raises(InvalidRequestError) as error:
        parse_request(file.encode(), "nhf", None)
    assert {issue.pointer for issue in error.value.issues} == {"line:2/note"}
