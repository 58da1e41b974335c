"""NHF's report, compared cell by cell with the regulation and the texts of the mapping document."""

from datetime import date, time
from typing import Any

import polars as pl
import pytest

from stafett.column_mapper import MappingDocument
from stafett.domain.export import ExportCounts, Locale
from tests.support.mapping.activities import (
    activity,
    build_failure,
    cells_by_header,
    count_rows_by_reason,
    list_failed_checks,
    list_failures,
    list_reasons,
    list_totals,
    map_parts,
    map_rows,
    mentor_names,
    to_decimals,
)
from tests.support.mapping.nhf_tables import (
    ABROAD,
    BORDERLINE_ACTIVITIES,
    BORDERLINE_CELLS,
    EMPTY_COURSE,
    GROUP,
    INDIVIDUAL,
    MANY,
    MESSAGES_BY_LOCALE,
    MONDAY,
    NEVER_COUNTS,
    NHF,
    NHF_BEFORE_2020,
    NO_NEWCOMERS,
    NO_NOTE,
    NO_PARTICIPANTS,
    NOT_IN_PERSON,
    ONE,
    OTHER,
    OTHER_BY_LOCALE,
    ROW_IN_ENGLISH,
    ROW_IN_NYNORSK,
    SHORT_COURSE,
    SHORT_GROUP,
    SIZES_BY_LOCALE,
    SOME,
    TOO_FEW,
    TOO_FEW_ON_COURSE,
    TRAINING,
    TUESDAY,
    TWO,
    UNKNOWN_TYPE,
    ZERO,
    default_cells,
)

BOTH_VERSIONS = pytest.mark.parametrize("mapping", [NHF, NHF_BEFORE_2020], ids=["since 2020", "before 2020"])


@BOTH_VERSIONS
def test_each_activity_type_has_a_category_and_four_types_count(mapping: MappingDocument) -> None:
    part = map_rows(
        mapping,
        activity(1, "oppsokende_samtale", minutes=10, participants=1),
        activity(2, "samtalegruppe", minutes=45, participants=3),
        activity(3, "aktivitetsgruppe", minutes=200, participants=13, new_participants=4),
        activity(4, "likepersonskurs", minutes=90, participants=12, attachments=2, is_proxy=True),
        activity(5, "telefonsamtale", minutes=20, participants=1, in_person=False, place=""),
        activity(6, "digital_samtale", minutes=50, participants=1, in_person=False, place=""),
        activity(7, "besok", participants=1, new_participants=0),
        activity(8, "annet", participants=40, note="Stand på torget"),
    )
    assert cells_by_header(part.report_rows) == default_cells(1, 2, 3, 4, 5, 6, 7, 8) | {
        "Kategori": [INDIVIDUAL, GROUP, GROUP, TRAINING, INDIVIDUAL, INDIVIDUAL, INDIVIDUAL, OTHER],
        "Aktivitetstype": [
            *("Oppsøkende samtale", "Samtalegruppe", "Aktivitetsgruppe", "Likepersonskurs"),
            *("Telefonsamtale", "Digital samtale", "Besøk", "Annet"),
        ],
        "Varighet (minutter)": [10, 45, 200, 90, 20, 50, 60, 60],
        "Timer": to_decimals("0.17", "0.75", "3.33", "1.50", "0.33", "0.83", "1.00", "1.00"),
        "Sted": ["Bodø", "Bodø", "Bodø", "Bodø", "", "", "Bodø", "Bodø"],
        "Deltakere": [1, 3, 13, 12, 1, 1, 1, 40],
        "Nye deltakere": [1, 1, 4, 1, 1, 1, 0, 1],
        "Gruppestørrelse": [ONE, SOME, MANY, SOME, ONE, ONE, ONE, MANY],
        "Fysisk møte": ["Ja", "Ja", "Ja", "Ja", "Nei", "Nei", "Ja", "Ja"],
        "Registrert av koordinator": ["Nei", "Nei", "Nei", "Ja", "Nei", "Nei", "Nei", "Nei"],
        "Vedlegg": [0, 0, 0, 2, 0, 0, 0, 0],
        "Tellende": ["Ja", "Ja", "Ja", "Ja", "Nei", "Nei", "Nei", "Nei"],
        "Teller ikke fordi": [None, None, None, None, NEVER_COUNTS, NEVER_COUNTS, NEVER_COUNTS, NEVER_COUNTS],
        "Merknad": [None, None, None, None, None, None, None, "Stand på torget"],
    }
    assert (list_failed_checks(part), part.rejected, part.countable) == ([], 0, 4)
    assert count_rows_by_reason(part) == {"kind_never_counts": 4}
    assert part.excluded_rows.is_empty()


