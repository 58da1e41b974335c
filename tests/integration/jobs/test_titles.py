"""What jobs are about, by their ids."""

import pytest

from stafett.database.session import Database
from stafett.domain.membership import Caller, Role
from stafett.jobs.titles import JobTitles
from stafett.testing import Tenant, create_tenant
from tests.support.api_fixtures import ApiFixtures
from tests.support.console_forms import execute


@pytest.fixture
def fixtures(owner_url: str, tenant: Tenant, api_database: Database, worker_database: Database) -> ApiFixtures:
    return ApiFixtures(owner_url, tenant, api_database, worker_database)


@pytest.fixture
def titles(api_database: Database) -> JobTitles:
    return JobTitles(api_database)


@pytest.fixture
def coordinator(tenant: Tenant) -> Caller:
    return Caller(user_id=tenant.coordinator, org_id=tenant.org_id, role=Role.COORDINATOR)


def test_each_kind_of_job_has_its_period_or_its_size(
    titles: JobTitles, coordinator: Caller, fixtures: ApiFixtures
) -> None:
    export, reexport = fixtures.create_failed_export(), fixtures.create_failed_reexport()
    batch = fixtures.create_failed_batch()
    loaded = titles.load(coordinator, [export.id, reexport, batch])
    assert {job: title.kind for job, title in loaded.items()} == {
        export.id: "export",
        reexport: "reexport",
        batch: "batch",
    }
    period = loaded[export.id].period
    assert period is not None
    assert (period.first_instant, period.last_instant) == (export.period_start, export.period_end)
    assert (loaded[batch].period, loaded[batch].total > 0) == (None, True)


def test_deleted_jobs_have_no_title(
    titles: JobTitles, coordinator: Caller, fixtures: ApiFixtures, owner_url: str
) -> None:
    jobs = [fixtures.create_failed_export().id, fixtures.create_failed_batch()]
    for query in (
        "UPDATE exports SET deleted_at = now() WHERE org_id = %s",
        "UPDATE bulk_registrations SET deleted_at = now() WHERE org_id = %s",
    ):
        execute(owner_url, query, coordinator.org_id)
    assert titles.load(coordinator, jobs) == {}


def test_jobs_of_other_organisations_have_no_title(titles: JobTitles, fixtures: ApiFixtures, owner_url: str) -> None:
    jobs = [fixtures.create_failed_export().id, fixtures.create_failed_batch()]
    other = create_tenant(owner_url)
    stranger = Caller(user_id=other.coordinator, org_id=other.org_id, role=Role.COORDINATOR)
    operator = Caller(user_id=other.coordinator, org_id=None, role=Role.OPERATOR)
    assert [titles.load(caller, jobs) for caller in (stranger, operator)] == [{}, {}]
