"""Blindeforbundet's report: held against the regulation and the document's own words, cell by cell."""

from datetime import date, time, timedelta
from typing import Any

import polars as pl
import pytest

from stafett.domain.export import ExportCounts, Locale
from tests.mapping.activities import (
    activity,
    activity_id,
    cells,
    document,
    failure,
    failures,
    faults,
    ids,
    likepersoner,
    mapped,
    outcome,
    reasons,
    totals,
)

BLINDEFORBUNDET = document("blindeforbundet", since="1900-01-01")
MONDAY, TUESDAY = date(2026, 3, 2), date(2026, 3, 3)

NEVER, ABROAD, APART = "Aktivitetstypen teller ikke", "Holdt utenfor Norge", "Ikke et fysisk møte"
NOBODY, TOO_FEW, SHORT_GROUP = "Ingen deltakere", "Færre enn 3 deltakere", "Gruppe kortere enn 45 minutter"
SHORT_COURSE = "Kursdag kortere enn 2 × 45 minutter"  # noqa: RUF001 - as people write it
NOBODY_NEW = "Likepersonen har allerede en tellende aktivitet denne dagen, og ingen deltaker er ny"


def lasting(*minutes: int) -> list[timedelta]:
    return [timedelta(minutes=one) for one in minutes]


def usual(*numbers: int) -> dict[str, list[Any]]:
    """What activities are written as of which nothing particular is said."""
    rows = len(numbers)
    return {
        "Dato": [MONDAY] * rows,
        "Ukedag": ["mandag"] * rows,
        "Starttid": [time(17)] * rows,
        "Varighet": lasting(60) * rows,
        "Aktivitet": ["Samtalegruppe"] * rows,
        "Likeperson": likepersoner(*numbers),
        "Sted": ["Bodø"] * rows,
        "Deltakere": [4] * rows,
        "Nye deltakere": [1] * rows,
        "Møteform": ["Fysisk"] * rows,
        "I Norge": ["Ja"] * rows,
        "Tellende": ["Ja"] * rows,
        "Teller ikke fordi": [None] * rows,
        "Merknad": [None] * rows,
        "Aktivitets-ID": ids(*numbers),
    }


