"""The report file: its rows, their order and the CSV profiles."""

import asyncio
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from stafett.testing import ActivityFactory, ExportClient
from tests.support.report_file import BOM, export_report_file, fetch_report_file

_FORMULAS = ["=SUM(A1:A9)", "+47 900 00 000", "-5", "@here", "\tindented", "\rreturned"]


def utc(*parts: int) -> datetime:
    return datetime(*parts, tzinfo=UTC)  # type: ignore[arg-type, misc]  # year, month, day and time in order


def create_activity(activity_factory: ActivityFactory, starts_at: datetime, **fields: object) -> str:
    """Create an activity of one minute, with a mentor of its own, so that activities may overlap."""
    minute = {"starts_at": starts_at, "ends_at": starts_at + timedelta(minutes=1)}
    return str(activity_factory.create_activity(activity_factory.create_mentor(), **(minute | fields)))


async def test_excel_profile_is_csv_for_norwegian_excel(
    export_client: ExportClient, activity_factory: ActivityFactory
) -> None:
    activity_factory.create_activity(
        activity_factory.create_mentor("Åse Ødegård"),
        starts_at=utc(2026, 1, 5, 8),
        note='Sa "hei"; og gikk',
        place="Tromsø",
    )
    report = await export_report_file(export_client)
    assert report.content.startswith(BOM)
    assert report.content.count(BOM) == 1
    assert report.content.endswith(b"\r\n")
    assert report.content.count(b"\n") == report.content.count(b"\r\n") == 2
    assert not report.content.removeprefix(BOM).startswith(b"sep=")
    assert report.rows[0][0] == "05.01.2026"
    assert {"09:00", "60", "Åse Ødegård", "Tromsø", 'Sa "hei"; og gikk'} <= set(report.rows[0])


async def test_machine_profile_is_plain_csv(export_client: ExportClient, activity_factory: ActivityFactory) -> None:
    activity_factory.create_activity(
        activity_factory.create_mentor("Åse Ødegård"),
        starts_at=utc(2026, 1, 5, 8),
        note='Sa "hei", og gikk',
        place="Tromsø",
    )
    report = await export_report_file(export_client, csv_profile="machine")
    assert not report.content.startswith(BOM)
    assert b"\r" not in report.content
    assert report.content.count(b"\n") == 2
    assert report.rows[0][0] == "2026-01-05"
    assert {"09:00", "60", "Åse Ødegård", "Tromsø", 'Sa "hei", og gikk'} <= set(report.rows[0])


@pytest.mark.parametrize("column", ["note", "place"])
async def test_formula_text_is_escaped_only_in_the_excel_profile(
    export_client: ExportClient, activity_factory: ActivityFactory, column: str
) -> None:
    mentor = activity_factory.create_mentor()
    for text in _FORMULAS:
        activity_factory.create_activity(mentor, **{column: text})
    excel, machine = await asyncio.gather(
        export_report_file(export_client), export_report_file(export_client, csv_profile="machine")
    )
    index = excel.header.index({"note": "Merknad", "place": "Sted"}[column])
    assert [row[index] for row in excel.rows] == [f"'{text}" for text in _FORMULAS]
    assert [row[index] for row in machine.rows] == _FORMULAS


async def test_formula_in_a_mentors_name_is_escaped(
    export_client: ExportClient, activity_factory: ActivityFactory
) -> None:
    activity_factory.create_activity(activity_factory.create_mentor('=HYPERLINK("http://x")'))
    excel = await export_report_file(export_client)
    assert '\'=HYPERLINK("http://x")' in excel.rows[0]


async def test_line_break_in_a_note_stays_inside_its_cell(
    export_client: ExportClient, activity_factory: ActivityFactory
) -> None:
    activity_factory.create_activity(activity_factory.create_mentor(), note='to\nlinjer og et "sitat"')
    for profile in ("excel", "machine"):
        report = await export_report_file(export_client, csv_profile=profile)
        assert len(report.rows) == 1
        assert 'to\nlinjer og et "sitat"' in [cell.replace("\r\n", "\n") for cell in report.rows[0]]


