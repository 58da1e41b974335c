"""The report's CSV: Polars over whole columns, the standard library row by row."""

import csv
import io
from datetime import date, timedelta

import polars as pl

from benchmarks.measuring import side_by_side, table
from stafett.file_generator.csv import csv_chunks

_DEFUSED = ("=", "+", "-", "@", "\t", "\r")


def run(rows: int) -> str:
    frame = pl.DataFrame(
        {
            "Dato": [date(2026, 1, 1) + timedelta(days=number % 365) for number in range(rows)],
            "Sted": ["Tromsø", "Kárášjohka", "Bodø; sentrum", '"Huset"'] * (rows // 4),
            "Deltakere": list(range(rows)),
            "Timer": [number / 4 for number in range(rows)],
            "Merknad": [None, "=SUM(A1)", "helt vanlig", "linje\nto"] * (rows // 4),
        }
    )
    contenders = {
        "Polars": lambda: sum(len(chunk) for chunk in csv_chunks([frame], "excel")),
        "csv module, row by row": lambda: _by_rows(frame),
    }
    return table(f"CSV of {rows:,} rows of {frame.width} columns", side_by_side(contenders, rounds=3))


def _by_rows(frame: pl.DataFrame) -> int:
    out = io.StringIO(newline="")
    writer = csv.writer(out, delimiter=";", lineterminator="\r\n")
    writer.writerow(frame.columns)
    for day, place, people, hours, note in frame.iter_rows():
        safe = f"'{note}" if note and note.startswith(_DEFUSED) else note
        writer.writerow([day.strftime("%d.%m.%Y"), place, people, str(hours).replace(".", ","), safe])
    return len(out.getvalue().encode())
