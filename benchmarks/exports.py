"""Exports through the API on a `stafett dev` stack: duration, overhead, concurrency and peak memory."""

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
_POLL_INTERVAL_SECONDS = 0.25  # durations end at `completed_at`, so polling more often would only slow down the export
JobResource = Mapping[str, Any]


@dataclass(frozen=True)
class ExportTimer:
    api: ApiClient

    def start_export(self, year: int, export_format: str = "xlsx") -> str:
        period = {"start": f"{year}-01-01", "end": f"{year}-12-31"}
        body = {"org_id": "nhf", "reporting_period": period, "export_format": export_format}
        return str(self.api.post("/bufdir-exports", body)["id"])

    def wait_until_completed(self, export_id: str) -> datetime:
        while (job := self.api.get(f"/bufdir-exports/{export_id}"))["status"] not in EXPORT_FINAL_STATUSES:
            time.sleep(_POLL_INTERVAL_SECONDS)
        assert job["status"] == "completed", job  # noqa: S101 - only completed exports are comparable
        return datetime.fromisoformat(job["completed_at"])

    def time_export(self, year: int, export_format: str = "xlsx") -> float:
        """Measure from before the request until the recorded completion; both use the clock of this machine."""
        started_at = datetime.now(UTC)
        return (self.wait_until_completed(self.start_export(year, export_format)) - started_at).total_seconds()


def run() -> list[str]:
    with _run_stack() as folder:
        for year, rows in _ROWS_BY_YEAR.items():
            run_stafett("seed", "--org", "nhf", "--activities", str(rows), "--year", str(year), data_dir=folder)
        with psycopg.connect(load_stack_file(folder).database_url, autocommit=True) as connection:
            connection.execute("VACUUM ANALYZE activities")
        timer = ExportTimer(connect(folder, None, "nhf"))
        timer.time_export(_SMALL_YEAR)
        return [
            _measure_small_exports(timer),
            _compare_with_bare_functions(timer, folder),
            _measure_large_exports(timer, folder),
        ]


def _measure_small_exports(timer: ExportTimer) -> str:
    durations = sorted(timer.time_export(_SMALL_YEAR, "csv") for _ in range(_REPETITIONS))
    started_at = datetime.now(UTC)
    completion_times = [
        timer.wait_until_completed(export_id)
        for export_id in [timer.start_export(_SMALL_YEAR) for _ in range(_CONCURRENT_EXPORTS)]
    ]
    concurrent_seconds = (max(completion_times) - started_at).total_seconds()
    return "\n".join(
        [
            "### Export of 500 rows, from `POST` to `completed`",
            "",
            "| | seconds |",
            "| --- | --- |",
            f"| median of {_REPETITIONS} | {statistics.median(durations):.3f} |",
            f"| slowest of {_REPETITIONS} | {durations[-1]:.3f} |",
            f"| {_CONCURRENT_EXPORTS} concurrent exports, until the last completes | {concurrent_seconds:.1f} |",
            "",
        ]
    )


def _compare_with_bare_functions(timer: ExportTimer, folder: Path) -> str:
    script, service = _measure_alternately(timer, folder)
    return "\n".join(
        [
            "### Export of 50,000 rows to xlsx: overhead of the API and Temporal",
            "",
            "| | seconds | script = 1 |",
            "| --- | --- | --- |",
            f"| through the API and Temporal | {service:.2f} | {service / script:.2f} |",
            f"| same functions in one script (staging included) | {script:.2f} | 1 |",
            "",
        ]
    )


def _measure_alternately(timer: ExportTimer, folder: Path) -> tuple[float, float]:
    """Run both in turn, so that a machine that slows down affects both, and return the median of each."""
    timer.time_export(_MEDIUM_YEAR)  # not counted, like the script's first run
    script, service = list[float](), list[float]()
    for _ in range(_ROUNDS):
        script += _time_bare_exports(folder, _MEDIUM_YEAR)
        service += [timer.time_export(_MEDIUM_YEAR) for _ in range(_RUNS_PER_ROUND)]
    return statistics.median(script), statistics.median(service)


def _time_bare_exports(folder: Path, year: int) -> list[float]:
    command = [sys.executable, "-m", "benchmarks.bare_export", str(year), str(_RUNS_PER_ROUND)]
    output = subprocess.run(command, env=_worker_environment(folder), check=True, capture_output=True, text=True).stdout
    return list(map(float, output.split()))


def _worker_environment(folder: Path) -> dict[str, str]:
    """Read the worker's environment, so that the script has its settings and database role."""
    (worker, *_) = load_stack_file(folder).pids.worker
    variables = Path(f"/proc/{worker}/environ").read_bytes().decode().split("\0")
    return dict(variable.split("=", 1) for variable in variables if "=" in variable)


def _measure_large_exports(timer: ExportTimer, folder: Path) -> str:
    lines = [
        "### xlsx exports by size: duration and peak memory",
        "",
        "| rows | seconds | worker's peak memory, MiB |",
        "| --- | --- | --- |",
    ]
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
