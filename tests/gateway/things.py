"""Something of an organisation for every name that a path can hold, made anew for whoever lays hands on it."""

from collections.abc import Callable, Mapping
from uuid import UUID, uuid4

import psycopg
from psycopg.types.json import Jsonb

from stafett.database.session import Database
from stafett.database.tables import Export
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
from stafett.testing import Tenant
from tests.bulk import Core


class Things:
    """A coordinator's own."""

    def __init__(self, owner_url: str, tenant: Tenant, api: Database, worker: Database) -> None:
        self._owner_url = owner_url
        self._tenant = tenant
        self._jobs = ExportService(api)
        self._endings = ExportCompletion(worker)
        self._batches = Core(tenant, api, worker)
        self._reexports = ReexportService(api)
        self._reexport_endings = ReexportCompletion(worker, remove_files=lambda _job: True)

    @property
    def makers(self) -> Mapping[str, Callable[[], object]]:
        """By the name that paths give it; a path with another name needs a maker first."""
        return {
            "org_id": lambda: self._tenant.org_id,
            "export_id": lambda: self.failed_export().id,
            "report_id": self.report,
            "reexport_id": self.failed_reexport,
            "batch_id": self.failed_batch,
            "notification_id": self.notification,
            "webhook_id": self.webhook,
        }

    def failed_export(self) -> Export:
        tenant = self._tenant
        caller = Caller(user_id=tenant.coordinator, org_id=tenant.org_id, role=Role.COORDINATOR)
        period = {"start": "2026-01-01", "end": "2026-12-31"}
        asked = {"org_id": tenant.org_id, "requesting_user_id": tenant.coordinator, "reporting_period": period}
        export = self._jobs.accept(caller, ExportRequest.model_validate(asked | {"export_format": "csv"})).export
        code, message = ExportErrorCode.INTERNAL, "It could not go on."
        self._endings.fail(RecordFailureInput(job=export.job, code=code, message=message, retryable=True))
        return export

    def report(self) -> UUID:
        export, report_id = self.failed_export(), uuid4()
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

    def failed_reexport(self) -> UUID:
        tenant = self._tenant
        caller = Caller(user_id=tenant.coordinator, org_id=tenant.org_id, role=Role.COORDINATOR)
        reexport = self._reexports.accept(caller, ReexportRequest(report_id=self.report())).reexport
        job, code, message = reexport.job, ExportErrorCode.INTERNAL, "It could not go on."
        self._reexport_endings.fail(RecordReexportFailureInput(job=job, code=code, message=message, retryable=True))
        return reexport.id

    def failed_batch(self) -> UUID:
        """Of a mentor who is not there."""
        job = self._batches.accepted([uuid4()])
        self._batches.run(job)
        return job.batch_id

    def notification(self) -> UUID:
        return self._only(
            "SELECT id FROM notifications WHERE subject_id = %s AND user_id = %s",
            [self.failed_export().id, self._tenant.coordinator],
        )

    def webhook(self) -> UUID:
        return self._only(
            "INSERT INTO webhooks (id, org_id, url, created_by)"
            " VALUES (gen_random_uuid(), %s, 'https://example.org/', %s) RETURNING id",
            [self._tenant.org_id, self._tenant.users[Role.ADMIN]],
        )

    def _only(self, query: str, values: list[object]) -> UUID:
        with psycopg.connect(self._owner_url) as connection:
            row = connection.execute(query.encode(), values).fetchone()
        assert row is not None
        (found,) = row
        assert isinstance(found, UUID)
        return found
