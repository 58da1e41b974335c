"""What each stage of an export leaves behind for the next: where it lies, how much it is, how to know it again."""

from pydantic import AwareDatetime

from stafett.domain.export import ExportCounts, PartialFailureReport
from stafett.domain.frozen import Frozen


class Part(Frozen):
    """A run of rows in report order, never cut within a day of Europe/Oslo."""

    key: str
    rows: int
    sha256: str


class QueriedRows(Frozen):
    """The snapshot everything after it works from; the source is not asked again."""

    parts: tuple[Part, ...]
    snapshot_at: AwareDatetime

    @property
    def rows(self) -> int:
        return sum(part.rows for part in self.parts)


class MappingVersion(Frozen):
    """Which rules were applied."""

    version: int
    sha256: str


class MappedRows(Frozen):
    """The organisation's columns, and what became of each row."""

    parts: tuple[Part, ...]
    counts: ExportCounts
    mapping: MappingVersion
    partial_failures: tuple[PartialFailureReport, ...] = ()
    partial_failure_count: int = 0

    @property
    def rows(self) -> int:
        return self.counts.written


class ReportFile(Frozen):
    """The finished file, as people download it and as storage knows it."""

    name: str
    mime_type: str
    size_bytes: int
    sha256: str
    content_sha256: str
    key: str
    rows: int


StageOutputs = QueriedRows | MappedRows | ReportFile
