"""Figures of a year, compared with the previews of the same year and of each of its months."""

import calendar
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from uuid import uuid4

import polars as pl
import psycopg
import pytest

from stafett.bulk.activities import ActivityService
from stafett.column_mapper import validate_document
from stafett.column_mapper.versions import MappingService, MappingVersions
from stafett.database.connection import DeadlineConnection
from stafett.database.session import Database
from stafett.domain.activity import ActivityType
from stafett.domain.errors import PermissionDeniedError
from stafett.domain.export import ExportCounts, ExportRequest
from stafett.domain.export_preview import PreviewJob
from stafett.domain.membership import Caller, Role
from stafett.domain.proxy_activity import ActivityCorrection
from stafett.domain.reporting_period import OSLO
from stafett.exports.figures import Figure, FigureService
from stafett.exports.preview import PreviewBuilder, take_preview
from stafett.exports.stages.query_activities import OrganisationPeriod, read_activity_frame
from stafett.storage.files import FileStorage
from stafett.testing import ActivityFactory, Tenant, create_tenant

YEAR = 2026
RULES = ("nhf", "blindeforbundet", "hlf", "standard")
Change = tuple[Callable[[], object], Figure]
"""A change, and the total after it."""


@pytest.fixture(params=RULES)
def tenant(request: pytest.FixtureRequest, owner_url: str) -> Tenant:
    return create_tenant(owner_url, request.param)


@pytest.fixture
def caller(tenant: Tenant) -> Caller:
    return Caller(user_id=tenant.coordinator, org_id=tenant.org_id, role=Role.COORDINATOR)


def preview(caller: Caller, api_database: Database, worker_database: Database, start: date, end: date) -> ExportCounts:
    body = {"org_id": caller.org_id, "requesting_user_id": caller.user_id, "export_format": "csv"}
    request = ExportRequest.model_validate(body | {"reporting_period": {"start": start, "end": end}})
    job = PreviewJob(preview_id=uuid4(), request=request)
    PreviewBuilder(worker_database, MappingVersions(worker_database), raise_if_cancelled=lambda: None)(job)
    return take_preview(api_database, caller, job).counts


def to_figure(counts: ExportCounts) -> Figure:
    return Figure(activities=counts.queried, countable=counts.countable, rejected=counts.rejected)


def create_year(factory: ActivityFactory) -> None:
    """Create activities of all types through the year, of which some do not count and some are rejected."""
    mentors = [factory.create_mentor(f"Likeperson {number}") for number in range(3)]
    types = list(ActivityType)
    for number in range(120):
        starts_at = datetime(YEAR, 1, 2, 9, tzinfo=UTC) + timedelta(days=3 * number)
        for hour in range(0, 6, 2):  # further activities of the same mentor and day count only with new participants
            factory.create_activity(
                mentors[number % 3],
                starts_at=starts_at + timedelta(hours=hour),
                ends_at=starts_at + timedelta(hours=hour, minutes=30 + 30 * (number % 4)),
                activity_type=types[(number + hour) % len(types)].value,
                participants=number % 7,
                new_participants=min(number % 2, number % 7),
                place="" if number % 11 == 0 else "Bodø",
                in_person=number % 5 > 0,
                in_norway=number % 13 > 0,
            )
    for month in (1, 2, 7):  # an activity that belongs to this month in Oslo, and to the one before in UTC
        midnight = datetime(YEAR, month, 1, tzinfo=UTC) - timedelta(minutes=30)
        factory.create_activity(factory.create_mentor(), starts_at=midnight)
    factory.create_activity(mentors[0], starts_at=datetime(YEAR, 12, 31, 23, 30, tzinfo=UTC))  # next year in Oslo
    factory.create_activity(
        factory.create_mentor(), starts_at=datetime(YEAR, 5, 5, tzinfo=UTC), deleted_at=datetime.now(UTC)
    )


def test_figures_equal_the_preview_of_the_year_and_of_each_month(
    caller: Caller, activity_factory: ActivityFactory, api_database: Database, worker_database: Database
) -> None:
    create_year(activity_factory)
    figures = FigureService(api_database).compute(caller, YEAR)
    counts = preview(caller, api_database, worker_database, date(YEAR, 1, 1), date(YEAR, 12, 31))
    assert counts.queried == 363
    assert 0 < counts.countable < counts.queried
    assert figures.total == to_figure(counts)
    for month in figures.months:
        last = month.replace(day=calendar.monthrange(YEAR, month.month)[1])
        expected = preview(caller, api_database, worker_database, month, last)
        of_types = [figures.of(month, each) for each in ActivityType]
        assert figures.of_month(month) == to_figure(expected), month
        assert sum(each.activities for each in of_types) == expected.queried
    assert [figures.of_type(each).activities for each in ActivityType] == [
        sum(figures.of(month, each).activities for month in figures.months) for each in ActivityType
    ]
    assert figures.types == tuple(ActivityType)
    assert figures.of_type(ActivityType.TELEFONSAMTALE).countable == 0


