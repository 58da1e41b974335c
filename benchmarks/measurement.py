"""Comparison of implementations: alternating runs, medians and ratios, as a table and as a plot."""

import os
import resource
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

import psutil  # type: ignore[import-untyped]  # the package ships no types

_LABEL_WIDTH, _BAR_WIDTH, _ROW_HEIGHT, _HEADER_HEIGHT = 370, 420, 24, 40
_SVG_ATTRIBUTES = 'font-family="sans-serif" font-size="13" role="img"'
_OWN_COLOUR, _PEER_COLOUR = "#1F3864", "#9AA7BD"


@dataclass(frozen=True)
class Measurement:
    """Median CPU and wall time of one implementation."""

    name: str
    cpu_seconds: float
    wall_seconds: float


@dataclass(frozen=True)
class ComparisonTable:
    """Measurements of several implementations, Stafett first; ratios are relative to the one at index ``baseline``."""

    title: str
    slug: str
    """The name of the plot's file, after the page's name."""
    measurements: Sequence[Measurement]
    baseline: int = 0
    by_wall_time: bool = False
    """Compare wall time, where the work is done by several processes or waits for commits."""

    @property
    def clock(self) -> str:
        return "wall" if self.by_wall_time else "CPU"

    def seconds(self, measurement: Measurement) -> float:
        return measurement.wall_seconds if self.by_wall_time else measurement.cpu_seconds

    def to_markdown(self) -> str:
        baseline = "Stafett" if self.baseline == 0 else self.measurements[self.baseline].name
        lines = [
            f"### {self.title}",
            "",
            f"| implementation | CPU s | wall s | {self.clock}, {baseline} = 1 |",
            "| --- | --- | --- | --- |",
        ]
        lines += [
            f"| {row.name} | {row.cpu_seconds:.4f} | {row.wall_seconds:.4f} | {ratio:.{1 if ratio >= 2 else 2}f} |"
            for row, ratio in self._with_ratios()
        ]
        return "\n".join([*lines, ""])

    def to_svg(self) -> str:
        """Render a bar chart of the compared times."""
        max_seconds = max(map(self.seconds, self.measurements)) or 1
        width, height = _LABEL_WIDTH + _BAR_WIDTH + 120, _HEADER_HEIGHT + _ROW_HEIGHT * len(self.measurements) + 10
        lines = [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" {_SVG_ATTRIBUTES}>',
            f"<title>{escape(self.title)}: {self.clock} seconds</title>",
            f'<rect width="{width}" height="{height}" fill="#FFFFFF"/>',
            f'<text x="10" y="22" font-weight="bold">{escape(self.title)}: {self.clock} seconds</text>',
        ]
        for number, (row, ratio) in enumerate(self._with_ratios()):
            label, top = escape(row.name.replace("`", "")), _HEADER_HEIGHT + _ROW_HEIGHT * number
            bar = max(1, round(_BAR_WIDTH * self.seconds(row) / max_seconds))
            lines += [
                f'<text x="{_LABEL_WIDTH - 10}" y="{top + 14}" text-anchor="end">{label}</text>',
                (
                    f'<rect x="{_LABEL_WIDTH}" y="{top}" width="{bar}" height="18" '
                    f'fill="{_OWN_COLOUR if number == 0 else _PEER_COLOUR}"/>'
                ),
                f'<text x="{_LABEL_WIDTH + bar + 6}" y="{top + 14}">{self.seconds(row):.2f} (x {ratio:.1f})</text>',
            ]
        return "\n".join([*lines, "</svg>", ""])

    def _with_ratios(self) -> list[tuple[Measurement, float]]:
        base = self.seconds(self.measurements[self.baseline])
        return [(row, self.seconds(row) / base if base else float("nan")) for row in self.measurements]


def measure_implementations(
    implementations: Mapping[str, Callable[[], object]], *, rounds: int, extra_pids: Sequence[int] = ()
) -> list[Measurement]:
    """Run the implementations in turn, so that a machine that slows down affects all; the first round is not counted.

    The CPU time is that of this process and of the processes ``extra_pids``.
    """
    durations: dict[str, list[tuple[float, float]]] = {name: [] for name in implementations}
    for round_number in range(-1, rounds):
        for name, run in implementations.items():
            cpu, wall = _cpu_seconds(extra_pids), time.perf_counter()
            run()
            if round_number >= 0:
                durations[name].append((_cpu_seconds(extra_pids) - cpu, time.perf_counter() - wall))
    return [
        Measurement(name, statistics.median(cpu for cpu, _ in runs), statistics.median(wall for _, wall in runs))
        for name, runs in durations.items()
    ]


def _cpu_seconds(extra_pids: Sequence[int]) -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime + sum(map(_process_cpu_seconds, extra_pids))


def _process_cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return sum(map(int, fields[11:13])) / os.sysconf("SC_CLK_TCK")


def read_environment(pid: int) -> dict[str, str]:
    """Read a process's environment, so that another program has its settings and database role, but no metrics port."""
    variables = Path(f"/proc/{pid}/environ").read_bytes().decode().split("\0")
    environment = dict(variable.split("=", 1) for variable in variables if "=" in variable)
    environment.pop("STAFETT_METRICS__PORT", None)  # the process listens there
    return environment


def tree_cpu_seconds(*pids: int) -> float:
    """Return the CPU time of processes and of all their children, also of those that have ended."""
    parents = [psutil.Process(pid) for pid in pids]
    processes = [*parents, *(child for parent in parents for child in parent.children(recursive=True))]
    return sum(sum(process.cpu_times()[:4]) for process in processes)


def peak_memory_mib(pid: int | str = "self") -> int:
    """Read a process's peak memory; ``getrusage`` would include the peak of its parent before the fork."""
    lines = Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines()
    (peak,) = (line.split()[1] for line in lines if line.startswith("VmHWM"))
    return int(peak) // 1024


def reset_peak_memory(pid: int) -> None:
    """Set the process's recorded peak memory to its current memory."""
    Path(f"/proc/{pid}/clear_refs").write_text("5", encoding="ascii")
