"""NHF's report: held against the regulation and the document's own words, cell by cell."""

from datetime import date, time
from typing import Any

import polars as pl
import pytest

from stafett.column_mapper import MappingDocument
from stafett.domain.export import ExportCounts, Locale
from tests.mapping.activities import (
    activity,
    cells,
    decimals,
    failure,
    failures,
    faults,
    likepersoner,
    mapped,
    outcome,
    reasons,
    rows_by_reason,
    totals,
)
from tests.mapping.nhf_tables import (
    ABROAD,
    ALONE,
    APART,
    BEFORE_2020,
    BORDERLINES,
    EMPTY_COURSE,
    GROUP,
    IN_ANY_YEAR,
    IN_ENGLISH,
    IN_ITS_LANGUAGE,
    IN_NYNORSK,
    MANY,
    MONDAY,
    NEVER,
    NHF,
    NO_NOTE,
    NOBODY,
    NOBODY_NEW,
    NONE,
    ONE,
    OTHER,
    OTHERS,
    SHORT_COURSE,
    SHORT_GROUP,
    SIZES,
    SOME,
    TOO_FEW,
    TOO_FEW_ON_COURSE,
    TRAINING,
    TUESDAY,
    TWO,
    UNKNOWN_KIND,
    usual,
)

BOTH = pytest.mark.parametrize("rules", [NHF, BEFORE_2020], ids=["since 2020", "before 2020"])


@BOTH
def test_every_kind_has_its_category_and_four_of_them_count(rules: MappingDocument) -> None:
    part = mapped(
        rules,
        activity(1, "oppsokende_samtale", minutes=10, participants=1),
        activity(2, "samtalegruppe", minutes=45, participants=3),
        activity(3, "aktivitetsgruppe", minutes=200, participants=13, new_participants=4),
        activity(4, "likepersonskurs", minutes=90, participants=12, attachments=2, is_proxy=True),
        activity(5, "telefonsamtale", minutes=20, participants=1, in_person=False, place=""),
        activity(6, "digital_samtale", minutes=50, participants=1, in_person=False, place=""),
        activity(7, "besok", participants=1, new_participants=0),
        activity(8, "annet", participants=40, note="Stand på torget"),
    )
    assert cells(part.report_rows) == usual(1, 2, 3, 4, 5, 6, 7, 8) | {
        "Kategori": [ALONE, GROUP, GROUP, TRAINING, ALONE, ALONE, ALONE, OTHER],
        "Aktivitetstype": [
            *("Oppsøkende samtale", "Samtalegruppe", "Aktivitetsgruppe", "Likepersonskurs"),
            *("Telefonsamtale", "Digital samtale", "Besøk", "Annet"),
        ],
        "Varighet (minutter)": [10, 45, 200, 90, 20, 50, 60, 60],
        "Timer": decimals("0.17", "0.75", "3.33", "1.50", "0.33", "0.83", "1.00", "1.00"),
        "Sted": ["Bodø", "Bodø", "Bodø", "Bodø", "", "", "Bodø", "Bodø"],
        "Deltakere": [1, 3, 13, 12, 1, 1, 1, 40],
        "Nye deltakere": [1, 1, 4, 1, 1, 1, 0, 1],
        "Gruppestørrelse": [ONE, SOME, MANY, SOME, ONE, ONE, ONE, MANY],
        "Fysisk møte": ["Ja", "Ja", "Ja", "Ja", "Nei", "Nei", "Ja", "Ja"],
        "Registrert av koordinator": ["Nei", "Nei", "Nei", "Ja", "Nei", "Nei", "Nei", "Nei"],
        "Vedlegg": [0, 0, 0, 2, 0, 0, 0, 0],
        "Tellende": ["Ja", "Ja", "Ja", "Ja", "Nei", "Nei", "Nei", "Nei"],
        "Teller ikke fordi": [None, None, None, None, NEVER, NEVER, NEVER, NEVER],
        "Merknad": [None, None, None, None, None, None, None, "Stand på torget"],
    }
    assert (faults(part), part.rejected, part.countable) == ([], 0, 4)
    assert rows_by_reason(part) == {"kind_never_counts": 4}
    assert part.excluded_rows.is_empty()