def test_since_2020_groups_need_three_participants_and_courses_one() -> None:
    part = map_rows(NHF, *BORDERLINE_ACTIVITIES)
    assert cells_by_header(part.report_rows) == BORDERLINE_CELLS | {
        "Tellende": ["Nei", "Ja", "Nei", "Ja", "Nei", "Ja", "Nei", "Ja", "Nei", "Ja", "Nei", "Nei", "Ja", "Nei"],
        "Teller ikke fordi": [
            *(TOO_FEW, None, TOO_FEW, None, SHORT_GROUP, None),
            *(SHORT_COURSE, None, SHORT_COURSE, None),
            *(NO_PARTICIPANTS, NO_PARTICIPANTS, None, NEVER_COUNTS),
        ],
    }
    assert (list_failed_checks(part), part.countable) == ([], 6)
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


def test_before_2020_courses_needed_five_participants() -> None:
    part = map_rows(NHF_BEFORE_2020, *BORDERLINE_ACTIVITIES)
    assert cells_by_header(part.report_rows) == BORDERLINE_CELLS | {
        "Tellende": ["Nei", "Ja", "Nei", "Ja", "Nei", "Ja", "Nei", "Nei", "Nei", "Ja", "Nei", "Nei", "Ja", "Nei"],
        "Teller ikke fordi": [
            *(TOO_FEW, None, TOO_FEW, None, SHORT_GROUP, None),
            *(TOO_FEW_ON_COURSE, TOO_FEW_ON_COURSE, SHORT_COURSE, None),
            *(NO_PARTICIPANTS, NO_PARTICIPANTS, None, NEVER_COUNTS),
        ],
    }
    assert (list_failed_checks(part), part.countable) == ([], 5)
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
    ("fields", "counts"),
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
def test_before_2020_uncounted_activity_does_not_block_the_next_one(fields: dict[str, Any], *, counts: bool) -> None:
    first = activity(1, starts="2026-03-02T09:00+01:00", mentor="Åse Lie", **fields)
    second = activity(2, starts="2026-03-02T18:00+01:00", mentor="Åse Lie", new_participants=0)
    part = map_rows(NHF_BEFORE_2020, first, second)
    assert (part.countable, part.not_countable["nobody_new_that_day"]) == (1, int(counts))


