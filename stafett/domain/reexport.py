"""Re-exports: a new version of a report, from a stored snapshot or from current data."""

from enum import StrEnum
from typing import Annotated, Self
from uuid import UUID

from pydantic import ConfigDict, Field, JsonValue, StringConstraints, model_validator

from stafett.domain.export import CsvProfile, ExportFormat, ExportParameters, Locale
from stafett.domain.fields import NO_NUL
from stafett.domain.frozen import FrozenModel

MAX_VERSION = 2**31 - 1


class ReexportSource(StrEnum):
    """Data from which a re-export is produced."""

    CURRENT_DATA = "current_data"
    """The period's current rows, with the mapping that is effective on its last day."""
    SAME_SNAPSHOT = "same_snapshot"
    """An earlier version's rows and mapping. Without overrides, the new file has the same bytes."""


class ReexportOverrides(FrozenModel):
    """Parameters that differ from the original export's. The reporting period cannot be overridden."""

    export_format: ExportFormat | None = Field(None, description="Another format of the report file.")
    locale: Locale | None = Field(None, description="Another language of the report.")
    include_attachments: bool | None = Field(None, description="With or without the activities' attachments.")
    csv_profile: CsvProfile | None = Field(None, description="Another CSV dialect.")


_EXAMPLE_REQUEST: dict[str, JsonValue] = {
    "report_id": "5e4d7a34-95a4-4a3c-9f55-6f4a4b8f3a10",
    "source": "current_data",
    "reason": "Two activities were registered late.",
}


class ReexportRequest(FrozenModel):
    """Request to re-export a report."""

    model_config = ConfigDict(json_schema_extra={"examples": [_EXAMPLE_REQUEST]})

    report_id: UUID = Field(description="Id of the report to export again.")
    source: ReexportSource = Field(ReexportSource.CURRENT_DATA, description="Data to export.")
    version: int = Field(1, ge=1, le=MAX_VERSION, description="The file version that `same_snapshot` repeats.")
    reason: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=500), NO_NUL] | None = (
        Field(None, description="Reason for the re-export, shown in the report history. No personal data.")
    )
    overrides: ReexportOverrides = Field(
        ReexportOverrides(), description="Parameters that differ from the original export."
    )


def build_export_parameters(original: ExportParameters, overrides: ReexportOverrides) -> ExportParameters:
    """Apply the overrides (``buildExportParams`` in the requirements). A re-export without rows is a failure."""
    values = original.model_dump() | overrides.model_dump(exclude_none=True)
    return ExportParameters.model_validate(values | {"fail_on_empty": True})


def is_identical_output(first: ExportParameters, second: ExportParameters) -> bool:
    """Return whether both turn the same rows into the same bytes. ``fail_on_empty`` does not affect the file."""
    ignoring_empty = {"fail_on_empty": False}
    return first.model_copy(update=ignoring_empty) == second.model_copy(update=ignoring_empty)


class VersionChange(FrozenModel):
    """Difference from the previous version of the report. Row counts are null if a snapshot is no longer stored."""

    rows_added: int | None = Field(
        ge=0, description="Number of activities that only this version has; null if either snapshot is gone."
    )
    rows_removed: int | None = Field(
        ge=0, description="Number of activities that only the version before has; null if either snapshot is gone."
    )
    rows_changed: int | None = Field(
        ge=0,
        description="Number of activities with other fields or with another outcome: whether it is rejected, does not "
        "count or has a warning, and why. Null if either snapshot is gone.",
    )
    mapping_changed: bool = Field(description="Whether another version of the column mapping was applied.")
    same_bytes: bool = Field(description="Whether both files are identical.")


class ReexportEdit(FrozenModel):
    """Editable fields of a re-export. Omitted fields stay unchanged."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"label": "For the auditors"}]})

    label: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200), NO_NUL] | None = (
        Field(None, description="Name of the re-export for its users; null removes it. No personal data.")
    )
    notification_sent: bool | None = Field(
        None, description="Whether the user was notified of the result by any means."
    )
    result_file_ref: Annotated[str, StringConstraints(min_length=1, max_length=1024)] | None = Field(
        None, description="Only for administrators: storage key of the object to download, under this report's prefix."
    )

    @model_validator(mode="after")
    def _require_any_field(self) -> Self:
        if not self.model_fields_set:
            raise ValueError("at least one field is required")
        for name in ("notification_sent", "result_file_ref"):
            if name in self.model_fields_set and getattr(self, name) is None:
                raise ValueError(f"{name} cannot be null")
        return self

    def has_field(self, name: str) -> bool:
        return name in self.model_fields_set
