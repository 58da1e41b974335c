"""The standard document that organisations start from: the regulation since 2020 without additions of their own."""

from datetime import date, time
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
    count_rows_by_reason,
    list_failed_checks,
    list_failures,
    list_reasons,
    list_totals,
    load_document,
    map_parts,
    map_rows,
)
from tests.support.mapping.rows import Row

STANDARD = load_document("standard", since="2020-01-01")
MONDAY = date(2026, 3, 2)

NEVER_COUNTS, ABROAD = "Aktivitetstypen teller ikke", "Holdt utenfor Norge"
UNKNOWN_TYPE = "«Aktivitetstype» har en verdi som ikke finnes i listen."


MAPPINGS_SINCE_2020 = {
    "standard": STANDARD,
    "nhf": load_document("nhf", since="2020-01-01"),
    "blindeforbundet": load_document("blindeforbundet", since="1900-01-01"),
    "hlf": load_document("hlf", since="2026-01-01"),
    "hlf before 2026": load_document("hlf", since="1900-01-01"),
}


ALL_MAPPINGS = MAPPINGS_SINCE_2020 | {"nhf before 2020": load_document("nhf", since="1900-01-01")}


def list_countable(*rows: Row) -> list[bool]:
    return [cell == "Ja" for cell in map_rows(STANDARD, *rows).report_rows["Tellende"]]


