"""What differs between two versions of a report, one row per activity, for the API and the console."""

from collections.abc import Iterator
from functools import cached_property
from itertools import chain, islice
from typing import NamedTuple
from uuid import UUID

import polars as pl
from sqlmodel import Session, select

from stafett.activity_frames import OSLO_DAY, activities_from_arrow
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
from stafett.domain.export_outputs import StagedPart
from stafett.domain.membership import Caller
from stafett.exports.deviations import RowLocator
from stafett.file_generator.csv import render_csv
from stafett.reports.row_comparison import (
    OUTCOME_DIFFERS,
    ROW_AFTER,
    ROW_BEFORE,
    ChangeCounts,
    ComparedVersion,
    RowComparison,
    load_compared_version,
)
from stafett.storage.files import FileStorage

VERSION_CHANGES_READ = "version_changes_read"
ADDED, REMOVED, CHANGED = "added", "removed", "changed"
CHANGE_SCHEMA = pl.Schema(
    {
        "change": pl.String(),
        "date": pl.Date(),
        "mentor": pl.String(),
        "place": pl.String(),
        "sheet_before": pl.String(),
        "row_before": pl.Int64(),
        "sheet_after": pl.String(),
        "row_after": pl.Int64(),
        "columns": pl.String(),
        "activity_id": pl.String(),
    }
)
_ROWS_PER_SLICE = 1_000
"""Both states of these rows are in memory together."""

_DURATION, _OUTCOME = "duration_minutes", "outcome"
_COMPARED_COLUMNS = (
    "activity_type",
    "starts_at",
    _DURATION,
    "participants",
    "new_participants",
    "place",
    "in_person",
    "in_norway",
    "note",
    "mentor_id",
    "mentor_name",
    "branch",
    "registered_by",
    "event_id",
    "attachments",
)


class VersionPair(NamedTuple):
    """The versions that are compared. Default: the newest, with the one before it."""

    before: int | None = None
    after: int | None = None


class RowChanges(NamedTuple):
    """The activities that differ between two versions, in the order of the report."""

    before: int
    after: int
    counts: ChangeCounts
    rows: Iterator[pl.DataFrame]
    parameters: ExportParameters

    def render_csv(self) -> Iterator[bytes]:
        """Return the file's chunks; the first is rendered already, so that unavailable storage is an error here."""
        chunks = render_csv(chain([CHANGE_SCHEMA.to_frame()], self.rows), self.parameters.csv_profile)
        return chain(list(islice(chunks, 2)), chunks)  # the header, and the first rows


class VersionChanges:
    """Compares versions for those who may download them; each comparison has an audit event."""

    def __init__(self, database: Database, storage: FileStorage) -> None:
        self._database = database
        self._storage = storage
        self._comparison = RowComparison(storage)

    def compare(self, caller: Caller, report_id: UUID, pair: VersionPair) -> RowChanges:
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
        rows = self._describe_slices(before, after, differences.rows)
        return RowChanges(*numbers, differences.counts, rows, after.parameters)

    def _describe_slices(
        self, before: ComparedVersion, after: ComparedVersion, differences: pl.DataFrame
    ) -> Iterator[pl.DataFrame]:
        earlier, later = _VersionRows(self._storage, before), _VersionRows(self._storage, after)
        for rows in differences.iter_slices(_ROWS_PER_SLICE):
            states = earlier.load(rows[ROW_BEFORE]), later.load(rows[ROW_AFTER])
            yield _describe(*states, rows[OUTCOME_DIFFERS])


class _VersionRows:
    """The rows of a version by their index in its snapshot, of which one part is in memory."""

    def __init__(self, storage: FileStorage, version: ComparedVersion) -> None:
        self._storage = storage
        self._version = version
        self._part: StagedPart | None = None
        self._rows = pl.DataFrame()

    def load(self, indices: pl.Series) -> pl.DataFrame:
        """Load one row for each index, with where it is in the file; the values for a missing index are null."""
        indices = indices.alias("index")
        present, frames, first_row = indices.drop_nulls().sort(), [self._empty], 0
        for part in self._version.snapshot.parts:
            in_part = present.filter(present.is_between(first_row, first_row + part.rows - 1))
            if in_part.len():
                frames.append(self._read(part)[in_part - first_row].with_columns(in_part))
            first_row += part.rows
        rows = pl.concat(frames)
        located = rows.hstack(self._locator.locate(rows["index"]))
        return indices.to_frame().join(located, on="index", how="left", maintain_order="left")

    @cached_property
    def _locator(self) -> RowLocator:
        return RowLocator(self._storage, self._version.deviations)

    @cached_property
    def _empty(self) -> pl.DataFrame:
        """No rows, with the columns that a part has."""
        rows = self._read(self._version.snapshot.parts[0]) if self._version.snapshot.parts else pl.DataFrame()
        return rows.clear().with_columns(pl.Series("index", [], pl.Int64))

    def _read(self, part: StagedPart) -> pl.DataFrame:
        if part != self._part:
            self._part, self._rows = part, activities_from_arrow(self._storage.read_part(part))
        return self._rows


def _describe(before: pl.DataFrame, after: pl.DataFrame, outcome_differs: pl.Series) -> pl.DataFrame:
    """Describe each row from its two states, one of which is null if the row was added or removed."""
    states = before.hstack(after.rename(lambda name: f"{name}_after")).with_columns(outcome_differs)
    is_added, is_removed = pl.col("index").is_null(), pl.col("index_after").is_null()
    minutes = {
        f"{_DURATION}{suffix}": (pl.col(f"ends_at{suffix}") - pl.col(f"starts_at{suffix}")) for suffix in ("", "_after")
    }
    differing = {name: pl.col(name).ne_missing(pl.col(f"{name}_after")) for name in _COMPARED_COLUMNS}
    differing |= {_OUTCOME: pl.col(OUTCOME_DIFFERS)}
    changed_columns = pl.concat_str(
        [pl.when(condition).then(pl.lit(name)) for name, condition in differing.items()],
        separator=" ",
        ignore_nulls=True,
    )
    facts = {"date": OSLO_DAY, "mentor": "mentor_name", "place": "place", "activity_id": "id"}
    return (
        states.with_columns(**minutes)
        .with_columns(
            pl.when(is_added)
            .then(pl.lit(ADDED))
            .when(is_removed)
            .then(pl.lit(REMOVED))
            .otherwise(pl.lit(CHANGED))
            .alias("change"),
            pl.when(~is_added & ~is_removed).then(changed_columns).alias("columns"),
            **{
                name: pl.when(is_removed).then(pl.col(source)).otherwise(pl.col(f"{source}_after"))
                for name, source in facts.items()
            },
        )
        .select(
            "change",
            *("date", "mentor", "place"),
            pl.col("sheet").alias("sheet_before"),
            pl.col("sheet_row").alias("row_before"),
            pl.col("sheet_after"),
            pl.col("sheet_row_after").alias("row_after"),
            "columns",
            "activity_id",
        )
    )


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
