"""Measuring one thing beside its peers: in turn, several times, as medians and ratios."""

import resource
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Measured:
    """One contender's median of each figure."""

    name: str
    cpu_seconds: float
    wall_seconds: float


def side_by_side(contenders: Mapping[str, Callable[[], object]], *, rounds: int) -> list[Measured]:
    """A B C, A B C, …: a machine that slows down slows everybody down. The first round is not counted."""
    taken: dict[str, list[tuple[float, float]]] = {name: [] for name in contenders}
    for counted in range(-1, rounds):
        for name, run in contenders.items():
            cpu, wall = _cpu(), time.perf_counter()
            run()
            if counted >= 0:
                taken[name].append((_cpu() - cpu, time.perf_counter() - wall))
    return [
        Measured(name, statistics.median(cpu for cpu, _ in runs), statistics.median(wall for _, wall in runs))
        for name, runs in taken.items()
    ]


def table(title: str, measured: list[Measured]) -> str:
    """Markdown, each as a multiple of the first, which is ours."""
    ours = measured[0]
    lines = [f"### {title}", "", "| contender | CPU s | wall s | CPU, ours = 1 |", "| --- | --- | --- | --- |"]
    for one in measured:
        ratio = one.cpu_seconds / ours.cpu_seconds if ours.cpu_seconds else float("nan")
        lines.append(f"| {one.name} | {one.cpu_seconds:.4f} | {one.wall_seconds:.4f} | {ratio:.1f} |")
    return "\n".join([*lines, ""])


def _cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def peak_memory() -> int:
    """MiB of this process: what ``getrusage`` says is at least what its parent had when it began this one."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    (peak,) = (line.split()[1] for line in lines if line.startswith("VmHWM"))
    return int(peak) // 1024
