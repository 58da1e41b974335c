"""Report history: an entry for each completed export, its file versions and its submission to Bufdir."""

from collections.abc import Container, Sequence
from datetime import date, datetime
from typing import Any, NamedTuple
from uuid import UUID

from pydantic import Field
from sqlalchemy import func, insert
from sqlmodel import Session, col, select

from stafett.audit import trail as audit_trail
from stafett.database.pagination import ListFilter, Page, load_page, select_visible
from stafett.database.session import Database
from stafett.database.tables import Export, Report, ReportFileVersion
from stafett.domain.errors import NotFoundError, PermissionDeniedError, require_revision
from stafett.domain.membership import Caller
from stafett.domain.reporting_period import ReportingPeriod
from stafett.reports.submissions import (
    ReportSubmission,
    build_submission_entry,
    get_last_protected_day,
    write_submission,
)


class VersionOrigin(NamedTuple):
    """Fields of a re-exported version that the original does not have."""

    reexport_id: UUID
    source: str
    reason: str | None
    change: dict[str, Any]


class FileVersionDetails(NamedTuple):
    """A file version of a report, and when its file was removed from storage, if it was."""

    version: ReportFileVersion
    removed_at: datetime | None


class ReportDetails(NamedTuple):
    """An entry of the history with all its file versions, oldest first."""

    report: Report
    files: Sequence[FileVersionDetails]

    @property
    def retained_until(self) -> date | None:
        """The last day on which the versions that were handed in are certainly stored, if the file of one still is."""
        year = self.report.grant_year
        is_stored = any(file.version.submitted_at is not None and file.removed_at is None for file in self.files)
        return get_last_protected_day(year) if year is not None and is_stored else None

    @property
    def submitted_reference(self) -> str | None:
        """Bufdir's reference of the last submission, which is stored with the version."""
        last = self.report.submitted_version
        return next((file.version.submitted_reference for file in self.files if file.version.version == last), None)

    @property
    def changes(self) -> int:
        """Number of changes other than clients' edits; it only grows."""
        return len(self.files) + sum(file.removed_at is not None for file in self.files)


class ReportFilter(ListFilter):
    """Filter of the list of reports."""

    export_id: UUID | None = Field(  # excluded from the values of the columns: the report's own is the original's
        None,
        exclude=True,
        description="Only the report with a version that this export produced, also if the export is deleted.",
    )


def get_latest_version(session: Session, report_id: UUID) -> ReportFileVersion:
    """Return the version that the next one is compared with."""
    versions = select(ReportFileVersion).where(ReportFileVersion.report_id == report_id)
    return session.exec(versions.order_by(col(ReportFileVersion.version).desc()).limit(1)).one()


def add_version(session: Session, export: Export, origin: VersionOrigin, previous: ReportFileVersion) -> int:
    """Insert the next version and return its number, which is unique, so that of two concurrent inserts one fails."""
    version = previous.version + 1
    statement = insert(ReportFileVersion).values(
        report_id=previous.report_id,
        version=version,
        org_id=export.org_id,
        export_id=export.id,
        kind="reexport",
        file=export.file,
        mapping=export.mapping,
        created_by=export.requested_by,
        **origin._asdict(),
    )
    session.execute(statement)
    return version


class ReportHistory:
    """Report history as the API lists and edits it."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def find(self, caller: Caller, report_id: UUID) -> ReportDetails:
        with self._database.transaction(caller.org_id, user_id=caller.user_id) as session:
            return _get_or_404(session, report_id)

    def find_newest_of_period(self, caller: Caller, period: ReportingPeriod) -> Report | None:
        """Return the report that was made last of exactly these days."""
        query = select_visible(Report, caller, ListFilter(org_id=caller.org_id))
        is_of_period = (col(Report.period_start) == period.first_instant) & (
            col(Report.period_end) == period.last_instant
        )
        newest = query.where(is_of_period).order_by(col(Report.created_at).desc(), col(Report.id).desc()).limit(1)
        with self._database.transaction(caller.org_id, user_id=caller.user_id) as session:
            return session.exec(newest).one_or_none()

    def list(self, caller: Caller, filters: ReportFilter) -> Page[ReportDetails]:
        query = select_visible(Report, caller, filters)
        if filters.export_id is not None:
            is_of_report = (ReportFileVersion.org_id == Report.org_id) & (ReportFileVersion.report_id == Report.id)
            is_version = select(ReportFileVersion.version).where(is_of_report)
            query = query.where(is_version.where(ReportFileVersion.export_id == filters.export_id).exists())
        with self._database.transaction(caller.org_id, user_id=caller.user_id) as session:
            page = load_page(session, Report, query, filters)
            return Page(_load_details(session, page.items), page.next_page_token)

    def record_submission(
        self, caller: Caller, report_id: UUID, submission: ReportSubmission, expected_revisions: Container[int] | None
    ) -> ReportDetails:
        """Record or take back a submission, if the client's expected revision is current.

        A submission that changes nothing records nothing.
        """
        with self._database.transaction(caller.org_id, user_id=caller.user_id) as session:
            details = _get_or_404(session, report_id, for_update=True)
            report = details.report
            if not caller.can_start_in(report.org_id):
                raise PermissionDeniedError("You may not mark a report of this organisation as submitted.")
            require_revision(expected_revisions, report.edits, "report")
            if not write_submission(session, report, [file.version for file in details.files], submission):
                return details
            session.expire_all()
            details = _get_or_404(session, report_id)
            audit_trail.append_audit_event(session, build_submission_entry(caller, details.report, submission))
            return details


def _get_or_404(session: Session, report_id: UUID, *, for_update: bool = False) -> ReportDetails:
    query = select(Report).where(Report.id == report_id)
    report = session.exec(query.with_for_update() if for_update else query).one_or_none()
    if report is None:
        raise NotFoundError("There is no such report.")
    return _load_details(session, [report])[0]


def _load_details(session: Session, reports: Sequence[Report]) -> Sequence[ReportDetails]:
    """Load the file versions of all reports in one query."""
    query = (
        select(ReportFileVersion, func.coalesce(Export.removal_started_at, Export.deleted_at))
        .join(Export, col(Export.id) == col(ReportFileVersion.export_id))
        .where(col(ReportFileVersion.report_id).in_([report.id for report in reports]))
        .order_by(col(ReportFileVersion.version))
    )
    files: dict[UUID, list[FileVersionDetails]] = {report.id: [] for report in reports}
    for version, removed_at in session.exec(query):
        files[version.report_id].append(FileVersionDetails(version, removed_at))
    return [ReportDetails(report, files[report.id]) for report in reports]
