"""CSV files: Stafett (Polars, by columns), the csv module (row by row) and PostgreSQL's ``COPY``."""

import csv
from datetime import date, timedelta
from pathlib import Path

import polars as pl
import psycopg

from benchmarks.measurement import ComparisonTable, measure_implementations
from stafett.domain.export import CsvProfile
from stafett.file_generator.csv import render_csv

_FORMULA_PREFIXES = ("=", "+", "-", "@", "\t", "\r")
_CREATE_TABLE = """
    CREATE UNLOGGED TABLE csv_peer ("Dato" date, "Sted" text, "Deltakere" bigint, "Timer" float8, "Merknad" text)
"""


def run(rows: int, rounds: int, superuser_url: str, folder: Path) -> list[ComparisonTable]:
    """Write each file to the folder, which must be writable for PostgreSQL."""
    frame = pl.DataFrame(
        {
            "Dato": [date(2026, 1, 1) + timedelta(days=number % 365) for number in range(rows)],
            "Sted": ["Tromsø", "Kárášjohka", "Bodø; sentrum", '"Huset"'] * (rows // 4),
            "Deltakere": list(range(rows)),
            "Timer": [number / 4 for number in range(rows)],
            "Merknad": [None, "=SUM(A1)", "helt vanlig", "linje\nto"] * (rows // 4),
        }
    )
    with psycopg.connect(superuser_url, autocommit=True) as connection:
        _fill_table(connection, frame)
        implementations = {
            "Stafett, `excel` profile": lambda: _write_with_stafett(frame, "excel", folder / "excel.csv"),
            "Stafett, `machine` profile": lambda: _write_with_stafett(frame, "machine", folder / "machine.csv"),
            "csv module, row by row (`excel` profile)": lambda: _write_with_csv_module(frame, folder / "rows.csv"),
            "PostgreSQL COPY TO file": lambda: _write_with_copy(connection, folder / "copy.csv"),
        }
        measurements = measure_implementations(implementations, rounds=rounds, extra_pids=[connection.info.backend_pid])
    return [ComparisonTable(f"Writing a CSV file of {rows:,} rows of {frame.width} columns", "csv", measurements)]


def _write_with_stafett(frame: pl.DataFrame, profile: CsvProfile, path: Path) -> None:
    with path.open("wb") as file:
        file.writelines(render_csv([frame], profile))


def _write_with_csv_module(frame: pl.DataFrame, path: Path) -> None:
    with path.open("w", encoding="utf-8", newline="") as out:
        writer = csv.writer(out, delimiter=";", lineterminator="\r\n")
        writer.writerow(frame.columns)
        for day, place, participants, hours, note in frame.iter_rows():
            escaped_note = f"'{note}" if note and note.startswith(_FORMULA_PREFIXES) else note
            writer.writerow([day.strftime("%d.%m.%Y"), place, participants, str(hours).replace(".", ","), escaped_note])


def _fill_table(connection: psycopg.Connection, frame: pl.DataFrame) -> None:
    connection.execute(_CREATE_TABLE)
    with connection.cursor().copy("COPY csv_peer FROM STDIN (FORMAT csv, HEADER)") as copy:
        for chunk in render_csv([frame], "machine"):
            copy.write(chunk)
    connection.execute("VACUUM ANALYZE csv_peer")


def _write_with_copy(connection: psycopg.Connection, path: Path) -> None:
    target = psycopg.sql.Literal(str(path))
    connection.execute(psycopg.sql.SQL("COPY csv_peer TO {} (FORMAT csv, HEADER)").format(target))
