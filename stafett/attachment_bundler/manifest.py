"""``manifest.json``: the members of a bundle, the attachments missing from it, and the source of each."""

import json
from datetime import date
from typing import Annotated, Literal
from uuid import UUID

from pydantic import AwareDatetime, Field

from stafett.attachment_bundler.unavailable import UnavailableReason
from stafett.domain.export import CsvProfile, ExportCounts, ExportFormat, Locale
from stafett.domain.export_outputs import MappingVersion
from stafett.domain.frozen import FrozenModel

MANIFEST_NAME = "manifest.json"


class ReportSource(FrozenModel):
    """The source of the report."""

    kind: Literal["report"] = "report"


class AttachmentSource(FrozenModel):
    """The source of an attachment: the activity that it belongs to."""

    kind: Literal["attachment"] = "attachment"
    activity_id: UUID
    attachment_id: UUID


class BundleMember(FrozenModel):
    """A file of the bundle. A missing one is listed with the size and hash that it should have."""

    name: str
    size_bytes: int = Field(ge=0)
    sha256: str
    source: Annotated[ReportSource | AttachmentSource, Field(discriminator="kind")]
    missing: bool = False
    reason: UnavailableReason | None = None


class ManifestPeriod(FrozenModel):
    """The first and the last day of the period, in Europe/Oslo."""

    start: date
    end: date


class ReportRendering(FrozenModel):
    """The options that the report was rendered with, and the hash of its content."""

    export_format: ExportFormat
    locale: Locale
    csv_profile: CsvProfile | None = None
    formulas_disarmed: bool
    content_sha256: str


class BundleManifest(FrozenModel):
    """The last member of a bundle. Its only time is the snapshot's, so that a second bundle has the same bytes."""

    format: Literal[1] = 1
    export_id: UUID
    org_id: str
    organisation: str
    reporting_period: ManifestPeriod
    snapshot_at: AwareDatetime
    mapping: MappingVersion
    counts: ExportCounts
    report: ReportRendering
    members: tuple[BundleMember, ...]

    def to_bytes(self) -> bytes:
        content = self.model_dump(mode="json", exclude_none=True)
        return (json.dumps(content, ensure_ascii=False, indent=2, sort_keys=True) + "\n").encode()
