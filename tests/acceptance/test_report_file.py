"""The file itself: which rows, in which order, in which bytes."""

import asyncio
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from stafett.testing import ActivityFactory, ExportClient
from tests.acceptance.report_file import BOM, exported, fetch

_FORMULAS = ["=SUM(A1:A9)", "+47 900 00 000", "-5", "@here", "\tindented", "\rreturned"]


def at(*when: int) -> datetime:
    return datetime(*when, tzinfo=UTC)  # type: ignore[arg-type, misc]  # a moment's numbers, in order


def one(diary: ActivityFactory, starts_at: datetime, **said: object) -> str:
    """A minute of a mentor who does nothing else, so that rows may be as close as they like."""
    minute = {"starts_at": starts_at, "ends_at": starts_at + timedelta(minutes=1)}
    return str(diary.create_activity(diary.create_mentor(), **(minute | said)))


async def test_the_excel_profile_is_what_a_norwegian_excel_opens(button: ExportClient, diary: ActivityFactory) -> None:
    diary.create_activity(
        diary.create_mentor("Åse Ødegård"), starts_at=at(2026, 1, 5, 8), note='Sa "hei"; og gikk', place="Tromsø"
    )
    report = await exported(button)
    assert report.content.startswith(BOM)
    assert report.content.count(BOM) == 1
    assert report.content.endswith(b"\r\n")
    assert report.content.count(b"\n") == report.content.count(b"\r\n") == 2
    assert not report.content.removeprefix(BOM).startswith(b"sep=")
    assert report.rows[0][0] == "05.01.2026"
    assert {"09:00", "60", "Åse Ødegård", "Tromsø", 'Sa "hei"; og gikk'} <= set(report.rows[0])


async def test_the_machine_profile_is_plain_csv(button: ExportClient, diary: ActivityFactory) -> None:
    diary.create_activity(
        diary.create_mentor("Åse Ødegård"), starts_at=at(2026, 1, 5, 8), note='Sa "hei", og gikk', place="Tromsø"
    )
    report = await exported(button, csv_profile="machine")
    assert not report.content.startswith(BOM)
    assert b"\r" not in report.content
    assert report.content.count(b"\n") == 2
    assert report.rows[0][0] == "2026-01-05"
    assert {"09:00", "60", "Åse Ødegård", "Tromsø", 'Sa "hei", og gikk'} <= set(report.rows[0])


@pytest.mark.parametrize("column", ["note", "place"])
async def test_text_that_looks_like_a_formula_is_disarmed_for_excel_only(
    button: ExportClient, diary: ActivityFactory, column: str
) -> None:
    mentor = diary.create_mentor()
    for text in _FORMULAS:
        diary.create_activity(mentor, **{column: text})
    excel, machine = await asyncio.gather(exported(button), exported(button, csv_profile="machine"))
    where = excel.header.index({"note": "Merknad", "place": "Sted"}[column])
    assert [row[where] for row in excel.rows] == [f"'{text}" for text in _FORMULAS]
    assert [row[where] for row in machine.rows] == _FORMULAS


async def test_a_mentors_name_that_looks_like_a_formula_is_disarmed_too(
    button: ExportClient, diary: ActivityFactory
) -> None:
    diary.create_activity(diary.create_mentor('=HYPERLINK("http://x")'))
    excel = await exported(button)
    assert '\'=HYPERLINK("http://x")' in excel.rows[0]


async def test_a_line_break_in_a_note_stays_inside_its_cell(button: ExportClient, diary: ActivityFactory) -> None:
    diary.create_activity(diary.create_mentor(), note='to\nlinjer og et "sitat"')
    for profile in ("excel", "machine"):
        report = await exported(button, csv_profile=profile)
        assert len(report.rows) == 1
        assert 'to\nlinjer og et "sitat"' in [cell.replace("\r\n", "\n") for cell in report.rows[0]]


async def test_headers_speak_the_language_that_was_asked_for(button: ExportClient, diary: ActivityFactory) -> None:
    diary.create_activity(diary.create_mentor())
    nb, nn, en = await asyncio.gather(*(exported(button, locale=locale) for locale in ("nb", "nn", "en")))
    assert nb.header != nn.header != en.header != nb.header
    assert len(nb.header) == len(nn.header) == len(en.header)
    assert {"Dato", "Sted"} <= set(nb.header)
    assert {"Dato", "Stad"} <= set(nn.header)
    assert {"Date", "Place"} <= set(en.header)
    assert nb.ids == nn.ids == en.ids


async def test_rows_come_by_start_and_then_by_id(button: ExportClient, diary: ActivityFactory) -> None:
    moments = [at(2026, 6, 1, hour) for hour in (12, 8, 10)]
    made = [(moment, UUID(one(diary, moment))) for moment in moments for _ in range(4)]
    report = await exported(button)
    assert report.ids == [str(activity_id) for _, activity_id in sorted(made)]


async def test_a_year_is_the_norwegian_year_to_the_last_microsecond(
    button: ExportClient, diary: ActivityFactory
) -> None:
    edge, instant = timedelta(microseconds=1), timedelta(hours=1)
    first, next_year = at(2026, 1, 1) - instant, at(2027, 1, 1) - instant
    one(diary, first - edge)
    inside = [one(diary, first), one(diary, next_year - edge)]
    one(diary, next_year)
    assert (await exported(button)).ids == inside


