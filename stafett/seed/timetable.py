"""Times of generated activities: a mentor's never overlap, and none is outside the year in Oslo."""

import polars as pl

from stafett.seed.activity_profiles import ACTIVITY_PROFILES, profile_distribution
from stafett.seed.seeded_random import SeededRandom
from stafett.seed.time_slots import MAX_START_DELAY_MINUTES, end_of_year, slots_in_year

_SECONDS_PER_MINUTE, _SECONDS_PER_QUARTER = 60, 900


class Timetable:
    """The timetable of an organisation for one year."""

    def __init__(self, rng: SeededRandom, org_id: str, year: int) -> None:
        self._rng = rng
        self._profile_indices = profile_distribution(org_id)
        self._slot_seconds = pl.Series([int(instant.timestamp()) for instant in slots_in_year(year)])
        self._year_end_seconds = int(end_of_year(year).timestamp())

    @property
    def max_per_mentor(self) -> int:
        """The largest number of activities that fit into one mentor's year."""
        return len(self._slot_seconds)

    def plan_activities(self, mentors: pl.DataFrame) -> pl.DataFrame:
        """Plan one row per activity, by mentor and time.

        ``kind`` is an index of ``ACTIVITY_PROFILES``; ``starts`` and ``ends`` are in seconds since the epoch.
        """
        minutes = self._rng.choice_from_group(
            "minutes", pl.col("kind"), [profile.duration_choices for profile in ACTIVITY_PROFILES]
        )
        next_starts = pl.col("starts").shift(-1).over("mentor_id")
        return (
            _explode_activities(mentors)
            .with_columns(kind=self._rng.choice("kind", self._profile_indices), starts=self._start_seconds())
            .with_columns(
                ends=pl.min_horizontal(
                    pl.col("starts") + minutes * _SECONDS_PER_MINUTE, next_starts, pl.lit(self._year_end_seconds)
                )
            )
        )

    def _start_seconds(self) -> pl.Expr:
        """Draw each start from a range of the mentor's slots of its own, so that no two activities share a slot."""
        count, index = pl.col("activities"), pl.col("index")
        range_start, range_end = index * self.max_per_mentor // count, (index + 1) * self.max_per_mentor // count
        slot = range_start + self._rng.integer_below("slot", range_end - range_start)
        quarters = self._rng.integer_below("late", MAX_START_DELAY_MINUTES // 15 + 1)
        return pl.lit(self._slot_seconds).gather(slot) + quarters * _SECONDS_PER_QUARTER


def _explode_activities(mentors: pl.DataFrame) -> pl.DataFrame:
    """Return one row per activity, with its ``number`` among all and its ``index`` among its mentor's."""
    busy_mentors = mentors.filter(pl.col("activities") > 0)
    numbers = pl.int_ranges(pl.col("first"), pl.col("first") + pl.col("activities"))
    activities = busy_mentors.rename({"id": "mentor_id"}).with_columns(number=numbers).explode("number")
    return activities.with_columns(index=pl.col("number") - pl.col("first"))
