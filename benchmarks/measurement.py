"""Measuring one thing beside its peers: in turn, several times, as medians and ratios, in a table and as a plot."""

import os
import resource
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

_LABELS, _BARS, _LINE, _HEAD = 330, 420, 24, 40
_LOOK = 'font-family="sans-serif" font-size="13" role="img"'
_OURS, _THEIRS = "#1F3864", "#9AA7BD"


@dataclass(frozen=True)
class Measured:
    """One contender's median of each figure."""

    name: str
    cpu_seconds: float
    wall_seconds: float


@dataclass(frozen=True)
class Table:
    """What was measured side by side; ours stands first, ``base`` is the one that the others are multiples of."""

    title: str
    measured: Sequence[Measured]
    base: int = 0
    by_the_wall: bool = False
    """What is compared, where commits are waited for and several processes work."""

    @property
    def clock(self) -> str:
        return "wall" if self.by_the_wall else "CPU"

    def seconds_of(self, one: Measured) -> float:
        return one.wall_seconds if self.by_the_wall else one.cpu_seconds

    def as_markdown(self) -> str:
        base = "ours" if self.base == 0 else self.measured[self.base].name
        lines = [
            f"### {self.title}",
            "",
            f"| contender | CPU s | wall s | {self.clock}, {base} = 1 |",
            "| --- | --- | --- | --- |",
        ]
        lines += [
            f"| {one.name} | {one.cpu_seconds:.4f} | {one.wall_seconds:.4f} | {ratio:.{1 if ratio >= 2 else 2}f} |"
            for one, ratio in self._ratios()
        ]
        return "\n".join([*lines, ""])

    def as_plot(self) -> str:
        """Bars of CPU time, as SVG."""
        longest = max(map(self.seconds_of, self.measured)) or 1
        width, height = _LABELS + _BARS + 120, _HEAD + _LINE * len(self.measured) + 10
        lines = [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" {_LOOK}>',
            f"<title>{escape(self.title)}: {self.clock} seconds</title>",
            f'<rect width="{width}" height="{height}" fill="#FFFFFF"/>',
            f'<text x="10" y="22" font-weight="bold">{escape(self.title)}: {self.clock} seconds</text>',
        ]
        for number, (one, ratio) in enumerate(self._ratios()):
            top, bar = _HEAD + _LINE * number, max(1, round(_BARS * self.seconds_of(one) / longest))
            lines += [
                f'<text x="{_LABELS - 10}" y="{top + 14}" text-anchor="end">{escape(one.name)}</text>',
                f'<rect x="{_LABELS}" y="{top}" width="{bar}" height="18" fill="{_OURS if number == 0 else _THEIRS}"/>',
                f'<text x="{_LABELS + bar + 6}" y="{top + 14}">{self.seconds_of(one):.2f} (x {ratio:.1f})</text>',
            ]
        return "\n".join([*lines, "</svg>", ""])

    def _ratios(self) -> list[tuple[Measured, float]]:
        base = self.seconds_of(self.measured[self.base])
        return [(one, self.seconds_of(one) / base if base else float("nan")) for one in self.measured]


def side_by_side(
    contenders: Mapping[str, Callable[[], object]], *, rounds: int, also: Sequence[int] = ()
) -> list[Measured]:
    """A B C, A B C, …: a machine that slows down slows everybody down. The first round is not counted.

    The CPU time is that of this process, and of those whose ids are in ``also``.
    """
    taken: dict[str, list[tuple[float, float]]] = {name: [] for name in contenders}
    for counted in range(-1, rounds):
        for name, run in contenders.items():
            cpu, wall = _cpu(also), time.perf_counter()
            run()
            if counted >= 0:
                taken[name].append((_cpu(also) - cpu, time.perf_counter() - wall))
    return [
        Measured(name, statistics.median(cpu for cpu, _ in runs), statistics.median(wall for _, wall in runs))
        for name, runs in taken.items()
    ]


def _cpu(also: Sequence[int]) -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime + sum(map(_cpu_of, also))


def _cpu_of(process: int) -> float:
    after_the_name = Path(f"/proc/{process}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return sum(map(int, after_the_name[11:13])) / os.sysconf("SC_CLK_TCK")


def peak_memory(process: int | str = "self") -> int:
    """MiB of a process: what ``getrusage`` says is at least what its parent had when it began this one."""
    lines = Path(f"/proc/{process}/status").read_text(encoding="ascii").splitlines()
    (peak,) = (line.split()[1] for line in lines if line.startswith("VmHWM"))
    return int(peak) // 1024


def forget_peak_memory(process: int) -> None:
    """From now on the peak is that of what comes."""
    Path(f"/proc/{process}/clear_refs").write_text("5", encoding="ascii")