async def test_headers_are_in_the_requested_language(
    export_client: ExportClient, activity_factory: ActivityFactory
) -> None:
    activity_factory.create_activity(activity_factory.create_mentor())
    nb, nn, en = await asyncio.gather(
        *(export_report_file(export_client, locale=locale) for locale in ("nb", "nn", "en"))
    )
    assert nb.header != nn.header != en.header != nb.header
    assert len(nb.header) == len(nn.header) == len(en.header)
    assert {"Dato", "Sted"} <= set(nb.header)
    assert {"Dato", "Stad"} <= set(nn.header)
    assert {"Date", "Place"} <= set(en.header)
    assert nb.ids == nn.ids == en.ids


async def test_rows_are_ordered_by_start_and_then_by_id(
    export_client: ExportClient, activity_factory: ActivityFactory
) -> None:
    moments = [utc(2026, 6, 1, hour) for hour in (12, 8, 10)]
    activities = [(moment, UUID(create_activity(activity_factory, moment))) for moment in moments for _ in range(4)]
    report = await export_report_file(export_client)
    assert report.ids == [str(activity_id) for _, activity_id in sorted(activities)]


async def test_year_starts_and_ends_in_norwegian_time(
    export_client: ExportClient, activity_factory: ActivityFactory
) -> None:
    microsecond, utc_offset = timedelta(microseconds=1), timedelta(hours=1)
    first, next_year = utc(2026, 1, 1) - utc_offset, utc(2027, 1, 1) - utc_offset
    create_activity(activity_factory, first - microsecond)
    inside = [create_activity(activity_factory, first), create_activity(activity_factory, next_year - microsecond)]
    create_activity(activity_factory, next_year)
    assert (await export_report_file(export_client)).ids == inside


@pytest.mark.parametrize(
    ("day", "first", "next_day"),
    [
        ("2026-03-29", utc(2026, 3, 28, 23), utc(2026, 3, 29, 22)),
        ("2026-10-25", utc(2026, 10, 24, 22), utc(2026, 10, 25, 23)),
    ],
    ids=["23 hours", "25 hours"],
)
async def test_day_of_a_clock_change_is_reported_completely(
    export_client: ExportClient, activity_factory: ActivityFactory, day: str, first: datetime, next_day: datetime
) -> None:
    microsecond = timedelta(microseconds=1)
    create_activity(activity_factory, first - microsecond)
    inside = [create_activity(activity_factory, first), create_activity(activity_factory, next_day - microsecond)]
    create_activity(activity_factory, next_day)
    report = await export_report_file(export_client, reporting_period={"start": day, "end": day}, csv_profile="machine")
    assert report.ids == inside
    assert {row[0] for row in report.rows} == {day}
    assert [row[1] for row in report.rows] == ["00:00", "23:59"]


async def test_rows_of_the_repeated_hour_are_in_order(
    export_client: ExportClient, activity_factory: ActivityFactory
) -> None:
    twice = [
        create_activity(activity_factory, utc(2026, 10, 25, 1, 15)),
        create_activity(activity_factory, utc(2026, 10, 25, 0, 30)),
    ]
    report = await export_report_file(export_client)
    assert report.ids == twice[::-1]
    assert [row[1] for row in report.rows] == ["02:30", "02:15"]


async def test_deleted_activities_are_not_reported(
    export_client: ExportClient, activity_factory: ActivityFactory
) -> None:
    activity_id = create_activity(activity_factory, utc(2026, 2, 1, 9))
    create_activity(activity_factory, utc(2026, 2, 1, 10), deleted_at=utc(2026, 2, 2))
    report = await export_report_file(export_client)
    assert report.ids == [activity_id]
    assert report.job["counts"]["queried"] == report.job["row_count"] == 1


