"""Blindeforbundet's report, compared cell by cell with the regulation and the texts of the mapping document."""

from datetime import date, time, timedelta
from typing import Any

import polars as pl
import pytest

from stafett.domain.export import ExportCounts, Locale
from tests.support.mapping.activities import (
    activity,
    activity_id,
    activity_ids,
    build_failure,
    cells_by_header,
    list_failed_checks,
    list_failures,
    list_reasons,
    list_totals,
    load_document,
    map_parts,
    map_rows,
    mentor_names,
)

BLINDEFORBUNDET = load_document("blindeforbundet", since="1900-01-01")
MONDAY, TUESDAY = date(2026, 3, 2), date(2026, 3, 3)

NEVER_COUNTS, ABROAD, NOT_IN_PERSON = "Aktivitetstypen teller ikke", "Holdt utenfor Norge", "Ikke et fysisk møte"
NO_PARTICIPANTS, TOO_FEW, SHORT_GROUP = "Ingen deltakere", "Færre enn 3 deltakere", "Gruppe kortere enn 45 minutter"
SHORT_COURSE = "Kursdag kortere enn 2 × 45 minutter"  # noqa: RUF001 - correct typography
NO_NEWCOMERS = "Likepersonen har allerede en tellende aktivitet denne dagen, og ingen deltaker er ny"


def to_durations(*minutes: int) -> list[timedelta]:
    return [timedelta(minutes=count) for count in minutes]


def default_cells(*numbers: int) -> dict[str, list[Any]]:
    """Return the cells of activities with the default fields."""
    rows = len(numbers)
    return {
        "Dato": [MONDAY] * rows,
        "Ukedag": ["mandag"] * rows,
        "Starttid": [time(17)] * rows,
        "Varighet": to_durations(60) * rows,
        "Aktivitet": ["Samtalegruppe"] * rows,
        "Likeperson": mentor_names(*numbers),
        "Sted": ["Bodø"] * rows,
        "Deltakere": [4] * rows,
        "Nye deltakere": [1] * rows,
        "Møteform": ["Fysisk"] * rows,
        "I Norge": ["Ja"] * rows,
        "Tellende": ["Ja"] * rows,
        "Teller ikke fordi": [None] * rows,
        "Merknad": [None] * rows,
        "Aktivitets-ID": activity_ids(*numbers),
    }


def test_each_activity_type_has_a_label_and_four_types_count() -> None:
    part = map_rows(
        BLINDEFORBUNDET,
        activity(1, "oppsokende_samtale", minutes=10, participants=1),
        activity(2, "samtalegruppe", minutes=45, participants=3, place="åpen gruppe på Hurdal"),
        activity(3, "aktivitetsgruppe", minutes=200, participants=13, new_participants=4),
        activity(4, "likepersonskurs", minutes=90, participants=12, attachments=2, is_proxy=True),
        activity(5, "telefonsamtale", minutes=20, participants=1, in_person=False, place=""),
        activity(6, "digital_samtale", minutes=50, participants=1, in_person=False, place="teams"),
        activity(7, "besok", participants=1, new_participants=0),
        activity(8, "annet", participants=40, note="Stand på torget"),
        activity(9, "samtalegruppe", in_person=False, place=""),
    )
    assert cells_by_header(part.report_rows) == default_cells(1, 2, 3, 4, 5, 6, 7, 8, 9) | {
        "Varighet": to_durations(10, 45, 200, 90, 20, 50, 60, 60, 60),
        "Aktivitet": [
            *("Oppsøkende samtale", "Samtalegruppe", "Aktivitetsgruppe", "Likepersonskurs"),
            *("Telefonsamtale", "Digital samtale", "Besøk", "Annet", "Samtalegruppe"),
        ],
        "Sted": ["Bodø", "Åpen gruppe på Hurdal", "Bodø", "Bodø", "", "Teams", "Bodø", "Bodø", ""],
        "Deltakere": [1, 3, 13, 12, 1, 1, 1, 40, 4],
        "Nye deltakere": [1, 1, 4, 1, 1, 1, 0, 1, 1],
        "Møteform": [*["Fysisk"] * 4, "Telefon", "Digitalt", "Fysisk", "Fysisk", "Digitalt"],
        "Tellende": ["Ja", "Ja", "Ja", "Ja", "Nei", "Nei", "Nei", "Nei", "Ja"],
        "Teller ikke fordi": [None, None, None, None, NEVER_COUNTS, NEVER_COUNTS, NEVER_COUNTS, NEVER_COUNTS, None],
        "Merknad": [None, None, None, None, None, None, None, "Stand på torget", None],
    }
    assert (list_failed_checks(part), part.rejected, part.countable) == ([], 0, 5)
    assert part.not_countable == {
        "kind_never_counts": 4,
        "abroad": 0,
        "not_in_person": 0,
        "nobody_came": 0,
        "too_few_participants": 0,
        "group_too_short": 0,
        "course_too_short": 0,
        "nobody_new_that_day": 0,
    }
    assert part.excluded_rows.is_empty()


