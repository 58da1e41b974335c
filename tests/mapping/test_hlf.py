"""HLF's report: held against the regulation and the documents' own words, cell by cell."""

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
    mapped,
    outcome,
    reasons,
    rows_by_reason,
    totals,
)
from tests.mapping.hlf_tables import (
    BEFORE_2026,
    COURSE,
    EVERY_KIND,
    GROUP,
    HLF,
    IN_ENGLISH,
    IN_ITS_LANGUAGE,
    IN_NYNORSK,
    MONDAY,
    OTHER,
    TALK,
    TEXT_AND_VIDEO,
    THAT_COUNT,
    THAT_DO_NOT,
    TUESDAY,
    TWO_PARTS,
    usual,
    usual_apart,
)

BOTH = pytest.mark.parametrize("rules", [HLF, BEFORE_2026], ids=["since 2026", "before 2026"])


def test_since_2026_text_and_video_have_a_code_and_captions_a_column() -> None:
    part = mapped(HLF, *EVERY_KIND)
    assert cells(part.report_rows) == usual(HLF, 1, 2, 3, 4, 9) | THAT_COUNT | {
        "Tolk eller teksting nevnt": ["Nei", "Nei", "Ja", "Ja", "Nei"],
    }
    assert cells(part.excluded_rows) == usual_apart(HLF, 5, 6, 7, 8) | THAT_DO_NOT | {
        "HLF-kode": [OTHER, TEXT_AND_VIDEO, OTHER, OTHER],
        "Tolk eller teksting nevnt": ["Nei", "Ja", "Nei", "Nei"],
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


def test_before_2026_text_and_video_were_among_the_others() -> None:
    part = mapped(BEFORE_2026, *EVERY_KIND)
    assert cells(part.report_rows) == usual(BEFORE_2026, 1, 2, 3, 4, 9) | THAT_COUNT
    assert cells(part.excluded_rows) == usual_apart(BEFORE_2026, 5, 6, 7, 8) | THAT_DO_NOT | {
        "HLF-kode": [OTHER, OTHER, OTHER, OTHER],
    }
    assert (faults(part), part.rejected, part.countable) == ([], 0, 5)


@BOTH
def test_a_group_is_three_for_45_minutes_a_course_day_twice_45_and_both_in_norway(rules: MappingDocument) -> None:
    part = mapped(
        rules,
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
    assert cells(part.report_rows) == usual(rules, 2, 4, 6, 10) | {
        "Varighet (minutter)": [60, 45, 90, 1440],
        "HLF-kode": [GROUP, GROUP, COURSE, COURSE],
        "Aktivitetstype": ["Samtalegruppe", "Aktivitetsgruppe", "Likepersonskurs", "Likepersonskurs"],
        "Deltakere": [3, 3, 6, 5],
        "Deltakertimer": decimals("3.0", "2.3", "9.0", "120.0"),
    }
    assert cells(part.excluded_rows) == usual_apart(rules, 1, 3, 5, 7, 8, 9, 11, 12) | {
        "Varighet (minutter)": [60, 44, 89, 60, 60, 44, 60, 90],
        "HLF-kode": [GROUP, GROUP, COURSE, GROUP, OTHER, GROUP, GROUP, COURSE],
        "Aktivitetstype": [
            *("Samtalegruppe", "Aktivitetsgruppe", "Likepersonskurs", "Aktivitetsgruppe"),
            *("Telefonsamtale", "Aktivitetsgruppe", "Samtalegruppe", "Likepersonskurs"),
        ],
        "Sted": ["Bodø", "Bodø", "Bodø", "København", "", "Bodø", "Bodø", "Bodø"],
        "Deltakere": [2, 3, 6, 4, 1, 2, 0, 0],
        "Nye deltakere": [1, 1, 1, 1, 1, 1, 0, 0],
        "Deltakertimer": decimals("2.0", "2.2", "8.9", "4.0", "1.0", "1.5", "0.0", "0.0"),
        "Fysisk møte": ["Ja", "Ja", "Ja", "Ja", "Nei", "Ja", "Ja", "Ja"],
        "I Norge": ["Ja", "Ja", "Ja", "Nei", "Nei", "Ja", "Ja", "Ja"],
    }
    assert (faults(part), part.countable) == ([], 4)
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


@BOTH
def test_what_counts_of_a_mentors_day_is_numbered_and_after_the_first_needs_somebody_new(
    rules: MappingDocument,
) -> None:
    part = mapped(
        rules,
        activity(1, "telefonsamtale", "2026-03-02T08:00+01:00", mentor="Åse Lie", participants=1, in_person=False),
        activity(2, "samtalegruppe", "2026-03-02T10:00+01:00", mentor="Åse Lie", participants=3, new_participants=4),
        activity(3, "samtalegruppe", "2026-03-02T12:00+01:00", mentor="Åse Lie", new_participants=0),
        activity(4, "samtalegruppe", "2026-03-02T14:00+01:00", mentor="Åse Lie", new_participants=0),
        activity(5, "samtalegruppe", "2026-03-02T14:00+01:00", mentor="Kari Moe", new_participants=0),
        activity(6, "oppsokende_samtale", "2026-03-02T16:00+01:00", mentor="Åse Lie", participants=1),
        activity(7, "samtalegruppe", "2026-03-03T10:00+01:00", mentor="Åse Lie", new_participants=0),
    )
    assert cells(part.report_rows) == usual(rules, 3, 5, 6, 7) | {
        "Likepersonens nr. den dagen": [1, 1, 2, 1],
        "Dato": [MONDAY, MONDAY, MONDAY, TUESDAY],
        "Starttid": [time(12), time(14), time(16), time(10)],
        "HLF-kode": [GROUP, GROUP, TALK, GROUP],
        "Aktivitetstype": ["Samtalegruppe", "Samtalegruppe", "Oppsøkende samtale", "Samtalegruppe"],
        "Likeperson": ["Åse Lie", "Kari Moe", "Åse Lie", "Åse Lie"],
        "Deltakere": [4, 4, 1, 4],
        "Nye deltakere": [0, 0, 1, 0],
        "Deltakertimer": decimals("4.0", "4.0", "1.0", "4.0"),
    }
    assert cells(part.excluded_rows) == usual_apart(rules, 1, 4) | {
        "Starttid": [time(8), time(14)],
        "HLF-kode": [OTHER, GROUP],
        "Aktivitetstype": ["Telefonsamtale", "Samtalegruppe"],
        "Likeperson": ["Åse Lie", "Åse Lie"],
        "Deltakere": [1, 4],
        "Nye deltakere": [1, 0],
        "Deltakertimer": decimals("1.0", "4.0"),
        "Fysisk møte": ["Nei", "Ja"],
    }
    assert faults(part) == [
        ("more_new_than_all", "new_participants", True, "Det er ført flere nye deltakere enn deltakere.", [1]),
    ]
    assert (part.rejected, part.countable) == (1, 4)
    assert rows_by_reason(part) == {
        "kind_never_counts": 1,
        "nobody_new_that_day": 1,
    }


@BOTH
def test_days_and_quarters_are_those_of_oslo_also_when_the_clock_changes(rules: MappingDocument) -> None:
    said: dict[str, Any] = {"mentor": "Åse Lie", "new_participants": 0}
    part = mapped(
        rules,
        activity(1, starts="2026-03-29T01:30+01:00", **said),
        activity(2, starts="2026-03-31T23:30+02:00", **said, minutes=45),
        activity(3, starts="2026-04-01T00:30+02:00", **said),
        activity(4, starts="2026-06-30T04:59+02:00", **said),
        activity(5, starts="2026-07-01T05:00+02:00", **said),
        activity(6, starts="2026-09-30T03:00+02:00", **said, in_person=False),
        activity(7, starts="2026-10-25T02:30+02:00", **said),
        activity(8, starts="2026-10-25T02:30+01:00", **said),
        activity(9, starts="2026-10-25T23:30+01:00", **said),
        activity(10, starts="2027-01-01T00:30+01:00", **said),
    )
    assert cells(part.report_rows) == usual(rules, 1, 2, 3, 4, 5, 6, 7, 10) | {
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
        "Deltakertimer": decimals("4.0", "3.0", "4.0", "4.0", "4.0", "4.0", "4.0", "4.0"),
        "Fysisk møte": ["Ja", "Ja", "Ja", "Ja", "Ja", "Nei", "Ja", "Ja"],
    }
    assert cells(part.excluded_rows) == usual_apart(rules, 8, 9) | {
        "Dato": [date(2026, 10, 25), date(2026, 10, 25)],
        "Kvartal": [4, 4],
        "Starttid": [time(2, 30), time(23, 30)],
        "Likeperson": ["Åse Lie", "Åse Lie"],
        "Nye deltakere": [0, 0],
    }
    at_night = "Aktiviteten begynner om natten; er tidspunktet riktig?"
    assert faults(part) == [("at_night", "starts", False, at_night, [0, 2, 3, 6, 7, 9])]
    assert part.not_countable["nobody_new_that_day"] == 2


@BOTH
def test_spaces_around_names_go_a_missing_place_is_told_and_a_missing_name_rejects(rules: MappingDocument) -> None:
    part = mapped(
        rules,
        activity(1, mentor_name="  Åse Lie ", place="  Bodø ", note="  Skrivetolk "),
        activity(2, place=""),
        activity(3, "annet", place=" \t ", note=" "),
        activity(4, "annet", place="", in_person=False),
        activity(5, mentor_name="  "),
    )
    assert cells(part.report_rows) == usual(rules, 1, 2) | {
        "Likeperson": ["Åse Lie", "Likeperson 2"],
        "Sted": ["Bodø", ""],
        "Merknad": ["  Skrivetolk ", None],
    } | ({"Tolk eller teksting nevnt": ["Ja", "Nei"]} if rules is HLF else {})
    assert cells(part.excluded_rows) == usual_apart(rules, 3, 4) | {
        "HLF-kode": [OTHER, OTHER],
        "Aktivitetstype": ["Annet", "Annet"],
        "Sted": ["", ""],
        "Fysisk møte": ["Ja", "Nei"],
        "Merknad": [" ", None],
    }
    assert faults(part) == [
        ("required", "mentor", True, "«Likeperson» mangler.", [4]),
        ("required", "place", False, "«Sted» mangler.", [1, 2]),
    ]
    assert (part.rejected, part.countable) == (1, 2)


@BOTH
def test_what_lasts_longer_than_a_day_is_written_with_a_warning(rules: MappingDocument) -> None:
    part = mapped(
        rules,
        activity(1, "likepersonskurs", minutes=24 * 60),
        activity(2, "likepersonskurs", minutes=24 * 60 + 1),
        activity(3, "annet", minutes=48 * 60),
    )
    message = "Aktiviteten varer lenger enn ett døgn; registrer én for hver dag."
    assert faults(part) == [("several_days", "minutes", False, message, [1, 2])]
    assert (part.rejected, part.countable, part.excluded_rows.height) == (0, 2, 1)


@BOTH
def test_an_unknown_kind_falls_back_to_the_others_and_that_is_told(rules: MappingDocument) -> None:
    part = mapped(rules, activity(1, "motorsykkeltur"))
    message = "«HLF-kode» hadde en verdi som ikke finnes i listen, og er skrevet som «9 Annet»."
    assert faults(part) == [("choice_replaced", "code", False, message, [0])]
    assert part.report_rows.is_empty()
    assert cells(part.excluded_rows) == usual_apart(rules, 1) | {
        "HLF-kode": [OTHER],
        "Aktivitetstype": ["motorsykkeltur"],
    }
    assert (part.rejected, part.not_countable["kind_never_counts"]) == (0, 1)


@BOTH
def test_a_conversation_that_was_not_in_person_does_not_count_and_is_not_called_face_to_face(
    rules: MappingDocument,
) -> None:
    talk = activity(1, "oppsokende_samtale", in_person=False, place="", participants=1)
    part = mapped(rules, talk)
    assert part.report_rows.is_empty()
    assert cells(part.excluded_rows) == usual_apart(rules, 1) | {
        "HLF-kode": [OTHER],
        "Aktivitetstype": ["Oppsøkende samtale"],
        "Sted": [""],
        "Deltakere": [1],
        "Deltakertimer": decimals("1.0"),
        "Fysisk møte": ["Nei"],
    }
    assert (faults(part), rows_by_reason(part)) == ([], {"not_in_person": 1})
    assert reasons(outcome(rules, [talk])) == [("not_in_person", "Ikke et fysisk møte", 1)]


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
def test_captions_are_mentioned_only_where_captions_are_meant(note: str, mentioned: str) -> None:
    assert mapped(HLF, activity(1, note=note)).report_rows["Tolk eller teksting nevnt"].to_list() == [mentioned]


def test_columns_stand_in_their_order_with_their_types() -> None:
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
    for rules in (HLF, BEFORE_2026):
        part, schema = mapped(rules, activity(1)), {name: types.get(name, pl.String()) for name in usual(rules)}
        assert part.report_rows.schema == part.excluded_rows.schema == pl.Schema(schema)


@pytest.mark.parametrize(("locale", "row"), [("nn", IN_NYNORSK), ("en", IN_ENGLISH)])
def test_the_report_is_in_the_language_that_was_asked_for(locale: Locale, row: dict[str, object]) -> None:
    part = mapped(HLF, activity(1, "oppsokende_samtale", participants=1), locale=locale)
    assert part.report_rows.columns == part.excluded_rows.columns == list(row)
    assert part.report_rows.to_dicts() == [row]


@pytest.mark.parametrize(("locale", "replies"), IN_ITS_LANGUAGE.items())
def test_faults_are_told_in_the_language_that_was_asked_for(locale: Locale, replies: list[str]) -> None:
    said: dict[str, Any] = {"place": "", "new_participants": 5, "minutes": 1500}
    part = mapped(HLF, activity(1, starts="2026-03-02T03:00+01:00", **said), locale=locale)
    assert [fault.message for fault in part.failed_checks] == replies


@pytest.mark.parametrize(
    ("rules", "by_code"),
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
        (BEFORE_2026, [(TALK, (1, 1, 1)), (GROUP, (1, 4, 17)), (COURSE, (1, 4, 27)), (OTHER, (0, 3, 9))]),
    ],
    ids=["since 2026", "before 2026"],
)
def test_the_summary_has_the_rows_apart_in_it_and_the_failures_are_those_of_all_parts(
    rules: MappingDocument, by_code: list[tuple[str, tuple[int, ...]]]
) -> None:
    result = outcome(rules, *TWO_PARTS)
    assert result.counts == ExportCounts(queried=14, written=3, countable=3, not_countable=9, rejected=2)
    assert result.excluded_count == 9
    assert reasons(result) == [
        ("kind_never_counts", "Aktivitetstypen teller ikke", 3),
        ("abroad", "Holdt utenfor Norge", 1),
        ("nobody_came", "Ingen deltakere", 1),
        ("too_few_participants", "Færre enn 3 deltakere", 1),
        ("group_too_short", "Gruppe kortere enn 45 minutter", 1),
        ("course_too_short", "Kursdag kortere enn 2 × 45 minutter", 1),  # noqa: RUF001 - as people write it
        (
            "nobody_new_that_day",
            "Likepersonen har allerede en tellende aktivitet denne dagen, og ingen deltaker er ny",
            1,
        ),
    ]
    assert rules.summary is not None
    assert [measure.header.nb for measure in rules.summary.measures] == [
        "Tellende",
        "Aktiviteter i alt",
        "Deltakere i alt",
    ]
    assert totals(result) == by_code
    more_new = "Det er ført flere nye deltakere enn deltakere."
    assert failures(result) == [
        failure("required", "place", "«Sted» mangler.", [2, 6, 10], [3, 7, 11], rejects=False),
        failure("more_new_than_all", "new_participants", more_new, [3, 12], [4, 13], rejects=True),
    ]
