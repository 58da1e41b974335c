"""Generated activities, one batch of mentors at a time."""

from collections.abc import Iterator
from uuid import UUID

import polars as pl

from stafett.seed.activity_profiles import ACTIVITY_PROFILES
from stafett.seed.notes import AWKWARD_NOTES, LONG_NOTE, PLAIN_NOTES
from stafett.seed.places import FOREIGN_PLACES, NORWEGIAN_PLACES
from stafett.seed.seeded_random import SeededRandom
from stafett.seed.timetable import Timetable

_ROWS_PER_BATCH = 50_000


def generate_activities(
    rng: SeededRandom, timetable: Timetable, mentors: pl.DataFrame, coordinator: UUID | None
) -> Iterator[pl.DataFrame]:
    """Yield rows for ``activities`` by mentor and time, which the index against overlaps takes fastest."""
    numbered_mentors = mentors.with_columns(batch=pl.col("first") // _ROWS_PER_BATCH)
    for batch in numbered_mentors.partition_by("batch", maintain_order=True):
        planned = timetable.plan_activities(batch)
        if not planned.is_empty():
            yield _activity_rows(rng, planned, coordinator)


def derive_activity_id(rng: SeededRandom, number: pl.Expr) -> pl.Expr:
    return rng.sortable_uuid("activity", number)


def _activity_rows(rng: SeededRandom, planned_activities: pl.DataFrame, coordinator: UUID | None) -> pl.DataFrame:
    kind = pl.col("kind")
    percent_remote = pl.lit(pl.Series([profile.percent_remote for profile in ACTIVITY_PROFILES])).gather(kind)
    registered_at = pl.col("ends") + (1 + rng.integer_below("written down", 72 * 60)) * 60
    return planned_activities.with_columns(
        participants=rng.choice_from_group(
            "participants", kind, [profile.participant_choices for profile in ACTIVITY_PROFILES]
        ),
        in_person=rng.integer_below("apart", 100) >= percent_remote,
        abroad=rng.one_in(60, "abroad"),
    ).select(
        "org_id",
        "mentor_id",
        "participants",
        "in_person",
        id=derive_activity_id(rng, pl.col("number")),
        activity_type=pl.lit(pl.Series([profile.activity_type.value for profile in ACTIVITY_PROFILES])).gather(kind),
        starts_at=_to_datetime(pl.col("starts")),
        ends_at=_to_datetime(pl.col("ends")),
        new_participants=_new_participants(rng),
        place=_place(rng),
        in_norway=~_is_abroad(),
        note=_note(rng),
        registered_by=_registered_by(rng, coordinator),
        created_at=_to_datetime(registered_at),
    )


def _to_datetime(seconds: pl.Expr) -> pl.Expr:
    return pl.from_epoch(seconds, "s").dt.replace_time_zone("UTC")


def _is_abroad() -> pl.Expr:
    return pl.col("abroad") & pl.col("in_person")


def _new_participants(rng: SeededRandom) -> pl.Expr:
    """Draw zero to all of the participants; the smaller of two draws favours low numbers."""
    limit = pl.col("participants") + 1
    return pl.min_horizontal(rng.integer_below("newcomers", limit), rng.integer_below("fewer newcomers", limit))


def _place(rng: SeededRandom) -> pl.Expr:
    in_norway = pl.when(rng.one_in(4, "away")).then(rng.choice("place", NORWEGIAN_PLACES)).otherwise(pl.col("home"))
    return pl.when(_is_abroad()).then(rng.choice("place abroad", FOREIGN_PLACES)).otherwise(in_norway)


def _note(rng: SeededRandom) -> pl.Expr:
    return (
        pl.when(rng.one_in(5_000, "long note"))
        .then(pl.lit(LONG_NOTE))
        .when(rng.one_in(40, "awkward note"))
        .then(rng.choice("awkward words", AWKWARD_NOTES))
        .when(rng.one_in(2, "plain note"))
        .then(rng.choice("plain words", PLAIN_NOTES))
    )


def _registered_by(rng: SeededRandom, coordinator: UUID | None) -> pl.Expr:
    """Draw one in four activities as registered by the coordinator, if there is one."""
    by_proxy = pl.when(rng.one_in(4, "by proxy")).then(pl.lit(str(coordinator)))
    return by_proxy if coordinator else pl.lit(None, dtype=pl.String)