@pytest.mark.parametrize(
    ("fields", "counts", "reason"),
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
def test_activity_counts_as_the_regulation_requires(
    fields: dict[str, Any], *, counts: bool, reason: str | None
) -> None:
    part = map_rows(STANDARD, activity(1, **fields))
    assert part.report_rows["Tellende"].to_list() == ["Ja" if counts else "Nei"]
    assert count_rows_by_reason(part) == ({reason: 1} if reason else {})
    assert (part.countable, part.rejected, list_failed_checks(part)) == (int(counts), 0, [])


def test_second_activity_of_a_day_counts_only_with_new_participants() -> None:
    assert list_countable(
        activity(1, starts="2026-03-02T09:00+01:00", mentor="Åse Lie", new_participants=0),
        activity(2, starts="2026-03-02T11:00+01:00", mentor="Åse Lie", new_participants=0),
        activity(3, starts="2026-03-02T13:00+01:00", mentor="Åse Lie", new_participants=2),
        activity(4, starts="2026-03-02T15:00+01:00", mentor="Åse Lie", new_participants=0),
    ) == [True, False, True, False]


def test_each_day_and_each_mentor_is_counted_separately() -> None:
    assert list_countable(
        activity(1, starts="2026-03-02T09:00+01:00", mentor="Åse Lie"),
        activity(2, starts="2026-03-02T11:00+01:00", mentor="Kari Moe", new_participants=0),
        activity(3, starts="2026-03-03T09:00+01:00", mentor="Åse Lie", new_participants=0),
    ) == [True, True, True]


def test_mentors_with_the_same_name_are_counted_separately() -> None:
    assert list_countable(
        activity(1, starts="2026-03-02T09:00+01:00", mentor_name="Åse Lie"),
        activity(2, starts="2026-03-02T11:00+01:00", mentor_name="Åse Lie", new_participants=0),
    ) == [True, True]


def test_uncounted_activity_does_not_block_the_next_one() -> None:
    assert list_countable(
        activity(1, starts="2026-03-02T09:00+01:00", mentor="Åse Lie", participants=1),
        activity(2, starts="2026-03-02T11:00+01:00", mentor="Åse Lie", new_participants=0),
    ) == [False, True]


def test_days_follow_oslo_time_across_clock_changes() -> None:
    fields: dict[str, Any] = {"mentor": "Åse Lie", "new_participants": 0}
    part = map_rows(
        STANDARD,
        activity(1, starts="2026-03-01T23:30+01:00", **fields, minutes=45),
        activity(2, starts="2026-03-02T00:30+01:00", **fields),
        activity(3, starts="2026-03-02T10:00+01:00", **fields),
        activity(4, starts="2026-03-29T01:30+01:00", **fields),
        activity(5, starts="2026-03-29T03:00+02:00", **fields),
        activity(6, starts="2026-06-30T23:30+02:00", **fields, minutes=45),
        activity(7, starts="2026-07-01T00:30+02:00", **fields),
        activity(8, starts="2026-10-25T00:30+02:00", **fields, minutes=25 * 60 - 60),
        activity(9, starts="2026-10-26T00:00+01:00", **fields),
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


def test_all_fields_are_written_and_only_unknown_types_are_rejected() -> None:
    part = map_rows(
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
    assert cells_by_header(part.report_rows) == {
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
        "Teller ikke fordi": [
            None,
            None,
            ABROAD,
            None,
            NEVER_COUNTS,
            NEVER_COUNTS,
            NEVER_COUNTS,
            NEVER_COUNTS,
            NEVER_COUNTS,
            None,
        ],
        "Merknad": [None, None, None, None, None, None, None, "Stand på torget", " ", None],
        "Aktivitets-ID": activity_ids(1, 2, 3, 4, 5, 6, 7, 8, 9, 11),
    }
    too_long = "Aktiviteten varer lenger enn ett døgn; registrer én for hver dag."
    assert list_failed_checks(part) == [
        ("unknown_choice", "activity_type", True, UNKNOWN_TYPE, [9]),
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
CELLS: dict[Locale, tuple[object, ...]] = {
    "nb": ("Oppsøkende samtale", "Likeperson 1", "Bodø", 1, 1, "Nei", "Ja", "Nei", "Ikke et fysisk møte", None),
    "nn": ("Oppsøkjande samtale", "Likeperson 1", "Bodø", 1, 1, "Nei", "Ja", "Nei", "Ikkje eit fysisk møte", None),
    "en": ("Outreach conversation", "Likeperson 1", "Bodø", 1, 1, "No", "Yes", "No", "Not met in person", None),
}


@pytest.mark.parametrize("locale", ["nb", "nn", "en"])
def test_report_is_in_the_requested_language(locale: Locale) -> None:
    talk = activity(1, "oppsokende_samtale", participants=1, in_person=False)
    written = map_rows(STANDARD, talk, locale=locale).report_rows
    assert written.columns == HEADERS[locale]
    assert written.rows() == [(MONDAY, time(17), 60, *CELLS[locale], activity_id(1))]


REASON_TEXTS: dict[Locale, list[str]] = {
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


@pytest.mark.parametrize(("locale", "texts"), REASON_TEXTS.items())
@pytest.mark.parametrize("organisation", ALL_MAPPINGS)
def test_all_mappings_share_the_texts_for_no_and_no_new_participants(
    organisation: str, locale: Locale, texts: list[str]
) -> None:
    fields: dict[str, Any] = {"mentor": "Åse Lie", "new_participants": 0}
    day = [activity(number, starts=f"2026-03-02T1{number}:00+01:00", **fields) for number in (1, 2)]
    empty = activity(3, starts="2026-03-02T13:00+01:00", participants=0, new_participants=0)
    result = map_parts(ALL_MAPPINGS[organisation], [*day, empty], locale=locale)
    assert list_reasons(result) == [("nobody_came", texts[0], 1), ("nobody_new_that_day", texts[1], 1)]


TYPE_LABELS: dict[Locale, list[str]] = {
    "nn": [
        *("Oppsøkjande samtale", "Samtalegruppe", "Aktivitetsgruppe", "Likepersonskurs"),
        *("Telefonsamtale", "Digital samtale", "Besøk", "Anna"),
    ],
    "en": [
        *("Outreach conversation", "Conversation group", "Activity group", "Peer mentor course"),
        *("Telephone conversation", "Digital conversation", "Visit", "Other"),
    ],
}
OTHER_REASON_TEXTS: dict[Locale, dict[str, str]] = {
    "nn": {
        "kind_never_counts": "Aktivitetstypen tel ikkje",
        "abroad": "Halde utanfor Noreg",
        "not_in_person": "Ikkje eit fysisk møte",
        "too_few_participants": "Færre enn 3 deltakarar",
        "group_too_short": "Gruppe kortare enn 45 minutt",
        "too_few_on_course": "Kurs med færre enn 5 deltakarar",
        "course_too_short": "Kursdag kortare enn 2 × 45 minutt",  # noqa: RUF001 - correct typography
    },
    "en": {
        "kind_never_counts": "This kind of activity does not count",
        "abroad": "Held outside Norway",
        "not_in_person": "Not met in person",
        "too_few_participants": "Fewer than 3 participants",
        "group_too_short": "Group shorter than 45 minutes",
        "too_few_on_course": "Course with fewer than 5 participants",
        "course_too_short": "Course day shorter than 2 × 45 minutes",  # noqa: RUF001 - correct typography
    },
}


@pytest.mark.parametrize("locale", ["nn", "en"])
@pytest.mark.parametrize("organisation", ALL_MAPPINGS)
def test_all_mappings_share_their_translated_types_and_reasons(organisation: str, locale: Locale) -> None:
    mapping = ALL_MAPPINGS[organisation]
    assert [option.label.in_locale(locale) for option in mapping.taxonomies["type"]] == TYPE_LABELS[locale]
    texts = {
        "nobody_came": REASON_TEXTS[locale][0],
        "nobody_new_that_day": REASON_TEXTS[locale][1],
    } | OTHER_REASON_TEXTS[locale]
    for reason in mapping.counting.reasons:
        assert reason.label.in_locale(locale) == texts[reason.code]


TOO_LONG: dict[Locale, str] = {
    "nn": "Aktiviteten varer lenger enn eitt døgn; registrer éin for kvar dag.",
    "en": "The activity lasts longer than a day; register one for each day.",
}


@pytest.mark.parametrize(("locale", "message"), TOO_LONG.items())
def test_activity_longer_than_a_day_gives_a_translated_warning(locale: Locale, message: str) -> None:
    part = map_rows(STANDARD, activity(1, minutes=24 * 60), activity(2, minutes=24 * 60 + 1), locale=locale)
    assert list_failed_checks(part) == [("several_days", "minutes", False, message, [1])]


def test_columns_have_their_types() -> None:
    whole, text = pl.Int64(), pl.String()
    types = [pl.Date(), pl.Time(), whole, text, text, text, whole, whole, text, text, text, text, text, text]
    assert map_rows(STANDARD, activity(1)).report_rows.dtypes == types


def test_counts_and_failures_cover_all_parts() -> None:
    result = map_parts(
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
    assert result.counts == ExportCounts(queried=12, written=10, countable=2, not_countable=8, rejected=2, events=2)
    assert result.excluded_count == 0
    assert list_totals(result) == [
        ("Oppsøkende samtale", (0, 0, 0, 0)),
        ("Samtalegruppe", (2, 5, 7, 20)),
        ("Aktivitetsgruppe", (0, 0, 0, 0)),
        ("Likepersonskurs", (0, 2, 2, 8)),
        ("Telefonsamtale", (0, 0, 0, 0)),
        ("Digital samtale", (0, 0, 0, 0)),
        ("Besøk", (0, 1, 1, 4)),
        ("Annet", (0, 0, 0, 0)),
    ]
    assert list_reasons(result) == [
        ("kind_never_counts", NEVER_COUNTS, 1),
        ("abroad", ABROAD, 1),
        ("nobody_came", "Ingen deltakere", 1),
        ("too_few_participants", "Færre enn 3 deltakere", 2),
        ("group_too_short", "Gruppe kortere enn 45 minutter", 1),
        ("course_too_short", "Kursdag kortere enn 2 × 45 minutter", 1),  # noqa: RUF001 - correct typography
        ("nobody_new_that_day", REASON_TEXTS["nb"][1], 1),
    ]
    assert list_failures(result) == [
        build_failure("unknown_choice", "activity_type", UNKNOWN_TYPE, [1, 5], [2, 6], rejects=True)
    ]


@pytest.mark.parametrize("organisation", MAPPINGS_SINCE_2020)
@pytest.mark.parametrize(
    ("fields", "counts"),
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
def test_in_all_mappings_uncounted_activity_does_not_block_the_next(
    organisation: str, fields: dict[str, Any], *, counts: bool
) -> None:
    first = activity(1, starts="2026-03-02T09:00+01:00", mentor="Åse Lie", **fields)
    second = activity(2, starts="2026-03-02T18:00+01:00", mentor="Åse Lie", new_participants=0)
    part = map_rows(MAPPINGS_SINCE_2020[organisation], first, second)
    assert (part.countable, part.not_countable["nobody_new_that_day"]) == (1, int(counts))


@pytest.mark.parametrize("organisation", ALL_MAPPINGS)
@pytest.mark.parametrize(
    "activity_type", ["oppsokende_samtale", "samtalegruppe", "aktivitetsgruppe", "likepersonskurs"]
)
def test_in_no_mapping_an_activity_without_participants_counts(organisation: str, activity_type: str) -> None:
    without_participants = activity(1, activity_type, minutes=90, participants=0, new_participants=0)
    part = map_rows(ALL_MAPPINGS[organisation], without_participants)
    rejected = int(activity_type == "likepersonskurs" and organisation.startswith("nhf"))
    assert (part.countable, part.rejected, part.not_countable["nobody_came"]) == (0, rejected, 1 - rejected)