@BOTH_VERSIONS
def test_uncountable_activity_gets_the_first_matching_reason(
    mapping: MappingDocument,
) -> None:
    part = map_rows(
        mapping,
        activity(1, "samtalegruppe", in_norway=False, place="København"),
        activity(2, "likepersonskurs", in_norway=False, place="København", minutes=30),
        activity(3, "telefonsamtale", in_norway=False, in_person=False, place="", participants=1),
        activity(4, "oppsokende_samtale", in_person=False, place="", participants=0, new_participants=0),
        activity(5, "oppsokende_samtale", in_norway=False, in_person=False, place="Teams", participants=1),
        activity(6, "samtalegruppe", in_person=False, place="Teams"),
        activity(7, "aktivitetsgruppe", participants=2, minutes=30),
    )
    assert cells_by_header(part.report_rows) == default_cells(1, 2, 3, 4, 5, 6, 7) | {
        "Kategori": [GROUP, TRAINING, INDIVIDUAL, INDIVIDUAL, INDIVIDUAL, GROUP, GROUP],
        "Aktivitetstype": [
            *("Samtalegruppe", "Likepersonskurs", "Telefonsamtale", "Oppsøkende samtale", "Oppsøkende samtale"),
            *("Samtalegruppe", "Aktivitetsgruppe"),
        ],
        "Varighet (minutter)": [60, 30, 60, 60, 60, 60, 30],
        "Timer": to_decimals("1.00", "0.50", "1.00", "1.00", "1.00", "1.00", "0.50"),
        "Sted": ["København", "København", "", "", "Teams", "Teams", "Bodø"],
        "Deltakere": [4, 4, 1, 0, 1, 4, 2],
        "Nye deltakere": [1, 1, 1, 0, 1, 1, 1],
        "Gruppestørrelse": [SOME, SOME, ONE, ZERO, ONE, SOME, TWO],
        "Fysisk møte": ["Ja", "Ja", "Nei", "Nei", "Nei", "Nei", "Ja"],
        "I Norge": ["Nei", "Nei", "Nei", "Ja", "Nei", "Ja", "Ja"],
        "Tellende": ["Nei", "Nei", "Nei", "Nei", "Nei", "Ja", "Nei"],
        "Teller ikke fordi": [ABROAD, ABROAD, NEVER_COUNTS, NOT_IN_PERSON, ABROAD, None, TOO_FEW],
    }
    assert (list_failed_checks(part), part.countable) == ([], 1)
    assert count_rows_by_reason(part) == {
        "kind_never_counts": 1,
        "abroad": 3,
        "not_in_person": 1,
        "too_few_participants": 1,
    }


@BOTH_VERSIONS
def test_later_activities_of_a_day_count_only_with_new_participants(mapping: MappingDocument) -> None:
    fields: dict[str, Any] = {"mentor": "Åse Lie", "new_participants": 0}
    part = map_rows(
        mapping,
        activity(1, "telefonsamtale", "2026-03-02T08:00+01:00", mentor="Åse Lie", in_person=False, participants=1),
        activity(2, "oppsokende_samtale", "2026-03-02T09:00+01:00", **fields, participants=1),
        activity(3, "samtalegruppe", "2026-03-02T11:00+01:00", **fields),
        activity(4, "samtalegruppe", "2026-03-02T13:00+01:00", mentor="Åse Lie"),
        activity(5, "samtalegruppe", "2026-03-02T13:00+01:00", mentor="Kari Moe", new_participants=0),
        activity(6, "besok", "2026-03-02T15:00+01:00", **fields, participants=1),
        activity(7, "oppsokende_samtale", "2026-03-02T17:00+01:00", **fields, participants=1),
        activity(8, "samtalegruppe", "2026-03-03T09:00+01:00", **fields),
    )
    assert cells_by_header(part.report_rows) == default_cells(1, 2, 3, 4, 5, 6, 7, 8) | {
        "Dato": [MONDAY] * 7 + [TUESDAY],
        "Kategori": [INDIVIDUAL, INDIVIDUAL, GROUP, GROUP, GROUP, INDIVIDUAL, INDIVIDUAL, GROUP],
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
        "Teller ikke fordi": [NEVER_COUNTS, None, NO_NEWCOMERS, None, None, NEVER_COUNTS, NO_NEWCOMERS, None],
    }
    assert (list_failed_checks(part), part.countable) == ([], 4)
    assert count_rows_by_reason(part) == {"kind_never_counts": 2, "nobody_new_that_day": 2}


