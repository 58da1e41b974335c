"""How durations are spelled; everything else CSV writers know how to spell."""

import polars as pl
import polars.selectors as cs

_MINUTES_PER_HOUR = 60


def format_iso_durations(frame: pl.DataFrame) -> pl.DataFrame:
    """As programs read them: PT1H30M."""
    return frame.with_columns(cs.duration().dt.to_string("iso"))


def format_clock_durations(frame: pl.DataFrame) -> pl.DataFrame:
    """As people and Excel read them: 1:30."""
    durations = (name for name, kind in frame.schema.items() if isinstance(kind, pl.Duration))
    return frame.with_columns(_format_clock(pl.col(name)).alias(name) for name in durations)


def _format_clock(duration: pl.Expr) -> pl.Expr:
    minutes = duration.dt.total_minutes()
    sign = pl.when(minutes < 0).then(pl.lit("-")).otherwise(pl.lit(""))
    hours = (minutes.abs() // _MINUTES_PER_HOUR).cast(pl.String)
    rest = (minutes.abs() % _MINUTES_PER_HOUR).cast(pl.String).str.zfill(2)
    return sign + hours + ":" + rest
