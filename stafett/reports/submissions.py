"""Submissions to Bufdir: which versions of a report were handed in, when, and for which grant year."""

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Annotated, Any, NamedTuple, Self

from pydantic import ConfigDict, Field, StringConstraints, model_validator
from sqlalchemy import update
from sqlmodel import Session, col

from stafett.audit.trail import AuditEntry, EventDetail
from stafett.database.tables import Report, ReportFileVersion
from stafett.domain.errors import InvalidFieldError
from stafett.domain.fields import NO_NUL, UtcDatetime
from stafett.domain.frozen import FrozenModel
from stafett.domain.membership import Caller
from stafett.domain.reexport import MAX_VERSION
from stafett.domain.reporting_period import EARLIEST_YEAR, LATEST_YEAR, ReportingPeriod

_EXAMPLE: dict[str, Any] = {
    "submitted_at": "2026-09-15T12:00:00Z",
    "submitted_reference": "Bufdir 26/1234",
    "version": 2,
}
_YEARS_TO_GRANT = 2
"""From the year whose activities count, over the year of the application, to the year of the grant."""

YEARS_AFTER_GRANT = 5
"""Full years after the grant year for which a file that was handed in is stored, as the view has them too."""

_MAX_AHEAD = timedelta(days=366)
"""How far ahead a hand-in may be entered, for example on the day before; a later day is a mistyped one."""


class ReportSubmission(FrozenModel):
    """Which version was handed in to Bufdir, and when. Null clears a field; an omitted field stays unchanged."""

    model_config = ConfigDict(json_schema_extra={"examples": [_EXAMPLE]})

    submitted_at: UtcDatetime | None = Field(
        None,
        description=(
            "When the version was handed in to Bufdir; at most a year in the future. Null takes that back, of the "
            "given version or of all. With `version` alone: the time already recorded for that version, or now."
        ),
    )
    submitted_reference: (
        Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200), NO_NUL] | None
    ) = Field(
        None,
        description=(
            "Bufdir's reference of this version's submission; null removes it. Omitted, the version's reference stays. "
            "A mark that is taken back takes its reference with it. No personal data."
        ),
    )
    version: int | None = Field(
        None, ge=1, le=MAX_VERSION, description="The version that was handed in. Default: the newest."
    )
    grant_year: int | None = Field(
        None,
        ge=EARLIEST_YEAR,
        le=LATEST_YEAR,
        description=(
            "The grant year that the report was handed in for. Default: the year of the period's last day, plus two. "
            "The file is stored for at least five full years after it."
        ),
    )

    @model_validator(mode="after")
    def _require_a_field(self) -> Self:
        if not self.model_fields_set:
            raise ValueError("at least one field is required")
        for name in ("version", "grant_year"):
            if name in self.model_fields_set and getattr(self, name) is None:
                raise ValueError(f"{name} cannot be null")
        return self

    @property
    def is_withdrawal(self) -> bool:
        return "submitted_at" in self.model_fields_set and self.submitted_at is None

    @property
    def marks_version(self) -> bool:
        return self.submitted_at is not None or (self.version is not None and not self.is_withdrawal)


def get_last_protected_day(grant_year: int) -> date:
    """Return the last day on which a file that was handed in for a grant year is certainly stored."""
    return date(grant_year + YEARS_AFTER_GRANT, 12, 31)


def get_default_grant_year(report: Report) -> int:
    return ReportingPeriod.model_validate(report.parameters["reporting_period"]).last_day.year + _YEARS_TO_GRANT


def write_submission(
    session: Session, report: Report, versions: Sequence[ReportFileVersion], submission: ReportSubmission
) -> bool:
    """Mark a version as handed in, or take that back; return whether this changes anything.

    A version stays marked when another one is handed in later.
    """
    _require_possible(report, versions, submission)
    values: dict[str, Any] = {"grant_year": submission.grant_year or report.grant_year}
    version = report.submitted_version
    if submission.marks_version:
        version = submission.version or versions[-1].version
        values["grant_year"] = values["grant_year"] or get_default_grant_year(report)
    marks = {each.version: _build_mark(each, version, submission) for each in versions}
    if submission.is_withdrawal and (version is None or marks[version].submitted_at is None):
        remaining = [number for number, mark in marks.items() if mark.submitted_at]
        version = max(remaining, key=lambda number: (marks[number].submitted_at, number), default=None)
    values |= {"submitted_version": version, "submitted_at": version and marks[version].submitted_at}
    changed = [each for each in versions if marks[each.version] != _get_mark(each)]
    for each in changed:
        session.add(each.sqlmodel_update(marks[each.version]._asdict()))
    is_changed = bool(changed) or any(getattr(report, name) != value for name, value in values.items())
    if is_changed:
        statement = update(Report).where(col(Report.id) == report.id)
        session.execute(statement.values(**values, edits=col(Report.edits) + 1))
    return is_changed


class _Mark(NamedTuple):
    """When a version was handed in, and under which reference; both are null if it was not."""

    submitted_at: datetime | None = None
    submitted_reference: str | None = None


def _get_mark(version: ReportFileVersion) -> _Mark:
    return _Mark(version.submitted_at, version.submitted_reference)


def _build_mark(version: ReportFileVersion, submitted: int | None, submission: ReportSubmission) -> _Mark:
    """Build the mark that a version has after the submission, which is of the version ``submitted``."""
    mark = _get_mark(version)
    if submission.is_withdrawal:
        return mark if submission.version not in {None, version.version} else _Mark()
    if version.version != submitted:
        return mark
    if "submitted_reference" in submission.model_fields_set:
        mark = mark._replace(submitted_reference=submission.submitted_reference)
    return mark._replace(submitted_at=submission.submitted_at or mark.submitted_at or datetime.now(UTC))


def build_submission_entry(caller: Caller, report: Report, submission: ReportSubmission) -> AuditEntry:
    """Build the audit event of a submission that has been written."""
    is_submitted = report.submitted_at is not None and not submission.is_withdrawal
    detail: EventDetail = {"submitted_at": None, "version": submission.version}
    if is_submitted and report.submitted_at:
        detail = {
            "submitted_at": report.submitted_at.isoformat(),
            "version": report.submitted_version,
            "grant_year": report.grant_year,
        }
    return AuditEntry(
        org_id=report.org_id,
        actor=caller.actor,
        event="report_submitted" if is_submitted else "report_not_submitted",
        subject_kind="report",
        subject_id=report.id,
        detail=detail,
    )


def _require_possible(report: Report, versions: Sequence[ReportFileVersion], submission: ReportSubmission) -> None:
    if submission.version is not None and submission.version not in {each.version for each in versions}:
        raise InvalidFieldError("version", "unknown_version", "The report has no such version.")
    if submission.submitted_at and submission.submitted_at > datetime.now(UTC) + _MAX_AHEAD:
        raise InvalidFieldError("submitted_at", "in_future", "The day is more than a year in the future.")
    period_year = get_default_grant_year(report) - _YEARS_TO_GRANT
    if submission.grant_year is not None and submission.grant_year <= period_year:
        message = f"The grant year must be after {period_year}, the year of the period."
        raise InvalidFieldError("grant_year", "before_grant", message)
    has_mark = submission.marks_version or (report.submitted_version is not None and not submission.is_withdrawal)
    if submission.submitted_reference and not has_mark:
        message = "A reference belongs to a version that was handed in; send it with submitted_at."
        raise InvalidFieldError("submitted_reference", "not_submitted", message)
