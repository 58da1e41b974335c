"""What each stage of an export leaves behind for the next: where it lies, how much it is, how to know it again."""

from datetime import date
from uuid import UUID

from pydantic import AwareDatetime

from stafett.domain.export import ExportCounts, PartialFailureReport
from stafett.domain.frozen import FrozenModel


class StagedPart(FrozenModel):
    """A run of rows in report order, never cut within a day of Europe/Oslo."""

    key: str
    rows: int
    sha256: str


class MappingVersion(FrozenModel):
    """Which rules were applied."""

    version: int
    sha256: str


class EffectiveMapping(MappingVersion):
    """The version in force on the period's last day, and the days within the period on which the rules changed."""

    change_dates: tuple[date, ...] = ()

    @property
    def mapping_version(self) -> MappingVersion:
        return MappingVersion(version=self.version, sha256=self.sha256)


class QueriedRows(FrozenModel):
    """The snapshot everything after it works from; the source is not asked again."""

    parts: tuple[StagedPart, ...]
    attachments: StagedPart | None = None
    snapshot_at: AwareDatetime
    mapping: EffectiveMapping
    organisation_name: str | None = None
    """What it called itself then: a workbook says so."""
    identical_export_id: UUID | None = None
    """The export that this one repeats in everything, and whose file it makes again byte for byte."""

    @property
    def rows(self) -> int:
        return sum(part.rows for part in self.parts)


class ExportWarning(FrozenModel):
    """Something that whoever hands the report in should know of it."""

    code: str
    message: str


class NotCountableReason(FrozenModel):
    """Why activities do not count, and how many of them."""

    code: str
    reason: str
    count: int


class Total(FrozenModel):
    """A line of the report's summary: what is counted, and the figures under the measures' headers."""

    label: str | None
    figures: tuple[int, ...]


class MappedRows(FrozenModel):
    """The organisation's columns, and what became of each row: in the report, listed apart, or rejected."""

    parts: tuple[StagedPart, ...]
    excluded_parts: tuple[StagedPart, ...] = ()
    counts: ExportCounts
    not_countable: tuple[NotCountableReason, ...] = ()
    totals: tuple[Total, ...] = ()
    warnings: tuple[ExportWarning, ...] = ()
    mapping: MappingVersion
    partial_failures: tuple[PartialFailureReport, ...] = ()
    partial_failure_count: int = 0

    @property
    def rows(self) -> int:
        return self.counts.written


class ReportFile(FrozenModel):
    """The finished file, as people download it and as storage knows it."""

    name: str
    mime_type: str
    size_bytes: int
    sha256: str
    content_sha256: str
    key: str
    rows: int


class BundledFile(FrozenModel):
    """The report and what belongs to it as one file, and which attachments are not in it."""

    file: ReportFile
    partial_failures: tuple[PartialFailureReport, ...] = ()

    @property
    def rows(self) -> int:
        return self.file.rows


StageOutputs = QueriedRows | MappedRows | ReportFile | BundledFile
