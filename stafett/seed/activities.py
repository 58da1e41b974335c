"""The activities of a seeding, drawn a batch of mentors at a time."""

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
    """Rows for ``activities`` by mentor and time: the order that the index against overlaps takes fastest."""
    whole_mentors = mentors.with_columns(batch=pl.col("first") // _ROWS_PER_BATCH)
    for batch in whole_mentors.partition_by("batch", maintain_order=True):
        planned = timetable.plan_activities(batch)
        if not planned.is_empty():
            yield _activity_rows(rng, planned, coordinator)


def activity_id(rng: SeededRandom, number: pl.Expr) -> pl.Expr:
    return rng.sortable_uuid("activity", number)


def _activity_rows(rng: SeededRandom, planned_activities: pl.DataFrame, coordinator: UUID | None) -> pl.DataFrame:
    kind = pl.col("kind")
    percent_apart = pl.lit(pl.Series([kind.percent_remote for kind in ACTIVITY_PROFILES])).gather(kind)
    written_down = pl.col("ends") + (1 + rng.integer_below("written down", 72 * 60)) * 60
    return planned_activities.with_columns(
        participants=rng.choice_from_group(
            "participants", kind, [kind.participant_choices for kind in ACTIVITY_PROFILES]
        ),
        in_person=rng.integer_below("apart", 100) >= percent_apart,
        abroad=rng.one_in(60, "abroad"),
    ).select(
        "org_id",
        "mentor_id",
        "participants",
        "in_person",
        id=activity_id(rng, pl.col("number")),
        activity_type=pl.lit(pl.Series([kind.activity_type.value for kind in ACTIVITY_PROFILES])).gather(kind),
        starts_at=_to_datetime(pl.col("begins")),
        ends_at=_to_datetime(pl.col("ends")),
        new_participants=_new_participants(rng),
        place=_place(rng),
        in_norway=~_is_abroad(),
        note=_note(rng),
        registered_by=_registered_by(rng, coordinator),
        created_at=_to_datetime(written_down),
    )


def _to_datetime(seconds: pl.Expr) -> pl.Expr:
    return pl.from_epoch(seconds, "s").dt.replace_time_zone("UTC")


def _is_abroad() -> pl.Expr:
    return pl.col("abroad") & pl.col("in_person")


def _new_participants(rng: SeededRandom) -> pl.Expr:
    """None to all of the participants, and rather few."""
    at_most = pl.col("participants") + 1
    return pl.min_horizontal(rng.integer_below("newcomers", at_most), rng.integer_below("fewer newcomers", at_most))


def _place(rng: SeededRandom) -> pl.Expr:
    away = pl.when(rng.one_in(4, "away")).then(rng.choice("place", NORWEGIAN_PLACES)).otherwise(pl.col("home"))
    return pl.when(_is_abroad()).then(rng.choice("place abroad", FOREIGN_PLACES)).otherwise(away)


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
    """One in four is written down by the coordinator, if there is one."""
    by_proxy = pl.when(rng.one_in(4, "by proxy")).then(pl.lit(str(coordinator)))
    return by_proxy if coordinator else pl.lit(None, dtype=pl.String)