def test_figures_of_slices_equal_those_of_whole_parts(
    caller: Caller, activity_factory: ActivityFactory, api_database: Database
) -> None:
    create_year(activity_factory)
    whole = FigureService(api_database).compute(caller, YEAR)
    assert FigureService(api_database, max_memory_bytes=64 * 1024).compute(caller, YEAR) == whole


def test_figures_without_activities_are_zero(caller: Caller, api_database: Database) -> None:
    figures = FigureService(api_database).compute(caller, YEAR)
    assert (figures.total, figures.types) == (Figure(), ())


def test_operator_has_no_figures(caller: Caller, api_database: Database) -> None:
    operator = Caller(user_id=caller.user_id, org_id=None, role=Role.OPERATOR)
    with pytest.raises(PermissionDeniedError):
        FigureService(api_database).compute(operator, YEAR)


@pytest.fixture
def read_months(monkeypatch: pytest.MonkeyPatch) -> list[date]:
    """The first days of the months that are read from now on."""
    months = list[date]()

    def record(connection: DeadlineConnection, period: OrganisationPeriod, row_count: int) -> pl.DataFrame:
        months.append(period[1].astimezone(OSLO).date())
        return read_activity_frame(connection, period, row_count)

    monkeypatch.setattr("stafett.exports.figures.read_activity_frame", record)
    return months


@pytest.mark.parametrize("tenant", ["standard"], indirect=True)
def test_figures_follow_every_change_of_what_is_mapped(
    caller: Caller,
    tenant: Tenant,
    activity_factory: ActivityFactory,
    api_database: Database,
    storage: FileStorage,
    owner_url: str,
) -> None:
    mappings, service = MappingService(api_database), FigureService(api_database)
    administrator = Caller(user_id=tenant.users[Role.ADMIN], org_id=tenant.org_id, role=Role.ADMIN)
    document = mappings.get_effective(caller, tenant.org_id, date(YEAR, 12, 31)).mapping.document
    never = [{"code": "never", "label": document["counting"]["reasons"][0]["label"], "when": True}]
    by_name_and_attachments = [
        never[0] | {"code": name, "when": {"==": [{"var": name}, value]}}
        for name, value in (("mentor_name", "Kari"), ("attachments", 1), ("note", "Nei"))
    ]

    def publish(reasons: list[dict[str, object]]) -> None:
        changed = document | {"counting": document["counting"] | {"reasons": reasons}}
        latest = mappings.list_versions(administrator, tenant.org_id)[0].version
        mappings.add(administrator, tenant.org_id, validate_document(changed), {latest})

    def execute(query: str, *values: object) -> None:
        with psycopg.connect(owner_url) as connection:
            connection.execute(query.encode(), values)

    publish(by_name_and_attachments)
    mentor, other = activity_factory.create_mentor("Ola"), activity_factory.create_mentor("Per")
    first = activity_factory.create_activity(mentor, starts_at=datetime(YEAR, 3, 2, 10, tzinfo=UTC))
    activity_factory.create_activity(other, starts_at=datetime(YEAR, 5, 2, 10, tzinfo=UTC))
    assert service.compute(caller, YEAR).total == Figure(activities=2, countable=2)
    changes: list[Change] = [
        (lambda: execute("UPDATE activities SET note = 'Nei' WHERE id = %s", first), Figure(activities=2, countable=1)),
        (lambda: execute("UPDATE activities SET note = NULL WHERE id = %s", first), Figure(activities=2, countable=2)),
        (
            lambda: execute("UPDATE peer_mentors SET display_name = 'Kari' WHERE id = %s", mentor),
            Figure(activities=2, countable=1),
        ),
        (
            lambda: execute("UPDATE activities SET mentor_id = %s WHERE id = %s", other, first),
            Figure(activities=2, countable=2),
        ),
        (lambda: activity_factory.create_attachment(storage, first), Figure(activities=2, countable=1)),
        (
            lambda: activity_factory.create_activity(other, starts_at=datetime(YEAR, 5, 3, 10, tzinfo=UTC)),
            Figure(activities=3, countable=2),
        ),
        (
            lambda: execute("UPDATE activities SET deleted_at = now() WHERE id = %s", first),
            Figure(activities=2, countable=2),
        ),
        (lambda: publish(never), Figure(activities=2, countable=0)),
        (lambda: publish(by_name_and_attachments), Figure(activities=2, countable=2)),
    ]
    for number, (change, expected) in enumerate(changes):
        change()
        assert service.compute(caller, YEAR).total == expected, number
        assert service.compute(caller, YEAR) == FigureService(api_database).compute(caller, YEAR), number