def test_since_2020_three_make_a_group_and_one_a_course() -> None:
    part = mapped(NHF, *BORDERLINES)
    assert cells(part.report_rows) == IN_ANY_YEAR | {
        "Tellende": ["Nei", "Ja", "Nei", "Ja", "Nei", "Ja", "Nei", "Ja", "Nei", "Ja", "Nei", "Nei", "Ja", "Nei"],
        "Teller ikke fordi": [
            *(TOO_FEW, None, TOO_FEW, None, SHORT_GROUP, None),
            *(SHORT_COURSE, None, SHORT_COURSE, None),
            *(NOBODY, NOBODY, None, NEVER),
        ],
    }
    assert (faults(part), part.countable) == ([], 6)
    assert part.not_countable == {
        "kind_never_counts": 1,
        "abroad": 0,
        "not_in_person": 0,
        "nobody_came": 2,
        "too_few_participants": 2,
        "group_too_short": 1,
        "course_too_short": 2,
        "nobody_new_that_day": 0,
    }


def test_before_2020_it_took_five_to_make_a_course() -> None:
    part = mapped(BEFORE_2020, *BORDERLINES)
    assert cells(part.report_rows) == IN_ANY_YEAR | {
        "Tellende": ["Nei", "Ja", "Nei", "Ja", "Nei", "Ja", "Nei", "Nei", "Nei", "Ja", "Nei", "Nei", "Ja", "Nei"],
        "Teller ikke fordi": [
            *(TOO_FEW, None, TOO_FEW, None, SHORT_GROUP, None),
            *(TOO_FEW_ON_COURSE, TOO_FEW_ON_COURSE, SHORT_COURSE, None),
            *(NOBODY, NOBODY, None, NEVER),
        ],
    }
    assert (faults(part), part.countable) == ([], 5)
    assert part.not_countable == {
        "kind_never_counts": 1,
        "abroad": 0,
        "not_in_person": 0,
        "nobody_came": 2,
        "too_few_participants": 2,
        "group_too_short": 1,
        "too_few_on_course": 2,
        "course_too_short": 1,
        "nobody_new_that_day": 0,
    }


@pytest.mark.parametrize(
    ("said", "counts"),
    [
        ({"participants": 3, "minutes": 45}, True),
        ({"participants": 2}, False),
        ({"participants": 0, "new_participants": 0}, False),
        ({"participants": 3, "minutes": 44}, False),
        ({"activity_type": "likepersonskurs", "participants": 5, "minutes": 90}, True),
        ({"activity_type": "likepersonskurs", "participants": 4, "minutes": 90}, False),
        ({"activity_type": "likepersonskurs", "participants": 5, "minutes": 89}, False),
        ({"activity_type": "oppsokende_samtale", "participants": 1}, True),
        ({"activity_type": "oppsokende_samtale", "participants": 0, "new_participants": 0}, False),
        ({"activity_type": "oppsokende_samtale", "participants": 1, "in_person": False}, False),
        ({"activity_type": "aktivitetsgruppe", "in_norway": False}, False),
    ],
)
def test_before_2020_too_only_what_counts_takes_the_day(said: dict[str, Any], *, counts: bool) -> None:
    first = activity(1, starts="2026-03-02T09:00+01:00", mentor="Åse Lie", **said)
    second = activity(2, starts="2026-03-02T18:00+01:00", mentor="Åse Lie", new_participants=0)
    part = mapped(BEFORE_2020, first, second)
    assert (part.countable, part.not_countable["nobody_new_that_day"]) == (1, int(counts))


