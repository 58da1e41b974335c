"""The plain document that organisations begin with: the regulation since 2020, and nothing of anybody's own."""

from datetime import date, time
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
    mapped,
    outcome,
    reasons,
    rows_by_reason,
    totals,
)
from tests.mapping.rows import Row

STANDARD = document("standard", since="2020-01-01")
MONDAY = date(2026, 3, 2)

NEVER, ABROAD = "Aktivitetstypen teller ikke", "Holdt utenfor Norge"
UNKNOWN_KIND = "«Aktivitetstype» har en verdi som ikke finnes i listen."


SINCE_2020 = {
    "standard": STANDARD,
    "nhf": document("nhf", since="2020-01-01"),
    "blindeforbundet": document("blindeforbundet", since="1900-01-01"),
    "hlf": document("hlf", since="2026-01-01"),
    "hlf before 2026": document("hlf", since="1900-01-01"),
}


DOCUMENTS = SINCE_2020 | {"nhf before 2020": document("nhf", since="1900-01-01")}


def counted(*rows: Row) -> list[bool]:
    return [cell == "Ja" for cell in mapped(STANDARD, *rows).report_rows["Tellende"]]


@pytest.mark.parametrize(
    ("said", "counts", "reason"),
    [
        ({}, True, None),
        ({"participants": 2}, False, "too_few_participants"),
        ({"participants": 3}, True, None),
        ({"participants": 0, "new_participants": 0}, False, "nobody_came"),
        ({"minutes": 44}, False, "group_too_short"),
        ({"minutes": 45}, True, None),
        ({"in_person": False}, True, None),
        ({"in_norway": False}, False, "abroad"),
        ({"activity_type": "aktivitetsgruppe"}, True, None),
        ({"activity_type": "aktivitetsgruppe", "participants": 2}, False, "too_few_participants"),
        ({"activity_type": "aktivitetsgruppe", "minutes": 44}, False, "group_too_short"),
        ({"activity_type": "oppsokende_samtale", "participants": 1, "minutes": 10}, True, None),
        ({"activity_type": "oppsokende_samtale", "participants": 1, "in_person": False}, False, "not_in_person"),
        ({"activity_type": "oppsokende_samtale", "participants": 1, "in_norway": False}, False, "abroad"),
        ({"activity_type": "oppsokende_samtale", "participants": 0, "new_participants": 0}, False, "nobody_came"),
        ({"activity_type": "likepersonskurs", "participants": 0, "new_participants": 0}, False, "nobody_came"),
        ({"activity_type": "likepersonskurs", "minutes": 89}, False, "course_too_short"),
        ({"activity_type": "likepersonskurs", "minutes": 90, "participants": 2}, True, None),
        ({"activity_type": "likepersonskurs", "minutes": 90, "in_norway": False}, False, "abroad"),
        ({"activity_type": "telefonsamtale"}, False, "kind_never_counts"),
        ({"activity_type": "digital_samtale"}, False, "kind_never_counts"),
        ({"activity_type": "besok"}, False, "kind_never_counts"),
        ({"activity_type": "annet"}, False, "kind_never_counts"),
        ({"activity_type": "annet", "participants": 0, "new_participants": 0}, False, "kind_never_counts"),
    ],
)
def test_what_counts_is_what_the_regulation_says(said: dict[str, Any], *, counts: bool, reason: str | None) -> None:
    part = mapped(STANDARD, activity(1, **said))
    assert part.report_rows["Tellende"].to_list() == ["Ja" if counts else "Nei"]
    assert rows_by_reason(part) == ({reason: 1} if reason else {})
    assert (part.countable, part.rejected, faults(part)) == (int(counts), 0, [])


def test_a_mentors_second_activity_of_a_day_counts_only_with_somebody_new() -> None:
    assert counted(
        activity(1, starts="2026-03-02T09:00+01:00", mentor="Åse Lie", new_participants=0),
        activity(2, starts="2026-03-02T11:00+01:00", mentor="Åse Lie", new_participants=0),
        activity(3, starts="2026-03-02T13:00+01:00", mentor="Åse Lie", new_participants=2),
        activity(4, starts="2026-03-02T15:00+01:00", mentor="Åse Lie", new_participants=0),
    ) == [True, False, True, False]


