"""The deviations of an export, one row per deviating activity: for the workbook, the API and the console."""

from collections.abc import Iterator, Mapping
from itertools import chain, islice
from typing import NamedTuple
from uuid import UUID

import polars as pl
from sqlmodel import Session, col, select

from stafett.activity_frames import frame_from_arrow
from stafett.audit import trail as audit_trail
from stafett.column_mapper.deviations import CAUSES, EXCLUDED_ROW, WRITTEN_ROW
from stafett.database.session import Database
from stafett.database.tables import ExportPartialFailures, Membership, User
from stafett.domain.export import ExportParameters
from stafett.domain.export_outputs import DeviationCause, Deviations, SheetStart, StagedDeviations
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
    texts = _build_texts(deviations.causes)
    for part in deviations.parts:
        rows = frame_from_arrow(storage.read_part(part))
        for first in range(0, rows.height, _ROWS_PER_SLICE):
            yield _describe(rows[first : first + _ROWS_PER_SLICE], deviations, part, texts)


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
    located = rows.with_columns(pl.coalesce(sheets).alias("sheet"), pl.coalesce(numbers).alias("row"))
    return located.hstack(described.drop("line")).select(_SCHEMA.names())


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
