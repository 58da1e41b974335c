"""NHF's mapping over a year of activities: the compiled document, hand-written Polars, and a row interpreter."""

import subprocess
import sys
from collections.abc import Sequence
from datetime import UTC, datetime

import polars as pl

from benchmarks import mapping_in_polars
from benchmarks.mapping_by_rows import RowInterpreter
from benchmarks.measurement import ComparisonTable, Measurement, measure_implementations, peak_memory_mib
from stafett.activity_frames import OSLO_DAY
from stafett.column_mapper import MappedPart, compile_mapping
from stafett.column_mapper.organisations import load_bundled_mappings
from stafett.column_mapper.outcome import MappingOutcome
from stafett.seed.activity_profiles import ACTIVITY_PROFILES

_ROWS_PER_PART, _MENTOR_COUNT, _ROWS_FOR_INTERPRETER = 50_000, 20_000, 20_000
_DAYS_PER_YEAR = 365
_FIRST_START_EPOCH = int(datetime(2026, 1, 1, 7, tzinfo=UTC).timestamp())


def run(rows: int, rounds: int, part_counts: Sequence[int]) -> list[ComparisonTable | str]:
    """Measure memory with these numbers of parts."""
    document = load_bundled_mappings("nhf")[-1]
    program = compile_mapping(document, "nb")
    parts = _create_parts(rows)
    sample = parts[0].head(_ROWS_FOR_INTERPRETER)
    _assert_same_result(program.apply(parts[0]), mapping_in_polars.apply(parts[0]))
    by_rows = RowInterpreter(document.as_json())
    _assert_same_rows(program.apply(sample), *by_rows.apply(sample))
    implementations = {
        "compiled document": lambda: [program.apply(part).report_rows.height for part in parts],
        "hand-written Polars": lambda: [mapping_in_polars.apply(part).report_rows.height for part in parts],
    }
    columnar = measure_implementations(implementations, rounds=rounds)
    (python,) = measure_implementations({"": lambda: by_rows.apply(sample)}, rounds=1)
    scale = rows / sample.height
    name = f"Python interpreter, row by row ({sample.height:,} rows, scaled)"
    scaled = Measurement(name, python.cpu_seconds * scale, python.wall_seconds * scale)
    peaks = ", ".join(f"{count} parts: {_measure_peak_memory(count)} MiB" for count in part_counts)
    title = f"Mapping {rows:,} activities with NHF's document ({len(program.columns)} columns)"
    return [
        ComparisonTable(title, "nhf", [*columnar, scaled]),
        f"Peak memory of a process that maps parts of {_ROWS_PER_PART:,} rows: {peaks}.\n",
    ]


def _measure_peak_memory(part_count: int) -> int:
    """Measure in a separate process, because a process's peak never decreases."""
    run = subprocess.run(
        [sys.executable, "-m", "benchmarks.mapping", str(part_count)], check=True, capture_output=True, text=True
    )
    return int(run.stdout)


def _map_repeatedly(part_count: int) -> int:
    """Map one part many times and return the peak memory in MiB, which includes the part and Python."""
    document, part = load_bundled_mappings("nhf")[-1], _create_parts(_ROWS_PER_PART * 8)[0]
    outcome = MappingOutcome(compile_mapping(document, "nb"))
    for _ in range(part_count):
        list(outcome.map_and_add_slices(part))
    return peak_memory_mib()


def _assert_same_result(ours: MappedPart, peer: MappedPart) -> None:
    assert ours.report_rows.equals(peer.report_rows, null_equal=True)  # noqa: S101 - only equal results are comparable
    assert (ours.rejected, ours.countable, ours.not_countable) == (peer.rejected, peer.countable, peer.not_countable)  # noqa: S101 - as above
    ours_failed, peer_failed = (
        [(check.code, list(check.row_indices)) for check in part.failed_checks] for part in (ours, peer)
    )
    assert ours_failed == peer_failed  # noqa: S101 - as above


