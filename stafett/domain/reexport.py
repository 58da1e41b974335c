"""A re-export, told whole: a past report made again, from what is kept of it or from what there is today."""

from enum import StrEnum
from typing import Annotated, Self
from uuid import UUID

from pydantic import ConfigDict, Field, JsonValue, StringConstraints, model_validator

from stafett.domain.export import CsvProfile, ExportFormat, ExportParameters, Locale
from stafett.domain.fields import NO_NUL
from stafett.domain.frozen import FrozenModel

_MAX_VERSION = 2**31 - 1


class ReexportSource(StrEnum):
    """What the report is made from."""

    CURRENT_DATA = "current_data"
    """Today's rows of the period, by the mapping in force for it."""
    SAME_SNAPSHOT = "same_snapshot"
    """The rows that a version was made from, by the mapping of that time: the same bytes, if nothing is overridden."""


class ReexportOverrides(FrozenModel):
    """What of the original's parameters is to be otherwise; the period is the report's own."""

    export_format: ExportFormat | None = None
    locale: Locale | None = None
    include_attachments: bool | None = None
    csv_profile: CsvProfile | None = None


_EXAMPLE_REQUEST: dict[str, JsonValue] = {
    "report_id": "5e4d7a34-95a4-4a3c-9f55-6f4a4b8f3a10",
    "source": "current_data",
    "reason": "Two activities were registered late.",
}


class ReexportRequest(FrozenModel):
    """One wish to have one report again."""

    model_config = ConfigDict(json_schema_extra={"examples": [_EXAMPLE_REQUEST]})

    report_id: UUID
    source: ReexportSource = ReexportSource.CURRENT_DATA
    version: int = Field(1, ge=1, le=_MAX_VERSION, description="Which version `same_snapshot` repeats.")
    reason: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=500), NO_NUL] | None = (
        Field(None, description="Kept in the history; no personal data.")
    )
    overrides: ReexportOverrides = ReexportOverrides()


def build_export_parameters(original: ExportParameters, overrides: ReexportOverrides) -> ExportParameters:
    """The requirements' ``buildExportParams``. A report always has rows: that there are none any more is a failure."""
    said = original.model_dump() | overrides.model_dump(exclude_none=True)
    return ExportParameters.model_validate(said | {"fail_on_empty": True})


def produce_identical_file(first: ExportParameters, second: ExportParameters) -> bool:
    """Whether the same rows become the same bytes by both: what happens if there are no rows is no part of a file."""
    whatever = {"fail_on_empty": False}
    return first.model_copy(update=whatever) == second.model_copy(update=whatever)


class VersionChange(FrozenModel):
    """How a version of a report differs from the one before; rows are null if either's are kept no longer."""

    rows_added: int | None = Field(ge=0)
    rows_removed: int | None = Field(ge=0)
    rows_changed: int | None = Field(ge=0)
    mapping_changed: bool
    same_bytes: bool


class ReexportEdit(FrozenModel):
    """What people may write down on a job; what is not said stays as it is."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"label": "For the auditors"}]})

    label: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200), NO_NUL] | None = (
        Field(None, description="A name for people to know it by; null takes it away. No personal data.")
    )
    notification_sent: bool | None = Field(None, description="That people were told, or were not, by whatever way.")
    result_file_ref: Annotated[str, StringConstraints(min_length=1, max_length=1024)] | None = Field(
        None, description="For an administrator: the object, of this report's own, that the result is fetched from."
    )

    @model_validator(mode="after")
    def _require_any_field(self) -> Self:
        if not self.model_fields_set:
            raise ValueError("nothing is said")
        for name in ("notification_sent", "result_file_ref"):
            if name in self.model_fields_set and getattr(self, name) is None:
                raise ValueError(f"{name} cannot be null")
        return self

    def has_field(self, name: str) -> bool:
        return name in self.model_fields_set
