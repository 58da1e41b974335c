"""The summary sheet: what became of the activities, why some do not count, and the document's own totals."""

from collections.abc import Iterator
from itertools import repeat

from stafett.column_mapper.document import Summary
from stafett.column_mapper.localized import Localized
from stafett.domain.export_outputs import Total
from stafett.file_generator.xlsx import labels
from stafett.file_generator.xlsx.builder import Edition, Workbook
from stafett.file_generator.xlsx.cell_text import visible
from stafett.file_generator.xlsx.tables import Entry, SmallTable, put_table
from stafett.file_generator.xlsx.xlsxwriter_bridge import Sheet

_WIDTHS = (62, *repeat(16, 20))
_DARK = "#1F3864"
_CHART_WIDTH, _LINE, _AROUND = 640, 38, 110


def add_summary(edition: Edition) -> None:
    """Tables one below the other, each with its heading; the chart stands beside them."""
    workbook = edition.workbook
    sheet = edition.add_sheet(workbook.say(workbook.document.layout.summary_sheet))
    title = f"{workbook.organisation}: {workbook.period_in_words}"
    sheet.write_string(0, 0, title, edition.formats.title)
    row, widest = 1, 2
    for table in _tables(workbook):
        below = put_table(edition, sheet, row, table)
        if table.name == labels.TOTALS_TABLE:
            _add_chart(edition, sheet, (row + 1, below - 1), len(table.headers))
        row, widest = below, max(widest, len(table.headers))
    for column, width in enumerate(_WIDTHS[:widest]):
        sheet.set_column(column, column, width)


def _tables(workbook: Workbook) -> Iterator[SmallTable]:
    say, document = workbook.say, workbook.document
    lines, headers = list(_counts(workbook)), _headed(workbook, labels.WHAT_BECAME)
    yield SmallTable(labels.COUNTS_TABLE, headers, lines, _WIDTHS, say(labels.ACTIVITIES))
    if document.counting.reasons:
        lines, headers = list(_reasons(workbook)), _headed(workbook, labels.REASON)
        yield SmallTable(labels.REASONS_TABLE, headers, lines, _WIDTHS, say(labels.WHY_NOT))
    if document.summary:
        yield _totals(workbook, document.summary)
    if workbook.mapped.warnings:
        remarks = [(warning.message,) for warning in workbook.mapped.warnings]
        yield SmallTable(labels.WARNINGS_TABLE, [say(labels.REMARK)], remarks, _WIDTHS, say(labels.REMARKS))


def _headed(workbook: Workbook, first: Localized) -> list[str]:
    return [workbook.say(first), workbook.say(labels.COUNT)]


def _counts(workbook: Workbook) -> Iterator[tuple[Entry, ...]]:
    say, counts, layout = workbook.say, workbook.mapped.counts, workbook.document.layout
    yield say(labels.QUERIED), counts.queried
    yield say(labels.WRITTEN), counts.written
    apart = sum(part.rows for part in workbook.mapped.excluded_parts)
    if apart:
        yield say(labels.APART).format(sheet=say(layout.apart_sheet)), apart
    yield say(labels.REJECTED).format(sheet=say(layout.partial_failures_sheet)), counts.rejected
    yield say(labels.COUNTABLE), counts.countable
    yield say(labels.NOT_COUNTABLE), counts.not_countable


def _reasons(workbook: Workbook) -> Iterator[tuple[Entry, ...]]:
    """Every reason there is, also those that no activity had."""
    found = {one.code: one.count for one in workbook.mapped.not_countable}
    for reason in workbook.document.counting.reasons:
        yield workbook.say(reason.label), found.get(reason.code, 0)


def _totals(workbook: Workbook, summary: Summary) -> SmallTable:
    by = next(column for column in workbook.document.columns if column.id == summary.by)
    headers = [workbook.say(one) for one in (by.header, *(measure.header for measure in summary.measures))]
    lines: list[tuple[Entry, ...]] = [(_label(workbook, total), *total.figures) for total in workbook.mapped.totals]
    return SmallTable(labels.TOTALS_TABLE, headers, lines, _WIDTHS, workbook.say(summary.title))


def _add_chart(edition: Edition, sheet: Sheet, rows: tuple[int, int], columns: int) -> None:
    """Bars, for their labels are long; the first measure's figures stand beside them."""
    workbook, summary = edition.workbook, edition.workbook.document.summary
    if summary is None or summary.chart is None or not workbook.mapped.totals:
        return
    header, last = rows[0], rows[1]
    title, measure = visible(workbook.say(summary.chart)), visible(workbook.say(summary.measures[0].header))
    chart = edition.book.add_chart({"type": "bar"})
    chart.add_series(
        {
            "name": [sheet.get_name(), header, 1],
            "categories": [sheet.get_name(), header + 1, 0, last, 0],
            "values": [sheet.get_name(), header + 1, 1, last, 1],
            "fill": {"color": _DARK},
            "data_labels": {"value": True},
            "gap": 60,
        }
    )
    chart.set_title({"name": title, "name_font": {"size": 14}})
    chart.set_legend({"none": True})
    chart.set_y_axis({"reverse": True, "num_font": {"size": 11}})
    chart.set_x_axis({"name": measure, "label_position": "high", "major_gridlines": {"visible": False}})
    chart.set_size({"width": _CHART_WIDTH, "height": _AROUND + _LINE * (last - header)})
    sheet.insert_chart(1, columns + 1, chart, {"description": f"{title}. {_in_words(workbook)}"})


def _in_words(workbook: Workbook) -> str:
    """What the chart shows, for those who do not see it."""
    return "; ".join(f"{_label(workbook, total)}: {total.figures[0]}" for total in workbook.mapped.totals)


def _label(workbook: Workbook, total: Total) -> str:
    return workbook.say(labels.NO_VALUE) if total.label is None else total.label