def test_another_day_and_another_mentor_begin_anew() -> None:
    assert counted(
        activity(1, starts="2026-03-02T09:00+01:00", mentor="Åse Lie"),
        activity(2, starts="2026-03-02T11:00+01:00", mentor="Kari Moe", new_participants=0),
        activity(3, starts="2026-03-03T09:00+01:00", mentor="Åse Lie", new_participants=0),
    ) == [True, True, True]


def test_two_mentors_of_one_name_are_two() -> None:
    assert counted(
        activity(1, starts="2026-03-02T09:00+01:00", mentor_name="Åse Lie"),
        activity(2, starts="2026-03-02T11:00+01:00", mentor_name="Åse Lie", new_participants=0),
    ) == [True, True]


def test_an_activity_that_does_not_count_takes_nothing_from_the_next_one() -> None:
    assert counted(
        activity(1, starts="2026-03-02T09:00+01:00", mentor="Åse Lie", participants=1),
        activity(2, starts="2026-03-02T11:00+01:00", mentor="Åse Lie", new_participants=0),
    ) == [False, True]


def test_days_are_those_of_oslo_in_winter_in_summer_and_when_the_clock_changes() -> None:
    said: dict[str, Any] = {"mentor": "Åse Lie", "new_participants": 0}
    part = mapped(
        STANDARD,
        activity(1, starts="2026-03-01T23:30+01:00", **said, minutes=45),
        activity(2, starts="2026-03-02T00:30+01:00", **said),
        activity(3, starts="2026-03-02T10:00+01:00", **said),
        activity(4, starts="2026-03-29T01:30+01:00", **said),
        activity(5, starts="2026-03-29T03:00+02:00", **said),
        activity(6, starts="2026-06-30T23:30+02:00", **said, minutes=45),
        activity(7, starts="2026-07-01T00:30+02:00", **said),
        activity(8, starts="2026-10-25T00:30+02:00", **said, minutes=25 * 60 - 60),
        activity(9, starts="2026-10-26T00:00+01:00", **said),
    )
    headers = ["Dato", "Starttid", "Varighet (minutter)", "Tellende"]
    assert part.report_rows.select(headers).rows() == [
        (date(2026, 3, 1), time(23, 30), 45, "Ja"),
        (MONDAY, time(0, 30), 60, "Ja"),
        (MONDAY, time(10), 60, "Nei"),
        (date(2026, 3, 29), time(1, 30), 60, "Ja"),
        (date(2026, 3, 29), time(3), 60, "Nei"),
        (date(2026, 6, 30), time(23, 30), 45, "Ja"),
        (date(2026, 7, 1), time(0, 30), 60, "Ja"),
        (date(2026, 10, 25), time(0, 30), 1440, "Ja"),
        (date(2026, 10, 26), time(0), 60, "Ja"),
    ]


