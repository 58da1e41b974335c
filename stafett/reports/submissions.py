"""Submissions to Bufdir: which versions of a report were handed in, when, and for which grant year."""

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Annotated, Any, Self

from pydantic import ConfigDict, Field, StringConstraints, model_validator
from sqlalchemy import func, update
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
            "Bufdir's reference of the submission; null removes it. Omitted, it stays, unless the last submission "
            "becomes that of another version. Taking all marks back leaves it, too. No personal data."
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
) -> None:
    """Mark a version as handed in, or take that back. A version stays marked when another one is handed in later."""
    _require_version(versions, submission)
    if submission.submitted_at and submission.submitted_at > datetime.now(UTC) + _MAX_AHEAD:
        raise InvalidFieldError("submitted_at", "in_future", "The day is more than a year in the future.")
    values = submission.model_dump(include={"submitted_reference", "grant_year"}, exclude_unset=True)
    default_year = get_default_grant_year(report)
    if submission.grant_year is not None and submission.grant_year <= default_year - _YEARS_TO_GRANT:
        raise InvalidFieldError("grant_year", "before_grant", "The grant year is after the year of the period.")
    if submission.marks_version:
        version = submission.version or versions[-1].version
        recorded_at = next(each.submitted_at for each in versions if each.version == version)
        submitted_at = submission.submitted_at or recorded_at or func.now()
        _mark_versions(session, report, [version], submitted_at)
        values |= {"submitted_at": submitted_at, "submitted_version": version}
        values.setdefault("grant_year", report.grant_year or default_year)
    elif submission.is_withdrawal:
        withdrawn = [submission.version] if submission.version else [each.version for each in versions]
        _mark_versions(session, report, withdrawn, None)
        remaining = (each for each in versions if each.submitted_at and each.version not in withdrawn)
        last = max(remaining, key=lambda each: (each.submitted_at, each.version), default=None)
        values |= {"submitted_at": last and last.submitted_at, "submitted_version": last and last.version}
    if report.submitted_version and values.get("submitted_version") not in {None, report.submitted_version}:
        values.setdefault("submitted_reference", None)  # it belongs to the version that was marked before
    statement = update(Report).where(col(Report.id) == report.id)
    session.execute(statement.values(**values, edits=col(Report.edits) + 1))


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


def _require_version(versions: Sequence[ReportFileVersion], submission: ReportSubmission) -> None:
    if submission.version is not None and submission.version not in {each.version for each in versions}:
        raise InvalidFieldError("version", "unknown_version", "The report has no such version.")


def _mark_versions(session: Session, report: Report, versions: Sequence[int], submitted_at: Any) -> None:
    is_marked = (col(ReportFileVersion.report_id) == report.id) & col(ReportFileVersion.version).in_(versions)
    session.execute(update(ReportFileVersion).where(is_marked).values(submitted_at=submitted_at))
