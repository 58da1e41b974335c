"""Who is busy when: so many activities for each peer mentor, never two at once, none outside the Oslo year."""

import polars as pl

from stafett.seed.activity_profiles import KINDS, mixture_of
from stafett.seed.seeded_random import Chance
from stafett.seed.time_slots import LATEST_START_MINUTES, end_of, slots_of

_MINUTE, _QUARTER_OF_AN_HOUR = 60, 900


class Timetable:
    """One year of an organisation."""

    def __init__(self, chance: Chance, org_id: str, year: int) -> None:
        self._chance = chance
        self._mixture = mixture_of(org_id)
        self._slots = pl.Series([int(instant.timestamp()) for instant in slots_of(year)])
        self._end = int(end_of(year).timestamp())

    @property
    def most_each(self) -> int:
        """How many activities one mentor's year has room for."""
        return len(self._slots)

    def of(self, mentors: pl.DataFrame) -> pl.DataFrame:
        """One row an activity by mentor and time, its ``kind`` a place in ``KINDS``, times in seconds of the epoch."""
        chance = self._chance
        minutes = chance.pick_from("minutes", pl.col("kind"), [kind.minutes for kind in KINDS])
        next_begins = pl.col("begins").shift(-1).over("mentor_id")
        return (
            _one_row_each(mentors)
            .with_columns(kind=chance.pick("kind", self._mixture), begins=self._begins())
            .with_columns(ends=pl.min_horizontal(pl.col("begins") + minutes * _MINUTE, next_begins, pl.lit(self._end)))
        )

    def _begins(self) -> pl.Expr:
        """Each activity has a stretch of its mentor's slots to itself, so that no two can begin in the same one."""
        count, nth = pl.col("activities"), pl.col("nth")
        stretch, next_stretch = nth * self.most_each // count, (nth + 1) * self.most_each // count
        slot = stretch + self._chance.below("slot", next_stretch - stretch)
        quarters = self._chance.below("late", LATEST_START_MINUTES // 15 + 1)
        return pl.lit(self._slots).gather(slot) + quarters * _QUARTER_OF_AN_HOUR


def _one_row_each(mentors: pl.DataFrame) -> pl.DataFrame:
    """Each activity with its number in the whole seeding, and its place among its mentor's."""
    busy = mentors.filter(pl.col("activities") > 0)
    numbers = pl.int_ranges(pl.col("first"), pl.col("first") + pl.col("activities"))
    each = busy.rename({"id": "mentor_id"}).with_columns(number=numbers).explode("number")
    return each.with_columns(nth=pl.col("number") - pl.col("first"))