def test_groups_and_courses_below_their_limits_do_not_count() -> None:
    part = map_rows(
        BLINDEFORBUNDET,
        activity(1, "samtalegruppe", participants=2),
        activity(2, "samtalegruppe", participants=3),
        activity(3, "aktivitetsgruppe", minutes=44),
        activity(4, "aktivitetsgruppe", minutes=45),
        activity(5, "likepersonskurs", minutes=89, participants=2),
        activity(6, "likepersonskurs", minutes=90, participants=2),
        activity(7, "aktivitetsgruppe", in_norway=False, place="københavn"),
        activity(8, "likepersonskurs", in_norway=False, place="københavn", minutes=45),
        activity(9, "telefonsamtale", in_norway=False, in_person=False, place="", participants=1),
        activity(10, "aktivitetsgruppe", minutes=44, participants=2),
        activity(11, "samtalegruppe", participants=0, new_participants=0),
        activity(12, "oppsokende_samtale", participants=0, new_participants=0),
    )
    assert cells_by_header(part.report_rows) == default_cells(1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12) | {
        "Varighet": to_durations(60, 60, 44, 45, 89, 90, 60, 45, 60, 44, 60, 60),
        "Aktivitet": [
            *("Samtalegruppe", "Samtalegruppe", "Aktivitetsgruppe", "Aktivitetsgruppe"),
            *("Likepersonskurs", "Likepersonskurs", "Aktivitetsgruppe", "Likepersonskurs"),
            *("Telefonsamtale", "Aktivitetsgruppe", "Samtalegruppe", "Oppsøkende samtale"),
        ],
        "Sted": [*["Bodø"] * 6, "København", "København", "", "Bodø", "Bodø", "Bodø"],
        "Deltakere": [2, 3, 4, 4, 2, 2, 4, 4, 1, 2, 0, 0],
        "Nye deltakere": [1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0],
        "Møteform": [*["Fysisk"] * 8, "Telefon", "Fysisk", "Fysisk", "Fysisk"],
        "I Norge": [*["Ja"] * 6, "Nei", "Nei", "Nei", "Ja", "Ja", "Ja"],
        "Tellende": ["Nei", "Ja", "Nei", "Ja", "Nei", "Ja", "Nei", "Nei", "Nei", "Nei", "Nei", "Nei"],
        "Teller ikke fordi": [
            *(TOO_FEW, None, SHORT_GROUP, None, SHORT_COURSE, None),
            *(ABROAD, ABROAD, NEVER_COUNTS, TOO_FEW, NO_PARTICIPANTS, NO_PARTICIPANTS),
        ],
    }
    assert (list_failed_checks(part), part.countable) == ([], 3)
    assert part.not_countable == {
        "kind_never_counts": 1,
        "abroad": 2,
        "not_in_person": 0,
        "nobody_came": 2,
        "too_few_participants": 2,
        "group_too_short": 1,
        "course_too_short": 1,
        "nobody_new_that_day": 0,
    }


def test_later_activities_of_a_day_count_only_with_new_participants() -> None:
    fields: dict[str, Any] = {"mentor": "Åse Lie", "new_participants": 0}
    part = map_rows(
        BLINDEFORBUNDET,
        activity(1, "samtalegruppe", "2026-03-02T09:00+01:00", **fields, participants=2),
        activity(2, "samtalegruppe", "2026-03-02T11:00+01:00", **fields),
        activity(3, "oppsokende_samtale", "2026-03-02T13:00+01:00", **fields, participants=1),
        activity(4, "oppsokende_samtale", "2026-03-02T15:00+01:00", mentor="Åse Lie", participants=1),
        activity(5, "oppsokende_samtale", "2026-03-02T15:00+01:00", mentor="Kari Moe", participants=1),
        activity(6, "samtalegruppe", "2026-03-02T18:00+01:00", **fields),
        activity(7, "samtalegruppe", "2026-03-03T09:00+01:00", **fields),
    )
    assert cells_by_header(part.report_rows) == default_cells(1, 2, 3, 4, 5, 6, 7) | {
        "Dato": [MONDAY] * 6 + [TUESDAY],
        "Ukedag": ["mandag"] * 6 + ["tirsdag"],
        "Starttid": [time(9), time(11), time(13), time(15), time(15), time(18), time(9)],
        "Aktivitet": [
            *("Samtalegruppe", "Samtalegruppe", "Oppsøkende samtale", "Oppsøkende samtale", "Oppsøkende samtale"),
            *("Samtalegruppe", "Samtalegruppe"),
        ],
        "Likeperson": ["Åse Lie"] * 4 + ["Kari Moe"] + ["Åse Lie"] * 2,
        "Deltakere": [2, 4, 1, 1, 1, 4, 4],
        "Nye deltakere": [0, 0, 0, 1, 1, 0, 0],
        "Tellende": ["Nei", "Ja", "Nei", "Ja", "Ja", "Nei", "Ja"],
        "Teller ikke fordi": [TOO_FEW, None, NO_NEWCOMERS, None, None, NO_NEWCOMERS, None],
    }
    assert (list_failed_checks(part), part.countable) == ([], 4)