@BOTH_VERSIONS
def test_days_follow_oslo_time_across_clock_changes(mapping: MappingDocument) -> None:
    fields: dict[str, Any] = {"mentor": "Åse Lie", "new_participants": 0}
    part = map_rows(
        mapping,
        activity(1, starts="2026-03-01T23:30+01:00", **fields, minutes=45),
        activity(2, starts="2026-03-02T00:30+01:00", **fields, note="i går i UTC"),
        activity(3, starts="2026-03-02T18:00+01:00", **fields),
        activity(4, starts="2026-03-29T01:30+01:00", **fields, note="til 03:30 på en time"),
        activity(5, starts="2026-03-29T23:45+02:00", **fields),
        activity(6, starts="2026-06-30T23:30+02:00", **fields, minutes=45),
        activity(7, starts="2026-07-01T00:15+02:00", **fields, note="i går i UTC"),
        activity(8, starts="2026-10-25T02:30+02:00", **fields, note="før klokken stilles"),
        activity(9, starts="2026-10-25T02:30+01:00", **fields, note="etter at den er stilt"),
        activity(10, starts="2026-10-25T23:45+01:00", **fields, minutes=60),
        activity(11, starts="2026-10-26T00:45+01:00", **fields),
    )
    assert cells_by_header(part.report_rows) == default_cells(1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11) | {
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
        "Timer": to_decimals("0.75", "1", "1", "1", "1", "0.75", "1", "1", "1", "1", "1"),
        "Likeperson": ["Åse Lie"] * 11,
        "Nye deltakere": [0] * 11,
        "Tellende": ["Ja", "Ja", "Nei", "Ja", "Nei", "Ja", "Ja", "Ja", "Nei", "Nei", "Ja"],
        "Teller ikke fordi": [
            *(None, None, NO_NEWCOMERS, None, NO_NEWCOMERS, None, None),
            *(None, NO_NEWCOMERS, NO_NEWCOMERS, None),
        ],
        "Merknad": [
            *(None, "i går i UTC", None, "til 03:30 på en time", None, None, "i går i UTC"),
            *("før klokken stilles", "etter at den er stilt", None, None),
        ],
    }
    assert (list_failed_checks(part), part.countable) == ([], 7)


@BOTH_VERSIONS
def test_rejected_activity_does_not_block_the_mentors_next_one(mapping: MappingDocument) -> None:
    fields: dict[str, Any] = {"mentor": "Åse Lie", "new_participants": 0}
    part = map_rows(
        mapping,
        activity(1, "likepersonskurs", "2026-03-02T09:00+01:00", **fields, participants=0, minutes=90),
        activity(2, "samtalegruppe", "2026-03-02T12:00+01:00", **fields),
        activity(3, "samtalegruppe", "2026-03-02T14:00+01:00", **fields),
        activity(4, "motorsykkeltur", "2026-03-02T15:00+01:00"),
        activity(5, "aktivitetsgruppe", "2026-03-03T08:00+01:00", minutes=25 * 60, note="hyttetur"),
        activity(6, "aktivitetsgruppe", "2026-03-03T08:00+01:00", minutes=24 * 60, note="døgnvandring"),
        activity(7, "annet", "2026-03-03T08:00+01:00", minutes=24 * 60 + 1),
        activity(8, "samtalegruppe", "2026-03-03T18:00+01:00", mentor_name="  "),
    )
    assert cells_by_header(part.report_rows) == default_cells(2, 3, 6) | {
        "Dato": [MONDAY, MONDAY, TUESDAY],
        "Aktivitetstype": ["Samtalegruppe", "Samtalegruppe", "Aktivitetsgruppe"],
        "Starttid": [time(12), time(14), time(8)],
        "Varighet (minutter)": [60, 60, 1440],
        "Timer": to_decimals("1.00", "1.00", "24.00"),
        "Likeperson": ["Åse Lie", "Åse Lie", "Likeperson 6"],
        "Nye deltakere": [0, 0, 1],
        "Tellende": ["Ja", "Nei", "Ja"],
        "Teller ikke fordi": [None, NO_NEWCOMERS, None],
        "Merknad": [None, None, "døgnvandring"],
    }
    too_long = "En aktivitet kan ikke vare lenger enn ett døgn; registrer én for hver dag."
    assert list_failed_checks(part) == [
        ("unknown_choice", "activity_type", True, UNKNOWN_TYPE, [3]),
        ("required", "mentor", True, "«Likeperson» mangler.", [7]),
        ("course_without_participants", "participants", True, EMPTY_COURSE, [0]),
        ("longer_than_a_day", "minutes", True, too_long, [4, 6]),
        ("other_without_a_note", "note", False, NO_NOTE, [6]),
    ]
    assert (part.rejected, part.countable) == (5, 2)