def test_every_field_is_written_and_only_an_unknown_kind_is_rejected() -> None:
    part = mapped(
        STANDARD,
        activity(1, "oppsokende_samtale", minutes=10, participants=1),
        activity(2, "samtalegruppe", minutes=45, participants=3, mentor_name="  Åse Lie ", place=" Bodø "),
        activity(3, "aktivitetsgruppe", participants=13, new_participants=4, place="København", in_norway=False),
        activity(4, "likepersonskurs", minutes=90, attachments=2, is_proxy=True),
        activity(5, "telefonsamtale", minutes=20, participants=1, in_person=False, place=""),
        activity(6, "digital_samtale", participants=1, in_person=False, place=" "),
        activity(7, "besok", participants=1, new_participants=0, place=""),
        activity(8, "annet", participants=40, note="Stand på torget"),
        activity(9, "annet", note=" "),
        activity(10, "motorsykkeltur"),
        activity(11, mentor_name="", minutes=25 * 60),
    )
    assert cells(part.report_rows) == {
        "Dato": [MONDAY] * 10,
        "Starttid": [time(17)] * 10,
        "Varighet (minutter)": [10, 45, 60, 90, 20, 60, 60, 60, 60, 1500],
        "Aktivitetstype": [
            *("Oppsøkende samtale", "Samtalegruppe", "Aktivitetsgruppe", "Likepersonskurs"),
            *("Telefonsamtale", "Digital samtale", "Besøk", "Annet", "Annet", "Samtalegruppe"),
        ],
        "Likeperson": [
            *("Likeperson 1", "Åse Lie", "Likeperson 3", "Likeperson 4"),
            *("Likeperson 5", "Likeperson 6", "Likeperson 7", "Likeperson 8", "Likeperson 9", ""),
        ],
        "Sted": ["Bodø", " Bodø ", "København", "Bodø", "", " ", "", "Bodø", "Bodø", "Bodø"],
        "Deltakere": [1, 3, 13, 4, 1, 1, 1, 40, 4, 4],
        "Nye deltakere": [1, 1, 4, 1, 1, 1, 0, 1, 1, 1],
        "Fysisk møte": ["Ja", "Ja", "Ja", "Ja", "Nei", "Nei", "Ja", "Ja", "Ja", "Ja"],
        "I Norge": ["Ja", "Ja", "Nei", "Ja", "Ja", "Ja", "Ja", "Ja", "Ja", "Ja"],
        "Tellende": ["Ja", "Ja", "Nei", "Ja", "Nei", "Nei", "Nei", "Nei", "Nei", "Ja"],
        "Teller ikke fordi": [None, None, ABROAD, None, NEVER, NEVER, NEVER, NEVER, NEVER, None],
        "Merknad": [None, None, None, None, None, None, None, "Stand på torget", " ", None],
        "Aktivitets-ID": ids(1, 2, 3, 4, 5, 6, 7, 8, 9, 11),
    }
    too_long = "Aktiviteten varer lenger enn ett døgn; registrer én for hver dag."
    assert faults(part) == [
        ("unknown_choice", "activity_type", True, UNKNOWN_KIND, [9]),
        ("required", "mentor", False, "«Likeperson» mangler.", [10]),
        ("several_days", "minutes", False, too_long, [10]),
    ]
    assert (part.rejected, part.countable, part.excluded_rows.height) == (1, 4, 0)


HEADERS: dict[Locale, list[str]] = {
    "nb": [
        *("Dato", "Starttid", "Varighet (minutter)", "Aktivitetstype", "Likeperson", "Sted", "Deltakere"),
        *("Nye deltakere", "Fysisk møte", "I Norge", "Tellende", "Teller ikke fordi", "Merknad", "Aktivitets-ID"),
    ],
    "nn": [
        *("Dato", "Starttid", "Varigheit (minutt)", "Aktivitetstype", "Likeperson", "Stad", "Deltakarar"),
        *("Nye deltakarar", "Fysisk møte", "I Noreg", "Teljande", "Tel ikkje fordi", "Merknad", "Aktivitets-ID"),
    ],
    "en": [
        *("Date", "Start time", "Duration (minutes)", "Activity type", "Peer mentor", "Place", "Participants"),
        *("New participants", "In person", "In Norway", "Countable", "Does not count because", "Note", "Activity ID"),
    ],
}
WORDS: dict[Locale, tuple[object, ...]] = {
    "nb": ("Oppsøkende samtale", "Likeperson 1", "Bodø", 1, 1, "Nei", "Ja", "Nei", "Ikke et fysisk møte", None),
    "nn": ("Oppsøkjande samtale", "Likeperson 1", "Bodø", 1, 1, "Nei", "Ja", "Nei", "Ikkje eit fysisk møte", None),
    "en": ("Outreach conversation", "Likeperson 1", "Bodø", 1, 1, "No", "Yes", "No", "Not met in person", None),
}


@pytest.mark.parametrize("locale", ["nb", "nn", "en"])
def test_the_report_is_in_the_language_that_was_asked_for(locale: Locale) -> None:
    talk = activity(1, "oppsokende_samtale", participants=1, in_person=False)
    written = mapped(STANDARD, talk, locale=locale).report_rows
    assert written.columns == HEADERS[locale]
    assert written.rows() == [(MONDAY, time(17), 60, *WORDS[locale], activity_id(1))]


