"""Renders a workbook as blocks of the finished file. The caller sets the pace and may stop at any time."""

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, time
from itertools import chain

import polars as pl

from stafett.column_mapper.localized import Localized
from stafett.domain.errors import ExportError
from stafett.domain.export_outputs import StagedPart
from stafett.domain.export_status import ExportErrorCode
from stafett.file_generator.xlsx import labels
from stafett.file_generator.xlsx.about_sheet import add_about_sheet
from stafett.file_generator.xlsx.builder import EXCEL_LIMITS, SheetLimits, WorkbookBuilder, WorkbookSpec
from stafett.file_generator.xlsx.cell_text import replace_control_characters
from stafett.file_generator.xlsx.columns import SheetColumn, build_sheet_columns
from stafett.file_generator.xlsx.deviations_sheet import build_deviations_table, to_sheet_rows
from stafett.file_generator.xlsx.dropdowns import DropdownLists
from stafett.file_generator.xlsx.failures_sheet import add_failures_sheet
from stafett.file_generator.xlsx.row_sheets import RowSheets, RowTable
from stafett.file_generator.xlsx.summary_sheet import add_summary_sheet
from stafett.file_generator.xlsx.xlsxwriter_bridge import StreamedWorkbook
from stafett.storage.zip_archive import TooLargeForZipError, ZipArchive

_TOO_LARGE_MESSAGE = "The report is too large for one Excel file; choose a shorter period or CSV."


def render_workbook(
    spec: WorkbookSpec,
    *,
    report_frames: Iterable[pl.DataFrame],
    excluded_frames: Iterable[pl.DataFrame] = (),
    deviation_frames: Iterable[pl.DataFrame] = (),
    limits: SheetLimits = EXCEL_LIMITS,
) -> Iterator[bytes]:
    """Yield the blocks of the file."""
    archive = ZipArchive(allow_zip64=False)  # Excel offers to repair a workbook that uses ZIP64
    builder = WorkbookBuilder(spec, StreamedWorkbook(archive), archive, limits)
    try:
        yield from _render_sheets(builder, report_frames, excluded_frames, deviation_frames)
        yield from archive.finish()
    except TooLargeForZipError:
        raise ExportError(ExportErrorCode.FILE_GENERATION_FAILED, _TOO_LARGE_MESSAGE) from None


def _render_sheets(
    builder: WorkbookBuilder,
    report_frames: Iterable[pl.DataFrame],
    excluded_frames: Iterable[pl.DataFrame],
    deviation_frames: Iterable[pl.DataFrame],
) -> Iterator[bytes]:
    spec = builder.spec
    _set_properties(builder)
    builder.book.write_leading_parts()
    dropdowns = DropdownLists(builder)
    yield from RowSheets(builder, dropdowns, _build_report_table(spec)).render_chunks(report_frames)
    add_summary_sheet(builder)
    if _count_rows(spec.mapped_rows.excluded_parts):
        first, frames = _peek_first_frame(excluded_frames)
        yield from RowSheets(builder, dropdowns, _build_excluded_table(spec, first)).render_chunks(frames)
    deviations = build_deviations_table(builder) if spec.mapped_rows.deviations.rows else None
    add_failures_sheet(builder, deviations)
    if deviations:
        yield from RowSheets(builder, dropdowns, deviations).render_chunks(to_sheet_rows(spec, deviation_frames))
    add_about_sheet(builder)
    dropdowns.write_hidden_sheet()
    builder.book.close()


def _set_properties(builder: WorkbookBuilder) -> None:
    """Set the document properties; the creation date is the end of the period, not the time of rendering."""
    spec, layout = builder.spec, builder.spec.document.layout
    sheets = (layout.sheet, layout.summary_sheet, layout.apart_sheet)
    builder.reserve_sheet_names(
        [spec.translate(name) for name in (*sheets, layout.partial_failures_sheet, layout.metadata_sheet)]
    )
    builder.book.set_properties(
        {
            "title": replace_control_characters(
                f"{spec.organisation_name}: {spec.translate(layout.sheet)}, {spec.period_label}"
            ),
            "subject": f"{spec.translate(labels.REPORT_TO_BUFDIR)}, {spec.period_label}",
            "author": replace_control_characters(spec.organisation_name),
            "created": datetime.combine(spec.period[1], time.min),
        }
    )


def _build_report_table(spec: WorkbookSpec) -> RowTable:
    columns, parts = build_sheet_columns(spec.document, spec.locale), spec.mapped_rows.parts
    return _build_document_table(spec, spec.document.layout.sheet, labels.REPORT_TABLE, columns, parts)


def _build_excluded_table(spec: WorkbookSpec, first_frame: pl.DataFrame) -> RowTable:
    extra_headers = first_frame.columns[len(spec.document.columns) :]
    columns, parts = build_sheet_columns(spec.document, spec.locale, extra_headers), spec.mapped_rows.excluded_parts
    return _build_document_table(spec, spec.document.layout.apart_sheet, labels.EXCLUDED_TABLE, columns, parts)


def _build_document_table(
    spec: WorkbookSpec,
    sheet_name: Localized,
    table_name: Localized,
    columns: tuple[SheetColumn, ...],
    parts: Sequence[StagedPart],
) -> RowTable:
    """Build a table with the document's columns, where the document places it."""
    layout = spec.document.layout
    return RowTable(
        sheet_name=spec.translate(sheet_name),
        name=table_name,
        columns=columns,
        row_count=_count_rows(parts),
        start_cell=layout.start_cell,
        title_rows=tuple(map(spec.fill_title_row, layout.title_rows)),
        has_frozen_header=layout.frozen_header,
    )


def _count_rows(parts: Sequence[StagedPart]) -> int:
    return sum(part.rows for part in parts)


def _peek_first_frame(frames: Iterable[pl.DataFrame]) -> tuple[pl.DataFrame, Iterator[pl.DataFrame]]:
    """Return the first frame, and an iterator over all frames."""
    remaining = iter(frames)
    first = next(remaining, pl.DataFrame())
    return first, chain([first], remaining)