def _assert_same_rows(ours: MappedPart, expected: list[tuple[object, ...]], countable: int) -> None:
    decimals = pl.selectors.decimal().cast(pl.Float64)
    assert ours.report_rows.with_columns(decimals).rows() == expected  # noqa: S101 - as above
    assert ours.countable == countable  # noqa: S101 - as above


def _create_parts(rows: int) -> list[pl.DataFrame]:
    """Create plausible rows in report order, split between days."""
    activities = _create_activities(rows)
    rows_per_day = rows / _DAYS_PER_YEAR
    days = max(1, round(_ROWS_PER_PART / rows_per_day))
    return [part for _, part in activities.group_by(pl.col(OSLO_DAY).dt.ordinal_day() // days, maintain_order=True)]


def _create_activities(rows: int) -> pl.DataFrame:
    number = pl.int_range(rows)
    kind = _pseudo_random("kind", len(ACTIVITY_PROFILES))
    participants = _choose_by_kind([list(k.participant_choices) for k in ACTIVITY_PROFILES], kind, "participants")
    minutes = _choose_by_kind([list(k.duration_choices) for k in ACTIVITY_PROFILES], kind, "minutes")
    start = (
        _FIRST_START_EPOCH
        + (number * _DAYS_PER_YEAR // rows) * 86_400
        + (number * _DAYS_PER_YEAR % rows) * 43_200 // rows
    )
    return (
        pl.select(number.alias("n"))
        .with_columns(
            activity_type=pl.lit(pl.Series([k.activity_type.value for k in ACTIVITY_PROFILES])).gather(kind),
            starts_at=pl.from_epoch(start, "s").dt.cast_time_unit("us").dt.replace_time_zone("UTC"),
            participants=participants,
            minutes=minutes,
        )
        .select(
            pl.col("starts_at").dt.convert_time_zone("Europe/Oslo").dt.date().alias(OSLO_DAY),
            pl.format("{}-0000-4000-8000-000000000000", pl.col("n").cast(pl.String).str.zfill(8)).alias("id"),
            "activity_type",
            "starts_at",
            (pl.col("starts_at") + pl.duration(minutes=pl.col("minutes"))).alias("ends_at"),
            "participants",
            pl.min_horizontal(_pseudo_random("new", 3), "participants").alias("new_participants"),
            pl.lit(pl.Series(["Tromsø", "Bodø", "Oslo", "Kárášjohka "]))
            .gather(_pseudo_random("place", 4))
            .alias("place"),
            (_pseudo_random("apart", 10) > 0).alias("in_person"),
            (_pseudo_random("abroad", 60) > 0).alias("in_norway"),
            pl.when(_pseudo_random("noted", 2) == 0).then(pl.lit("Fin kveld på Grønland, æøå")).alias("note"),
            pl.format("mentor-{}", _pseudo_random("mentor", _MENTOR_COUNT)).alias("mentor_id"),
            pl.format("Åse Ødegård {}", _pseudo_random("mentor", _MENTOR_COUNT)).alias("mentor_name"),
            pl.format("Lokallag {}", _pseudo_random("branch", 180)).alias("branch"),
            (_pseudo_random("proxy", 4) == 0).alias("is_proxy"),
            pl.when(_pseudo_random("proxy", 4) == 0)
            .then(pl.format("user-{}", _pseudo_random("user", 100)))
            .alias("registered_by"),
            pl.lit(None, pl.String).alias("event_id"),
            _pseudo_random("files", 2).alias("attachments"),
        )
    )


def _pseudo_random(seed: str, upper_bound: int) -> pl.Expr:
    return (pl.int_range(pl.len()).hash(sum(map(ord, seed))) % upper_bound).cast(pl.Int64)


def _choose_by_kind(choices: list[list[int]], kind: pl.Expr, seed: str) -> pl.Expr:
    kind_choices = pl.lit(pl.Series(choices, dtype=pl.List(pl.Int64))).gather(kind)
    return kind_choices.list.get((_pseudo_random(seed, 1_000_000) % kind_choices.list.len()).cast(pl.Int64))


if __name__ == "__main__":
    print(_map_repeatedly(int(sys.argv[1])))
