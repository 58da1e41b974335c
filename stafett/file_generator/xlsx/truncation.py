"""Texts that no cell can hold: cut, counted, and named, never lost in silence."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import polars as pl
import polars.selectors as cs

from stafett.column_mapper.cells import CUT_IN_A_WORKBOOK
from stafett.column_mapper.localized import Localized
from stafett.domain.export import Locale, PartialFailureReport
from stafett.file_generator.xlsx.cell_text import LONGEST, cut, units

MOST_NAMED = 1000
_MOST_IN_A_MESSAGE = 10
_SERVICE = "bufdir-file-generator"
_MESSAGE = Localized(
    nb="Teksten var lengre enn de 32 767 tegnene en celle i Excel rommer, og er kuttet i: {places}",
    nn="Teksten var lengre enn dei 32 767 teikna ei celle i Excel rommar, og er kutta i: {places}",
    en="The text was longer than the 32,767 characters that a cell in Excel holds, and is cut in: {places}",
)


@dataclass(frozen=True)
class CutText:
    """One text, and where the reader finds what is left of it."""

    sheet: str
    cell: str


@dataclass
class CutTexts:
    """Empty while the file is written; whole when it is."""

    _counts: dict[str | None, int] = field(default_factory=dict)
    _places: dict[str | None, list[CutText]] = field(default_factory=dict)

    def add(self, column: str | None, places: Sequence[CutText]) -> None:
        """In a column of the document, known by its id."""
        self._counts[column] = self._counts.get(column, 0) + len(places)
        named = self._places.setdefault(column, [])
        named += places[: MOST_NAMED - len(named)]

    @property
    def count(self) -> int:
        return sum(self._counts.values())

    def places(self, column: str | None) -> Sequence[CutText]:
        """The first thousand."""
        return tuple(self._places.get(column, ()))

    def partial_failures(self, locale: Locale) -> tuple[PartialFailureReport, ...]:
        """One a column; the rows of the report are not those of the source, so no row number is named."""
        return tuple(self._report(column, count, locale) for column, count in self._counts.items())

    def _report(self, column: str | None, count: int, locale: Locale) -> PartialFailureReport:
        places = [f"{place.sheet}!{place.cell}" for place in self._places[column][:_MOST_IN_A_MESSAGE]]
        named = ", ".join(places) + (" …" if count > len(places) else "")
        return PartialFailureReport(
            affected_count=count,
            failure_reason=_MESSAGE.in_(locale).format(places=named),
            code=CUT_IN_A_WORKBOOK,
            column=column,
            sub_service_name=_SERVICE,
        )


@dataclass(frozen=True)
class Shortened:
    """Rows with no text that is too long, and which were: numbers of columns and of rows."""

    rows: pl.DataFrame
    cut: Sequence[tuple[int, int]] = ()


def shortened(rows: pl.DataFrame, locale: Locale) -> Shortened:
    """Bytes are looked at first: no text has more UTF-16 units than bytes of UTF-8."""
    longest = rows.select(cs.string().str.len_bytes().max())
    suspects = [name for name in longest.columns if (longest[name].item() or 0) > LONGEST]
    found: list[tuple[int, int]] = []
    for name in suspects:
        texts = dict(_overlong(rows[name]))
        found += [(rows.get_column_index(name), row) for row in texts]
        short = [cut(text, locale) for text in texts.values()]
        rows = rows.with_columns(rows[name].clone().scatter(list(texts), short))
    return Shortened(rows, found)


def _overlong(texts: pl.Series) -> Iterator[tuple[int, str]]:
    for row in (texts.str.len_bytes() > LONGEST).arg_true():
        if units(texts[row]) > LONGEST:
            yield row, texts[row]
