"""Formats for durations; Polars' CSV writer formats all other types itself."""

import polars as pl
import polars.selectors as cs

_MINUTES_PER_HOUR = 60


def format_iso_durations(frame: pl.DataFrame) -> pl.DataFrame:
    """Format durations as ISO 8601 for programs: PT1H30M."""
    return frame.with_columns(cs.duration().dt.to_string("iso"))


def format_clock_durations(frame: pl.DataFrame) -> pl.DataFrame:
    """Format durations as hours and minutes for people and Excel: 1:30."""
    durations = (name for name, dtype in frame.schema.items() if isinstance(dtype, pl.Duration))
    return frame.with_columns(_format_clock(pl.col(name)).alias(name) for name in durations)


def _format_clock(duration: pl.Expr) -> pl.Expr:
    minutes = duration.dt.total_minutes()
    sign = pl.when(minutes < 0).then(pl.lit("-")).otherwise(pl.lit(""))
    hours = (minutes.abs() // _MINUTES_PER_HOUR).cast(pl.String)
    remainder = (minutes.abs() % _MINUTES_PER_HOUR).cast(pl.String).str.zfill(2)
    return sign + hours + ":" + remainder
