"""Figures of a year, compared with the previews of the same year and of each of its months."""

import calendar
from datetime import UTC, date, datetime, timedelta
from uuid import uuid4

import pytest

from stafett.column_mapper.versions import MappingVersions
from stafett.database.session import Database
from stafett.domain.activity import ActivityType
from stafett.domain.errors import PermissionDeniedError
from stafett.domain.export import ExportCounts, ExportRequest
from stafett.domain.export_preview import PreviewJob
from stafett.domain.membership import Caller, Role
from stafett.exports.figures import Figure, FigureService
from stafett.exports.preview import PreviewBuilder, take_preview
from stafett.testing import ActivityFactory, Tenant, create_tenant

YEAR = 2026
RULES = ("nhf", "blindeforbundet", "hlf", "standard")


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
    assert figures.counts == counts
    assert figures.total == Figure(activities=counts.queried, countable=counts.countable)
    for month in figures.months:
        last = month.replace(day=calendar.monthrange(YEAR, month.month)[1])
        expected = preview(caller, api_database, worker_database, month, last)
        of_types = [figures.of(month, each) for each in ActivityType]
        assert figures.of_month(month) == Figure(activities=expected.queried, countable=expected.countable), month
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
    assert (figures.total, figures.types, figures.counts) == (Figure(), (), ExportCounts())


def test_operator_has_no_figures(caller: Caller, api_database: Database) -> None:
    operator = Caller(user_id=caller.user_id, org_id=None, role=Role.OPERATOR)
    with pytest.raises(PermissionDeniedError):
        FigureService(api_database).compute(operator, YEAR)
