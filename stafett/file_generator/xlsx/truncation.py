"""Texts that are too long for a cell: truncated, counted and reported, never dropped silently."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import polars as pl
import polars.selectors as cs

from stafett.column_mapper.cells import TEXT_TRUNCATED_CODE
from stafett.column_mapper.localized import Localized
from stafett.domain.export import Locale, PartialFailureReport
from stafett.file_generator.xlsx.cell_text import MAX_CELL_UNITS, count_utf16_units, truncate_text

_MAX_NAMED_CELLS = 10
_SUB_SERVICE_NAME = "bufdir-file-generator"
_MESSAGE = Localized(
    nb="Teksten var lengre enn de 32 767 tegnene en celle i Excel rommer, og er kuttet i: {cells}",
    nn="Teksten var lengre enn dei 32 767 teikna ei celle i Excel rommar, og er kutta i: {cells}",
    en="The text was longer than the 32,767 characters that a cell in Excel holds, and is cut in: {cells}",
)


@dataclass
class TruncatedTexts:
    """The truncated texts of a workbook; complete once all rows have been written."""

    _counts: Counter[str | None] = field(default_factory=Counter)
    _cells: dict[str | None, list[str]] = field(default_factory=dict)

    def add(self, column_id: str | None, cells: Sequence[str]) -> None:
        """Count truncated cells of a column, by its id in the mapping document, and name the first ones."""
        self._counts[column_id] += len(cells)
        named = self._cells.setdefault(column_id, [])
        named += cells[: _MAX_NAMED_CELLS - len(named)]

    def to_partial_failures(self, locale: Locale) -> tuple[PartialFailureReport, ...]:
        """Return one failure per column, without row numbers, because the report's rows are not those of the source."""
        return tuple(self._to_partial_failure(column, count, locale) for column, count in self._counts.items())

    def _to_partial_failure(self, column_id: str | None, count: int, locale: Locale) -> PartialFailureReport:
        cells = self._cells[column_id]
        listed = ", ".join(cells) + (" …" if count > len(cells) else "")
        return PartialFailureReport(
            affected_count=count,
            failure_reason=_MESSAGE.in_locale(locale).format(cells=listed),
            code=TEXT_TRUNCATED_CODE,
            column=column_id,
            sub_service_name=_SUB_SERVICE_NAME,
        )


def truncate_rows(rows: pl.DataFrame, locale: Locale) -> tuple[pl.DataFrame, list[tuple[int, int]]]:
    """Truncate overlong texts, and return their (column, row) positions too.

    They are found by bytes first: no text has more UTF-16 units than UTF-8 bytes.
    """
    max_bytes = rows.select(cs.string().str.len_bytes().max())
    candidates = [name for name in max_bytes.columns if (max_bytes[name].item() or 0) > MAX_CELL_UNITS]
    positions: list[tuple[int, int]] = []
    for name in candidates:
        texts = dict(_find_overlong_texts(rows[name]))
        positions += [(rows.get_column_index(name), row) for row in texts]
        truncated = [truncate_text(text, locale) for text in texts.values()]
        rows = rows.with_columns(rows[name].clone().scatter(list(texts), truncated))
    return rows, positions


def _find_overlong_texts(texts: pl.Series) -> Iterator[tuple[int, str]]:
    for row in (texts.str.len_bytes() > MAX_CELL_UNITS).arg_true():
        if count_utf16_units(texts[row]) > MAX_CELL_UNITS:
            yield row, texts[row]