@BOTH
def test_a_conversation_is_in_person_everything_is_in_norway_and_the_first_reason_is_given(
    rules: MappingDocument,
) -> None:
    part = mapped(
        rules,
        activity(1, "samtalegruppe", in_norway=False, place="København"),
        activity(2, "likepersonskurs", in_norway=False, place="København", minutes=30),
        activity(3, "telefonsamtale", in_norway=False, in_person=False, place="", participants=1),
        activity(4, "oppsokende_samtale", in_person=False, place="", participants=0, new_participants=0),
        activity(5, "oppsokende_samtale", in_norway=False, in_person=False, place="Teams", participants=1),
        activity(6, "samtalegruppe", in_person=False, place="Teams"),
        activity(7, "aktivitetsgruppe", participants=2, minutes=30),
    )
    assert cells(part.report_rows) == usual(1, 2, 3, 4, 5, 6, 7) | {
        "Kategori": [GROUP, TRAINING, ALONE, ALONE, ALONE, GROUP, GROUP],
        "Aktivitetstype": [
            *("Samtalegruppe", "Likepersonskurs", "Telefonsamtale", "Oppsøkende samtale", "Oppsøkende samtale"),
            *("Samtalegruppe", "Aktivitetsgruppe"),
        ],
        "Varighet (minutter)": [60, 30, 60, 60, 60, 60, 30],
        "Timer": decimals("1.00", "0.50", "1.00", "1.00", "1.00", "1.00", "0.50"),
        "Sted": ["København", "København", "", "", "Teams", "Teams", "Bodø"],
        "Deltakere": [4, 4, 1, 0, 1, 4, 2],
        "Nye deltakere": [1, 1, 1, 0, 1, 1, 1],
        "Gruppestørrelse": [SOME, SOME, ONE, NONE, ONE, SOME, TWO],
        "Fysisk møte": ["Ja", "Ja", "Nei", "Nei", "Nei", "Nei", "Ja"],
        "I Norge": ["Nei", "Nei", "Nei", "Ja", "Nei", "Ja", "Ja"],
        "Tellende": ["Nei", "Nei", "Nei", "Nei", "Nei", "Ja", "Nei"],
        "Teller ikke fordi": [ABROAD, ABROAD, NEVER, APART, ABROAD, None, TOO_FEW],
    }
    assert (faults(part), part.countable) == ([], 1)
    assert rows_by_reason(part) == {
        "kind_never_counts": 1,
        "abroad": 3,
        "not_in_person": 1,
        "too_few_participants": 1,
    }


@BOTH
def test_after_a_mentors_first_countable_activity_the_days_others_need_somebody_new(rules: MappingDocument) -> None:
    said: dict[str, Any] = {"mentor": "Åse Lie", "new_participants": 0}
    part = mapped(
        rules,
        activity(1, "telefonsamtale", "2026-03-02T08:00+01:00", mentor="Åse Lie", in_person=False, participants=1),
        activity(2, "oppsokende_samtale", "2026-03-02T09:00+01:00", **said, participants=1),
        activity(3, "samtalegruppe", "2026-03-02T11:00+01:00", **said),
        activity(4, "samtalegruppe", "2026-03-02T13:00+01:00", mentor="Åse Lie"),
        activity(5, "samtalegruppe", "2026-03-02T13:00+01:00", mentor="Kari Moe", new_participants=0),
        activity(6, "besok", "2026-03-02T15:00+01:00", **said, participants=1),
        activity(7, "oppsokende_samtale", "2026-03-02T17:00+01:00", **said, participants=1),
        activity(8, "samtalegruppe", "2026-03-03T09:00+01:00", **said),
    )
    assert cells(part.report_rows) == usual(1, 2, 3, 4, 5, 6, 7, 8) | {
        "Dato": [MONDAY] * 7 + [TUESDAY],
        "Kategori": [ALONE, ALONE, GROUP, GROUP, GROUP, ALONE, ALONE, GROUP],
        "Aktivitetstype": [
            *("Telefonsamtale", "Oppsøkende samtale", "Samtalegruppe", "Samtalegruppe", "Samtalegruppe"),
            *("Besøk", "Oppsøkende samtale", "Samtalegruppe"),
        ],
        "Starttid": [time(8), time(9), time(11), time(13), time(13), time(15), time(17), time(9)],
        "Likeperson": ["Åse Lie"] * 4 + ["Kari Moe"] + ["Åse Lie"] * 3,
        "Deltakere": [1, 1, 4, 4, 4, 1, 1, 4],
        "Nye deltakere": [1, 0, 0, 1, 0, 0, 0, 0],
        "Gruppestørrelse": [ONE, ONE, SOME, SOME, SOME, ONE, ONE, SOME],
        "Fysisk møte": ["Nei", "Ja", "Ja", "Ja", "Ja", "Ja", "Ja", "Ja"],
        "Tellende": ["Nei", "Ja", "Nei", "Ja", "Ja", "Nei", "Nei", "Ja"],
        "Teller ikke fordi": [NEVER, None, NOBODY_NEW, None, None, NEVER, NOBODY_NEW, None],
    }
    assert (faults(part), part.countable) == ([], 4)
    assert rows_by_reason(part) == {"kind_never_counts": 2, "nobody_new_that_day": 2}


