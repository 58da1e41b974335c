"""``manifest.json``: what is in a bundle, what should be, and where all of it is from."""

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
    """The member is the report."""

    kind: Literal["report"] = "report"


class AttachmentSource(FrozenModel):
    """The member is a file that belongs to an activity."""

    kind: Literal["attachment"] = "attachment"
    activity_id: UUID
    attachment_id: UUID


class BundleMember(FrozenModel):
    """A file of the bundle; of a missing one, what it should have been."""

    name: str
    size_bytes: int = Field(ge=0)
    sha256: str
    source: Annotated[ReportSource | AttachmentSource, Field(discriminator="kind")]
    missing: bool = False
    reason: UnavailableReason | None = None


class ManifestPeriod(FrozenModel):
    """The first and the last day, in Europe/Oslo."""

    start: date
    end: date


class ReportRendering(FrozenModel):
    """How the report was written."""

    export_format: ExportFormat
    locale: Locale
    csv_profile: CsvProfile | None = None
    formulas_disarmed: bool
    content_sha256: str


class BundleManifest(FrozenModel):
    """The last member of a bundle; no clock but the snapshot's, so a bundle made twice is the same."""

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