@pytest.mark.parametrize("tenant", ["standard"], indirect=True)
def test_only_months_that_have_changed_are_read_again(
    caller: Caller, activity_factory: ActivityFactory, api_database: Database, read_months: list[date]
) -> None:
    mentor, service = activity_factory.create_mentor(), FigureService(api_database)

    def create_activity(month: int, day: int) -> None:
        activity_factory.create_activity(mentor, starts_at=datetime(YEAR, month, day, 10, tzinfo=UTC))

    for month in (1, 4, 7):
        create_activity(month, 2)
    for _ in range(2):
        service.compute(caller, YEAR)
        assert read_months == [date(YEAR, 1, 1)]  # at once, because they have nothing else between them
    for month in (1, 7):
        create_activity(month, 3)
    assert service.compute(caller, YEAR).total == Figure(activities=5, countable=5)
    assert read_months[1:] == [date(YEAR, 1, 1), date(YEAR, 7, 1)]


@pytest.mark.parametrize("tenant", ["standard"], indirect=True)
def test_figures_notice_corrected_and_deleted_activities(
    caller: Caller, activity_factory: ActivityFactory, api_database: Database
) -> None:
    mentor, service = activity_factory.create_mentor(), FigureService(api_database)
    activities = ActivityService(api_database)
    first, second = (
        activity_factory.create_activity(mentor, starts_at=datetime(YEAR, month, 2, 10, tzinfo=UTC)) for month in (3, 4)
    )
    assert service.compute(caller, YEAR).total == Figure(activities=2, countable=2)
    for correction, expected in (
        ({"in_norway": False}, Figure(activities=2, countable=1)),
        ({"in_norway": True}, Figure(activities=2, countable=2)),
        ({"starts_at": f"{YEAR + 1}-03-02T10:00:00Z"}, Figure(activities=1, countable=1)),
    ):
        activities.correct(caller, first, ActivityCorrection.model_validate(correction), range(10))
        assert service.compute(caller, YEAR).total == expected
    activities.delete(caller, second)
    assert service.compute(caller, YEAR).total == Figure()
    assert service.compute(caller, YEAR + 1).total == Figure(activities=1, countable=1)


@pytest.mark.parametrize("tenant", ["standard"], indirect=True)
def test_cache_of_figures_has_a_maximum_and_evicts_what_was_used_first(
    caller: Caller, activity_factory: ActivityFactory, api_database: Database, read_months: list[date]
) -> None:
    mentor, service = activity_factory.create_mentor(), FigureService(api_database, max_cached_months=2)
    for year in (YEAR - 2, YEAR - 1, YEAR):
        activity_factory.create_activity(mentor, starts_at=datetime(year, 3, 2, 10, tzinfo=UTC))
    for year in (YEAR - 2, YEAR - 1, YEAR - 2, YEAR):  # the year before is used least when the last one is added
        assert service.compute(caller, year).total == Figure(activities=1, countable=1)
    assert [month.year for month in read_months] == [YEAR - 2, YEAR - 1, YEAR]
    for year in (YEAR - 2, YEAR, YEAR - 1):
        assert service.compute(caller, year).total == Figure(activities=1, countable=1)
    assert [month.year for month in read_months[3:]] == [YEAR - 1]


@pytest.mark.parametrize("tenant", ["standard"], indirect=True)
def test_cached_figures_are_those_of_the_own_organisation(
    caller: Caller, activity_factory: ActivityFactory, api_database: Database, owner_url: str
) -> None:
    service, stranger = FigureService(api_database), create_tenant(owner_url, "standard")
    activity_factory.create_activity(activity_factory.create_mentor(), starts_at=datetime(YEAR, 3, 2, 10, tzinfo=UTC))
    other = Caller(user_id=stranger.coordinator, org_id=stranger.org_id, role=Role.COORDINATOR)
    assert service.compute(caller, YEAR).total == Figure(activities=1, countable=1)
    assert service.compute(other, YEAR).total == Figure()