def test_days_and_weekdays_follow_oslo_time_across_clock_changes() -> None:
    fields: dict[str, Any] = {"mentor": "Åse Lie", "new_participants": 0}
    part = map_rows(
        BLINDEFORBUNDET,
        activity(1, starts="2026-03-29T01:30+01:00", **fields),
        activity(2, starts="2026-03-29T23:00+02:00", **fields),
        activity(3, starts="2026-03-30T00:05+02:00", **fields),
        activity(4, starts="2026-10-24T23:30+02:00", **fields),
        activity(5, starts="2026-10-25T00:45+02:00", **fields),
        activity(6, starts="2026-10-25T02:30+02:00", **fields),
        activity(7, starts="2026-10-25T02:30+01:00", **fields, minutes=150),
        activity(8, starts="2027-01-01T00:30+01:00", **fields),
    )
    assert cells_by_header(part.report_rows) == default_cells(1, 2, 3, 4, 5, 6, 7, 8) | {
        "Dato": [
            *(date(2026, 3, 29), date(2026, 3, 29), date(2026, 3, 30)),
            *(date(2026, 10, 24), date(2026, 10, 25), date(2026, 10, 25), date(2026, 10, 25), date(2027, 1, 1)),
        ],
        "Ukedag": ["søndag", "søndag", "mandag", "lørdag", "søndag", "søndag", "søndag", "fredag"],
        "Starttid": [
            *(time(1, 30), time(23), time(0, 5), time(23, 30)),
            *(time(0, 45), time(2, 30), time(2, 30), time(0, 30)),
        ],
        "Varighet": to_durations(60, 60, 60, 60, 60, 60, 150, 60),
        "Likeperson": ["Åse Lie"] * 8,
        "Nye deltakere": [0] * 8,
        "Tellende": ["Ja", "Nei", "Ja", "Ja", "Ja", "Nei", "Nei", "Ja"],
        "Teller ikke fordi": [None, NO_NEWCOMERS, None, None, None, NO_NEWCOMERS, NO_NEWCOMERS, None],
    }
    assert (list_failed_checks(part), part.countable) == ([], 5)


def test_unknown_type_is_written_and_row_without_a_name_is_rejected() -> None:
    part = map_rows(
        BLINDEFORBUNDET,
        activity(1, "Tandemtur"),
        activity(2, "likepersonskurs", participants=5, new_participants=0, minutes=25 * 60),
        activity(3, mentor_name=" "),
        activity(4, mentor_name="  Åse Lie ", place="  kafé Løvebakken \t", note="  Se vedlegg "),
        activity(5, place=""),
        activity(6, "annet", place=" \t ", note="  "),
        activity(7, " ", place="Oslo"),
    )
    assert cells_by_header(part.report_rows) == default_cells(1, 2, 4, 5, 6) | {
        "Varighet": to_durations(60, 1500, 60, 60, 60),
        "Aktivitet": ["Tandemtur", "Likepersonskurs", "Samtalegruppe", "Samtalegruppe", "Annet"],
        "Likeperson": ["Likeperson 1", "Likeperson 2", "Åse Lie", "Likeperson 5", "Likeperson 6"],
        "Sted": ["Bodø", "Bodø", "Kafé Løvebakken", "", ""],
        "Deltakere": [4, 5, 4, 4, 4],
        "Nye deltakere": [1, 0, 1, 1, 1],
        "Tellende": ["Nei", "Ja", "Ja", "Ja", "Nei"],
        "Teller ikke fordi": [NEVER_COUNTS, None, None, None, NEVER_COUNTS],
        "Merknad": [None, None, "  Se vedlegg ", None, "  "],
    }
    too_long = "Aktiviteten varer lenger enn ett døgn; registrer én for hver dag."
    assert list_failed_checks(part) == [
        ("required", "activity_type", True, "«Aktivitet» mangler.", [6]),
        ("required", "mentor", True, "«Likeperson» mangler.", [2]),
        ("required", "place", False, "«Sted» mangler.", [4, 5]),
        ("several_days", "duration", False, too_long, [1]),
    ]
    assert (part.rejected, part.countable) == (2, 3)