@pytest.mark.parametrize(
    ("day", "first", "next_day"),
    [
        ("2026-03-29", at(2026, 3, 28, 23), at(2026, 3, 29, 22)),
        ("2026-10-25", at(2026, 10, 24, 22), at(2026, 10, 25, 23)),
    ],
    ids=["23 hours", "25 hours"],
)
async def test_a_day_on_which_the_clock_changes_is_a_whole_day(
    button: ExportClient, diary: ActivityFactory, day: str, first: datetime, next_day: datetime
) -> None:
    edge = timedelta(microseconds=1)
    one(diary, first - edge)
    inside = [one(diary, first), one(diary, next_day - edge)]
    one(diary, next_day)
    report = await exported(button, reporting_period={"start": day, "end": day}, csv_profile="machine")
    assert report.ids == inside
    assert {row[0] for row in report.rows} == {day}
    assert [row[1] for row in report.rows] == ["00:00", "23:59"]


async def test_the_hour_that_happens_twice_keeps_its_order(button: ExportClient, diary: ActivityFactory) -> None:
    twice = [one(diary, at(2026, 10, 25, 1, 15)), one(diary, at(2026, 10, 25, 0, 30))]
    report = await exported(button)
    assert report.ids == twice[::-1]
    assert [row[1] for row in report.rows] == ["02:30", "02:15"]


async def test_deleted_activities_are_not_reported(button: ExportClient, diary: ActivityFactory) -> None:
    kept = one(diary, at(2026, 2, 1, 9))
    one(diary, at(2026, 2, 1, 10), deleted_at=at(2026, 2, 2))
    report = await exported(button)
    assert report.ids == [kept]
    assert report.job["counts"]["queried"] == report.job["row_count"] == 1


async def test_what_does_not_count_is_reported_and_told_apart(button: ExportClient, diary: ActivityFactory) -> None:
    mentor = diary.create_mentor()
    diary.create_activity(mentor)
    diary.create_activity(mentor, activity_type="telefonsamtale", in_person=False)
    report = await exported(button)
    counts = {"queried": 2, "written": 2, "countable": 1, "not_countable": 1, "rejected": 0}
    assert (report.job["counts"], report.job["row_count"], len(report.rows)) == (counts, 2, 2)


async def test_a_period_of_two_times_includes_both_ends(button: ExportClient, diary: ActivityFactory) -> None:
    start, end, edge = at(2026, 4, 1, 10), at(2026, 4, 1, 12), timedelta(microseconds=1)
    one(diary, start - edge)
    inside = [one(diary, start), one(diary, end)]
    one(diary, end + edge)
    period = {"start": "2026-04-01T12:00:00+02:00", "end": "2026-04-01T12:00:00Z"}
    assert (await exported(button, reporting_period=period)).ids == inside


async def test_a_period_of_one_instant_has_the_activity_that_starts_then(
    button: ExportClient, diary: ActivityFactory
) -> None:
    then = one(diary, at(2026, 4, 1, 10))
    period = {"start": "2026-04-01T10:00:00Z", "end": "2026-04-01T10:00:00Z"}
    assert (await exported(button, reporting_period=period)).ids == [then]


async def test_a_period_without_activities_is_a_success_without_a_file(button: ExportClient) -> None:
    job = await button.wait_for_completion(await button.start_export())
    assert (job["status"], job["row_count"], job["counts"]["queried"]) == ("completed_empty", 0, 0)
    assert (job["file"], job["download_url"], job["error"]) == (None, None, None)


async def test_a_period_without_activities_fails_if_that_was_asked_for(button: ExportClient) -> None:
    job = await button.wait_for_completion(await button.start_export(fail_on_empty=True))
    assert (job["status"], job["error"]["code"]) == ("failed", "no_data_for_period")
    assert (job["file"], job["download_url"]) == (None, None)


async def test_two_exports_of_the_same_are_the_same_bytes(button: ExportClient, diary: ActivityFactory) -> None:
    mentor = diary.create_mentor()
    for number in range(20):
        diary.create_activity(mentor, note=f"Møte {number}")
    one_, other = await asyncio.gather(exported(button), exported(button))
    assert one_.job["id"] != other.job["id"]
    assert one_.content == other.content
    assert one_.job["file"]["content_sha256"] == other.job["file"]["content_sha256"]


async def test_a_row_that_changed_changes_the_content_hash(button: ExportClient, diary: ActivityFactory) -> None:
    mentor = diary.create_mentor()
    diary.create_activity(mentor)
    before = await exported(button)
    diary.create_activity(mentor)
    after = await exported(button)
    assert before.job["file"]["content_sha256"] != after.job["file"]["content_sha256"]


async def test_a_finished_export_tells_of_one_attempt_that_went_well(
    button: ExportClient, diary: ActivityFactory
) -> None:
    diary.create_activity(diary.create_mentor())
    report = await exported(button)
    assert [(a["number"], a["outcome"]) for a in report.job["attempts"]] == [(1, "completed")]
    assert report.job["completed_at"] is not None
    assert report.job["partial_failures"] == []
    assert report.job["partial_failure_count"] == 0


async def test_a_link_of_an_older_export_still_hands_out_its_own_file(
    button: ExportClient, diary: ActivityFactory
) -> None:
    mentor = diary.create_mentor()
    diary.create_activity(mentor)
    before = await exported(button)
    diary.create_activity(mentor)
    await exported(button)
    assert (await fetch(await button.get_export(before.job["id"]))).content == before.content