@BOTH_VERSIONS
def test_unusual_values_are_written_with_a_warning(mapping: MappingDocument) -> None:
    part = map_rows(
        mapping,
        activity(1, mentor_name="  Åse Lie ", place=" Bodø  ", note=" Hele laget "),
        activity(2, place=""),
        activity(3, place=" \t "),
        activity(4, "annet"),
        activity(5, "annet", note=" \n"),
        activity(6, "annet", note="Stand på torget"),
        activity(7, "oppsokende_samtale", participants=2, note="et par"),
        activity(8, "oppsokende_samtale", participants=3),
    )
    assert cells_by_header(part.report_rows) == default_cells(1, 2, 3, 4, 5, 6, 7, 8) | {
        "Kategori": [GROUP, GROUP, GROUP, OTHER, OTHER, OTHER, INDIVIDUAL, INDIVIDUAL],
        "Aktivitetstype": [*["Samtalegruppe"] * 3, *["Annet"] * 3, *["Oppsøkende samtale"] * 2],
        "Likeperson": ["Åse Lie", *mentor_names(2, 3, 4, 5, 6, 7, 8)],
        "Sted": ["Bodø", "", "", "Bodø", "Bodø", "Bodø", "Bodø", "Bodø"],
        "Deltakere": [4, 4, 4, 4, 4, 4, 2, 3],
        "Gruppestørrelse": [SOME] * 6 + [TWO, SOME],
        "Tellende": ["Ja", "Ja", "Ja", "Nei", "Nei", "Nei", "Ja", "Ja"],
        "Teller ikke fordi": [None, None, None, NEVER_COUNTS, NEVER_COUNTS, NEVER_COUNTS, None, None],
        "Merknad": [" Hele laget ", None, None, None, " \n", "Stand på torget", "et par", None],
    }
    a_group = "En oppsøkende samtale er ikke en gruppe; det er ført tre eller flere deltakere."
    assert list_failed_checks(part) == [
        ("required", "place", False, "«Sted» mangler.", [1, 2]),
        ("more_than_one_to_one", "participants", False, a_group, [7]),
        ("other_without_a_note", "note", False, NO_NOTE, [3, 4]),
    ]
    assert (part.rejected, part.countable) == (0, 5)


@pytest.mark.parametrize(("count", "warned_rows"), [(6, []), (7, [0, 1, 2, 3, 4, 5, 6])])
@BOTH_VERSIONS
def test_more_than_six_activities_in_a_day_give_a_warning(
    count: int, warned_rows: list[int], mapping: MappingDocument
) -> None:
    activities_of_one_mentor = [
        activity(number, starts=f"2026-03-02T{8 + number:02}:00+01:00", mentor="Åse Lie") for number in range(count)
    ]
    part = map_rows(mapping, *activities_of_one_mentor, activity(8, starts="2026-03-02T20:00+01:00", mentor="Kari Moe"))
    message = "Likepersonen har mer enn seks aktiviteter denne dagen."
    assert list_failed_checks(part) == (
        [("many_in_one_day", "mentor", False, message, warned_rows)] if warned_rows else []
    )
    assert part.countable == count + 1