def test_conversation_counts_only_in_person() -> None:
    part = map_rows(BLINDEFORBUNDET, activity(1, "oppsokende_samtale", in_person=False, place="", participants=1))
    assert cells_by_header(part.report_rows) == default_cells(1) | {
        "Aktivitet": ["Oppsøkende samtale"],
        "Sted": [""],
        "Deltakere": [1],
        "Møteform": ["Ikke fysisk"],
        "Tellende": ["Nei"],
        "Teller ikke fordi": [NOT_IN_PERSON],
    }
    assert (list_failed_checks(part), part.countable, part.not_countable["not_in_person"]) == ([], 0, 1)


@pytest.mark.parametrize(
    ("activity_type", "meeting_form"),
    [
        ("oppsokende_samtale", "Ikke fysisk"),
        ("samtalegruppe", "Digitalt"),
        ("aktivitetsgruppe", "Digitalt"),
        ("likepersonskurs", "Digitalt"),
        ("telefonsamtale", "Telefon"),
        ("digital_samtale", "Digitalt"),
        ("besok", "Ikke fysisk"),
        ("annet", "Ikke fysisk"),
        ("Tandemtur", "Ikke fysisk"),
    ],
)
def test_meeting_form_is_digital_only_where_the_type_excludes_telephone(activity_type: str, meeting_form: str) -> None:
    part = map_rows(BLINDEFORBUNDET, activity(1, activity_type, in_person=False), activity(2, activity_type))
    assert part.report_rows["Møteform"].to_list() == [meeting_form, "Fysisk"]


@pytest.mark.parametrize(("locale", "meeting_form"), [("nn", "Ikkje fysisk"), ("en", "Not in person")])
def test_meeting_form_not_in_person_is_translated(locale: Locale, meeting_form: str) -> None:
    part = map_rows(BLINDEFORBUNDET, activity(1, "oppsokende_samtale", in_person=False), locale=locale)
    assert part.report_rows[:, 9].to_list() == [meeting_form]


def test_columns_have_the_documents_order_and_types() -> None:
    types = {
        "Dato": pl.Date(),
        "Starttid": pl.Time(),
        "Varighet": pl.Duration("us"),
        "Deltakere": pl.Int64(),
        "Nye deltakere": pl.Int64(),
    }
    schema = pl.Schema({name: types.get(name, pl.String()) for name in default_cells()})
    assert map_rows(BLINDEFORBUNDET, activity(1)).report_rows.schema == schema


ROW_IN_NYNORSK = {
    "Dato": date(2026, 3, 7),
    "Vekedag": "laurdag",
    "Starttid": time(17),
    "Varigheit": timedelta(hours=1),
    "Aktivitet": "Oppsøkjande samtale",
    "Likeperson": "Likeperson 1",
    "Stad": "Bodø",
    "Deltakarar": 4,
    "Nye deltakarar": 1,
    "Møteform": "Fysisk",
    "I Noreg": "Nei",
    "Teljande": "Nei",
    "Tel ikkje fordi": "Halde utanfor Noreg",
    "Merknad": None,
    "Aktivitets-ID": activity_id(1),
}
ROW_IN_ENGLISH = {
    "Date": date(2026, 3, 7),
    "Weekday": "Saturday",
    "Start time": time(17),
    "Duration": timedelta(hours=1),
    "Activity": "Outreach conversation",
    "Peer mentor": "Likeperson 1",
    "Place": "Bodø",
    "Participants": 4,
    "New participants": 1,
    "How they met": "In person",
    "In Norway": "No",
    "Countable": "No",
    "Does not count because": "Held outside Norway",
    "Note": None,
    "Activity ID": activity_id(1),
}


@pytest.mark.parametrize(("locale", "row"), [("nn", ROW_IN_NYNORSK), ("en", ROW_IN_ENGLISH)])
def test_report_is_in_the_requested_language(locale: Locale, row: dict[str, object]) -> None:
    saturday = activity(1, "oppsokende_samtale", "2026-03-07T17:00+01:00", in_norway=False)
    part = map_rows(BLINDEFORBUNDET, saturday, locale=locale)
    assert part.report_rows.columns == list(row)
    assert part.report_rows.to_dicts() == [row]