def test_every_kind_is_written_in_plain_words_and_four_of_them_count() -> None:
    part = mapped(
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
    assert cells(part.report_rows) == usual(1, 2, 3, 4, 5, 6, 7, 8, 9) | {
        "Varighet": lasting(10, 45, 200, 90, 20, 50, 60, 60, 60),
        "Aktivitet": [
            *("Oppsøkende samtale", "Samtalegruppe", "Aktivitetsgruppe", "Likepersonskurs"),
            *("Telefonsamtale", "Digital samtale", "Besøk", "Annet", "Samtalegruppe"),
        ],
        "Sted": ["Bodø", "Åpen gruppe på Hurdal", "Bodø", "Bodø", "", "Teams", "Bodø", "Bodø", ""],
        "Deltakere": [1, 3, 13, 12, 1, 1, 1, 40, 4],
        "Nye deltakere": [1, 1, 4, 1, 1, 1, 0, 1, 1],
        "Møteform": [*["Fysisk"] * 4, "Telefon", "Digitalt", "Fysisk", "Fysisk", "Digitalt"],
        "Tellende": ["Ja", "Ja", "Ja", "Ja", "Nei", "Nei", "Nei", "Nei", "Ja"],
        "Teller ikke fordi": [None, None, None, None, NEVER, NEVER, NEVER, NEVER, None],
        "Merknad": [None, None, None, None, None, None, None, "Stand på torget", None],
    }
    assert (faults(part), part.rejected, part.countable) == ([], 0, 5)
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


def test_a_group_is_three_for_45_minutes_a_course_day_twice_45_and_both_in_norway() -> None:
    part = mapped(
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
    assert cells(part.report_rows) == usual(1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12) | {
        "Varighet": lasting(60, 60, 44, 45, 89, 90, 60, 45, 60, 44, 60, 60),
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
            *(ABROAD, ABROAD, NEVER, TOO_FEW, NOBODY, NOBODY),
        ],
    }
    assert (faults(part), part.countable) == ([], 3)
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


def test_after_a_mentors_first_countable_activity_the_days_others_need_somebody_new() -> None:
    said: dict[str, Any] = {"mentor": "Åse Lie", "new_participants": 0}
    part = mapped(
        BLINDEFORBUNDET,
        activity(1, "samtalegruppe", "2026-03-02T09:00+01:00", **said, participants=2),
        activity(2, "samtalegruppe", "2026-03-02T11:00+01:00", **said),
        activity(3, "oppsokende_samtale", "2026-03-02T13:00+01:00", **said, participants=1),
        activity(4, "oppsokende_samtale", "2026-03-02T15:00+01:00", mentor="Åse Lie", participants=1),
        activity(5, "oppsokende_samtale", "2026-03-02T15:00+01:00", mentor="Kari Moe", participants=1),
        activity(6, "samtalegruppe", "2026-03-02T18:00+01:00", **said),
        activity(7, "samtalegruppe", "2026-03-03T09:00+01:00", **said),
    )
    assert cells(part.report_rows) == usual(1, 2, 3, 4, 5, 6, 7) | {
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
        "Teller ikke fordi": [TOO_FEW, None, NOBODY_NEW, None, None, NOBODY_NEW, None],
    }
    assert (faults(part), part.countable) == ([], 4)


def test_days_and_weekdays_are_those_of_oslo_also_when_the_clock_changes() -> None:
    said: dict[str, Any] = {"mentor": "Åse Lie", "new_participants": 0}
    part = mapped(
        BLINDEFORBUNDET,
        activity(1, starts="2026-03-29T01:30+01:00", **said),
        activity(2, starts="2026-03-29T23:00+02:00", **said),
        activity(3, starts="2026-03-30T00:05+02:00", **said),
        activity(4, starts="2026-10-24T23:30+02:00", **said),
        activity(5, starts="2026-10-25T00:45+02:00", **said),
        activity(6, starts="2026-10-25T02:30+02:00", **said),
        activity(7, starts="2026-10-25T02:30+01:00", **said, minutes=150),
        activity(8, starts="2027-01-01T00:30+01:00", **said),
    )
    assert cells(part.report_rows) == usual(1, 2, 3, 4, 5, 6, 7, 8) | {
        "Dato": [
            *(date(2026, 3, 29), date(2026, 3, 29), date(2026, 3, 30)),
            *(date(2026, 10, 24), date(2026, 10, 25), date(2026, 10, 25), date(2026, 10, 25), date(2027, 1, 1)),
        ],
        "Ukedag": ["søndag", "søndag", "mandag", "lørdag", "søndag", "søndag", "søndag", "fredag"],
        "Starttid": [
            *(time(1, 30), time(23), time(0, 5), time(23, 30)),
            *(time(0, 45), time(2, 30), time(2, 30), time(0, 30)),
        ],
        "Varighet": lasting(60, 60, 60, 60, 60, 60, 150, 60),
        "Likeperson": ["Åse Lie"] * 8,
        "Nye deltakere": [0] * 8,
        "Tellende": ["Ja", "Nei", "Ja", "Ja", "Ja", "Nei", "Nei", "Ja"],
        "Teller ikke fordi": [None, NOBODY_NEW, None, None, None, NOBODY_NEW, NOBODY_NEW, None],
    }
    assert (faults(part), part.countable) == ([], 5)


def test_an_unknown_kind_is_kept_as_it_is_and_what_lacks_a_name_is_rejected() -> None:
    part = mapped(
        BLINDEFORBUNDET,
        activity(1, "Tandemtur"),
        activity(2, "likepersonskurs", participants=5, new_participants=0, minutes=25 * 60),
        activity(3, mentor_name=" "),
        activity(4, mentor_name="  Åse Lie ", place="  kafé Løvebakken \t", note="  Se vedlegg "),
        activity(5, place=""),
        activity(6, "annet", place=" \t ", note="  "),
        activity(7, " ", place="Oslo"),
    )
    assert cells(part.report_rows) == usual(1, 2, 4, 5, 6) | {
        "Varighet": lasting(60, 1500, 60, 60, 60),
        "Aktivitet": ["Tandemtur", "Likepersonskurs", "Samtalegruppe", "Samtalegruppe", "Annet"],
        "Likeperson": ["Likeperson 1", "Likeperson 2", "Åse Lie", "Likeperson 5", "Likeperson 6"],
        "Sted": ["Bodø", "Bodø", "Kafé Løvebakken", "", ""],
        "Deltakere": [4, 5, 4, 4, 4],
        "Nye deltakere": [1, 0, 1, 1, 1],
        "Tellende": ["Nei", "Ja", "Ja", "Ja", "Nei"],
        "Teller ikke fordi": [NEVER, None, None, None, NEVER],
        "Merknad": [None, None, "  Se vedlegg ", None, "  "],
    }
    too_long = "Aktiviteten varer lenger enn ett døgn; registrer én for hver dag."
    assert faults(part) == [
        ("required", "activity_type", True, "«Aktivitet» mangler.", [6]),
        ("required", "mentor", True, "«Likeperson» mangler.", [2]),
        ("required", "place", False, "«Sted» mangler.", [4, 5]),
        ("several_days", "duration", False, too_long, [1]),
    ]
    assert (part.rejected, part.countable) == (2, 3)


def test_a_conversation_does_not_count_unless_it_is_in_person() -> None:
    part = mapped(BLINDEFORBUNDET, activity(1, "oppsokende_samtale", in_person=False, place="", participants=1))
    assert cells(part.report_rows) == usual(1) | {
        "Aktivitet": ["Oppsøkende samtale"],
        "Sted": [""],
        "Deltakere": [1],
        "Møteform": ["Ikke fysisk"],
        "Tellende": ["Nei"],
        "Teller ikke fordi": [APART],
    }
    assert (faults(part), part.countable, part.not_countable["not_in_person"]) == ([], 0, 1)


@pytest.mark.parametrize(
    ("activity_type", "how"),
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
def test_nothing_is_said_to_have_been_online_that_may_have_been_by_telephone(activity_type: str, how: str) -> None:
    part = mapped(BLINDEFORBUNDET, activity(1, activity_type, in_person=False), activity(2, activity_type))
    assert part.report_rows["Møteform"].to_list() == [how, "Fysisk"]


@pytest.mark.parametrize(("locale", "how"), [("nn", "Ikkje fysisk"), ("en", "Not in person")])
def test_what_was_not_in_person_is_so_in_every_language(locale: Locale, how: str) -> None:
    part = mapped(BLINDEFORBUNDET, activity(1, "oppsokende_samtale", in_person=False), locale=locale)
    assert part.report_rows[:, 9].to_list() == [how]


def test_columns_stand_in_their_order_with_their_types() -> None:
    types = {
        "Dato": pl.Date(),
        "Starttid": pl.Time(),
        "Varighet": pl.Duration("us"),
        "Deltakere": pl.Int64(),
        "Nye deltakere": pl.Int64(),
    }
    schema = pl.Schema({name: types.get(name, pl.String()) for name in usual()})
    assert mapped(BLINDEFORBUNDET, activity(1)).report_rows.schema == schema


IN_NYNORSK = {
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
IN_ENGLISH = {
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


@pytest.mark.parametrize(("locale", "row"), [("nn", IN_NYNORSK), ("en", IN_ENGLISH)])
def test_the_report_is_in_the_language_that_was_asked_for(locale: Locale, row: dict[str, object]) -> None:
    saturday = activity(1, "oppsokende_samtale", "2026-03-07T17:00+01:00", in_norway=False)
    part = mapped(BLINDEFORBUNDET, saturday, locale=locale)
    assert part.report_rows.columns == list(row)
    assert part.report_rows.to_dicts() == [row]


WEEKS: dict[Locale, list[str]] = {
    "nb": ["mandag", "tirsdag", "onsdag", "torsdag", "fredag", "lørdag", "søndag"],
    "nn": ["måndag", "tysdag", "onsdag", "torsdag", "fredag", "laurdag", "søndag"],
    "en": ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"],
}


@pytest.mark.parametrize(("locale", "days"), WEEKS.items())
def test_a_week_has_all_its_days(locale: Locale, days: list[str]) -> None:
    week = [activity(day, starts=f"2026-03-{1 + day:02}T12:00+01:00") for day in range(1, 8)]
    assert mapped(BLINDEFORBUNDET, *week, locale=locale).report_rows[:, 1].to_list() == days


IN_ITS_LANGUAGE: dict[Locale, list[str]] = {
    "nn": ["«Stad» manglar.", "Aktiviteten varer lenger enn eitt døgn; registrer éin for kvar dag."],
    "en": ["“Place” is missing.", "The activity lasts longer than a day; register one for each day."],
}


@pytest.mark.parametrize(("locale", "replies"), IN_ITS_LANGUAGE.items())
def test_faults_are_told_in_the_language_that_was_asked_for(locale: Locale, replies: list[str]) -> None:
    part = mapped(BLINDEFORBUNDET, activity(1, place="", minutes=24 * 60 + 1), locale=locale)
    assert [fault.message for fault in part.failed_checks] == replies


def test_the_counts_and_the_failures_are_those_of_all_parts() -> None:
    result = outcome(
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
    assert result.counts == ExportCounts(queried=13, written=11, countable=2, not_countable=9, rejected=2)
    assert (result.excluded_count, totals(result)) == (0, [])
    assert reasons(result) == [
        ("kind_never_counts", NEVER, 2),
        ("abroad", ABROAD, 1),
        ("not_in_person", APART, 1),
        ("nobody_came", NOBODY, 1),
        ("too_few_participants", TOO_FEW, 1),
        ("group_too_short", SHORT_GROUP, 1),
        ("course_too_short", SHORT_COURSE, 1),
        ("nobody_new_that_day", NOBODY_NEW, 1),
    ]
    assert failures(result) == [
        failure("required", "mentor", "«Likeperson» mangler.", [2, 10], [3, 11], rejects=True),
        failure("required", "place", "«Sted» mangler.", [0, 5, 10, 11], [1, 6, 11, 12], rejects=False),
    ]
