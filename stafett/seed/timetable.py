"""Who is busy when: so many activities for each peer mentor, never two at once, none outside the Oslo year."""

import polars as pl

from stafett.seed.activity_profiles import ACTIVITY_PROFILES, profile_distribution
from stafett.seed.seeded_random import SeededRandom
from stafett.seed.time_slots import MAX_START_DELAY_MINUTES, end_of_year, slots_in_year

_SECONDS_PER_MINUTE, _SECONDS_PER_QUARTER = 60, 900


class Timetable:
    """One year of an organisation."""

    def __init__(self, rng: SeededRandom, org_id: str, year: int) -> None:
        self._rng = rng
        self._profile_indices = profile_distribution(org_id)
        self._slot_seconds = pl.Series([int(instant.timestamp()) for instant in slots_in_year(year)])
        self._year_end_seconds = int(end_of_year(year).timestamp())

    @property
    def max_per_mentor(self) -> int:
        """How many activities one mentor's year has room for."""
        return len(self._slot_seconds)

    def plan_activities(self, mentors: pl.DataFrame) -> pl.DataFrame:
        """One row an activity by mentor and time, its ``kind`` a place in ``KINDS``, times in seconds of the epoch."""
        chance = self._rng
        minutes = chance.choice_from_group(
            "minutes", pl.col("kind"), [kind.duration_choices for kind in ACTIVITY_PROFILES]
        )
        next_begins = pl.col("begins").shift(-1).over("mentor_id")
        return (
            _explode_activities(mentors)
            .with_columns(kind=chance.choice("kind", self._profile_indices), begins=self._start_seconds())
            .with_columns(
                ends=pl.min_horizontal(
                    pl.col("begins") + minutes * _SECONDS_PER_MINUTE, next_begins, pl.lit(self._year_end_seconds)
                )
            )
        )

    def _start_seconds(self) -> pl.Expr:
        """Each activity has a stretch of its mentor's slots to itself, so that no two can begin in the same one."""
        count, nth = pl.col("activities"), pl.col("nth")
        stretch, next_stretch = nth * self.max_per_mentor // count, (nth + 1) * self.max_per_mentor // count
        slot = stretch + self._rng.integer_below("slot", next_stretch - stretch)
        quarters = self._rng.integer_below("late", MAX_START_DELAY_MINUTES // 15 + 1)
        return pl.lit(self._slot_seconds).gather(slot) + quarters * _SECONDS_PER_QUARTER


def _explode_activities(mentors: pl.DataFrame) -> pl.DataFrame:
    """Each activity with its number in the whole seeding, and its place among its mentor's."""
    busy = mentors.filter(pl.col("activities") > 0)
    numbers = pl.int_ranges(pl.col("first"), pl.col("first") + pl.col("activities"))
    each = busy.rename({"id": "mentor_id"}).with_columns(number=numbers).explode("number")
    return each.with_columns(nth=pl.col("number") - pl.col("first"))
