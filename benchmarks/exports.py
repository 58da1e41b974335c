"""Exports from the button to the end, on the stack that `stafett dev` brings up: time, memory, many at once."""

import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg

from benchmarks.measurement import peak_memory_mib, reset_peak_memory
from stafett.cli.client import ApiClient, connect
from stafett.cli.demo import run_stafett, running_stack
from stafett.cli.terminal import make_console
from stafett.devstack.stack_file import load_stack_file
from stafett.domain.export_status import EXPORT_FINAL_STATUSES

_SMALL_YEAR, _MEDIUM_YEAR = 2025, 2024
_ROWS_BY_YEAR = {_SMALL_YEAR: 500, _MEDIUM_YEAR: 50_000, 2023: 250_000, 2022: 1_000_000}
_CONCURRENT_EXPORTS, _REPETITIONS = 20, 15
_ROUNDS, _RUNS_PER_ROUND = 5, 4
_POLL_INTERVAL_SECONDS = 0.25  # the end is read from the job itself: looking oftener only slows down what is measured
JobResource = Mapping[str, Any]


@dataclass(frozen=True)
class ExportTimer:
    api: ApiClient

    def start_export(self, year: int, export_format: str = "xlsx") -> str:
        period = {"start": f"{year}-01-01", "end": f"{year}-12-31"}
        asked = {"org_id": "nhf", "reporting_period": period, "export_format": export_format}
        return str(self.api.post("/bufdir-exports", asked)["id"])

    def wait_until_completed(self, export_id: str) -> datetime:
        while (job := self.api.get(f"/bufdir-exports/{export_id}"))["status"] not in EXPORT_FINAL_STATUSES:
            time.sleep(_POLL_INTERVAL_SECONDS)
        assert job["status"] == "completed", job  # noqa: S101 - a figure of something else is no figure
        return datetime.fromisoformat(job["completed_at"])

    def time_export(self, year: int, export_format: str = "xlsx") -> float:
        """From before the request until the end that is written down, by the one clock of this machine."""
        began = datetime.now(UTC)
        return (self.wait_until_completed(self.start_export(year, export_format)) - began).total_seconds()


def run() -> list[str]:
    with _run_stack() as folder:
        for year, rows in _ROWS_BY_YEAR.items():
            run_stafett("seed", "--org", "nhf", "--activities", str(rows), "--year", str(year), data_dir=folder)
        with psycopg.connect(load_stack_file(folder).database_url, autocommit=True) as connection:
            connection.execute("VACUUM ANALYZE activities")
        button = ExportTimer(connect(folder, None, "nhf"))
        button.time_export(_SMALL_YEAR)
        return [
            _measure_small_exports(button),
            _compare_with_bare_functions(button, folder),
            _measure_large_exports(button, folder),
        ]


def _measure_small_exports(timer: ExportTimer) -> str:
    taken = sorted(timer.time_export(_SMALL_YEAR, "csv") for _ in range(_REPETITIONS))
    began = datetime.now(UTC)
    ends = [
        timer.wait_until_completed(export_id)
        for export_id in [timer.start_export(_SMALL_YEAR) for _ in range(_CONCURRENT_EXPORTS)]
    ]
    together = (max(ends) - began).total_seconds()
    return "\n".join(
        [
            "### 500 rows, from the `POST` to `completed`",
            "",
            "| | seconds |",
            "| --- | --- |",
            f"| median of {_REPETITIONS} | {statistics.median(taken):.3f} |",
            f"| slowest of {_REPETITIONS} | {taken[-1]:.3f} |",
            f"| {_CONCURRENT_EXPORTS} of them asked for at once, until the last one's end | {together:.1f} |",
            "",
        ]
    )


def _compare_with_bare_functions(timer: ExportTimer, folder: Path) -> str:
    bare, whole = _measure_alternately(timer, folder)
    return "\n".join(
        [
            "### 50,000 rows by NHF's document to xlsx",
            "",
            "| | seconds | the bare functions = 1 |",
            "| --- | --- | --- |",
            f"| through the gateway and the engine | {whole:.2f} | {whole / bare:.2f} |",
            f"| the same functions, staging included, in one script | {bare:.2f} | 1 |",
            "",
        ]
    )


def _measure_alternately(timer: ExportTimer, folder: Path) -> tuple[float, float]:
    """In turn, as a machine that slows down slows both down: the median of each."""
    timer.time_export(_MEDIUM_YEAR)  # the bare functions' first is not counted either
    bare, whole = list[float](), list[float]()
    for _ in range(_ROUNDS):
        bare += _time_bare_exports(folder, _MEDIUM_YEAR)
        whole += [timer.time_export(_MEDIUM_YEAR) for _ in range(_RUNS_PER_ROUND)]
    return statistics.median(bare), statistics.median(whole)


def _time_bare_exports(folder: Path, year: int) -> list[float]:
    command = [sys.executable, "-m", "benchmarks.bare_export", str(year), str(_RUNS_PER_ROUND)]
    found = subprocess.run(command, env=_worker_environment(folder), check=True, capture_output=True, text=True).stdout
    return list(map(float, found.split()))


def _worker_environment(folder: Path) -> dict[str, str]:
    """The worker's own: the same settings, the same roles."""
    (worker, *_) = load_stack_file(folder).pids.worker
    said = Path(f"/proc/{worker}/environ").read_bytes().decode().split("\0")
    return dict(one.split("=", 1) for one in said if "=" in one)


def _measure_large_exports(timer: ExportTimer, folder: Path) -> str:
    lines = ["### Large ones to xlsx", "", "| rows | seconds | worker's peak memory, MiB |", "| --- | --- | --- |"]
    for year, rows in sorted(_ROWS_BY_YEAR.items(), key=lambda item: item[1]):
        workers = load_stack_file(folder).pids.worker
        for worker in workers:
            reset_peak_memory(worker)
        seconds = timer.time_export(year)
        peak = max(map(peak_memory_mib, workers))
        lines.append(f"| {rows:,} | {seconds:.2f} | {peak} |")
    return "\n".join([*lines, ""])


@contextmanager
def _run_stack() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="stafett-bench-") as folder, running_stack(Path(folder), make_console()):
        yield Path(folder)
