"""XLSX files: Stafett's whole workbook, compared with a plain sheet from other Python libraries."""

import io
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from datetime import date, timedelta
from pathlib import Path

import openpyxl
import polars as pl
import pyexcelerate  # type: ignore[import-untyped]  # the package ships no types
import rustpy_xlsxwriter
import xlsxwriter  # type: ignore[import-untyped]  # as above

from benchmarks.measurement import ComparisonTable, measure_implementations, peak_memory_mib
from stafett.activity_frames import arrow_from_frame, frame_from_arrow
from stafett.column_mapper import MappingDocument
from stafett.domain.export import ExportCounts
from stafett.domain.export_outputs import MappedRows, MappingVersion, StagedPart
from stafett.file_generator.xlsx import WorkbookSpec, render_workbook

_COLUMN_TYPES = ("integer",) * 6 + ("text",) * 9 + ("date",) * 2 + ("decimal",) * 3
_PLACES = ("Tromsø", "Kárášjohka", "Bodø sentrum", "Norges Handikapforbund, Galleri Oslo")
_MAX_CELLS_FOR_SLOW_WRITERS = 2_000_000
_ROWS_PER_PART = 10_000
_PERIOD = (date(2026, 1, 1), date(2026, 12, 31))


def run(cells: int, rounds: int) -> list[ComparisonTable | str]:
    """Measure the slow libraries only up to two million cells, because they take minutes for more."""
    rows = cells // len(_COLUMN_TYPES)
    frame = _create_frame(0, rows)
    plain = frame.with_columns(pl.selectors.decimal().cast(pl.Float64))
    implementations: dict[str, Callable[[], object]] = {
        "Stafett (whole workbook)": lambda: _write_with_stafett(rows, iter([frame])),
        "rustpy-xlsxwriter, from the frame": lambda: rustpy_xlsxwriter.write_worksheet(plain, io.BytesIO()),
        "rustpy-xlsxwriter, from dicts": lambda: _write_with_rustpy_dicts(plain),
    }
    if cells <= _MAX_CELLS_FOR_SLOW_WRITERS:
        implementations |= _slow_contenders(plain)
    peaks = ", ".join(f"{count:,} rows: {_measure_peak_memory(count)} MiB" for count in (rows // 10, rows // 2, rows))
    title = f"Writing an XLSX file of {cells:,} cells ({rows:,} rows of {len(_COLUMN_TYPES)} columns)"
    return [
        ComparisonTable(
            title, f"xlsx-{cells / 1_000_000:g}m-cells", measure_implementations(implementations, rounds=rounds)
        ),
        f"Peak memory growth while writing staged parts of {_ROWS_PER_PART:,} rows: {peaks}.\n",
    ]


def _slow_contenders(frame: pl.DataFrame) -> dict[str, Callable[[], object]]:
    return {
        "XlsxWriter": lambda: _write_with_xlsxwriter(frame, constant_memory=False),
        "XlsxWriter, constant_memory": lambda: _write_with_xlsxwriter(frame, constant_memory=True),
        "openpyxl, write-only": lambda: _write_with_openpyxl(frame),
        "pyexcelerate": lambda: _write_with_pyexcelerate(frame),
        "polars.write_excel": lambda: frame.write_excel(io.BytesIO()),
    }


def _write_with_stafett(rows: int, frames: Iterator[pl.DataFrame]) -> int:
    mapped = MappedRows(
        parts=(StagedPart(key="part", rows=rows, sha256=""),),
        counts=ExportCounts(queried=rows, written=rows, countable=rows),
        mapping=MappingVersion(version=1, sha256=""),
    )
    book = WorkbookSpec(
        document=_create_document(), locale="nb", organisation_name="Prøveforbundet", period=_PERIOD, mapped_rows=mapped
    )
    return sum(len(chunk) for chunk in render_workbook(book, report_frames=frames))


def _write_with_rustpy_dicts(frame: pl.DataFrame) -> None:
    rustpy_xlsxwriter.write_worksheet(frame.iter_rows(named=True), io.BytesIO())


def _write_with_xlsxwriter(frame: pl.DataFrame, *, constant_memory: bool) -> None:
    with xlsxwriter.Workbook(io.BytesIO(), {"constant_memory": constant_memory}) as book:
        sheet, day = book.add_worksheet(), book.add_format({"num_format": "dd.mm.yyyy"})
        sheet.write_row(0, 0, frame.columns)
        sheet.set_column(0, frame.width - 1, 12)
        days = [number for number, kind in enumerate(_COLUMN_TYPES) if kind == "date"]
        for number, row in enumerate(frame.iter_rows(), start=1):
            sheet.write_row(number, 0, row)
            for column in days:
                sheet.write_datetime(number, column, row[column], day)


def _write_with_openpyxl(frame: pl.DataFrame) -> None:
    book = openpyxl.Workbook(write_only=True)
    sheet = book.create_sheet()
    sheet.append(frame.columns)
    for row in frame.iter_rows():
        sheet.append(row)
    book.save(io.BytesIO())


def _write_with_pyexcelerate(frame: pl.DataFrame) -> None:
    book = pyexcelerate.Workbook()
    book.new_sheet("Rapport", data=[frame.columns, *map(list, frame.iter_rows())])
    book._save(io.BytesIO())  # noqa: SLF001 - its public method writes only to a path


def _create_document() -> MappingDocument:
    def localize(text: str) -> dict[str, str]:
        return dict.fromkeys(("nb", "nn", "en"), text)

    columns = [
        {"id": f"c{number}", "header": localize(f"Kolonne {number}"), "type": kind, "value": None}
        for number, kind in enumerate(_COLUMN_TYPES)
    ]
    fields = {"format": 1, "title": "Prøve", "effective_from": "2026-01-01", "counting": {"reasons": []}}
    return MappingDocument.model_validate(fields | {"columns": columns})


def _create_frame(first: int, rows: int) -> pl.DataFrame:
    """Create rows with repeating places, unique notes, numbers and dates."""
    row = pl.int_range(first, first + rows, dtype=pl.Int64)
    return pl.select(
        _column_expression(kind, number, row).alias(f"Kolonne {number}") for number, kind in enumerate(_COLUMN_TYPES)
    )


def _column_expression(column_type: str, number: int, row: pl.Expr) -> pl.Expr:
    match column_type:
        case "integer":
            return row * (number + 1) % 1000
        case "decimal":
            return (row * number % 100_000).cast(pl.Decimal(38, 2)) / 4
        case "date":
            return pl.lit(_PERIOD[0]) + row % 365 * timedelta(days=1)
        case _ if number % 3:
            return pl.lit(pl.Series(_PLACES)).gather(row * number % len(_PLACES))
        case _:
            return pl.concat_str(pl.lit("Møte nr. "), row.cast(pl.String), pl.lit(f" om hverdagen, del {number}"))


def _measure_peak_memory(rows: int) -> int:
    """Measure in a separate process, because a peak never decreases; the parts are in files, like staged parts."""
    with tempfile.TemporaryDirectory() as folder:
        for first in range(0, rows, _ROWS_PER_PART):
            (Path(folder) / f"{first:012}").write_bytes(
                arrow_from_frame(_create_frame(first, min(_ROWS_PER_PART, rows - first)))
            )
        command = [sys.executable, "-m", "benchmarks.xlsx", folder, str(rows)]
        return int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def _measure_memory_growth(folder: Path, rows: int) -> int:
    _write_with_stafett(10, iter([_create_frame(0, 10)]))
    before = peak_memory_mib()
    _write_with_stafett(rows, (frame_from_arrow(part.read_bytes()) for part in sorted(folder.iterdir())))
    return peak_memory_mib() - before


if __name__ == "__main__":
    print(_measure_memory_growth(Path(sys.argv[1]), int(sys.argv[2])))
