"""Settings and strategies that the property tests of the column mapper share."""

from itertools import pairwise

import polars as pl
from hypothesis import HealthCheck, settings

from tests.support.hypothesis_profiles import scale_examples
from tests.support.mapping.rows import Row, to_frame

# Documents are long, so drawing one takes a while.
NO_DEADLINE = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
EXAMPLES_1000 = settings(NO_DEADLINE, max_examples=scale_examples(1000))


def split_between_days(rows: list[Row], cuts: int) -> list[pl.DataFrame]:
    """Split the frame into parts of whole days; the bits of ``cuts`` are the days after which a part ends."""
    days = sorted({row["oslo_day"] for row in rows})
    last_days = [day for number, day in enumerate(days) if cuts >> number & 1]
    ends = [sum(row["oslo_day"] <= last for row in rows) for last in last_days]
    frame = to_frame(rows)
    return [frame[start:end] for start, end in pairwise([0, *ends, len(rows)])]
