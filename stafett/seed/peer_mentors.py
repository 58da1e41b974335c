"""Generated peer mentors, and the number of activities of each."""

import polars as pl

from stafett.seed.names import FIRST_NAMES, SURNAMES
from stafett.seed.places import NORWEGIAN_PLACES
from stafett.seed.seeded_random import SeededRandom

_INACTIVE_INTERVAL = 25


def generate_peer_mentors(rng: SeededRandom, org_id: str, count: int) -> pl.DataFrame:
    """Generate rows for ``peer_mentors``, with each mentor's home municipality and activity level."""
    number = pl.col("number")
    name = pl.concat_str(rng.choice("first name", FIRST_NAMES), rng.choice("surname", SURNAMES), separator=" ")
    return pl.select(number=pl.int_range(count, dtype=pl.UInt64)).select(
        number,
        id=rng.uuid("mentor"),
        org_id=pl.lit(org_id),
        display_name=name,
        # Not random: one of every 25, so that even a small organisation has an inactive mentor.
        active=number % _INACTIVE_INTERVAL != _INACTIVE_INTERVAL // 2,
        home=rng.choice("home", NORWEGIAN_PLACES),
        activity_level=rng.choice("zeal", (1, 1, 2, 2, 3, 4)),
    )


def distribute_activities(mentors: pl.DataFrame, activities: int, max_per_mentor: int) -> pl.DataFrame:
    """Add the number of each mentor's first activity and their count; the counts add up to `activities`."""
    distributed = _distribute_by_weight(pl.col("activity_level"), mentors, activities)
    fits = distributed.filter(pl.col("activities") > max_per_mentor).is_empty()
    return distributed if fits else _distribute_by_weight(pl.lit(1), mentors, activities)


def _distribute_by_weight(weight: pl.Expr, mentors: pl.DataFrame, activities: int) -> pl.DataFrame:
    weighted = mentors.with_columns(weight.cast(pl.Int64).alias("weight"))
    cumulative_weight = pl.col("weight").cum_sum()
    end = activities * cumulative_weight // pl.col("weight").sum()
    return weighted.with_columns(first=end.shift(1, fill_value=0), activities=end - end.shift(1, fill_value=0))
