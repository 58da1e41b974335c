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

from benchmarks.measuring import peak_memory
from stafett.cli.client import Api, connect
from stafett.cli.demo import run_stafett, running_stack
from stafett.cli.screen import console_for
from stafett.devstack.stack_file import read_stack
from stafett.domain.export_status import FINAL

_SMALL, _MIDDLE = 2025, 2024
_YEARS = {_SMALL: 500, _MIDDLE: 50_000, 2023: 250_000, 2022: 1_000_000}
_AT_ONCE, _TIMES = 20, 15
Job = Mapping[str, Any]


@dataclass(frozen=True)
class Button:
    api: Api

    def press(self, year: int, export_format: str = "xlsx") -> str:
        period = {"start": f"{year}-01-01", "end": f"{year}-12-31"}
        asked = {"org_id": "nhf", "reporting_period": period, "export_format": export_format}
        return str(self.api.post("/bufdir-exports", asked)["id"])

    def end_of(self, export_id: str) -> Job:
        while (job := self.api.get(f"/bufdir-exports/{export_id}"))["status"] not in FINAL:
            time.sleep(0.02)
        assert job["status"] == "completed", job  # noqa: S101 - a figure of something else is no figure
        return job

    def seconds(self, year: int, export_format: str = "xlsx") -> float:
        """From before the request until the end that is written down, by the one clock of this machine."""
        began = datetime.now(UTC)
        job = self.end_of(self.press(year, export_format))
        return (datetime.fromisoformat(job["completed_at"]) - began).total_seconds()


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
    began = time.perf_counter()
    for export_id in [button.press(_SMALL) for _ in range(_AT_ONCE)]:
        button.end_of(export_id)
    together = time.perf_counter() - began
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
    bare, whole = _bare(folder, _MIDDLE), statistics.median(button.seconds(_MIDDLE) for _ in range(5))
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


def _bare(folder: Path, year: int) -> float:
    command = [sys.executable, "-m", "benchmarks.bare_export", str(year), "5"]
    found = subprocess.run(command, env=_environment(folder), check=True, capture_output=True, text=True).stdout
    return statistics.median(map(float, found.split()))


def _environment(folder: Path) -> dict[str, str]:
    """The worker's own: the same settings, the same roles."""
    (worker, *_) = read_stack(folder).pids.worker
    said = Path(f"/proc/{worker}/environ").read_bytes().decode().split("\0")
    return dict(one.split("=", 1) for one in said if "=" in one)


def _large(button: Button, folder: Path) -> str:
    lines = ["### Large ones to xlsx", "", "| rows | seconds | worker's peak memory, MiB |", "| --- | --- | --- |"]
    for year, rows in sorted(_YEARS.items(), key=lambda item: item[1]):
        seconds = button.seconds(year)
        peak = max(map(peak_memory, read_stack(folder).pids.worker))
        lines.append(f"| {rows:,} | {seconds:.2f} | {peak} |")
    return "\n".join([*lines, ""])


@contextmanager
def _stack() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="stafett-bench-") as folder, running_stack(Path(folder), console_for()):
        yield Path(folder)
