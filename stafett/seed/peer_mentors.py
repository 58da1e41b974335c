"""The peer mentors of a seeding, and how much each of them does in the year."""

import polars as pl

from stafett.seed.names import FIRST_NAMES, SURNAMES
from stafett.seed.places import IN_NORWAY
from stafett.seed.seeded_random import Chance

_INACTIVE_ONE_IN = 25


def draw_peer_mentors(chance: Chance, org_id: str, count: int) -> pl.DataFrame:
    """Rows for ``peer_mentors``, with the place each mentor calls home."""
    number = pl.col("number")
    name = pl.concat_str(chance.pick("first name", FIRST_NAMES), chance.pick("surname", SURNAMES), separator=" ")
    return pl.select(number=pl.int_range(count, dtype=pl.UInt64)).select(
        number,
        id=chance.uuid("mentor"),
        org_id=pl.lit(org_id),
        display_name=name,
        # Not drawn: the first of every so many, so that even a small organisation has one.
        active=number % _INACTIVE_ONE_IN != _INACTIVE_ONE_IN // 2,
        home=chance.pick("home", IN_NORWAY),
        zeal=chance.pick("zeal", (1, 1, 2, 2, 3, 4)),
    )


def share_out(mentors: pl.DataFrame, activities: int, most_each: int) -> pl.DataFrame:
    """Adds to each mentor the number of the first activity and how many: in all exactly those asked for."""
    shared = _shared_by(pl.col("zeal"), mentors, activities)
    fits = shared.filter(pl.col("activities") > most_each).is_empty()
    return shared if fits else _shared_by(pl.lit(1), mentors, activities)


def _shared_by(weight: pl.Expr, mentors: pl.DataFrame, activities: int) -> pl.DataFrame:
    weighed = mentors.with_columns(weight.cast(pl.Int64).alias("weight"))
    up_to_here = pl.col("weight").cum_sum()
    until = activities * up_to_here // pl.col("weight").sum()
    return weighed.with_columns(first=until.shift(1, fill_value=0), activities=until - until.shift(1, fill_value=0))