REASONS: dict[Locale, list[str]] = {
    "nb": [
        "Ingen deltakere",
        "Likepersonen har allerede en tellende aktivitet denne dagen, og ingen deltaker er ny",
    ],
    "nn": [
        "Ingen deltakarar",
        "Likepersonen har allereie ein teljande aktivitet denne dagen, og ingen deltakar er ny",
    ],
    "en": ["No participants", "The mentor has a countable activity that day already, and no participant is new"],
}


@pytest.mark.parametrize(("locale", "told"), REASONS.items())
@pytest.mark.parametrize("organisation", DOCUMENTS)
def test_everybody_tells_in_the_same_words_that_nobody_came_and_that_nobody_was_new(
    organisation: str, locale: Locale, told: list[str]
) -> None:
    said: dict[str, Any] = {"mentor": "Åse Lie", "new_participants": 0}
    day = [activity(number, starts=f"2026-03-02T1{number}:00+01:00", **said) for number in (1, 2)]
    empty = activity(3, starts="2026-03-02T13:00+01:00", participants=0, new_participants=0)
    found = reasons(outcome(DOCUMENTS[organisation], [*day, empty], locale=locale))
    assert found == [("nobody_came", told[0], 1), ("nobody_new_that_day", told[1], 1)]


KINDS: dict[Locale, list[str]] = {
    "nn": [
        *("Oppsøkjande samtale", "Samtalegruppe", "Aktivitetsgruppe", "Likepersonskurs"),
        *("Telefonsamtale", "Digital samtale", "Besøk", "Anna"),
    ],
    "en": [
        *("Outreach conversation", "Conversation group", "Activity group", "Peer mentor course"),
        *("Telephone conversation", "Digital conversation", "Visit", "Other"),
    ],
}
OTHER_REASONS: dict[Locale, dict[str, str]] = {
    "nn": {
        "kind_never_counts": "Aktivitetstypen tel ikkje",
        "abroad": "Halde utanfor Noreg",
        "not_in_person": "Ikkje eit fysisk møte",
        "too_few_participants": "Færre enn 3 deltakarar",
        "group_too_short": "Gruppe kortare enn 45 minutt",
        "too_few_on_course": "Kurs med færre enn 5 deltakarar",
        "course_too_short": "Kursdag kortare enn 2 × 45 minutt",  # noqa: RUF001 - as people write it
    },
    "en": {
        "kind_never_counts": "This kind of activity does not count",
        "abroad": "Held outside Norway",
        "not_in_person": "Not met in person",
        "too_few_participants": "Fewer than 3 participants",
        "group_too_short": "Group shorter than 45 minutes",
        "too_few_on_course": "Course with fewer than 5 participants",
        "course_too_short": "Course day shorter than 2 × 45 minutes",  # noqa: RUF001 - as people write it
    },
}


@pytest.mark.parametrize("locale", ["nn", "en"])
@pytest.mark.parametrize("organisation", DOCUMENTS)
def test_everybodys_kinds_and_reasons_have_the_same_names_in_other_languages(organisation: str, locale: Locale) -> None:
    written = DOCUMENTS[organisation]
    assert [option.label.in_locale(locale) for option in written.taxonomies["type"]] == KINDS[locale]
    told = {"nobody_came": REASONS[locale][0], "nobody_new_that_day": REASONS[locale][1]} | OTHER_REASONS[locale]
    for reason in written.counting.reasons:
        assert reason.label.in_locale(locale) == told[reason.code]


TOO_LONG: dict[Locale, str] = {
    "nn": "Aktiviteten varer lenger enn eitt døgn; registrer éin for kvar dag.",
    "en": "The activity lasts longer than a day; register one for each day.",
}


@pytest.mark.parametrize(("locale", "message"), TOO_LONG.items())
def test_what_lasts_longer_than_a_day_is_pointed_out_in_every_language(locale: Locale, message: str) -> None:
    part = mapped(STANDARD, activity(1, minutes=24 * 60), activity(2, minutes=24 * 60 + 1), locale=locale)
    assert faults(part) == [("several_days", "minutes", False, message, [1])]


def test_columns_have_their_types() -> None:
    whole, text = pl.Int64(), pl.String()
    types = [pl.Date(), pl.Time(), whole, text, text, text, whole, whole, text, text, text, text, text, text]
    assert mapped(STANDARD, activity(1)).report_rows.dtypes == types


