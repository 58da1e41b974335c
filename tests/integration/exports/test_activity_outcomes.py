"""The outcomes of activities, compared with the preview of the same period."""

from datetime import UTC, date, datetime, timedelta
from uuid import UUID, uuid4

import pytest

from stafett.bulk.activities import ActivityFilter, ActivityService
from stafett.column_mapper.versions import MappingVersions
from stafett.database.session import Database
from stafett.domain.activity import ActivityType
from stafett.domain.errors import ExportError, InvalidRequestError, PermissionDeniedError
from stafett.domain.export import ExportRequest
from stafett.domain.export_outputs import DeviationOutcome
from stafett.domain.export_preview import Preview, PreviewJob
from stafett.domain.membership import Caller, Role
from stafett.domain.reporting_period import ReportingPeriod
from stafett.exports.activity_outcomes import (
    ANY_NOT_COUNTABLE,
    ANY_REJECTED,
    ActivityOutcomes,
    ListedActivity,
    get_cause_key,
)
from stafett.exports.preview import PreviewBuilder, take_preview
from stafett.testing import ActivityFactory, Tenant, create_tenant

YEAR = 2026
WHOLE_YEAR = ReportingPeriod(start=date(YEAR, 1, 1), end=date(YEAR, 12, 31))
HALF_YEAR = ReportingPeriod(start=date(YEAR, 1, 1), end=date(YEAR, 6, 30))


@pytest.fixture(params=("nhf", "blindeforbundet", "hlf", "standard"))
def tenant(request: pytest.FixtureRequest, owner_url: str) -> Tenant:
    return create_tenant(owner_url, request.param)


@pytest.fixture
def caller(tenant: Tenant) -> Caller:
    return Caller(user_id=tenant.users[Role.AUDITOR], org_id=tenant.org_id, role=Role.AUDITOR)


def create_year(factory: ActivityFactory) -> None:
    """Create several activities of the same mentor and day, of which some do not count and some are rejected."""
    mentors = [factory.create_mentor(f"Likeperson {number}") for number in range(3)]
    types = list(ActivityType)
    for number in range(110):
        starts_at = datetime(YEAR, 1, 2, 6, tzinfo=UTC) + timedelta(days=3 * number)
        for hour in range(0, 6, 2):
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


def preview(tenant: Tenant, api_database: Database, worker_database: Database, period: ReportingPeriod) -> Preview:
    coordinator = Caller(user_id=tenant.coordinator, org_id=tenant.org_id, role=Role.COORDINATOR)
    body = {"org_id": tenant.org_id, "requesting_user_id": tenant.coordinator, "export_format": "xlsx", "locale": "nn"}
    request = ExportRequest.model_validate(body | {"reporting_period": period.model_dump()})
    job = PreviewJob(preview_id=uuid4(), request=request)
    PreviewBuilder(worker_database, MappingVersions(worker_database), raise_if_cancelled=lambda: None)(job)
    return take_preview(api_database, coordinator, job)


def list_all(
    service: ActivityOutcomes, caller: Caller, period: ReportingPeriod, cause: str
) -> tuple[list[ListedActivity], int]:
    """Return the activities of all pages, and the number of pages."""
    items, pages, token = list[ListedActivity](), 0, None
    while True:
        page = service.list(caller, period, cause, "nn", token).page
        items, pages, token = [*items, *page.items], pages + 1, page.next_page_token
        if token is None:
            return items, pages


def test_activities_with_each_cause_are_those_that_the_preview_counts(
    caller: Caller,
    tenant: Tenant,
    activity_factory: ActivityFactory,
    api_database: Database,
    worker_database: Database,
) -> None:
    create_year(activity_factory)
    for period in (WHOLE_YEAR, HALF_YEAR):
        expected = preview(tenant, api_database, worker_database, period)
        assert expected.counts.not_countable
        for rows_per_scan in (1, 40, 8000):
            service = ActivityOutcomes(api_database, rows_per_scan=rows_per_scan)
            compare_with_preview(service, caller, period, expected)


def compare_with_preview(service: ActivityOutcomes, caller: Caller, period: ReportingPeriod, expected: Preview) -> None:
    filters = service.list_filters(caller, period, "nn")
    assert [(each.key, each.message) for each in filters.reasons] == [
        (each.code, each.reason) for each in expected.not_countable
    ]
    for reason in expected.not_countable:
        listed, _ = list_all(service, caller, period, reason.code)
        assert len({each.id for each in listed}) == len(listed) == reason.count, reason.code
        assert {each.outcome.causes[-1].message for each in listed} <= {reason.reason}
    known = {each.key: each.message for each in filters.checks}
    for failure in expected.partial_failures:
        assert known[get_cause_key(failure)] == failure.failure_reason
        listed, _ = list_all(service, caller, period, get_cause_key(failure))
        assert [each.id for each in listed][::-1] == list(failure.affected_activity_ids)
    for cause, count in (
        (ANY_NOT_COUNTABLE, expected.counts.not_countable),
        (ANY_REJECTED, expected.counts.rejected),
        ("unknown", 0),
    ):
        listed, _ = list_all(service, caller, period, cause)
        assert len(listed) == count, cause
        assert [(each.starts_at, each.id) for each in listed] == sorted(
            ((each.starts_at, each.id) for each in listed), reverse=True
        )


