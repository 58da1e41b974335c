"""Texts that are too long for a cell: truncated, counted and reported, never dropped silently."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import polars as pl
import polars.selectors as cs

from stafett.column_mapper.cells import TEXT_TRUNCATED_CODE
from stafett.column_mapper.localized import Localized
from stafett.domain.export import Locale, PartialFailureReport
from stafett.file_generator.xlsx.cell_text import MAX_CELL_UNITS, count_utf16_units, truncate_text

MAX_NAMED_CELLS = 1000
_MAX_CELLS_PER_MESSAGE = 10
_SUB_SERVICE_NAME = "bufdir-file-generator"
_MESSAGE = Localized(
    nb="Teksten var lengre enn de 32 767 tegnene en celle i Excel rommer, og er kuttet i: {cells}",
    nn="Teksten var lengre enn dei 32 767 teikna ei celle i Excel rommar, og er kutta i: {cells}",
    en="The text was longer than the 32,767 characters that a cell in Excel holds, and is cut in: {cells}",
)


@dataclass(frozen=True)
class TruncatedCell:
    """The location of a truncated text in the workbook."""

    sheet: str
    cell: str


@dataclass
class TruncatedTexts:
    """The truncated texts of a workbook; complete once all rows have been written."""

    _counts: dict[str | None, int] = field(default_factory=dict)
    _cells: dict[str | None, list[TruncatedCell]] = field(default_factory=dict)

    def add(self, column_id: str | None, cells: Sequence[TruncatedCell]) -> None:
        """Record truncated cells of a column, by its id in the mapping document."""
        self._counts[column_id] = self._counts.get(column_id, 0) + len(cells)
        named = self._cells.setdefault(column_id, [])
        named += cells[: MAX_NAMED_CELLS - len(named)]

    @property
    def count(self) -> int:
        return sum(self._counts.values())

    def get_cells(self, column_id: str | None) -> Sequence[TruncatedCell]:
        """Return the first ``MAX_NAMED_CELLS`` truncated cells of a column."""
        return tuple(self._cells.get(column_id, ()))

    def to_partial_failures(self, locale: Locale) -> tuple[PartialFailureReport, ...]:
        """Return one failure per column, without row numbers, because the report's rows are not those of the source."""
        return tuple(self._to_partial_failure(column, count, locale) for column, count in self._counts.items())

    def _to_partial_failure(self, column_id: str | None, count: int, locale: Locale) -> PartialFailureReport:
        cells = [f"{cell.sheet}!{cell.cell}" for cell in self._cells[column_id][:_MAX_CELLS_PER_MESSAGE]]
        listed = ", ".join(cells) + (" …" if count > len(cells) else "")
        return PartialFailureReport(
            affected_count=count,
            failure_reason=_MESSAGE.in_locale(locale).format(cells=listed),
            code=TEXT_TRUNCATED_CODE,
            column=column_id,
            sub_service_name=_SUB_SERVICE_NAME,
        )


@dataclass(frozen=True)
class TruncatedRows:
    """Rows without overlong texts, and the (column, row) positions of the texts that were truncated."""

    rows: pl.DataFrame
    positions: Sequence[tuple[int, int]] = ()


def truncate_rows(rows: pl.DataFrame, locale: Locale) -> TruncatedRows:
    """Truncate overlong texts, found by bytes first: no text has more UTF-16 units than UTF-8 bytes."""
    max_bytes = rows.select(cs.string().str.len_bytes().max())
    candidates = [name for name in max_bytes.columns if (max_bytes[name].item() or 0) > MAX_CELL_UNITS]
    positions: list[tuple[int, int]] = []
    for name in candidates:
        texts = dict(_find_overlong_texts(rows[name]))
        positions += [(rows.get_column_index(name), row) for row in texts]
        truncated = [truncate_text(text, locale) for text in texts.values()]
        rows = rows.with_columns(rows[name].clone().scatter(list(texts), truncated))
    return TruncatedRows(rows, positions)


def _find_overlong_texts(texts: pl.Series) -> Iterator[tuple[int, str]]:
    for row in (texts.str.len_bytes() > MAX_CELL_UNITS).arg_true():
        if count_utf16_units(texts[row]) > MAX_CELL_UNITS:
            yield row, texts[row]
