"""Creates an object for each path parameter of the API, and new ids for request bodies."""

from collections.abc import Callable, Mapping
from uuid import UUID, uuid4

import psycopg
from psycopg.types.json import Jsonb

from stafett.database.session import Database
from stafett.database.tables import Export
from stafett.domain.bulk_job import BulkJob
from stafett.domain.export import ExportRequest
from stafett.domain.export_job import RecordFailureInput
from stafett.domain.export_status import ExportErrorCode
from stafett.domain.membership import Caller, Role
from stafett.domain.reexport import ReexportRequest
from stafett.domain.reexport_job import RecordReexportFailureInput
from stafett.exports.completion import ExportCompletion
from stafett.exports.service import ExportService
from stafett.reports.completion import ReexportCompletion
from stafett.reports.reexports import ReexportService
from stafett.testing import ActivityFactory, Tenant
from tests.support.bulk import BulkHarness


class ApiFixtures:
    """Creates objects that belong to the coordinator of one organisation; each call creates a new one."""

    def __init__(self, owner_url: str, tenant: Tenant, api: Database, worker: Database) -> None:
        self._owner_url = owner_url
        self._tenant = tenant
        self._exports = ExportService(api)
        self._completion = ExportCompletion(worker)
        self._batches = BulkHarness(tenant, api, worker)
        self._reexports = ReexportService(api)
        self._reexport_completion = ReexportCompletion(worker, remove_files=lambda _job: True)

    @property
    def factories(self) -> Mapping[str, Callable[[], object]]:
        """Factories by path parameter. A new path parameter needs a factory here."""
        return {
            "org_id": lambda: self._tenant.org_id,
            "export_id": lambda: self.create_failed_export().id,
            "report_id": self.create_report,
            "reexport_id": self.create_failed_reexport,
            "batch_id": self.create_failed_batch,
            "notification_id": self.create_notification,
            "webhook_id": self.create_webhook,
            "user_id": self.create_member,
            "key_id": self.create_api_key,
            "mentor_id": self.create_mentor,
            "activity_id": self.create_activity,
            "new_org_id": lambda: f"n{uuid4().hex[:12]}",
            "new_address": lambda: f"{uuid4()}@example.org",
        }

    def create_failed_export(self) -> Export:
        tenant = self._tenant
        caller = Caller(user_id=tenant.coordinator, org_id=tenant.org_id, role=Role.COORDINATOR)
        period = {"start": "2026-01-01", "end": "2026-12-31"}
        request = {"org_id": tenant.org_id, "requesting_user_id": tenant.coordinator, "reporting_period": period}
        export = self._exports.accept(caller, ExportRequest.model_validate(request | {"export_format": "csv"})).export
        code, message = ExportErrorCode.INTERNAL, "It failed."
        self._completion.fail(RecordFailureInput(job=export.job, code=code, message=message, retryable=True))
        return export

    def create_report(self) -> UUID:
        export, report_id = self.create_failed_export(), uuid4()
        parameters = Jsonb(export.parameters)
        file = {"name": "r.csv", "mime_type": "text/csv", "size_bytes": 1, "sha256": "a", "content_sha256": "a"}
        mapping = {"version": 1, "sha256": "a"}
        with psycopg.connect(self._owner_url) as connection:
            connection.execute(
                "INSERT INTO reports (id, org_id, export_id, period_start, period_end, parameters)"
                " VALUES (%s, %s, %s, %s, %s, %s)",
                [report_id, export.org_id, export.id, export.period_start, export.period_end, parameters],
            )
            connection.execute(
                "INSERT INTO report_files (report_id, version, org_id, export_id, kind, file, mapping, created_by)"
                " VALUES (%s, 1, %s, %s, 'original', %s, %s, %s)",
                [report_id, export.org_id, export.id, Jsonb(file), Jsonb(mapping), export.requested_by],
            )
        return report_id

    def create_failed_reexport(self) -> UUID:
        tenant = self._tenant
        caller = Caller(user_id=tenant.coordinator, org_id=tenant.org_id, role=Role.COORDINATOR)
        reexport = self._reexports.accept(caller, ReexportRequest(report_id=self.create_report())).reexport
        job, code, message = reexport.job, ExportErrorCode.INTERNAL, "It failed."
        self._reexport_completion.fail(RecordReexportFailureInput(job=job, code=code, message=message, retryable=True))
        return reexport.id

    def create_failed_batch(self) -> UUID:
        """Create a batch that failed because its only mentor does not exist."""
        job = self._batches.accept([uuid4()])
        self._batches.run(job)
        return job.batch_id

    def cancel_batch(self, job: BulkJob) -> None:
        self._batches.commands.cancel(self._batches.caller, job.batch_id)
        self._batches.registration.finish_cancel(job)

    def create_notification(self) -> UUID:
        return self._fetch_id(
            "SELECT id FROM notifications WHERE subject_id = %s AND user_id = %s",
            [self.create_failed_export().id, self._tenant.coordinator],
        )

    def create_webhook(self) -> UUID:
        return self._fetch_id(
            "INSERT INTO webhooks (id, org_id, url, created_by)"
            " VALUES (gen_random_uuid(), %s, 'https://example.org/', %s) RETURNING id",
            [self._tenant.org_id, self._tenant.users[Role.ADMIN]],
        )

    def create_member(self) -> UUID:
        user_id = uuid4()
        with psycopg.connect(self._owner_url) as connection:
            connection.execute("INSERT INTO users VALUES (%s, %s, 'Medlem')", [user_id, f"{user_id}@example.org"])
            connection.execute("INSERT INTO memberships VALUES (%s, %s, 'coordinator')", [user_id, self._tenant.org_id])
        return user_id

    def create_api_key(self) -> UUID:
        return self._fetch_id(
            "INSERT INTO api_keys (id, org_id, user_id, name, role, secret_sha256, expires_at)"
            " VALUES (gen_random_uuid(), %s, %s, 'Integration', 'coordinator', %s, now() + interval '1 day')"
            " RETURNING id",
            [self._tenant.org_id, self._tenant.users[Role.ADMIN], uuid4().hex * 2],
        )

    def create_mentor(self) -> UUID:
        return self._fetch_id(
            "INSERT INTO peer_mentors (id, org_id, display_name) VALUES (gen_random_uuid(), %s, 'Ola Nordmann')"
            " RETURNING id",
            [self._tenant.org_id],
        )

    def create_activity(self) -> UUID:
        return ActivityFactory(self._owner_url, self._tenant.org_id).create_activity(self.create_mentor())

    def _fetch_id(self, query: str, values: list[object]) -> UUID:
        with psycopg.connect(self._owner_url) as connection:
            row = connection.execute(query.encode(), values).fetchone()
        assert row is not None
        (row_id,) = row
        assert isinstance(row_id, UUID)
        return row_id
