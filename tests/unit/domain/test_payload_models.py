"""Workers of two versions read each other's payloads during a rolling upgrade."""

import json
from typing import Any
from uuid import uuid4

import pytest
from pydantic import ValidationError

from stafett.domain.bulk_job import BulkJob
from stafett.domain.export import ExportRequest
from stafett.domain.export_job import ExportJob
from stafett.domain.export_outputs import QueriedRows
from stafett.domain.export_preview import PreviewJob
from stafett.domain.frozen import PayloadModel
from stafett.domain.notification import NotificationJob
from stafett.domain.reexport_job import ReexportJob, ReexportUpdateInput

PERIOD = {"period_start": "2026-01-01T00:00:00Z", "period_end": "2026-12-31T00:00:00Z"}
MAPPING = {"version": 1, "sha256": "0" * 64}
VALUES: list[tuple[type[PayloadModel], dict[str, Any]]] = [
    (ExportJob, {"export_id": str(uuid4()), "org_id": "nhf", "attempt": 1, **PERIOD}),
    (BulkJob, {"batch_id": str(uuid4()), "org_id": "nhf", "attempt": 1, "total": 3}),
    (ReexportJob, {"reexport_id": str(uuid4()), "report_id": str(uuid4()), "org_id": "nhf", "attempt": 1, **PERIOD}),
    (ReexportUpdateInput, {"edits": 1}),
    (NotificationJob, {"subject_id": str(uuid4()), "org_id": "nhf"}),
    (QueriedRows, {"parts": [], "snapshot_at": "2026-01-01T00:00:00Z", "mapping": MAPPING}),
]


@pytest.mark.parametrize(("model", "values"), VALUES, ids=[model.__name__ for model, _ in VALUES])
def test_payload_with_a_field_of_a_newer_version_is_read(model: type[PayloadModel], values: dict[str, Any]) -> None:
    newer = json.dumps(values | {"field_of_a_newer_version": {"a": 1}})
    assert model.model_validate_json(newer) == model.model_validate_json(json.dumps(values))


def test_request_with_an_unknown_field_is_still_rejected() -> None:
    """A parameter that this version does not know would silently produce another report."""
    request = {"reporting_period": {"start": "2026-01-01", "end": "2026-12-31"}, "export_format": "csv"}
    ids = {"org_id": "nhf", "requesting_user_id": str(uuid4())}
    PreviewJob.model_validate({"preview_id": str(uuid4()), "request": request | ids, "unknown": 1})
    with pytest.raises(ValidationError):
        ExportRequest.model_validate(request | ids | {"unknown": 1})
