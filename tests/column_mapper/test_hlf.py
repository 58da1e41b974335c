"""HLF's report, compared cell by cell with the regulation and the texts of the mapping documents."""

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
    to_decimals,
)
from tests.support.mapping.hlf_tables import (
    ALL_TYPES,
    COUNTED_CELLS,
    COURSE,
    EXCLUDED_CELLS,
    GROUP,
    HLF,
    HLF_BEFORE_2026,
    MESSAGES_BY_LOCALE,
    MONDAY,
    OTHER,
    ROW_IN_ENGLISH,
    ROW_IN_NYNORSK,
    TALK,
    TEXT_AND_VIDEO,
    TUESDAY,
    TWO_PARTS,
    default_cells,
    default_excluded_cells,
)

BOTH_VERSIONS = pytest.mark.parametrize("mapping", [HLF, HLF_BEFORE_2026], ids=["since 2026", "before 2026"])


def test_since_2026_text_and_video_have_a_code_of_their_own() -> None:
    part = map_rows(HLF, *ALL_TYPES)
    assert cells_by_header(part.report_rows) == default_cells(HLF, 1, 2, 3, 4, 9) | COUNTED_CELLS | {
        "Tolk eller teksting nevnt": ["Nei", "Nei", "Ja", "Ja", "Nei"],
    }
    assert cells_by_header(part.excluded_rows) == default_excluded_cells(HLF, 5, 6, 7, 8) | EXCLUDED_CELLS | {
        "HLF-kode": [OTHER, TEXT_AND_VIDEO, OTHER, OTHER],
        "Tolk eller teksting nevnt": ["Nei", "Ja", "Nei", "Nei"],
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


def test_before_2026_text_and_video_had_the_code_for_others() -> None:
    part = map_rows(HLF_BEFORE_2026, *ALL_TYPES)
    assert cells_by_header(part.report_rows) == default_cells(HLF_BEFORE_2026, 1, 2, 3, 4, 9) | COUNTED_CELLS
    assert cells_by_header(part.excluded_rows) == default_excluded_cells(
        HLF_BEFORE_2026, 5, 6, 7, 8
    ) | EXCLUDED_CELLS | {
        "HLF-kode": [OTHER, OTHER, OTHER, OTHER],
    }
    assert (list_failed_checks(part), part.rejected, part.countable) == ([], 0, 5)


@BOTH_VERSIONS
def test_groups_and_courses_below_their_limits_do_not_count(mapping: MappingDocument) -> None:
    part = map_rows(
        mapping,
        activity(1, "samtalegruppe", participants=2),
        activity(2, "samtalegruppe", participants=3),
        activity(3, "aktivitetsgruppe", participants=3, minutes=44),
        activity(4, "aktivitetsgruppe", participants=3, minutes=45),
        activity(5, "likepersonskurs", participants=6, minutes=89),
        activity(6, "likepersonskurs", participants=6, minutes=90),
        activity(7, "aktivitetsgruppe", in_norway=False, place="København"),
        activity(8, "telefonsamtale", in_norway=False, in_person=False, place="", participants=1),
        activity(9, "aktivitetsgruppe", participants=2, minutes=44),
        activity(10, "likepersonskurs", participants=5, minutes=24 * 60),
        activity(11, "samtalegruppe", participants=0, new_participants=0),
        activity(12, "likepersonskurs", participants=0, new_participants=0, minutes=90),
    )
    assert cells_by_header(part.report_rows) == default_cells(mapping, 2, 4, 6, 10) | {
        "Varighet (minutter)": [60, 45, 90, 1440],
        "HLF-kode": [GROUP, GROUP, COURSE, COURSE],
        "Aktivitetstype": ["Samtalegruppe", "Aktivitetsgruppe", "Likepersonskurs", "Likepersonskurs"],
        "Deltakere": [3, 3, 6, 5],
        "Deltakertimer": to_decimals("3.0", "2.3", "9.0", "120.0"),
    }
    assert cells_by_header(part.excluded_rows) == default_excluded_cells(mapping, 1, 3, 5, 7, 8, 9, 11, 12) | {
        "Varighet (minutter)": [60, 44, 89, 60, 60, 44, 60, 90],
        "HLF-kode": [GROUP, GROUP, COURSE, GROUP, OTHER, GROUP, GROUP, COURSE],
        "Aktivitetstype": [
            *("Samtalegruppe", "Aktivitetsgruppe", "Likepersonskurs", "Aktivitetsgruppe"),
            *("Telefonsamtale", "Aktivitetsgruppe", "Samtalegruppe", "Likepersonskurs"),
        ],
        "Sted": ["Bodø", "Bodø", "Bodø", "København", "", "Bodø", "Bodø", "Bodø"],
        "Deltakere": [2, 3, 6, 4, 1, 2, 0, 0],
        "Nye deltakere": [1, 1, 1, 1, 1, 1, 0, 0],
        "Deltakertimer": to_decimals("2.0", "2.2", "8.9", "4.0", "1.0", "1.5", "0.0", "0.0"),
        "Fysisk møte": ["Ja", "Ja", "Ja", "Ja", "Nei", "Ja", "Ja", "Ja"],
        "I Norge": ["Ja", "Ja", "Ja", "Nei", "Nei", "Ja", "Ja", "Ja"],
    }
    assert (list_failed_checks(part), part.countable) == ([], 4)
    assert part.not_countable == {
        "kind_never_counts": 1,
        "abroad": 1,
        "not_in_person": 0,
        "nobody_came": 2,
        "too_few_participants": 2,
        "group_too_short": 1,
        "course_too_short": 1,
        "nobody_new_that_day": 0,
    }


@BOTH_VERSIONS
def test_countable_activities_of_a_mentors_day_are_numbered(
    mapping: MappingDocument,
) -> None:
    part = map_rows(
        mapping,
        activity(1, "telefonsamtale", "2026-03-02T08:00+01:00", mentor="Åse Lie", participants=1, in_person=False),
        activity(2, "samtalegruppe", "2026-03-02T10:00+01:00", mentor="Åse Lie", participants=3, new_participants=4),
        activity(3, "samtalegruppe", "2026-03-02T12:00+01:00", mentor="Åse Lie", new_participants=0),
        activity(4, "samtalegruppe", "2026-03-02T14:00+01:00", mentor="Åse Lie", new_participants=0),
        activity(5, "samtalegruppe", "2026-03-02T14:00+01:00", mentor="Kari Moe", new_participants=0),
        activity(6, "oppsokende_samtale", "2026-03-02T16:00+01:00", mentor="Åse Lie", participants=1),
        activity(7, "samtalegruppe", "2026-03-03T10:00+01:00", mentor="Åse Lie", new_participants=0),
    )
    assert cells_by_header(part.report_rows) == default_cells(mapping, 3, 5, 6, 7) | {
        "Likepersonens nr. den dagen": [1, 1, 2, 1],
        "Dato": [MONDAY, MONDAY, MONDAY, TUESDAY],
        "Starttid": [time(12), time(14), time(16), time(10)],
        "HLF-kode": [GROUP, GROUP, TALK, GROUP],
        "Aktivitetstype": ["Samtalegruppe", "Samtalegruppe", "Oppsøkende samtale", "Samtalegruppe"],
        "Likeperson": ["Åse Lie", "Kari Moe", "Åse Lie", "Åse Lie"],
        "Deltakere": [4, 4, 1, 4],
        "Nye deltakere": [0, 0, 1, 0],
        "Deltakertimer": to_decimals("4.0", "4.0", "1.0", "4.0"),
    }
    assert cells_by_header(part.excluded_rows) == default_excluded_cells(mapping, 1, 4) | {
        "Starttid": [time(8), time(14)],
        "HLF-kode": [OTHER, GROUP],
        "Aktivitetstype": ["Telefonsamtale", "Samtalegruppe"],
        "Likeperson": ["Åse Lie", "Åse Lie"],
        "Deltakere": [1, 4],
        "Nye deltakere": [1, 0],
        "Deltakertimer": to_decimals("1.0", "4.0"),
        "Fysisk møte": ["Nei", "Ja"],
    }
    assert list_failed_checks(part) == [
        ("more_new_than_all", "new_participants", True, "Det er ført flere nye deltakere enn deltakere.", [1]),
    ]
    assert (part.rejected, part.countable) == (1, 4)
    assert count_rows_by_reason(part) == {
        "kind_never_counts": 1,
        "nobody_new_that_day": 1,
    }


@BOTH_VERSIONS
def test_days_and_quarters_follow_oslo_time_across_clock_changes(mapping: MappingDocument) -> None:
    fields: dict[str, Any] = {"mentor": "Åse Lie", "new_participants": 0}
    part = map_rows(
        mapping,
        activity(1, starts="2026-03-29T01:30+01:00", **fields),
        activity(2, starts="2026-03-31T23:30+02:00", **fields, minutes=45),
        activity(3, starts="2026-04-01T00:30+02:00", **fields),
        activity(4, starts="2026-06-30T04:59+02:00", **fields),
        activity(5, starts="2026-07-01T05:00+02:00", **fields),
        activity(6, starts="2026-09-30T03:00+02:00", **fields, in_person=False),
        activity(7, starts="2026-10-25T02:30+02:00", **fields),
        activity(8, starts="2026-10-25T02:30+01:00", **fields),
        activity(9, starts="2026-10-25T23:30+01:00", **fields),
        activity(10, starts="2027-01-01T00:30+01:00", **fields),
    )
    assert cells_by_header(part.report_rows) == default_cells(mapping, 1, 2, 3, 4, 5, 6, 7, 10) | {
        "Dato": [
            *(date(2026, 3, 29), date(2026, 3, 31), date(2026, 4, 1), date(2026, 6, 30)),
            *(date(2026, 7, 1), date(2026, 9, 30), date(2026, 10, 25), date(2027, 1, 1)),
        ],
        "Kvartal": [1, 1, 2, 2, 3, 3, 4, 1],
        "Starttid": [
            *(time(1, 30), time(23, 30), time(0, 30), time(4, 59)),
            *(time(5), time(3), time(2, 30), time(0, 30)),
        ],
        "Varighet (minutter)": [60, 45, 60, 60, 60, 60, 60, 60],
        "Likeperson": ["Åse Lie"] * 8,
        "Nye deltakere": [0] * 8,
        "Deltakertimer": to_decimals("4.0", "3.0", "4.0", "4.0", "4.0", "4.0", "4.0", "4.0"),
        "Fysisk møte": ["Ja", "Ja", "Ja", "Ja", "Ja", "Nei", "Ja", "Ja"],
    }
    assert cells_by_header(part.excluded_rows) == default_excluded_cells(mapping, 8, 9) | {
        "Dato": [date(2026, 10, 25), date(2026, 10, 25)],
        "Kvartal": [4, 4],
        "Starttid": [time(2, 30), time(23, 30)],
        "Likeperson": ["Åse Lie", "Åse Lie"],
        "Nye deltakere": [0, 0],
    }
    at_night = "Aktiviteten begynner om natten; er tidspunktet riktig?"
    assert list_failed_checks(part) == [("at_night", "starts", False, at_night, [0, 2, 3, 6, 7, 9])]
    assert part.not_countable["nobody_new_that_day"] == 2


@BOTH_VERSIONS
def test_names_are_trimmed_and_missing_names_and_places_reported(mapping: MappingDocument) -> None:
    part = map_rows(
        mapping,
        activity(1, mentor_name="  Åse Lie ", place="  Bodø ", note="  Skrivetolk "),
        activity(2, place=""),
        activity(3, "annet", place=" \t ", note=" "),
        activity(4, "annet", place="", in_person=False),
        activity(5, mentor_name="  "),
    )
    assert cells_by_header(part.report_rows) == default_cells(mapping, 1, 2) | {
        "Likeperson": ["Åse Lie", "Likeperson 2"],
        "Sted": ["Bodø", ""],
        "Merknad": ["  Skrivetolk ", None],
    } | ({"Tolk eller teksting nevnt": ["Ja", "Nei"]} if mapping is HLF else {})
    assert cells_by_header(part.excluded_rows) == default_excluded_cells(mapping, 3, 4) | {
        "HLF-kode": [OTHER, OTHER],
        "Aktivitetstype": ["Annet", "Annet"],
        "Sted": ["", ""],
        "Fysisk møte": ["Ja", "Nei"],
        "Merknad": [" ", None],
    }
    assert list_failed_checks(part) == [
        ("required", "mentor", True, "«Likeperson» mangler.", [4]),
        ("required", "place", False, "«Sted» mangler.", [1, 2]),
    ]
    assert (part.rejected, part.countable) == (1, 2)


@BOTH_VERSIONS
def test_activity_longer_than_a_day_is_written_with_a_warning(mapping: MappingDocument) -> None:
    part = map_rows(
        mapping,
        activity(1, "likepersonskurs", minutes=24 * 60),
        activity(2, "likepersonskurs", minutes=24 * 60 + 1),
        activity(3, "annet", minutes=48 * 60),
    )
    message = "Aktiviteten varer lenger enn ett døgn; registrer én for hver dag."
    assert list_failed_checks(part) == [("several_days", "minutes", False, message, [1, 2])]
    assert (part.rejected, part.countable, part.excluded_rows.height) == (0, 2, 1)


@BOTH_VERSIONS
def test_unknown_type_falls_back_to_other_with_a_warning(mapping: MappingDocument) -> None:
    part = map_rows(mapping, activity(1, "motorsykkeltur"))
    message = "«HLF-kode» hadde en verdi som ikke finnes i listen, og er skrevet som «9 Annet»."
    assert list_failed_checks(part) == [("choice_replaced", "code", False, message, [0])]
    assert part.report_rows.is_empty()
    assert cells_by_header(part.excluded_rows) == default_excluded_cells(mapping, 1) | {
        "HLF-kode": [OTHER],
        "Aktivitetstype": ["motorsykkeltur"],
    }
    assert (part.rejected, part.not_countable["kind_never_counts"]) == (0, 1)


@BOTH_VERSIONS
def test_conversation_not_in_person_is_excluded_with_the_code_for_others(
    mapping: MappingDocument,
) -> None:
    talk = activity(1, "oppsokende_samtale", in_person=False, place="", participants=1)
    part = map_rows(mapping, talk)
    assert part.report_rows.is_empty()
    assert cells_by_header(part.excluded_rows) == default_excluded_cells(mapping, 1) | {
        "HLF-kode": [OTHER],
        "Aktivitetstype": ["Oppsøkende samtale"],
        "Sted": [""],
        "Deltakere": [1],
        "Deltakertimer": to_decimals("1.0"),
        "Fysisk møte": ["Nei"],
    }
    assert (list_failed_checks(part), count_rows_by_reason(part)) == ([], {"not_in_person": 1})
    assert list_reasons(map_parts(mapping, [talk])) == [("not_in_person", "Ikke et fysisk møte", 1)]


@pytest.mark.parametrize(
    ("note", "mentioned"),
    [
        ("Skrivetolk fra Nav", "Ja"),
        ("To tegnspråktolker", "Ja"),
        ("DØVETOLK", "Ja"),
        ("Med teksting", "Ja"),
        ("Foredraget ble tekstet", "Ja"),
        ("Avtalt per tekstmelding", "Nei"),
        ("Satte tapet i en ny kontekst", "Nei"),
        ("Vi tolket et dikt", "Nei"),
    ],
)
def test_captions_column_ignores_notes_with_similar_words(note: str, mentioned: str) -> None:
    assert map_rows(HLF, activity(1, note=note)).report_rows["Tolk eller teksting nevnt"].to_list() == [mentioned]


def test_columns_have_the_documents_order_and_types() -> None:
    types = {
        "Likepersonens nr. den dagen": pl.Int64(),
        "Dato": pl.Date(),
        "Kvartal": pl.Int64(),
        "Starttid": pl.Time(),
        "Varighet (minutter)": pl.Int64(),
        "Deltakere": pl.Int64(),
        "Nye deltakere": pl.Int64(),
        "Deltakertimer": pl.Decimal(38, 1),
        "Vedlegg": pl.Int64(),
    }
    for mapping in (HLF, HLF_BEFORE_2026):
        part, schema = (
            map_rows(mapping, activity(1)),
            {name: types.get(name, pl.String()) for name in default_cells(mapping)},
        )
        assert part.report_rows.schema == part.excluded_rows.schema == pl.Schema(schema)


@pytest.mark.parametrize(("locale", "row"), [("nn", ROW_IN_NYNORSK), ("en", ROW_IN_ENGLISH)])
def test_report_is_in_the_requested_language(locale: Locale, row: dict[str, object]) -> None:
    part = map_rows(HLF, activity(1, "oppsokende_samtale", participants=1), locale=locale)
    assert part.report_rows.columns == part.excluded_rows.columns == list(row)
    assert part.report_rows.to_dicts() == [row]


@pytest.mark.parametrize(("locale", "messages"), MESSAGES_BY_LOCALE.items())
def test_messages_are_in_the_requested_language(locale: Locale, messages: list[str]) -> None:
    fields: dict[str, Any] = {"place": "", "new_participants": 5, "minutes": 1500}
    part = map_rows(HLF, activity(1, starts="2026-03-02T03:00+01:00", **fields), locale=locale)
    assert [check.message for check in part.failed_checks] == messages


@pytest.mark.parametrize(
    ("mapping", "expected_totals"),
    [
        (
            HLF,
            [
                (TALK, (1, 1, 1)),
                (GROUP, (1, 4, 17)),
                (COURSE, (1, 4, 27)),
                (TEXT_AND_VIDEO, (0, 1, 6)),
                (OTHER, (0, 2, 3)),
            ],
        ),
        (HLF_BEFORE_2026, [(TALK, (1, 1, 1)), (GROUP, (1, 4, 17)), (COURSE, (1, 4, 27)), (OTHER, (0, 3, 9))]),
    ],
    ids=["since 2026", "before 2026"],
)
def test_summary_includes_excluded_rows_and_failures_cover_all_parts(
    mapping: MappingDocument, expected_totals: list[tuple[str, tuple[int, ...]]]
) -> None:
    result = map_parts(mapping, *TWO_PARTS)
    assert result.counts == ExportCounts(queried=14, written=3, countable=3, not_countable=9, rejected=2, events=3)
    assert result.excluded_count == 9
    assert list_reasons(result) == [
        ("kind_never_counts", "Aktivitetstypen teller ikke", 3),
        ("abroad", "Holdt utenfor Norge", 1),
        ("nobody_came", "Ingen deltakere", 1),
        ("too_few_participants", "Færre enn 3 deltakere", 1),
        ("group_too_short", "Gruppe kortere enn 45 minutter", 1),
        ("course_too_short", "Kursdag kortere enn 2 × 45 minutter", 1),  # noqa: RUF001 - correct typography
        (
            "nobody_new_that_day",
            "Likepersonen har allerede en tellende aktivitet denne dagen, og ingen deltaker er ny",
            1,
        ),
    ]
    assert mapping.summary is not None
    assert [measure.header.nb for measure in mapping.summary.measures] == [
        "Tellende",
        "Aktiviteter i alt",
        "Deltakere i alt",
    ]
    assert list_totals(result) == expected_totals
    more_new = "Det er ført flere nye deltakere enn deltakere."
    assert list_failures(result) == [
        build_failure("required", "place", "«Sted» mangler.", [2, 6, 10], [3, 7, 11], rejects=False),
        build_failure("more_new_than_all", "new_participants", more_new, [3, 12], [4, 13], rejects=True),
    ]
