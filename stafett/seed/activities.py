"""The activities of a seeding, drawn a batch of mentors at a time."""

from collections.abc import Iterator
from uuid import UUID

import polars as pl

from stafett.seed.activity_profiles import KINDS
from stafett.seed.notes import AWKWARD, LONG, PLAIN
from stafett.seed.places import ABROAD, IN_NORWAY
from stafett.seed.seeded_random import Chance
from stafett.seed.timetable import Timetable

_BATCH = 50_000


def draw_activities(
    chance: Chance, timetable: Timetable, mentors: pl.DataFrame, coordinator: UUID | None
) -> Iterator[pl.DataFrame]:
    """Rows for ``activities`` by mentor and time: the order that the index against overlaps takes fastest."""
    whole_mentors = mentors.with_columns(batch=pl.col("first") // _BATCH)
    for batch in whole_mentors.partition_by("batch", maintain_order=True):
        planned = timetable.of(batch)
        if not planned.is_empty():
            yield _rows(chance, planned, coordinator)


def activity_id(chance: Chance, number: pl.Expr) -> pl.Expr:
    return chance.ascending_uuid("activity", number)


def _rows(chance: Chance, planned: pl.DataFrame, coordinator: UUID | None) -> pl.DataFrame:
    kind = pl.col("kind")
    percent_apart = pl.lit(pl.Series([kind.percent_apart for kind in KINDS])).gather(kind)
    written_down = pl.col("ends") + (1 + chance.below("written down", 72 * 60)) * 60
    return planned.with_columns(
        participants=chance.pick_from("participants", kind, [kind.participants for kind in KINDS]),
        in_person=chance.below("apart", 100) >= percent_apart,
        abroad=chance.one_in(60, "abroad"),
    ).select(
        "org_id",
        "mentor_id",
        "participants",
        "in_person",
        id=activity_id(chance, pl.col("number")),
        activity_type=pl.lit(pl.Series([kind.activity_type.value for kind in KINDS])).gather(kind),
        starts_at=_instant(pl.col("begins")),
        ends_at=_instant(pl.col("ends")),
        new_participants=_newcomers(chance),
        place=_place(chance),
        in_norway=~_is_abroad(),
        note=_note(chance),
        registered_by=_registered_by(chance, coordinator),
        created_at=_instant(written_down),
    )


def _instant(seconds: pl.Expr) -> pl.Expr:
    return pl.from_epoch(seconds, "s").dt.replace_time_zone("UTC")


def _is_abroad() -> pl.Expr:
    return pl.col("abroad") & pl.col("in_person")


def _newcomers(chance: Chance) -> pl.Expr:
    """None to all of the participants, and rather few."""
    at_most = pl.col("participants") + 1
    return pl.min_horizontal(chance.below("newcomers", at_most), chance.below("fewer newcomers", at_most))


def _place(chance: Chance) -> pl.Expr:
    away = pl.when(chance.one_in(4, "away")).then(chance.pick("place", IN_NORWAY)).otherwise(pl.col("home"))
    return pl.when(_is_abroad()).then(chance.pick("place abroad", ABROAD)).otherwise(away)


def _note(chance: Chance) -> pl.Expr:
    return (
        pl.when(chance.one_in(5_000, "long note"))
        .then(pl.lit(LONG))
        .when(chance.one_in(40, "awkward note"))
        .then(chance.pick("awkward words", AWKWARD))
        .when(chance.one_in(2, "plain note"))
        .then(chance.pick("plain words", PLAIN))
    )


def _registered_by(chance: Chance, coordinator: UUID | None) -> pl.Expr:
    """One in four is written down by the coordinator, if there is one."""
    by_proxy = pl.when(chance.one_in(4, "by proxy")).then(pl.lit(str(coordinator)))
    return by_proxy if coordinator else pl.lit(None, dtype=pl.String)