def test_pages_that_examine_few_rows_lead_to_the_next_ones(
    caller: Caller, activity_factory: ActivityFactory, api_database: Database
) -> None:
    mentor = activity_factory.create_mentor()
    for day in range(1, 9):
        kind = "telefonsamtale" if day in {2, 8} else "samtalegruppe"
        activity_factory.create_activity(mentor, starts_at=datetime(YEAR, 3, day, 9, tzinfo=UTC), activity_type=kind)
    service = ActivityOutcomes(api_database, rows_per_scan=2)
    first = service.list(caller, WHOLE_YEAR, ANY_NOT_COUNTABLE, "nb")
    assert ([each.starts_at.day for each in first.page.items], first.examined_from) == ([8], date(YEAR, 3, 6))
    second = service.list(caller, WHOLE_YEAR, ANY_NOT_COUNTABLE, "nb", first.page.next_page_token)
    assert (list(second.page.items), second.examined_from) == ([], date(YEAR, 3, 3))
    third = service.list(caller, WHOLE_YEAR, ANY_NOT_COUNTABLE, "nb", second.page.next_page_token)
    assert ([each.starts_at.day for each in third.page.items], third.page.next_page_token) == ([2], None)


def test_outcome_of_each_activity_is_that_of_the_list_of_its_year(
    caller: Caller, activity_factory: ActivityFactory, api_database: Database
) -> None:
    create_year(activity_factory)
    service, activities = ActivityOutcomes(api_database), ActivityService(api_database)
    listed = {
        each.id: each.outcome
        for cause in (ANY_NOT_COUNTABLE, ANY_REJECTED)
        for each in list_all(service, caller, WHOLE_YEAR, cause)[0]
    }
    outcomes = dict[UUID, DeviationOutcome | None]()
    for details in activities.list(caller, ActivityFilter(period_start=date(YEAR, 10, 1), page_size=200)).items:
        found = service.find(caller, details.activity, "nn")
        outcomes[details.activity.id] = found.outcome
        if found.outcome in {DeviationOutcome.NOT_COUNTABLE, DeviationOutcome.REJECTED}:
            assert found == listed[details.activity.id]
        else:
            assert details.activity.id not in listed
    assert len(set(outcomes.values())) > 1


def test_year_without_a_mapping_and_callers_who_may_not_read(api_database: Database, owner_url: str) -> None:
    tenant = create_tenant(owner_url, "standard")
    caller = Caller(user_id=tenant.coordinator, org_id=tenant.org_id, role=Role.COORDINATOR)
    factory = ActivityFactory(owner_url, tenant.org_id)
    activity_id = factory.create_activity(factory.create_mentor(), starts_at=datetime(2019, 5, 2, 9, tzinfo=UTC))
    activity = ActivityService(api_database).find(caller, activity_id).activity
    service = ActivityOutcomes(api_database)
    operator = Caller(user_id=tenant.coordinator, org_id=None, role=Role.OPERATOR)
    with pytest.raises(PermissionDeniedError):
        service.list(operator, WHOLE_YEAR, ANY_NOT_COUNTABLE, "nb")
    with pytest.raises(PermissionDeniedError):
        service.find(operator, activity, "nb")
    with pytest.raises(InvalidRequestError):
        service.list(caller, WHOLE_YEAR, ANY_NOT_COUNTABLE, "nb", "x")
    with pytest.raises(ExportError):
        service.find(caller, activity, "nb")
    with pytest.raises(ExportError):
        service.list_filters(caller, ReportingPeriod(start=date(2019, 1, 1), end=date(2019, 12, 31)), "nb")


def test_activities_of_another_organisation_have_no_place_in_the_list(
    activity_factory: ActivityFactory, api_database: Database, owner_url: str
) -> None:
    create_year(activity_factory)
    stranger = create_tenant(owner_url, "standard")
    caller = Caller(user_id=stranger.coordinator, org_id=stranger.org_id, role=Role.COORDINATOR)
    assert list_all(ActivityOutcomes(api_database), caller, WHOLE_YEAR, ANY_NOT_COUNTABLE) == ([], 1)