@BOTH
def test_the_days_of_a_report_are_those_of_oslo_also_when_the_clock_changes(rules: MappingDocument) -> None:
    said: dict[str, Any] = {"mentor": "Åse Lie", "new_participants": 0}
    part = mapped(
        rules,
        activity(1, starts="2026-03-01T23:30+01:00", **said, minutes=45),
        activity(2, starts="2026-03-02T00:30+01:00", **said, note="i går i UTC"),
        activity(3, starts="2026-03-02T18:00+01:00", **said),
        activity(4, starts="2026-03-29T01:30+01:00", **said, note="til 03:30 på en time"),
        activity(5, starts="2026-03-29T23:45+02:00", **said),
        activity(6, starts="2026-06-30T23:30+02:00", **said, minutes=45),
        activity(7, starts="2026-07-01T00:15+02:00", **said, note="i går i UTC"),
        activity(8, starts="2026-10-25T02:30+02:00", **said, note="før klokken stilles"),
        activity(9, starts="2026-10-25T02:30+01:00", **said, note="etter at den er stilt"),
        activity(10, starts="2026-10-25T23:45+01:00", **said, minutes=60),
        activity(11, starts="2026-10-26T00:45+01:00", **said),
    )
    assert cells(part.report_rows) == usual(1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11) | {
        "Dato": [
            *(date(2026, 3, 1), MONDAY, MONDAY, date(2026, 3, 29), date(2026, 3, 29)),
            *(date(2026, 6, 30), date(2026, 7, 1)),
            *(date(2026, 10, 25), date(2026, 10, 25), date(2026, 10, 25), date(2026, 10, 26)),
        ],
        "Starttid": [
            *(time(23, 30), time(0, 30), time(18), time(1, 30), time(23, 45), time(23, 30), time(0, 15)),
            *(time(2, 30), time(2, 30), time(23, 45), time(0, 45)),
        ],
        "Varighet (minutter)": [45, 60, 60, 60, 60, 45, 60, 60, 60, 60, 60],
        "Timer": decimals("0.75", "1", "1", "1", "1", "0.75", "1", "1", "1", "1", "1"),
        "Likeperson": ["Åse Lie"] * 11,
        "Nye deltakere": [0] * 11,
        "Tellende": ["Ja", "Ja", "Nei", "Ja", "Nei", "Ja", "Ja", "Ja", "Nei", "Nei", "Ja"],
        "Teller ikke fordi": [
            *(None, None, NOBODY_NEW, None, NOBODY_NEW, None, None),
            *(None, NOBODY_NEW, NOBODY_NEW, None),
        ],
        "Merknad": [
            *(None, "i går i UTC", None, "til 03:30 på en time", None, None, "i går i UTC"),
            *("før klokken stilles", "etter at den er stilt", None, None),
        ],
    }
    assert (faults(part), part.countable) == ([], 7)


@BOTH
def test_what_is_rejected_takes_nothing_from_the_mentors_day(rules: MappingDocument) -> None:
    said: dict[str, Any] = {"mentor": "Åse Lie", "new_participants": 0}
    part = mapped(
        rules,
        activity(1, "likepersonskurs", "2026-03-02T09:00+01:00", **said, participants=0, minutes=90),
        activity(2, "samtalegruppe", "2026-03-02T12:00+01:00", **said),
        activity(3, "samtalegruppe", "2026-03-02T14:00+01:00", **said),
        activity(4, "motorsykkeltur", "2026-03-02T15:00+01:00"),
        activity(5, "aktivitetsgruppe", "2026-03-03T08:00+01:00", minutes=25 * 60, note="hyttetur"),
        activity(6, "aktivitetsgruppe", "2026-03-03T08:00+01:00", minutes=24 * 60, note="døgnvandring"),
        activity(7, "annet", "2026-03-03T08:00+01:00", minutes=24 * 60 + 1),
        activity(8, "samtalegruppe", "2026-03-03T18:00+01:00", mentor_name="  "),
    )
    assert cells(part.report_rows) == usual(2, 3, 6) | {
        "Dato": [MONDAY, MONDAY, TUESDAY],
        "Aktivitetstype": ["Samtalegruppe", "Samtalegruppe", "Aktivitetsgruppe"],
        "Starttid": [time(12), time(14), time(8)],
        "Varighet (minutter)": [60, 60, 1440],
        "Timer": decimals("1.00", "1.00", "24.00"),
        "Likeperson": ["Åse Lie", "Åse Lie", "Likeperson 6"],
        "Nye deltakere": [0, 0, 1],
        "Tellende": ["Ja", "Nei", "Ja"],
        "Teller ikke fordi": [None, NOBODY_NEW, None],
        "Merknad": [None, None, "døgnvandring"],
    }
    too_long = "En aktivitet kan ikke vare lenger enn ett døgn; registrer én for hver dag."
    assert faults(part) == [
        ("unknown_choice", "activity_type", True, UNKNOWN_KIND, [3]),
        ("required", "mentor", True, "«Likeperson» mangler.", [7]),
        ("course_without_participants", "participants", True, EMPTY_COURSE, [0]),
        ("longer_than_a_day", "minutes", True, too_long, [4, 6]),
        ("other_without_a_note", "note", False, NO_NOTE, [6]),
    ]
    assert (part.rejected, part.countable) == (5, 2)