WEEKDAYS: dict[Locale, list[str]] = {
    "nb": ["mandag", "tirsdag", "onsdag", "torsdag", "fredag", "lørdag", "søndag"],
    "nn": ["måndag", "tysdag", "onsdag", "torsdag", "fredag", "laurdag", "søndag"],
    "en": ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"],
}


@pytest.mark.parametrize(("locale", "days"), WEEKDAYS.items())
def test_weekdays_are_written_in_each_language(locale: Locale, days: list[str]) -> None:
    week = [activity(day, starts=f"2026-03-{1 + day:02}T12:00+01:00") for day in range(1, 8)]
    assert map_rows(BLINDEFORBUNDET, *week, locale=locale).report_rows[:, 1].to_list() == days


MESSAGES_BY_LOCALE: dict[Locale, list[str]] = {
    "nn": ["«Stad» manglar.", "Aktiviteten varer lenger enn eitt døgn; registrer éin for kvar dag."],
    "en": ["“Place” is missing.", "The activity lasts longer than a day; register one for each day."],
}


@pytest.mark.parametrize(("locale", "messages"), MESSAGES_BY_LOCALE.items())
def test_messages_are_in_the_requested_language(locale: Locale, messages: list[str]) -> None:
    part = map_rows(BLINDEFORBUNDET, activity(1, place="", minutes=24 * 60 + 1), locale=locale)
    assert [check.message for check in part.failed_checks] == messages


def test_counts_and_failures_cover_all_parts() -> None:
    result = map_parts(
        BLINDEFORBUNDET,
        [
            activity(1, place=""),
            activity(2, "telefonsamtale", in_person=False, participants=1),
            activity(3, mentor_name=""),
            activity(4, participants=2),
        ],
        [
            activity(5, "oppsokende_samtale", "2026-03-03T09:00+01:00", mentor="Åse Lie", participants=1),
            activity(6, "Tandemtur", "2026-03-03T10:00+01:00", place=" "),
            activity(7, "oppsokende_samtale", "2026-03-03T10:00+01:00", in_person=False, participants=1),
            activity(8, "aktivitetsgruppe", "2026-03-03T10:00+01:00", minutes=44),
            activity(9, "likepersonskurs", "2026-03-03T10:00+01:00", minutes=89),
            activity(10, "likepersonskurs", "2026-03-03T10:00+01:00", minutes=90, in_norway=False),
            activity(11, "besok", "2026-03-03T12:00+01:00", place="", mentor_name="\t"),
            activity(12, "samtalegruppe", "2026-03-03T13:00+01:00", mentor="Åse Lie", new_participants=0, place=""),
            activity(13, "likepersonskurs", "2026-03-03T14:00+01:00", minutes=90, participants=0, new_participants=0),
        ],
    )
    assert result.counts == ExportCounts(queried=13, written=11, countable=2, not_countable=9, rejected=2, events=2)
    assert result.excluded_count == 0
    assert list_totals(result) == [
        ("Oppsøkende samtale", (1, 1, 2, 2)),
        ("Samtalegruppe", (1, 2, 3, 10)),
        ("Aktivitetsgruppe", (0, 1, 1, 4)),
        ("Likepersonskurs", (0, 3, 3, 8)),
        ("Telefonsamtale", (0, 1, 1, 1)),
        ("Digital samtale", (0, 0, 0, 0)),
        ("Besøk", (0, 0, 0, 0)),
        ("Annet", (0, 0, 0, 0)),
        ("Andre verdier", (0, 1, 1, 4)),
    ]
    assert list_reasons(result) == [
        ("kind_never_counts", NEVER_COUNTS, 2),
        ("abroad", ABROAD, 1),
        ("not_in_person", NOT_IN_PERSON, 1),
        ("nobody_came", NO_PARTICIPANTS, 1),
        ("too_few_participants", TOO_FEW, 1),
        ("group_too_short", SHORT_GROUP, 1),
        ("course_too_short", SHORT_COURSE, 1),
        ("nobody_new_that_day", NO_NEWCOMERS, 1),
    ]
    assert list_failures(result) == [
        build_failure("required", "mentor", "«Likeperson» mangler.", [2, 10], [3, 11], rejects=True),
        build_failure("required", "place", "«Sted» mangler.", [0, 5, 10, 11], [1, 6, 11, 12], rejects=False),
    ]
