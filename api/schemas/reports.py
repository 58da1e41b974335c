"""Responses for the report history."""

from datetime import date
from typing import Literal, Self
from uuid import UUID

from pydantic import AwareDatetime, Field

from api.schemas.exports import File, NextPageToken, Resource
from stafett.domain.export import ExportParameters
from stafett.domain.export_outputs import MappingVersion
from stafett.domain.reexport import ReexportSource, VersionChange
from stafett.domain.reporting_period import ReportingPeriod
from stafett.reports.history import FileVersionDetails, ReportDetails


class FileVersion(Resource):
    """A version of the report's file."""

    version: int = Field(description="Number of the version, from 1.")
    kind: Literal["original", "reexport"] = Field(description="Whether the version is the original or a re-export.")
    reexport_id: UUID | None = Field(None, description="Id of the re-export; null for the original.")
    export_id: UUID = Field(description="Id of the export that produced the file.")
    file: File | None = Field(description="The file; null once it has been removed from storage.")
    produced_file: File = Field(
        description="The file as it was made: its name, size and hashes are retained when it is removed from storage."
    )
    removed_at: AwareDatetime | None = Field(description="When the file was removed from storage, if it was.")
    submitted_at: AwareDatetime | None = Field(description="When this version was handed in to Bufdir, if it was.")
    submitted_reference: str | None = Field(description="Bufdir's reference of this version's submission.")
    mapping: MappingVersion = Field(description="Version of the column mapping that was applied.")
    source: ReexportSource | None = Field(None, description="Data source of the re-export; null for the original.")
    reason: str | None = Field(None, description="Reason given for the re-export.")
    created_by: UUID = Field(description="Id of the user who requested the version.")
    created_at: AwareDatetime
    change: VersionChange | None = Field(
        None, description="Difference from the previous version; null for the original."
    )

    @classmethod
    def from_details(cls, details: FileVersionDetails) -> Self:
        values, file = details.version.model_dump(), details.version.file
        values |= {"file": None if details.removed_at else file, "produced_file": file}
        return cls.model_validate(values | {"removed_at": details.removed_at})


class ReportResource(Resource):
    """An entry of the report history."""

    id: UUID
    org_id: str
    export_id: UUID = Field(description="Id of the export that produced the original file.")
    reporting_period: ReportingPeriod
    parameters: ExportParameters = Field(description="Parameters of the original export.")
    submitted_at: AwareDatetime | None = Field(description="When the report was submitted to Bufdir, if it was.")
    submitted_version: int | None = Field(description="The version that was submitted then.")
    submitted_reference: str | None = Field(description="Bufdir's reference of that version's submission.")
    grant_year: int | None = Field(description="The grant year that the report was submitted for.")
    retained_until: date | None = Field(
        description=(
            "The last day on which the submitted versions are certainly stored; null if none was submitted, or if "
            "their files have been removed from storage: see `removed_at` of the version."
        )
    )
    files: tuple[FileVersion, ...] = Field(description="All versions of the file, oldest first.")
    created_at: AwareDatetime

    @classmethod
    def from_details(cls, details: ReportDetails) -> Self:
        values = details.report.model_dump()
        values["reporting_period"] = details.report.parameters["reporting_period"]
        values["submitted_reference"] = details.submitted_reference
        values["retained_until"] = details.retained_until
        return cls.model_validate(values | {"files": [FileVersion.from_details(file) for file in details.files]})


class ReportPage(Resource):
    """A page of the report history, newest first."""

    items: tuple[ReportResource, ...]
    next_page_token: NextPageToken = None