@BOTH
def test_what_is_only_odd_is_written_with_a_warning(rules: MappingDocument) -> None:
    part = mapped(
        rules,
        activity(1, mentor_name="  Åse Lie ", place=" Bodø  ", note=" Hele laget "),
        activity(2, place=""),
        activity(3, place=" \t "),
        activity(4, "annet"),
        activity(5, "annet", note=" \n"),
        activity(6, "annet", note="Stand på torget"),
        activity(7, "oppsokende_samtale", participants=2, note="et par"),
        activity(8, "oppsokende_samtale", participants=3),
    )
    assert cells(part.report_rows) == usual(1, 2, 3, 4, 5, 6, 7, 8) | {
        "Kategori": [GROUP, GROUP, GROUP, OTHER, OTHER, OTHER, ALONE, ALONE],
        "Aktivitetstype": [*["Samtalegruppe"] * 3, *["Annet"] * 3, *["Oppsøkende samtale"] * 2],
        "Likeperson": ["Åse Lie", *likepersoner(2, 3, 4, 5, 6, 7, 8)],
        "Sted": ["Bodø", "", "", "Bodø", "Bodø", "Bodø", "Bodø", "Bodø"],
        "Deltakere": [4, 4, 4, 4, 4, 4, 2, 3],
        "Gruppestørrelse": [SOME] * 6 + [TWO, SOME],
        "Tellende": ["Ja", "Ja", "Ja", "Nei", "Nei", "Nei", "Ja", "Ja"],
        "Teller ikke fordi": [None, None, None, NEVER, NEVER, NEVER, None, None],
        "Merknad": [" Hele laget ", None, None, None, " \n", "Stand på torget", "et par", None],
    }
    a_group = "En oppsøkende samtale er ikke en gruppe; det er ført tre eller flere deltakere."
    assert faults(part) == [
        ("required", "place", False, "«Sted» mangler.", [1, 2]),
        ("more_than_one_to_one", "participants", False, a_group, [7]),
        ("other_without_a_note", "note", False, NO_NOTE, [3, 4]),
    ]
    assert (part.rejected, part.countable) == (0, 5)


@pytest.mark.parametrize(("held", "warned"), [(6, []), (7, [0, 1, 2, 3, 4, 5, 6])])
@BOTH
def test_more_than_six_activities_in_a_day_are_pointed_out(
    held: int, warned: list[int], rules: MappingDocument
) -> None:
    of_one_mentor = [
        activity(number, starts=f"2026-03-02T{8 + number:02}:00+01:00", mentor="Åse Lie") for number in range(held)
    ]
    part = mapped(rules, *of_one_mentor, activity(8, starts="2026-03-02T20:00+01:00", mentor="Kari Moe"))
    message = "Likepersonen har mer enn seks aktiviteter denne dagen."
    assert faults(part) == ([("many_in_one_day", "mentor", False, message, warned)] if warned else [])
    assert part.countable == held + 1


@BOTH
@pytest.mark.parametrize("locale", ["nb", "nn", "en"])
def test_a_size_says_how_many_came_and_nothing_of_what_it_takes(rules: MappingDocument, locale: Locale) -> None:
    came = [activity(many, "annet", participants=many, new_participants=0) for many in (0, 1, 2, 3, 12, 13)]
    written = mapped(rules, *came, locale=locale).report_rows
    assert written[:, 10].to_list() == SIZES[locale]
    assert written[:, 1].to_list() == [OTHERS[locale]] * 6


def test_columns_stand_in_the_templates_order_with_their_types() -> None:
    types = {
        "Dato": pl.Date(),
        "Starttid": pl.Time(),
        "Varighet (minutter)": pl.Int64(),
        "Timer": pl.Decimal(38, 2),
        "Deltakere": pl.Int64(),
        "Nye deltakere": pl.Int64(),
        "Vedlegg": pl.Int64(),
    }
    assert mapped(NHF, activity(1)).report_rows.schema == pl.Schema(
        {name: types.get(name, pl.String()) for name in usual()}
    )


