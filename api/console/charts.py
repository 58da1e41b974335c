"""Geometry of the picture of a year's activities: a bar for each month, divided into what counts and what does not."""

from datetime import date
from typing import NamedTuple

from stafett.exports.figures import Figure, YearFigures

WIDTH, HEIGHT = 360, 200
_LEFT, _TOP, _BOTTOM = 40, 12, 24
_BAR_SHARE = 0.7


class Bar(NamedTuple):
    """A month's bar in the units of the picture: the part that counts stands below the part that does not."""

    month: date
    figure: Figure
    x: float
    width: float
    top: float
    divide: float
    """Where the part that counts begins."""


class BarChart(NamedTuple):
    """The picture: its bars, its base line, and the lines of its scale with their values."""

    bars: list[Bar]
    base: float
    scale: list[tuple[int, float]]
    left: float = _LEFT
    width: float = WIDTH
    height: float = HEIGHT


def lay_out_bars(figures: YearFigures) -> BarChart:
    base, slot = HEIGHT - _BOTTOM, (WIDTH - _LEFT) / len(figures.months)
    maximum = _round_up(max(figures.of_month(month).activities for month in figures.months))

    def to_y(value: int) -> float:
        return round(base - value / maximum * (base - _TOP), 1)

    bars = []
    for index, month in enumerate(figures.months):
        figure = figures.of_month(month)
        x = round(_LEFT + slot * (index + (1 - _BAR_SHARE) / 2), 1)
        bars.append(Bar(month, figure, x, round(slot * _BAR_SHARE, 1), to_y(figure.activities), to_y(figure.countable)))
    return BarChart(bars, base, [(value, to_y(value)) for value in (0, maximum // 2, maximum)])


def _round_up(value: int) -> int:
    """Round up to an even digit and zeros, so that the half is a whole number."""
    power = int(10 ** (len(str(value)) - 1))
    return max(2, next(step * power for step in (2, 4, 6, 8, 10) if step * power >= value))
