"""The history as it goes over the wire."""

from typing import Literal, Self
from uuid import UUID

from pydantic import AwareDatetime

from api.schemas.exports import File, Resource
from stafett.domain.export import ExportParameters
from stafett.domain.export_outputs import MappingVersion
from stafett.domain.reexport import ReexportSource, VersionChange
from stafett.domain.reporting_period import ReportingPeriod
from stafett.reports.history import FileVersionDetails, ReportDetails


class FileVersion(Resource):
    """A file that the report was made as; null once it has left storage."""

    version: int
    kind: Literal["original", "reexport"]
    reexport_id: UUID | None = None
    export_id: UUID
    file: File | None
    mapping: MappingVersion
    source: ReexportSource | None = None
    reason: str | None = None
    created_by: UUID
    created_at: AwareDatetime
    change: VersionChange | None = None

    @classmethod
    def from_details(cls, details: FileVersionDetails) -> Self:
        shown = details.version.model_dump()
        return cls.model_validate(shown if details.removed_at is None else shown | {"file": None})


class ReportResource(Resource):
    """An entry of the history."""

    id: UUID
    org_id: str
    export_id: UUID
    reporting_period: ReportingPeriod
    parameters: ExportParameters
    submitted_at: AwareDatetime | None
    submitted_reference: str | None
    files: tuple[FileVersion, ...]
    created_at: AwareDatetime

    @classmethod
    def from_details(cls, details: ReportDetails) -> Self:
        shown = details.report.model_dump()
        shown["reporting_period"] = details.report.parameters["reporting_period"]
        return cls.model_validate(shown | {"files": [FileVersion.from_details(file) for file in details.files]})


class ReportPage(Resource):
    """One page of the history, newest first."""

    items: tuple[ReportResource, ...]
    next_page_token: str | None = None
