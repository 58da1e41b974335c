"""What needs attention, in organisations with many jobs."""

from uuid import UUID

import psycopg
import pytest

from stafett.bulk.service import BulkService
from stafett.database.session import Database
from stafett.domain.bulk import BulkRequest
from stafett.domain.errors import PermissionDeniedError
from stafett.domain.membership import Caller, Role
from stafett.domain.reexport import ReexportRequest
from stafett.jobs.attention import AttentionService
from stafett.reports.reexports import ReexportService
from stafett.testing import Tenant, create_tenant
from tests.support.api_fixtures import ApiFixtures
from tests.support.bulk import build_batch


@pytest.fixture
def fixtures(owner_url: str, tenant: Tenant, api_database: Database, worker_database: Database) -> ApiFixtures:
    return ApiFixtures(owner_url, tenant, api_database, worker_database)


@pytest.fixture
def service(api_database: Database) -> AttentionService:
    return AttentionService(api_database)


@pytest.fixture
def coordinator(tenant: Tenant) -> Caller:
    return Caller(user_id=tenant.coordinator, org_id=tenant.org_id, role=Role.COORDINATOR)


def list_ids(service: AttentionService, caller: Caller) -> dict[str, set[tuple[str, UUID]]]:
    groups = service.list(caller, max_lines=100)
    assert all(group.total == len(group.lines) for group in groups.values())
    return {need: {(line.kind, line.id) for line in group.lines} for need, group in groups.items()}


def execute(owner_url: str, query: str, *values: object) -> None:
    with psycopg.connect(owner_url) as connection:
        connection.execute(query.encode(), values)


def test_each_kind_of_job_is_listed_by_its_need(
    service: AttentionService, coordinator: Caller, tenant: Tenant, fixtures: ApiFixtures, api_database: Database
) -> None:
    export, batch = fixtures.create_failed_export(), fixtures.create_failed_batch()
    reexport, waiting = fixtures.create_failed_reexport(), build_batch(tenant.org_id, [fixtures.create_mentor()])
    running = BulkService(api_database).accept(coordinator, BulkRequest.model_validate(waiting)).batch.id
    found = list_ids(service, coordinator)
    assert {("export", export.id), ("batch", batch), ("reexport", reexport)} <= found["failed"]
    assert found["running"] == {("batch", running)}


def test_newest_are_listed_and_all_are_counted(
    service: AttentionService, coordinator: Caller, fixtures: ApiFixtures, owner_url: str
) -> None:
    exports = [fixtures.create_failed_export().id for _ in range(25)]
    reports = [fixtures.create_report() for _ in range(3)]  # each with a failed export of its own
    execute(owner_url, "UPDATE reports SET submitted_at = now(), submitted_version = 1, grant_year = 2028"
            " WHERE id = %s", reports[1])  # fmt: skip
    groups = service.list(coordinator, max_lines=2)
    assert (groups["failed"].total, len(groups["failed"].lines)) == (28, 2)
    assert [line.id for line in groups["ready"].lines] == [reports[2], reports[0]]
    assert exports[0] in {job for _, job in list_ids(service, coordinator)["failed"]}


def test_what_was_deleted_or_answered_needs_no_attention(
    service: AttentionService, coordinator: Caller, fixtures: ApiFixtures, owner_url: str, api_database: Database
) -> None:
    export, failed = fixtures.create_failed_export(), fixtures.create_failed_reexport()
    execute(owner_url, "UPDATE exports SET deleted_at = now() WHERE org_id = %s", coordinator.org_id)
    found = list_ids(service, coordinator)
    assert ("export", export.id) not in found["failed"]
    assert found["ready"] == set()  # the files are those of deleted exports
    with psycopg.connect(owner_url) as connection:
        query = "SELECT report_id FROM report_reexports WHERE id = %s"
        row = connection.execute(query, [failed]).fetchone()
    assert row is not None
    again = ReexportService(api_database).accept(coordinator, ReexportRequest(report_id=row[0])).reexport.id
    found = list_ids(service, coordinator)
    assert ("reexport", failed) not in found["failed"]
    assert ("reexport", again) in found["running"]


def test_batch_with_a_correction_needs_no_attention_unless_that_was_cancelled(
    service: AttentionService, coordinator: Caller, tenant: Tenant, fixtures: ApiFixtures, api_database: Database
) -> None:
    failed = fixtures.create_failed_batch()
    body = build_batch(tenant.org_id, [fixtures.create_mentor()], corrects=str(failed))
    correction = BulkService(api_database).accept(coordinator, BulkRequest.model_validate(body)).batch
    found = list_ids(service, coordinator)
    assert ("batch", failed) not in found["failed"]
    assert ("batch", correction.id) in found["running"]
    fixtures.cancel_batch(correction.job)
    found = list_ids(service, coordinator)
    assert ("batch", failed) in found["failed"]
    assert ("batch", correction.id) not in found["running"] | found["failed"]


def test_jobs_of_another_organisation_are_not_listed(
    service: AttentionService, fixtures: ApiFixtures, owner_url: str, tenant: Tenant
) -> None:
    fixtures.create_report()
    other = create_tenant(owner_url)
    stranger = Caller(user_id=other.coordinator, org_id=other.org_id, role=Role.COORDINATOR)
    assert list_ids(service, stranger) == {"failed": set(), "running": set(), "ready": set()}
    operator = Caller(user_id=tenant.coordinator, org_id=None, role=Role.OPERATOR)
    with pytest.raises(PermissionDeniedError):
        service.list(operator, max_lines=1)