@BOTH_VERSIONS
@pytest.mark.parametrize("locale", ["nb", "nn", "en"])
def test_group_size_depends_only_on_the_number_of_participants(mapping: MappingDocument, locale: Locale) -> None:
    activities = [activity(size, "annet", participants=size, new_participants=0) for size in (0, 1, 2, 3, 12, 13)]
    written = map_rows(mapping, *activities, locale=locale).report_rows
    assert written[:, 10].to_list() == SIZES_BY_LOCALE[locale]
    assert written[:, 1].to_list() == [OTHER_BY_LOCALE[locale]] * 6


def test_columns_have_the_templates_order_and_types() -> None:
    types = {
        "Dato": pl.Date(),
        "Starttid": pl.Time(),
        "Varighet (minutter)": pl.Int64(),
        "Timer": pl.Decimal(38, 2),
        "Deltakere": pl.Int64(),
        "Nye deltakere": pl.Int64(),
        "Vedlegg": pl.Int64(),
    }
    assert map_rows(NHF, activity(1)).report_rows.schema == pl.Schema(
        {name: types.get(name, pl.String()) for name in default_cells()}
    )


@pytest.mark.parametrize(("locale", "row"), [("nn", ROW_IN_NYNORSK), ("en", ROW_IN_ENGLISH)])
def test_report_is_in_the_requested_language(locale: Locale, row: dict[str, object]) -> None:
    part = map_rows(NHF, activity(1, "likepersonskurs", in_norway=False), locale=locale)
    assert part.report_rows.columns == list(row)
    assert part.report_rows.to_dicts() == [row]


@pytest.mark.parametrize(("locale", "messages"), MESSAGES_BY_LOCALE.items())
def test_messages_are_in_the_requested_language(locale: Locale, messages: list[str]) -> None:
    part = map_rows(
        NHF,
        activity(1, "motorsykkeltur"),
        activity(2, "annet", place=""),
        activity(3, "likepersonskurs", participants=0, new_participants=0),
        activity(4, "oppsokende_samtale", participants=3),
        locale=locale,
    )
    assert [check.message for check in part.failed_checks] == messages


def test_summary_and_failures_cover_all_parts() -> None:
    result = map_parts(
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
    assert result.counts == ExportCounts(queried=15, written=12, countable=2, not_countable=10, rejected=3, events=2)
    assert result.excluded_count == 0
    assert list_reasons(result) == [
        ("kind_never_counts", NEVER_COUNTS, 3),
        ("abroad", ABROAD, 1),
        ("not_in_person", NOT_IN_PERSON, 1),
        ("nobody_came", NO_PARTICIPANTS, 1),
        ("too_few_participants", TOO_FEW, 1),
        ("group_too_short", SHORT_GROUP, 1),
        ("course_too_short", SHORT_COURSE, 1),
        ("nobody_new_that_day", NO_NEWCOMERS, 1),
    ]
    # Tellende, Teller ikke, I alt, Deltakere, Minutter
    assert list_totals(result) == [
        (INDIVIDUAL, (1, 2, 3, 4, 120)),
        (GROUP, (0, 5, 5, 14, 284)),
        (TRAINING, (1, 1, 2, 10, 269)),
        (OTHER, (0, 2, 2, 13, 120)),
    ]
    assert list_failures(result) == [
        build_failure("unknown_choice", "activity_type", UNKNOWN_TYPE, [5], [6], rejects=True),
        build_failure("course_without_participants", "participants", EMPTY_COURSE, [3, 7], [4, 8], rejects=True),
        build_failure("other_without_a_note", "note", NO_NOTE, [4, 8], [5, 9], rejects=False),
    ]


def test_summary_has_a_line_for_a_category_without_activities() -> None:
    result = map_parts(NHF, [activity(1, "samtalegruppe", minutes=50)])
    assert list_totals(result) == [
        (INDIVIDUAL, (0, 0, 0, 0, 0)),
        (GROUP, (1, 0, 1, 4, 50)),
        (TRAINING, (0, 0, 0, 0, 0)),
        (OTHER, (0, 0, 0, 0, 0)),
    ]
