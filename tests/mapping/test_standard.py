from datetime import UTC, date, datetime, timedelta
from typing import Any

import polars as pl
import pytest

from stafett.activity_rows import OSLO_DAY, SOURCE_SCHEMA
from stafett.column_mapper.plain import COUNTS, PlainMapping
from stafett.domain.activity import ActivityType
from stafett.domain.export import Locale

START = datetime(2026, 1, 5, 9, tzinfo=UTC)


def row(**said: Any) -> dict[str, Any]:
    minutes = said.pop("minutes", 60)
    return {
        OSLO_DAY: date(2026, 1, 5),
        "id": "a",
        "activity_type": ActivityType.SAMTALEGRUPPE.value,
        "starts_at": START,
        "ends_at": START + timedelta(minutes=minutes),
        "participants": 3,
        "new_participants": 1,
        "place": "Bodø",
        "in_person": True,
        "in_norway": True,
        "note": None,
        "mentor_id": "m",
        "mentor_name": "Åse",
        "is_proxy": False,
        "attachments": 0,
    } | said


def counted(*rows: dict[str, Any]) -> list[bool]:
    assert set(rows[0]) == set(SOURCE_SCHEMA)
    mapped = PlainMapping("nb").apply(pl.DataFrame(list(rows), infer_schema_length=None))
    return mapped[COUNTS].to_list()


@pytest.mark.parametrize(
    ("said", "counts"),
    [
        ({}, True),
        ({"participants": 2}, False),
        ({"minutes": 44}, False),
        ({"minutes": 45}, True),
        ({"in_norway": False}, False),
        ({"activity_type": "aktivitetsgruppe"}, True),
        ({"activity_type": "oppsokende_samtale", "participants": 1, "minutes": 10}, True),
        ({"activity_type": "oppsokende_samtale", "in_person": False}, False),
        ({"activity_type": "likepersonskurs", "minutes": 89}, False),
        ({"activity_type": "likepersonskurs", "minutes": 90}, True),
        ({"activity_type": "telefonsamtale"}, False),
        ({"activity_type": "digital_samtale"}, False),
        ({"activity_type": "besok"}, False),
        ({"activity_type": "annet"}, False),
    ],
)
def test_what_counts_is_what_the_regulation_says(said: dict[str, Any], *, counts: bool) -> None:
    assert counted(row(**said)) == [counts]


def test_a_mentors_second_activity_of_a_day_counts_only_with_somebody_new() -> None:
    assert counted(row(), row(new_participants=0), row(new_participants=2)) == [True, False, True]


def test_another_day_and_another_mentor_begin_anew() -> None:
    assert counted(
        row(),
        row(new_participants=0, mentor_id="other"),
        row(new_participants=0, **{OSLO_DAY: date(2026, 1, 6)}),
    ) == [True, True, True]


def test_an_activity_that_does_not_count_takes_nothing_from_the_next_one() -> None:
    assert counted(row(participants=1), row(new_participants=0)) == [False, True]


@pytest.mark.parametrize(("locale", "header"), [("nb", "Sted"), ("nn", "Stad"), ("en", "Place")])
def test_headers_are_in_the_language_that_was_asked_for(locale: Locale, header: str) -> None:
    mapped = PlainMapping(locale).apply(pl.DataFrame([row()]))
    assert header in mapped.columns


def test_times_are_those_of_oslo_in_winter_and_in_summer() -> None:
    summer = datetime(2026, 7, 5, 9, tzinfo=UTC)
    frame = pl.DataFrame([row(), row(starts_at=summer, ends_at=summer + timedelta(hours=1))])
    assert PlainMapping("nb").apply(frame)["Starttid"].to_list() == ["10:00", "11:00"]