@pytest.mark.parametrize(("locale", "row"), [("nn", IN_NYNORSK), ("en", IN_ENGLISH)])
def test_the_report_is_in_the_language_that_was_asked_for(locale: Locale, row: dict[str, object]) -> None:
    part = mapped(NHF, activity(1, "likepersonskurs", in_norway=False), locale=locale)
    assert part.report_rows.columns == list(row)
    assert part.report_rows.to_dicts() == [row]


@pytest.mark.parametrize(("locale", "replies"), IN_ITS_LANGUAGE.items())
def test_faults_are_told_in_the_language_that_was_asked_for(locale: Locale, replies: list[str]) -> None:
    part = mapped(
        NHF,
        activity(1, "motorsykkeltur"),
        activity(2, "annet", place=""),
        activity(3, "likepersonskurs", participants=0, new_participants=0),
        activity(4, "oppsokende_samtale", participants=3),
        locale=locale,
    )
    assert [fault.message for fault in part.failed_checks] == replies


def test_the_summary_and_the_failures_are_those_of_all_parts() -> None:
    result = outcome(
        NHF,
        [
            activity(1, "oppsokende_samtale", participants=1, minutes=30),
            activity(2, "besok", participants=2),
            activity(3, "samtalegruppe", participants=2, new_participants=0),
            activity(4, "likepersonskurs", participants=0, new_participants=0, minutes=90),
            activity(5, "annet", participants=10),
        ],
        [
            activity(6, "motorsykkeltur", "2026-03-03T09:00+01:00"),
            activity(7, "likepersonskurs", "2026-03-03T09:00+01:00", mentor="Åse Lie", participants=6, minutes=180),
            activity(8, "likepersonskurs", "2026-03-03T10:00+01:00", participants=0, new_participants=0),
            activity(9, "annet", "2026-03-03T10:00+01:00", participants=3, note=" "),
            activity(10, "samtalegruppe", "2026-03-03T10:00+01:00", participants=3, minutes=44),
            activity(11, "aktivitetsgruppe", "2026-03-03T10:00+01:00", participants=5, in_norway=False),
            activity(12, "oppsokende_samtale", "2026-03-03T10:00+01:00", participants=1, minutes=30, in_person=False),
            activity(13, "likepersonskurs", "2026-03-03T10:00+01:00", participants=4, minutes=89),
            activity(14, "samtalegruppe", "2026-03-03T18:00+01:00", mentor="Åse Lie", new_participants=0),
            activity(15, "samtalegruppe", "2026-03-03T19:00+01:00", participants=0, new_participants=0),
        ],
    )
    assert result.counts == ExportCounts(queried=15, written=12, countable=2, not_countable=10, rejected=3)
    assert result.excluded_count == 0
    assert reasons(result) == [
        ("kind_never_counts", NEVER, 3),
        ("abroad", ABROAD, 1),
        ("not_in_person", APART, 1),
        ("nobody_came", NOBODY, 1),
        ("too_few_participants", TOO_FEW, 1),
        ("group_too_short", SHORT_GROUP, 1),
        ("course_too_short", SHORT_COURSE, 1),
        ("nobody_new_that_day", NOBODY_NEW, 1),
    ]
    # Tellende, Teller ikke, I alt, Deltakere, Minutter
    assert totals(result) == [
        (ALONE, (1, 2, 3, 4, 120)),
        (GROUP, (0, 5, 5, 14, 284)),
        (TRAINING, (1, 1, 2, 10, 269)),
        (OTHER, (0, 2, 2, 13, 120)),
    ]
    assert failures(result) == [
        failure("unknown_choice", "activity_type", UNKNOWN_KIND, [5], [6], rejects=True),
        failure("course_without_participants", "participants", EMPTY_COURSE, [3, 7], [4, 8], rejects=True),
        failure("other_without_a_note", "note", NO_NOTE, [4, 8], [5, 9], rejects=False),
    ]


def test_a_summary_has_a_line_for_a_category_that_nobody_worked_in() -> None:
    result = outcome(NHF, [activity(1, "samtalegruppe", minutes=50)])
    assert totals(result) == [
        (ALONE, (0, 0, 0, 0, 0)),
        (GROUP, (1, 0, 1, 4, 50)),
        (TRAINING, (0, 0, 0, 0, 0)),
        (OTHER, (0, 0, 0, 0, 0)),
    ]
