"""Outputs of the export stages: storage keys, row counts and hashes."""

from datetime import date
from enum import StrEnum
from uuid import UUID

from pydantic import AwareDatetime, Field

from stafett.domain.export import ExportCounts, PartialFailureReport
from stafett.domain.frozen import PayloadModel


class StagedPart(PayloadModel):
    """A stored object with consecutive rows in report order. A day in Europe/Oslo is never split between two parts."""

    key: str
    rows: int
    sha256: str


class MappingVersion(PayloadModel):
    """Version and hash of a column mapping."""

    version: int = Field(description="Number of the version, from 1.")
    sha256: str = Field(description="SHA-256 of the mapping document.")


class EffectiveMapping(MappingVersion):
    """The version effective on the period's last day, and the days within the period on which the mapping changed."""

    change_dates: tuple[date, ...] = ()

    @property
    def mapping_version(self) -> MappingVersion:
        return MappingVersion(version=self.version, sha256=self.sha256)


class QueriedRows(PayloadModel):
    """Output of the query stage: a snapshot for all later stages, which never query the activities again."""

    parts: tuple[StagedPart, ...]
    attachments: StagedPart | None = None
    snapshot_at: AwareDatetime
    mapping: EffectiveMapping
    organisation_name: str = ""
    """The name at the time of the query, shown in the workbook."""
    identical_export_id: UUID | None = None
    """The export with the same snapshot and parameters, so that this file must have the same bytes."""

    @property
    def rows(self) -> int:
        return sum(part.rows for part in self.parts)


class ExportWarning(PayloadModel):
    """A warning for the user who submits the report."""

    code: str = Field(description="Stable code of the warning.")
    message: str = Field(description="Explanation for people, in the export's locale.")
    rows: int | None = Field(None, description="Number of activities that the warning is about, if it is about some.")
    events: int | None = Field(None, description="Number of events that these activities belong to, if any.")


class NotCountableReason(PayloadModel):
    """Reason why activities do not count, and their number."""

    code: str = Field(description="Code of the counting rule.")
    reason: str = Field(description="Explanation for people, in the export's locale.")
    count: int = Field(description="Number of activities that do not count for this reason.")


class Total(PayloadModel):
    """A line of the report's summary, with a figure for each measure."""

    label: str | None = Field(description="Value of the grouping column; null for rows without one.")
    figures: tuple[int, ...] = Field(description="One figure for each measure of the summary.")


class DeviationOutcome(StrEnum):
    """The outcome of a deviating row: left out, in the report without counting, or in the report with a warning."""

    REJECTED = "rejected"
    NOT_COUNTABLE = "not_countable"
    WARNING = "warning"


class DeviationCause(PayloadModel):
    """A failed check or a reason for not counting, with its texts in the export's locale."""

    number: int
    """The number by which the staged deviations refer to it."""
    code: str
    message: str
    repair: str


class StagedDeviations(StagedPart):
    """The deviating rows of consecutive rows, and how many rows of each kind come before these."""

    rows_before: int
    written_before: int
    excluded_before: int


class SheetStart(PayloadModel):
    """The sheet on which rows are listed, and the number of its first row."""

    name: str
    first_row: int


class Deviations(PayloadModel):
    """Every row that is rejected, does not count or has a warning: references to the rows, and their causes."""

    parts: tuple[StagedDeviations, ...] = ()
    attachments: StagedPart | None = None
    """The activities whose attachments are missing from the bundle, which are known after the file is generated."""
    causes: tuple[DeviationCause, ...] = ()
    report_sheet: SheetStart | None = None
    excluded_sheet: SheetStart | None = None

    @property
    def rows(self) -> int:
        return sum(part.rows for part in self.parts)


class MappedRows(PayloadModel):
    """Output of the mapping stage. Each queried row is in the report, in the excluded parts, or rejected."""

    parts: tuple[StagedPart, ...]
    excluded_parts: tuple[StagedPart, ...] = ()
    counts: ExportCounts
    not_countable: tuple[NotCountableReason, ...] = ()
    totals: tuple[Total, ...] = ()
    warnings: tuple[ExportWarning, ...] = ()
    mapping: MappingVersion
    partial_failures: tuple[PartialFailureReport, ...] = ()
    partial_failure_count: int = 0
    deviations: Deviations = Deviations()

    @property
    def rows(self) -> int:
        return self.counts.written


class ReportFile(PayloadModel):
    """A finished file, with its download name, and its key and hashes in storage."""

    name: str
    mime_type: str
    size_bytes: int
    sha256: str
    content_sha256: str
    key: str
    rows: int


class BundledFile(PayloadModel):
    """Output of the bundling stage: a ZIP file with the report and its attachments, and a list of those missing."""

    file: ReportFile
    partial_failures: tuple[PartialFailureReport, ...] = ()
    deviations: StagedPart | None = None
    """The activities whose attachments are missing, with what is wrong and how to correct it."""

    @property
    def rows(self) -> int:
        return self.file.rows


StageOutputs = QueriedRows | MappedRows | ReportFile | BundledFile
