from stafett.database.session import Database
from stafett.domain.export import ExportRequest
from stafett.domain.export_outputs import EffectiveMapping, QueriedRows
from stafett.domain.export_status import ExportStatus
from stafett.domain.membership import Caller, Role
from stafett.exports.service import ExportService
from stafett.exports.stage_runner import StageRunner
from stafett.exports.stage_store import StageStore
from stafett.storage.files import FileStorage
from stafett.testing import Tenant


def test_finished_stage_does_not_run_again(
    worker_database: Database, storage: FileStorage, export_service: ExportService, tenant: Tenant
) -> None:
    caller = Caller(user_id=tenant.coordinator, org_id=tenant.org_id, role=Role.COORDINATOR)
    period = {"start": "2026-01-01", "end": "2026-12-31"}
    body = {"org_id": tenant.org_id, "requesting_user_id": caller.user_id, "export_format": "csv"}
    job = export_service.accept(caller, ExportRequest.model_validate(body | {"reporting_period": period})).export.job
    outputs = QueriedRows(
        parts=(),
        snapshot_at="2026-01-01T00:00:00Z",
        mapping=EffectiveMapping(version=1, sha256="0" * 64),
        organisation_name="Prøveforbundet",
    )
    runner = StageRunner(StageStore(worker_database), storage, raise_if_cancelled=lambda: None)
    first, second = (runner.run(job, ExportStatus.QUERYING_ACTIVITIES, lambda *_: outputs) for _ in range(2))
    assert (first.reused, second.reused) == (False, True)