def test_the_counts_and_the_failures_are_those_of_all_parts() -> None:
    result = outcome(
        STANDARD,
        [activity(1), activity(2, "motorsykkeltur"), activity(3, participants=2)],
        [
            activity(4, "besok", "2026-03-03T09:00+01:00"),
            activity(5, participants=2, starts="2026-03-03T10:00+01:00"),
            activity(6, "sykkeltur", "2026-03-03T11:00+01:00"),
            activity(7, "samtalegruppe", "2026-03-03T11:00+01:00", mentor="Åse Lie"),
            activity(8, "samtalegruppe", "2026-03-03T12:00+01:00", minutes=44),
            activity(9, "likepersonskurs", "2026-03-03T12:00+01:00", minutes=89),
            activity(10, "likepersonskurs", "2026-03-03T12:00+01:00", in_norway=False),
            activity(11, "samtalegruppe", "2026-03-03T13:00+01:00", mentor="Åse Lie", new_participants=0),
            activity(12, "samtalegruppe", "2026-03-03T14:00+01:00", participants=0, new_participants=0),
        ],
    )
    assert result.counts == ExportCounts(queried=12, written=10, countable=2, not_countable=8, rejected=2)
    assert (result.excluded_count, totals(result)) == (0, [])
    assert reasons(result) == [
        ("kind_never_counts", NEVER, 1),
        ("abroad", ABROAD, 1),
        ("nobody_came", "Ingen deltakere", 1),
        ("too_few_participants", "Færre enn 3 deltakere", 2),
        ("group_too_short", "Gruppe kortere enn 45 minutter", 1),
        ("course_too_short", "Kursdag kortere enn 2 × 45 minutter", 1),  # noqa: RUF001 - as people write it
        ("nobody_new_that_day", REASONS["nb"][1], 1),
    ]
    assert failures(result) == [failure("unknown_choice", "activity_type", UNKNOWN_KIND, [1, 5], [2, 6], rejects=True)]


@pytest.mark.parametrize("organisation", SINCE_2020)
@pytest.mark.parametrize(
    ("said", "counts"),
    [
        ({"participants": 3, "minutes": 45}, True),
        ({"activity_type": "aktivitetsgruppe", "participants": 3, "minutes": 45}, True),
        ({"participants": 2}, False),
        ({"participants": 0, "new_participants": 0}, False),
        ({"minutes": 44}, False),
        ({"in_norway": False}, False),
        ({"activity_type": "likepersonskurs", "minutes": 90, "participants": 2}, True),
        ({"activity_type": "likepersonskurs", "minutes": 89}, False),
        ({"activity_type": "oppsokende_samtale", "participants": 1}, True),
        ({"activity_type": "oppsokende_samtale", "participants": 0, "new_participants": 0}, False),
        ({"activity_type": "oppsokende_samtale", "participants": 1, "in_person": False}, False),
        ({"activity_type": "besok", "minutes": 120}, False),
    ],
)
def test_under_everybodys_rules_only_what_counts_takes_the_day(
    organisation: str, said: dict[str, Any], *, counts: bool
) -> None:
    first = activity(1, starts="2026-03-02T09:00+01:00", mentor="Åse Lie", **said)
    second = activity(2, starts="2026-03-02T18:00+01:00", mentor="Åse Lie", new_participants=0)
    part = mapped(SINCE_2020[organisation], first, second)
    assert (part.countable, part.not_countable["nobody_new_that_day"]) == (1, int(counts))


@pytest.mark.parametrize("organisation", DOCUMENTS)
@pytest.mark.parametrize(
    "activity_type", ["oppsokende_samtale", "samtalegruppe", "aktivitetsgruppe", "likepersonskurs"]
)
def test_under_nobodys_rules_what_nobody_came_to_counts(organisation: str, activity_type: str) -> None:
    nobody = activity(1, activity_type, minutes=90, participants=0, new_participants=0)
    part = mapped(DOCUMENTS[organisation], nobody)
    rejected = int(activity_type == "likepersonskurs" and organisation.startswith("nhf"))
    assert (part.countable, part.rejected, part.not_countable["nobody_came"]) == (0, rejected, 1 - rejected)
