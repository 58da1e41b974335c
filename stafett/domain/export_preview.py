"""A look at what an export would be, before there is one."""

from uuid import UUID

from pydantic import JsonValue

from stafett.domain.export import ExportCounts, ExportRequest, PartialFailureReport
from stafett.domain.export_outputs import ExportWarning, MappingVersion, NotCountableReason, Total
from stafett.domain.frozen import FrozenModel

MAX_PREVIEW_ROWS = 20


class PreviewJob(FrozenModel):
    """What travels to the worker: ids and parameters."""

    preview_id: UUID
    request: ExportRequest

    @property
    def workflow_id(self) -> str:
        return f"export-preview/{self.preview_id}"


class Preview(FrozenModel):
    """What the export would say; its rows go from worker to reader by PostgreSQL, never through the engine."""

    mapping: MappingVersion
    counts: ExportCounts
    not_countable: tuple[NotCountableReason, ...]
    warnings: tuple[ExportWarning, ...]
    partial_failures: tuple[PartialFailureReport, ...]
    partial_failure_count: int
    totals: tuple[Total, ...]
    columns: tuple[str, ...]
    rows: tuple[dict[str, JsonValue], ...]
