"""Texts that no cell can hold: cut, counted, and named, never lost in silence."""

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
    nb="Teksten var lengre enn de 32 767 tegnene en celle i Excel rommer, og er kuttet i: {places}",
    nn="Teksten var lengre enn dei 32 767 teikna ei celle i Excel rommar, og er kutta i: {places}",
    en="The text was longer than the 32,767 characters that a cell in Excel holds, and is cut in: {places}",
)


@dataclass(frozen=True)
class TruncatedCell:
    """One text, and where the reader finds what is left of it."""

    sheet: str
    cell: str


@dataclass
class TruncatedTexts:
    """Empty while the file is written; whole when it is."""

    _counts: dict[str | None, int] = field(default_factory=dict)
    _cells: dict[str | None, list[TruncatedCell]] = field(default_factory=dict)

    def add(self, column_id: str | None, cells: Sequence[TruncatedCell]) -> None:
        """In a column of the document, known by its id."""
        self._counts[column_id] = self._counts.get(column_id, 0) + len(cells)
        named = self._cells.setdefault(column_id, [])
        named += cells[: MAX_NAMED_CELLS - len(named)]

    @property
    def count(self) -> int:
        return sum(self._counts.values())

    def get_cells(self, column_id: str | None) -> Sequence[TruncatedCell]:
        """The first thousand."""
        return tuple(self._cells.get(column_id, ()))

    def to_partial_failures(self, locale: Locale) -> tuple[PartialFailureReport, ...]:
        """One a column; the rows of the report are not those of the source, so no row number is named."""
        return tuple(self._to_partial_failure(column, count, locale) for column, count in self._counts.items())

    def _to_partial_failure(self, column_id: str | None, count: int, locale: Locale) -> PartialFailureReport:
        places = [f"{place.sheet}!{place.cell}" for place in self._cells[column_id][:_MAX_CELLS_PER_MESSAGE]]
        named = ", ".join(places) + (" …" if count > len(places) else "")
        return PartialFailureReport(
            affected_count=count,
            failure_reason=_MESSAGE.in_locale(locale).format(places=named),
            code=TEXT_TRUNCATED_CODE,
            column=column_id,
            sub_service_name=_SUB_SERVICE_NAME,
        )


@dataclass(frozen=True)
class TruncatedRows:
    """Rows with no text that is too long, and which were: numbers of columns and of rows."""

    rows: pl.DataFrame
    positions: Sequence[tuple[int, int]] = ()


def truncate_rows(rows: pl.DataFrame, locale: Locale) -> TruncatedRows:
    """Bytes are looked at first: no text has more UTF-16 units than bytes of UTF-8."""
    longest = rows.select(cs.string().str.len_bytes().max())
    suspects = [name for name in longest.columns if (longest[name].item() or 0) > MAX_CELL_UNITS]
    found: list[tuple[int, int]] = []
    for name in suspects:
        texts = dict(_find_overlong_texts(rows[name]))
        found += [(rows.get_column_index(name), row) for row in texts]
        short = [truncate_text(text, locale) for text in texts.values()]
        rows = rows.with_columns(rows[name].clone().scatter(list(texts), short))
    return TruncatedRows(rows, found)


def _find_overlong_texts(texts: pl.Series) -> Iterator[tuple[int, str]]:
    for row in (texts.str.len_bytes() > MAX_CELL_UNITS).arg_true():
        if count_utf16_units(texts[row]) > MAX_CELL_UNITS:
            yield row, texts[row]
