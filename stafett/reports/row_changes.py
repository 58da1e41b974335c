"""What differs between two versions of a report, one row per activity, for the API and the console."""

from collections.abc import Iterator
from itertools import chain, islice
from typing import Any, NamedTuple
from uuid import UUID

import polars as pl
from sqlmodel import Session, select

from stafett.audit import trail as audit_trail
from stafett.audit.trail import AuditEntry, EventDetail
from stafett.database.session import Database
from stafett.database.tables import Export, Report, ReportFileVersion
from stafett.domain.errors import (
    InvalidRequestError,
    InvalidStateError,
    NotFoundError,
    PermissionDeniedError,
    RequestIssue,
    SnapshotGoneError,
    StagedDataLostError,
)
from stafett.domain.export import ExportParameters
from stafett.domain.membership import Caller
from stafett.reports.row_change_csv import render_changes_csv
from stafett.reports.row_comparison import (
    OUTCOME_DIFFERS,
    ROW_AFTER,
    ROW_BEFORE,
    ChangeCounts,
    ComparedVersion,
    RowComparison,
    load_compared_version,
)
from stafett.reports.row_descriptions import VersionRows, describe_changes
from stafett.storage.files import FileStorage

VERSION_CHANGES_READ = "version_changes_read"
_ROWS_PER_SLICE = 1_000
"""Both states of these rows are in memory together."""


class VersionPair(NamedTuple):
    """The versions that are compared. Default: the newest, with the one before it."""

    before: int | None = None
    after: int | None = None


class RowWindow(NamedTuple):
    """Which of the differing rows are described; by default all of them."""

    first: int = 0
    length: int | None = None


ALL_ROWS = RowWindow()


class RowChanges(NamedTuple):
    """The activities that differ between two versions, in the order of the report."""

    before: int
    after: int
    counts: ChangeCounts
    rows: Iterator[pl.DataFrame]
    parameters: ExportParameters

    def iterate_rows(self) -> Iterator[dict[str, Any]]:
        return chain.from_iterable(frame.iter_rows(named=True) for frame in self.rows)

    def render_csv(self) -> Iterator[bytes]:
        """Return the file's chunks; the first is rendered already, so that unavailable storage is an error here."""
        chunks = render_changes_csv(self.rows, self.parameters)
        return chain(list(islice(chunks, 2)), chunks)  # the header, and the first rows


class VersionChanges:
    """Compares versions for those who may download them; each comparison has an audit event."""

    def __init__(self, database: Database, storage: FileStorage) -> None:
        self._database = database
        self._storage = storage
        self._comparison = RowComparison(storage)

    def compare(self, caller: Caller, report_id: UUID, pair: VersionPair, window: RowWindow = ALL_ROWS) -> RowChanges:
        """Compare two versions by an id and a hash of each activity; the rows are read later, some at a time."""
        with self._database.caller_transaction(caller) as session:
            report = _get_readable_report(session, caller, report_id)
            numbers = _choose_versions(session, report, pair)
            before, after = (_load_version(session, report, number) for number in numbers)
            detail: EventDetail = dict(zip(("from", "to"), numbers, strict=True))
            audit_trail.append_audit_event(session, _build_audit_entry(caller, report, detail))
        try:
            differences = self._comparison.find_differences(before, after)
        except StagedDataLostError:
            raise _build_snapshot_gone_error(*numbers) from None
        rows = self._describe_slices(before, after, differences.rows.slice(*window))
        return RowChanges(*numbers, differences.counts, rows, after.parameters)

    def _describe_slices(
        self, before: ComparedVersion, after: ComparedVersion, differences: pl.DataFrame
    ) -> Iterator[pl.DataFrame]:
        earlier = VersionRows(self._storage, before, differences[ROW_BEFORE])
        later = VersionRows(self._storage, after, differences[ROW_AFTER])
        for rows in differences.iter_slices(_ROWS_PER_SLICE):
            states = earlier.load(rows[ROW_BEFORE]), later.load(rows[ROW_AFTER])
            yield describe_changes(*states, rows[OUTCOME_DIFFERS])


def _get_readable_report(session: Session, caller: Caller, report_id: UUID) -> Report:
    report = session.get(Report, report_id)
    if report is None:
        raise NotFoundError("There is no such report.")
    if not caller.can_download_from(report.org_id):
        raise PermissionDeniedError("You may not download the files of this organisation.")
    return report


def _choose_versions(session: Session, report: Report, pair: VersionPair) -> tuple[int, int]:
    newest = max(session.exec(select(ReportFileVersion.version).where(ReportFileVersion.report_id == report.id)))
    after = newest if pair.after is None else pair.after
    before = after - 1 if pair.before is None else pair.before
    if after == 1 and pair.before is None:
        raise InvalidStateError("Version 1 is the report's first version, so there is no version before it.")
    for name, number in (("to", after), ("from", before)):
        if not 1 <= number <= newest:
            raise InvalidRequestError(
                [RequestIssue(f"query:{name}", "unknown_version", "The report has no such version.")]
            )
    return before, after


def _load_version(session: Session, report: Report, number: int) -> ComparedVersion:
    version = session.get_one(ReportFileVersion, (report.id, number))
    stored = load_compared_version(session, session.get_one(Export, version.export_id))
    if stored is None:
        raise _build_snapshot_gone_error(number)
    return stored


def _build_snapshot_gone_error(*numbers: int) -> SnapshotGoneError:
    versions = " or ".join(f"version {number}" for number in numbers)
    return SnapshotGoneError(
        f"The rows of {versions} are no longer stored, so the versions cannot be compared row by row. Rows are stored "
        "as long as the version's file."
    )


def _build_audit_entry(caller: Caller, report: Report, detail: EventDetail) -> AuditEntry:
    return AuditEntry(
        org_id=report.org_id,
        actor=caller.actor,
        event=VERSION_CHANGES_READ,
        subject_kind="report",
        subject_id=report.id,
        detail=detail,
    )
