"""The deviations of an export, one row per deviating activity: for the workbook, the API and the console."""

from collections.abc import Iterator, Mapping
from itertools import chain, islice
from typing import NamedTuple
from uuid import UUID

import polars as pl
from sqlmodel import Session, col, select

from stafett.activity_frames import frame_from_arrow
from stafett.audit import trail as audit_trail
from stafett.column_mapper.deviations import CAUSES, EXCLUDED_ROW, ROW, WRITTEN_ROW
from stafett.database.session import Database
from stafett.database.tables import ExportPartialFailures, Membership, User
from stafett.domain.export import ExportParameters
from stafett.domain.export_outputs import DeviationCause, DeviationOutcome, Deviations, SheetStart, StagedDeviations
from stafett.domain.membership import Caller
from stafett.exports.downloads import build_audit_entry, get_downloadable_export
from stafett.file_generator.csv import render_csv
from stafett.file_generator.xlsx.builder import EXCEL_LIMITS
from stafett.storage.files import FileStorage

DEVIATIONS_DOWNLOADED = "deviations_downloaded"
_SCHEMA = pl.Schema(
    {
        "date": pl.Date(),
        "mentor": pl.String(),
        "place": pl.String(),
        "sheet": pl.String(),
        "row": pl.Int64(),
        "outcome": pl.String(),
        "problem": pl.String(),
        "repair": pl.String(),
        "registered_by": pl.String(),
        "activity_id": pl.String(),
        "codes": pl.String(),
    }
)
_QUERY_ROW = "query_row"
_NO_ROWS = pl.Series(dtype=pl.Int64)
_SEPARATORS = {"problem": " · ", "repair": " ", "codes": " "}
"""What separates the texts of an activity with several problems."""

_ROWS_PER_SLICE = 1_000
"""The texts of all causes of these rows are in memory together."""


class DeviationFiles:
    """Deviations as CSV files, for those who may download the export's file; each download has an audit event."""

    def __init__(self, database: Database, storage: FileStorage) -> None:
        self._database = database
        self._storage = storage

    def open(self, caller: Caller, export_id: UUID) -> Iterator[bytes]:
        """Return the file's chunks; the first is read already, so that unavailable storage is an error here."""
        with self._database.caller_transaction(caller) as session:
            export = get_downloadable_export(session, caller, export_id)
            stored = session.get(ExportPartialFailures, export_id)
            deviations = Deviations.model_validate((stored and stored.deviations) or {})
            users = _load_user_names(session, export.org_id)
            audit_trail.append_audit_event(session, build_audit_entry(caller, export, DEVIATIONS_DOWNLOADED))
            profile = ExportParameters.model_validate(export.parameters).csv_profile
        rows = (_name_users(frame, users) for frame in iterate_deviations(self._storage, deviations))
        chunks = render_csv(chain([_SCHEMA.to_frame()], rows), profile)
        return chain(list(islice(chunks, 2)), chunks)  # the header, and the first rows


def _load_user_names(session: Session, org_id: str) -> Mapping[str, str]:
    query = select(User.id, User.display_name).join(Membership, col(Membership.user_id) == col(User.id))
    return {str(user_id): name for user_id, name in session.exec(query.where(col(Membership.org_id) == org_id))}


def _name_users(rows: pl.DataFrame, names: Mapping[str, str]) -> pl.DataFrame:
    """Replace user ids by names; former members have none."""
    name = pl.col("registered_by").replace_strict(names, default=None, return_dtype=pl.String)
    return rows.with_columns(name)


class _Listing(NamedTuple):
    """One of the lists that a deviating row can be in: the column with its index there, and where the list begins."""

    index_column: str
    rows_before: int
    start: SheetStart | None


def iterate_deviations(storage: FileStorage, deviations: Deviations) -> Iterator[pl.DataFrame]:
    """Yield the deviating rows in report order, each with its sheet, its row number there, and what to do."""
    texts, missing = _build_texts(deviations.causes), _MissingAttachments(storage, deviations)
    for part in deviations.parts:
        rows = frame_from_arrow(storage.read_part(part))
        for first in range(0, rows.height, _ROWS_PER_SLICE):
            described = _describe(rows[first : first + _ROWS_PER_SLICE], deviations, part, texts)
            yield missing.merge_into(described).select(_SCHEMA.names())
    if missing.remaining.height:
        yield missing.list_remaining().select(_SCHEMA.names())


