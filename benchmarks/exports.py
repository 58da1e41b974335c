"""Exports through the API on a `stafett dev` stack: duration, overhead, concurrency and peak memory."""

import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg

from benchmarks.measurement import peak_memory_mib, read_environment, reset_peak_memory, tree_cpu_seconds
from stafett.cli.client import ApiClient, connect
from stafett.cli.demo import run_stafett, running_stack
from stafett.cli.terminal import make_console
from stafett.devstack.stack_file import load_stack_file
from stafett.domain.export_status import EXPORT_FINAL_STATUSES

_SMALL_YEAR, _MEDIUM_YEAR = 2025, 2024
_PROCESS_NAMES = ("API", "worker", "PostgreSQL", "Temporal", "S3")
_POLL_INTERVAL_SECONDS = 0.25  # durations end at `completed_at`, so polling more often would only slow down the export
JobResource = Mapping[str, Any]


@dataclass(frozen=True)
class ExportSizes:
    """Rows of the years 2025, 2024 and so on, and the numbers of exports."""

    rows: Sequence[int]
    concurrent_exports: int
    repetitions: int
    rounds: int
    runs_per_round: int

    @property
    def rows_by_year(self) -> dict[int, int]:
        return {_SMALL_YEAR - number: rows for number, rows in enumerate(self.rows)}


FULL = ExportSizes((500, 50_000, 250_000, 1_000_000), concurrent_exports=20, repetitions=15, rounds=5, runs_per_round=4)
TINY = ExportSizes((10, 20), concurrent_exports=2, repetitions=2, rounds=1, runs_per_round=1)


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


def run(sizes: ExportSizes) -> list[str]:
    with _run_stack() as folder:
        for year, rows in sizes.rows_by_year.items():
            run_stafett("seed", "--org", "nhf", "--activities", str(rows), "--year", str(year), data_dir=folder)
        with psycopg.connect(load_stack_file(folder).database_url, autocommit=True) as connection:
            connection.execute("VACUUM ANALYZE activities")
        timer = ExportTimer(connect(folder, None, "nhf"))
        timer.time_export(_SMALL_YEAR)
        return [
            _measure_small_exports(timer, sizes),
            _compare_with_bare_functions(timer, folder, sizes),
            _measure_by_size(timer, folder, sizes),
        ]


def _measure_small_exports(timer: ExportTimer, sizes: ExportSizes) -> str:
    durations = sorted(timer.time_export(_SMALL_YEAR, "csv") for _ in range(sizes.repetitions))
    started_at = datetime.now(UTC)
    completion_times = [
        timer.wait_until_completed(export_id)
        for export_id in [timer.start_export(_SMALL_YEAR) for _ in range(sizes.concurrent_exports)]
    ]
    concurrent_seconds = (max(completion_times) - started_at).total_seconds()
    return "\n".join(
        [
            f"### Time from the request to `completed`, export of {sizes.rows[0]:,} rows",
            "",
            "| exports | seconds |",
            "| --- | --- |",
            f"| one after another, csv: median of {sizes.repetitions} | {statistics.median(durations):.3f} |",
            f"| one after another, csv: slowest of {sizes.repetitions} | {durations[-1]:.3f} |",
            f"| {sizes.concurrent_exports} at once, xlsx: until the last completes | {concurrent_seconds:.1f} |",
            "",
        ]
    )


def _compare_with_bare_functions(timer: ExportTimer, folder: Path, sizes: ExportSizes) -> str:
    script, service = _measure_alternately(timer, folder, sizes)
    return "\n".join(
        [
            f"### Overhead of the API and Temporal, export of {sizes.rows[1]:,} rows to xlsx",
            "",
            "| way | seconds | script = 1 |",
            "| --- | --- | --- |",
            f"| through the API and Temporal | {service:.2f} | {service / script:.2f} |",
            f"| the same functions called by a script, with the same staging in S3 | {script:.2f} | 1 |",
            "",
        ]
    )


def _measure_alternately(timer: ExportTimer, folder: Path, sizes: ExportSizes) -> tuple[float, float]:
    """Run both in turn, so that a machine that slows down affects both, and return the median of each."""
    timer.time_export(_MEDIUM_YEAR)  # not counted, like the script's first run
    script, service = list[float](), list[float]()
    for _ in range(sizes.rounds):
        script += _time_bare_exports(folder, _MEDIUM_YEAR, sizes.runs_per_round)
        service += [timer.time_export(_MEDIUM_YEAR) for _ in range(sizes.runs_per_round)]
    return statistics.median(script), statistics.median(service)


def _time_bare_exports(folder: Path, year: int, runs: int) -> list[float]:
    command = [sys.executable, "-m", "benchmarks.bare_export", str(year), str(runs)]
    (worker, *_) = load_stack_file(folder).pids.worker
    environment = read_environment(worker)
    output = subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout
    return list(map(float, output.split()))


def _measure_by_size(timer: ExportTimer, folder: Path, sizes: ExportSizes) -> str:
    lines = [
        "### Exports to xlsx by number of rows: duration, peak memory of the worker, CPU by process",
        "",
        f"| rows | seconds | peak MiB | {' | '.join(f'{name}, CPU s' for name in _PROCESS_NAMES)} | all, CPU s |",
        f"| --- | --- | --- |{' --- |' * (len(_PROCESS_NAMES) + 1)}",
    ]
    pids = load_stack_file(folder).pids
    groups = ([pids.api], pids.worker, [pids.postgres], [pids.temporal], [pids.s3])
    for year, rows in sorted(sizes.rows_by_year.items(), key=lambda item: item[1]):
        for worker in pids.worker:
            reset_peak_memory(worker)
        before = [tree_cpu_seconds(*group) for group in groups]
        seconds = timer.time_export(year)
        cpu = [tree_cpu_seconds(*group) - used for group, used in zip(groups, before, strict=True)]
        cells = [f"{rows:,}", f"{seconds:.2f}", str(max(map(peak_memory_mib, pids.worker)))]
        lines.append(f"| {' | '.join([*cells, *(f'{each:.2f}' for each in [*cpu, sum(cpu)])])} |")
    return "\n".join([*lines, ""])


@contextmanager
def _run_stack() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="stafett-bench-") as folder, running_stack(Path(folder), make_console()):
        yield Path(folder)
