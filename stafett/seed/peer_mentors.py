"""The peer mentors of a seeding, and how much each of them does in the year."""

import polars as pl

from stafett.seed.names import FIRST_NAMES, SURNAMES
from stafett.seed.places import NORWEGIAN_PLACES
from stafett.seed.seeded_random import SeededRandom

_INACTIVE_INTERVAL = 25


def generate_peer_mentors(rng: SeededRandom, org_id: str, count: int) -> pl.DataFrame:
    """Rows for ``peer_mentors``, with the place each mentor calls home."""
    number = pl.col("number")
    name = pl.concat_str(rng.choice("first name", FIRST_NAMES), rng.choice("surname", SURNAMES), separator=" ")
    return pl.select(number=pl.int_range(count, dtype=pl.UInt64)).select(
        number,
        id=rng.uuid("mentor"),
        org_id=pl.lit(org_id),
        display_name=name,
        # Not drawn: the first of every so many, so that even a small organisation has one.
        active=number % _INACTIVE_INTERVAL != _INACTIVE_INTERVAL // 2,
        home=rng.choice("home", NORWEGIAN_PLACES),
        zeal=rng.choice("zeal", (1, 1, 2, 2, 3, 4)),
    )


def distribute_activities(mentors: pl.DataFrame, activities: int, max_per_mentor: int) -> pl.DataFrame:
    """Adds to each mentor the number of the first activity and how many: in all exactly those asked for."""
    shared = _distribute_by_weight(pl.col("zeal"), mentors, activities)
    fits = shared.filter(pl.col("activities") > max_per_mentor).is_empty()
    return shared if fits else _distribute_by_weight(pl.lit(1), mentors, activities)


def _distribute_by_weight(weight: pl.Expr, mentors: pl.DataFrame, activities: int) -> pl.DataFrame:
    weighed = mentors.with_columns(weight.cast(pl.Int64).alias("weight"))
    up_to_here = pl.col("weight").cum_sum()
    until = activities * up_to_here // pl.col("weight").sum()
    return weighed.with_columns(first=until.shift(1, fill_value=0), activities=until - until.shift(1, fill_value=0))