class _MissingAttachments:
    """The activities whose attachments are missing, merged into the other deviations in report order."""

    def __init__(self, storage: FileStorage, deviations: Deviations) -> None:
        staged = deviations.attachments
        self.remaining = frame_from_arrow(storage.read_part(staged)) if staged else pl.DataFrame()
        self._report_sheet = deviations.report_sheet
        self._unwritten_count = 0

    def merge_into(self, described: pl.DataFrame) -> pl.DataFrame:
        """Add the activities up to the last of these deviations, to their line if they have one already."""
        if self.remaining.is_empty():
            return described
        is_due = pl.col("row") <= described[_QUERY_ROW].max()
        due, self.remaining = self.remaining.filter(is_due), self.remaining.filter(~is_due)
        unwritten = described.filter(pl.col(WRITTEN_ROW).is_null())[_QUERY_ROW]
        texts = due.select(pl.col("row").alias(_QUERY_ROW), *(pl.col(name).alias(f"{name} 2") for name in _SEPARATORS))
        joined = described.join(texts, on=_QUERY_ROW, how="left", maintain_order="left").with_columns(
            pl.concat_str([name, f"{name} 2"], separator=separator, ignore_nulls=True).alias(name)
            for name, separator in _SEPARATORS.items()
        )
        alone = due.filter(~pl.col("row").is_in(described[_QUERY_ROW].implode()))
        lines = self._locate_rows(alone, unwritten)
        self._unwritten_count += unwritten.len()
        return pl.concat([joined.select(lines.columns), lines]).sort(_QUERY_ROW)

    def list_remaining(self) -> pl.DataFrame:
        return self._locate_rows(self.remaining, pl.Series(dtype=pl.Int64))

    def _locate_rows(self, missing: pl.DataFrame, unwritten: pl.Series) -> pl.DataFrame:
        """Number the rows in the report, which has every row but the unwritten ones, all of which are deviations."""
        unwritten_before = unwritten.search_sorted(missing["row"]) + self._unwritten_count
        rows = missing.with_columns(
            (pl.col("row") - unwritten_before).alias(WRITTEN_ROW),
            pl.col("row").alias(_QUERY_ROW),
            pl.lit(DeviationOutcome.WARNING.value).alias("outcome"),
        )
        sheet, number = _locate(_Listing(WRITTEN_ROW, 0, self._report_sheet))
        return rows.with_columns(sheet.alias("sheet"), number.alias("row")).select(*_SCHEMA.names(), _QUERY_ROW)


class RowLocator:
    """Where each queried row is in the file: every row is in the report, unless it is a deviation that is not."""

    def __init__(self, storage: FileStorage, deviations: Deviations) -> None:
        self._deviations = deviations
        unwritten, excluded = [_NO_ROWS], [_NO_ROWS]
        for part in deviations.parts:
            rows = frame_from_arrow(storage.read_part(part))
            query_rows = rows[ROW].cast(pl.Int64) + part.rows_before
            unwritten.append(query_rows.filter(rows[WRITTEN_ROW].is_null()))
            excluded.append(query_rows.filter(rows[EXCLUDED_ROW].is_not_null()))
        self._unwritten, self._excluded = pl.concat(unwritten), pl.concat(excluded)

    def locate(self, query_rows: pl.Series) -> pl.DataFrame:
        """Return the sheet and the row number there of each row; both are null for a rejected row."""
        is_unwritten, is_excluded = (query_rows.is_in(rows.implode()) for rows in (self._unwritten, self._excluded))
        written = query_rows - self._unwritten.search_sorted(query_rows).cast(pl.Int64)
        excluded = self._excluded.search_sorted(query_rows).cast(pl.Int64)
        indices = pl.DataFrame({WRITTEN_ROW: written, EXCLUDED_ROW: excluded}).with_columns(
            pl.when(~is_unwritten).then(WRITTEN_ROW).alias(WRITTEN_ROW),
            pl.when(is_excluded).then(EXCLUDED_ROW).alias(EXCLUDED_ROW),
        )
        listings = (
            _Listing(WRITTEN_ROW, 0, self._deviations.report_sheet),
            _Listing(EXCLUDED_ROW, 0, self._deviations.excluded_sheet),
        )
        sheets, numbers = zip(*map(_locate, listings), strict=True)
        located = indices.with_columns(pl.coalesce(sheets).alias("sheet"), pl.coalesce(numbers).alias("sheet_row"))
        return located.select("sheet", "sheet_row")


def _describe(rows: pl.DataFrame, deviations: Deviations, part: StagedDeviations, texts: pl.DataFrame) -> pl.DataFrame:
    causes = rows.select(pl.int_range(pl.len()).alias("line"), CAUSES).explode(CAUSES)
    described = (
        causes.join(texts, left_on=CAUSES, right_on="number", how="left", maintain_order="left")
        .group_by("line", maintain_order=True)
        .agg(
            pl.col("code").unique(maintain_order=True).str.join(" ").alias("codes"),
            pl.col("message").unique(maintain_order=True).str.join(" · ").alias("problem"),
            pl.col("repair").unique(maintain_order=True).str.join(" ").alias("repair"),
        )
    )
    listings = (
        _Listing(WRITTEN_ROW, part.written_before, deviations.report_sheet),
        _Listing(EXCLUDED_ROW, part.excluded_before, deviations.excluded_sheet),
    )
    sheets, numbers = zip(*map(_locate, listings), strict=True)
    query_row = pl.col(ROW).cast(pl.Int64) + part.rows_before
    located = rows.with_columns(
        pl.coalesce(sheets).alias("sheet"), pl.coalesce(numbers).alias("row"), query_row.alias(_QUERY_ROW)
    )
    return located.hstack(described.drop("line"))


def _locate(listing: _Listing) -> tuple[pl.Expr, pl.Expr]:
    """Return the sheet and the row number there; a list that fills a sheet continues on a sheet with a number."""
    if listing.start is None:
        return pl.lit(None, pl.String), pl.lit(None, pl.Int64)
    index, first_row = pl.col(listing.index_column) + listing.rows_before, listing.start.first_row
    capacity = EXCEL_LIMITS.max_rows - first_row + 1
    number = index // capacity + 1
    name = pl.lit(listing.start.name)
    numbered_name = pl.when(number > 1).then(pl.format("{} ({})", name, number)).otherwise(name)
    return pl.when(index.is_not_null()).then(numbered_name), index % capacity + first_row


def _build_texts(causes: tuple[DeviationCause, ...]) -> pl.DataFrame:
    schema = {"number": pl.UInt32, "code": pl.String, "message": pl.String, "repair": pl.String}
    return pl.DataFrame([cause.model_dump() for cause in causes], schema=schema)
