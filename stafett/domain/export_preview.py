"""Previews of exports.

The rows of a preview reach the API through PostgreSQL, never through Temporal.
"""

from uuid import UUID

from pydantic import Field, JsonValue

from stafett.domain.export import ExportCounts, ExportRequest, PartialFailureReport
from stafett.domain.export_outputs import ExportWarning, MappingVersion, NotCountableReason, Total
from stafett.domain.frozen import PayloadModel

MAX_PREVIEW_ROWS = 20


class PreviewJob(PayloadModel):
    """Argument of the preview workflow: ids and parameters."""

    preview_id: UUID
    request: ExportRequest
    api_key_id: UUID | None = None
    has_draft: bool = False
    """Whether a mapping document is applied that is stored under the preview's id and not published."""

    @property
    def workflow_id(self) -> str:
        return f"export-preview/{self.preview_id}"


class Preview(PayloadModel):
    """Preview of an export: counts, warnings, partial failures and the first mapped rows."""

    mapping: MappingVersion = Field(description="Version of the column mapping that would be applied.")
    counts: ExportCounts
    not_countable: tuple[NotCountableReason, ...] = Field(description="Reasons why activities would not count.")
    warnings: tuple[ExportWarning, ...] = Field(description="What to consider before the export.")
    partial_failures: tuple[PartialFailureReport, ...] = Field(
        description="Rows that would not be exported unchanged, at most 1000 entries."
    )
    partial_failure_count: int = Field(description="Number of partial failures, including those not listed.")
    totals: tuple[Total, ...] = Field(description="Lines of the report's summary.")
    columns: tuple[str, ...] = Field(description="Headers of the report's columns.")
    rows: tuple[dict[str, JsonValue], ...] = Field(description="The first rows of the report, by column header.")
