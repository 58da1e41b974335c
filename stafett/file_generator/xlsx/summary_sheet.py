"""The summary sheet: outcome of the activities, why some do not count, and the document's totals."""

from collections.abc import Iterator, Sequence
from itertools import repeat

from stafett.column_mapper.document import Summary
from stafett.column_mapper.localized import Localized
from stafett.domain.export_outputs import Total
from stafett.file_generator.xlsx import labels
from stafett.file_generator.xlsx.builder import WorkbookBuilder, WorkbookSpec
from stafett.file_generator.xlsx.cell_text import replace_control_characters
from stafett.file_generator.xlsx.page_setup import ColumnSetup, set_up_columns
from stafett.file_generator.xlsx.tables import CellValue, SmallTable, write_table
from stafett.file_generator.xlsx.xlsxwriter_bridge import Sheet, set_chart_titles

_COLUMNS = (ColumnSetup(54), *repeat(ColumnSetup(13), 20))
_DARK_BLUE = "#1F3864"
_CHART_WIDTH, _BAR_HEIGHT, _CHART_MARGIN = 540, 38, 110


def add_summary_sheet(builder: WorkbookBuilder) -> None:
    """Add the tables one below the other, each with a heading, and the chart beside them."""
    spec = builder.spec
    sheet = builder.add_sheet(spec.translate(spec.document.layout.summary_sheet))
    sheet.write_string(0, 0, spec.title, builder.formats.title)
    row, column_count = 1, 2
    for table in _build_tables(spec):
        below = write_table(builder, sheet, row, table)
        if table.name == labels.TOTALS_TABLE:
            _add_chart(builder, sheet, (row + 1, row + 1 + len(table.rows)), len(table.headers))
        row, column_count = below, max(column_count, len(table.headers))
    set_up_columns(sheet, _COLUMNS[:column_count])


def _build_tables(spec: WorkbookSpec) -> Iterator[SmallTable]:
    translate, document = spec.translate, spec.document
    rows, headers = list(_build_count_rows(spec)), _build_headers(spec, labels.ACTIVITY_OUTCOME)
    yield SmallTable(labels.COUNTS_TABLE, headers, rows, _COLUMNS, translate(labels.ACTIVITIES))
    if document.counting.reasons:
        rows, headers = list(_build_reason_rows(spec)), _build_headers(spec, labels.REASON)
        heading, totals = translate(labels.NOT_COUNTABLE_REASONS), _add_up(spec, rows)
        yield SmallTable(labels.REASONS_TABLE, headers, rows, _COLUMNS, heading, totals=totals)
    if document.summary:
        yield _build_totals_table(spec, document.summary)
    if spec.mapped_rows.warnings:
        remarks = [(warning.message,) for warning in spec.mapped_rows.warnings]
        yield SmallTable(
            labels.WARNINGS_TABLE, [translate(labels.WARNING)], remarks, _COLUMNS, translate(labels.WARNINGS)
        )


def _build_headers(spec: WorkbookSpec, first_header: Localized) -> list[str]:
    return [spec.translate(first_header), spec.translate(labels.COUNT)]


def _build_count_rows(spec: WorkbookSpec) -> Iterator[tuple[CellValue, ...]]:
    translate, counts, layout = spec.translate, spec.mapped_rows.counts, spec.document.layout
    yield translate(labels.QUERIED), counts.queried
    yield translate(labels.WRITTEN), counts.written
    excluded = sum(part.rows for part in spec.mapped_rows.excluded_parts)
    if excluded:
        yield translate(labels.EXCLUDED).format(sheet=translate(layout.apart_sheet)), excluded
    yield translate(labels.REJECTED).format(sheet=translate(layout.partial_failures_sheet)), counts.rejected
    yield translate(labels.COUNTABLE), counts.countable
    if 0 < counts.events < counts.countable:
        yield translate(labels.EVENTS), counts.events
    yield translate(labels.NOT_COUNTABLE), counts.not_countable


def _build_reason_rows(spec: WorkbookSpec) -> Iterator[tuple[CellValue, ...]]:
    """Yield every reason of the document, including those without activities."""
    counts = {reason.code: reason.count for reason in spec.mapped_rows.not_countable}
    for reason in spec.document.counting.reasons:
        yield spec.translate(reason.label), counts.get(reason.code, 0)


def _build_totals_table(spec: WorkbookSpec, summary: Summary) -> SmallTable:
    group = next(column for column in spec.document.columns if column.id == summary.by)
    headers = [spec.translate(header) for header in (group.header, *(measure.header for measure in summary.measures))]
    rows: list[tuple[CellValue, ...]] = [(_get_label(spec, total), *total.figures) for total in spec.mapped_rows.totals]
    heading, totals = spec.translate(summary.title), _add_up(spec, rows)
    return SmallTable(labels.TOTALS_TABLE, headers, rows, _COLUMNS, heading, totals=totals)


def _add_up(spec: WorkbookSpec, rows: Sequence[tuple[CellValue, ...]]) -> list[CellValue] | None:
    """Return the line with the total of each column but the first, as figures: a formula would follow the filter."""
    if not rows:
        return None
    _, *columns = zip(*rows, strict=True)
    totals = (sum(figure for figure in column if isinstance(figure, int)) for column in columns)
    return [spec.translate(labels.TOTAL), *totals]


def _add_chart(builder: WorkbookBuilder, sheet: Sheet, row_range: tuple[int, int], column_count: int) -> None:
    """Add a chart of the first measure, with horizontal bars, because their labels are long."""
    spec, summary = builder.spec, builder.spec.document.summary
    if summary is None or summary.chart is None or not spec.mapped_rows.totals:
        return
    header, last = row_range[0], row_range[1]
    title, measure = (
        replace_control_characters(spec.translate(summary.chart)),
        replace_control_characters(spec.translate(summary.measures[0].header)),
    )
    chart = builder.book.add_chart({"type": "bar"})
    chart.add_series(
        {
            "name": [sheet.get_name(), header, 1],
            "categories": [sheet.get_name(), header + 1, 0, last, 0],
            "values": [sheet.get_name(), header + 1, 1, last, 1],
            "fill": {"color": _DARK_BLUE},
            "data_labels": {"value": True},
            "gap": 60,
        }
    )
    chart.set_title({"name_font": {"size": 14}})
    chart.set_legend({"none": True})
    chart.set_y_axis({"reverse": True, "num_font": {"size": 11}})
    chart.set_x_axis({"label_position": "high", "major_gridlines": {"visible": False}})
    set_chart_titles(chart, title, measure)
    chart.set_size({"width": _CHART_WIDTH, "height": _CHART_MARGIN + _BAR_HEIGHT * (last - header)})
    sheet.insert_chart(1, column_count + 1, chart, {"description": f"{title}. {_describe_chart(spec)}"})


def _describe_chart(spec: WorkbookSpec) -> str:
    """Describe the chart for readers who cannot see it."""
    return "; ".join(f"{_get_label(spec, total)}: {total.figures[0]}" for total in spec.mapped_rows.totals)


def _get_label(spec: WorkbookSpec, total: Total) -> str:
    return spec.translate(labels.NO_VALUE) if total.label is None else total.label
