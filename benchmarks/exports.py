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

from benchmarks.measurement import forget_peak_memory, peak_memory
from stafett.cli.client import ApiClient, connect
from stafett.cli.demo import run_stafett, running_stack
from stafett.cli.terminal import make_console
from stafett.devstack.stack_file import read_stack
from stafett.domain.export_status import EXPORT_FINAL_STATUSES

_SMALL, _MIDDLE = 2025, 2024
_YEARS = {_SMALL: 500, _MIDDLE: 50_000, 2023: 250_000, 2022: 1_000_000}
_AT_ONCE, _TIMES = 20, 15
_TURNS, _IN_A_ROW = 5, 4
_SECONDS_BETWEEN_LOOKS = 0.25  # the end is read from the job itself: looking oftener only slows down what is measured
Job = Mapping[str, Any]


@dataclass(frozen=True)
class Button:
    api: ApiClient

    def press(self, year: int, export_format: str = "xlsx") -> str:
        period = {"start": f"{year}-01-01", "end": f"{year}-12-31"}
        asked = {"org_id": "nhf", "reporting_period": period, "export_format": export_format}
        return str(self.api.post("/bufdir-exports", asked)["id"])

    def end_of(self, export_id: str) -> datetime:
        while (job := self.api.get(f"/bufdir-exports/{export_id}"))["status"] not in EXPORT_FINAL_STATUSES:
            time.sleep(_SECONDS_BETWEEN_LOOKS)
        assert job["status"] == "completed", job  # noqa: S101 - a figure of something else is no figure
        return datetime.fromisoformat(job["completed_at"])

    def seconds(self, year: int, export_format: str = "xlsx") -> float:
        """From before the request until the end that is written down, by the one clock of this machine."""
        began = datetime.now(UTC)
        return (self.end_of(self.press(year, export_format)) - began).total_seconds()


def run() -> list[str]:
    with _stack() as folder:
        for year, rows in _YEARS.items():
            run_stafett("seed", "--org", "nhf", "--activities", str(rows), "--year", str(year), data_dir=folder)
        with psycopg.connect(read_stack(folder).database_url, autocommit=True) as connection:
            connection.execute("VACUUM ANALYZE activities")
        button = Button(connect(folder, None, "nhf"))
        button.seconds(_SMALL)
        return [_small(button), _beside_the_bare_functions(button, folder), _large(button, folder)]


def _small(button: Button) -> str:
    taken = sorted(button.seconds(_SMALL, "csv") for _ in range(_TIMES))
    began = datetime.now(UTC)
    ends = [button.end_of(export_id) for export_id in [button.press(_SMALL) for _ in range(_AT_ONCE)]]
    together = (max(ends) - began).total_seconds()
    return "\n".join(
        [
            "### 500 rows, from the `POST` to `completed`",
            "",
            "| | seconds |",
            "| --- | --- |",
            f"| median of {_TIMES} | {statistics.median(taken):.3f} |",
            f"| slowest of {_TIMES} | {taken[-1]:.3f} |",
            f"| {_AT_ONCE} of them asked for at once, until the last one's end | {together:.1f} |",
            "",
        ]
    )


def _beside_the_bare_functions(button: Button, folder: Path) -> str:
    bare, whole = _side_by_side(button, folder)
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


def _side_by_side(button: Button, folder: Path) -> tuple[float, float]:
    """In turn, as a machine that slows down slows both down: the median of each."""
    button.seconds(_MIDDLE)  # the bare functions' first is not counted either
    bare, whole = list[float](), list[float]()
    for _ in range(_TURNS):
        bare += _bare(folder, _MIDDLE)
        whole += [button.seconds(_MIDDLE) for _ in range(_IN_A_ROW)]
    return statistics.median(bare), statistics.median(whole)


def _bare(folder: Path, year: int) -> list[float]:
    command = [sys.executable, "-m", "benchmarks.bare_export", str(year), str(_IN_A_ROW)]
    found = subprocess.run(command, env=_environment(folder), check=True, capture_output=True, text=True).stdout
    return list(map(float, found.split()))


def _environment(folder: Path) -> dict[str, str]:
    """The worker's own: the same settings, the same roles."""
    (worker, *_) = read_stack(folder).pids.worker
    said = Path(f"/proc/{worker}/environ").read_bytes().decode().split("\0")
    return dict(one.split("=", 1) for one in said if "=" in one)


def _large(button: Button, folder: Path) -> str:
    lines = ["### Large ones to xlsx", "", "| rows | seconds | worker's peak memory, MiB |", "| --- | --- | --- |"]
    for year, rows in sorted(_YEARS.items(), key=lambda item: item[1]):
        workers = read_stack(folder).pids.worker
        for worker in workers:
            forget_peak_memory(worker)
        seconds = button.seconds(year)
        peak = max(map(peak_memory, workers))
        lines.append(f"| {rows:,} | {seconds:.2f} | {peak} |")
    return "\n".join([*lines, ""])


@contextmanager
def _stack() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="stafett-bench-") as folder, running_stack(Path(folder), make_console()):
        yield Path(folder)