async def test_activities_that_do_not_count_are_reported_and_counted_separately(
    export_client: ExportClient, activity_factory: ActivityFactory
) -> None:
    mentor = activity_factory.create_mentor()
    activity_factory.create_activity(mentor)
    activity_factory.create_activity(mentor, activity_type="telefonsamtale", in_person=False)
    report = await export_report_file(export_client)
    counts = {"queried": 2, "written": 2, "countable": 1, "not_countable": 1, "rejected": 0, "events": 1}
    assert (report.job["counts"], report.job["row_count"], len(report.rows)) == (counts, 2, 2)


async def test_period_of_two_times_includes_both_ends(
    export_client: ExportClient, activity_factory: ActivityFactory
) -> None:
    start, end, microsecond = utc(2026, 4, 1, 10), utc(2026, 4, 1, 12), timedelta(microseconds=1)
    create_activity(activity_factory, start - microsecond)
    inside = [create_activity(activity_factory, start), create_activity(activity_factory, end)]
    create_activity(activity_factory, end + microsecond)
    period = {"start": "2026-04-01T12:00:00+02:00", "end": "2026-04-01T12:00:00Z"}
    assert (await export_report_file(export_client, reporting_period=period)).ids == inside


async def test_period_of_one_instant_includes_an_activity_that_starts_then(
    export_client: ExportClient, activity_factory: ActivityFactory
) -> None:
    activity_id = create_activity(activity_factory, utc(2026, 4, 1, 10))
    period = {"start": "2026-04-01T10:00:00Z", "end": "2026-04-01T10:00:00Z"}
    assert (await export_report_file(export_client, reporting_period=period)).ids == [activity_id]


async def test_period_without_activities_completes_without_a_file(export_client: ExportClient) -> None:
    job = await export_client.wait_for_completion(await export_client.start_export())
    assert (job["status"], job["row_count"], job["counts"]["queried"]) == ("completed_empty", 0, 0)
    assert (job["file"], job["download_url"], job["error"]) == (None, None, None)


async def test_period_without_activities_fails_with_fail_on_empty(export_client: ExportClient) -> None:
    job = await export_client.wait_for_completion(await export_client.start_export(fail_on_empty=True))
    assert (job["status"], job["error"]["code"]) == ("failed", "no_data_for_period")
    assert (job["file"], job["download_url"]) == (None, None)


async def test_two_exports_of_the_same_rows_are_identical(
    export_client: ExportClient, activity_factory: ActivityFactory
) -> None:
    mentor = activity_factory.create_mentor()
    for number in range(20):
        activity_factory.create_activity(mentor, note=f"Møte {number}")
    first, other = await asyncio.gather(export_report_file(export_client), export_report_file(export_client))
    assert first.job["id"] != other.job["id"]
    assert first.content == other.content
    assert first.job["file"]["content_sha256"] == other.job["file"]["content_sha256"]


async def test_additional_row_changes_the_content_hash(
    export_client: ExportClient, activity_factory: ActivityFactory
) -> None:
    mentor = activity_factory.create_mentor()
    activity_factory.create_activity(mentor)
    before = await export_report_file(export_client)
    activity_factory.create_activity(mentor)
    after = await export_report_file(export_client)
    assert before.job["file"]["content_sha256"] != after.job["file"]["content_sha256"]


async def test_completed_export_has_one_completed_attempt(
    export_client: ExportClient, activity_factory: ActivityFactory
) -> None:
    activity_factory.create_activity(activity_factory.create_mentor())
    report = await export_report_file(export_client)
    assert [(attempt["number"], attempt["outcome"]) for attempt in report.job["attempts"]] == [(1, "completed")]
    assert report.job["completed_at"] is not None
    assert report.job["partial_failures"] == []
    assert report.job["partial_failure_count"] == 0


async def test_link_of_an_older_export_downloads_its_own_file(
    export_client: ExportClient, activity_factory: ActivityFactory
) -> None:
    mentor = activity_factory.create_mentor()
    activity_factory.create_activity(mentor)
    before = await export_report_file(export_client)
    activity_factory.create_activity(mentor)
    await export_report_file(export_client)
    assert (await fetch_report_file(await export_client.get_export(before.job["id"]))).content == before.content
