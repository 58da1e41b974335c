"""Events that several peer mentors registered: how many there are among the rows that count."""

from dataclasses import dataclass, field

import polars as pl

from stafett.activity_frames import OSLO_DAY
from stafett.column_mapper.scope import COUNTS, EVENT_ID
from stafett.domain.frozen import PayloadModel


class EventCounts(PayloadModel):
    """Numbers of events, and of the rows of those events that have several rows."""

    events: int = 0
    shared_events: int = 0
    shared_rows: int = 0

    def __add__(self, other: "EventCounts") -> "EventCounts":
        return EventCounts(
            events=self.events + other.events,
            shared_events=self.shared_events + other.shared_events,
            shared_rows=self.shared_rows + other.shared_rows,
        )


@dataclass
class EventTally:
    """Counts the events of a part slice by slice. An event lasts a day, which a slice may divide but a part does not.

    A row without an event is an event of its own.
    """

    _last_day: pl.DataFrame = field(default_factory=pl.DataFrame)
    """The events of the day with which the last slice ended, and their rows so far."""

    def count(self, verdicts: pl.DataFrame) -> EventCounts:
        """Return what the next slice adds to the counts of those before it."""
        counted = verdicts.filter(pl.col(COUNTS))
        alone = counted[EVENT_ID].null_count()
        if alone == counted.height:
            return EventCounts(events=alone)
        rows = counted.drop_nulls(EVENT_ID).group_by(OSLO_DAY, EVENT_ID).agg(pl.len().cast(pl.Int64).alias("rows"))
        before = self._last_day
        total = (
            (pl.concat([before, rows]) if before.height else rows)
            .group_by(OSLO_DAY, EVENT_ID)
            .agg(pl.col("rows").sum())
        )
        self._last_day = total.filter(pl.col(OSLO_DAY) == pl.col(OSLO_DAY).max())
        after = _count_events(total)
        known = _count_events(before) if before.height else EventCounts()
        return EventCounts(
            events=alone + after.events - known.events,
            shared_events=after.shared_events - known.shared_events,
            shared_rows=after.shared_rows - known.shared_rows,
        )


def _count_events(events: pl.DataFrame) -> EventCounts:
    shared = events["rows"].filter(events["rows"] > 1)
    return EventCounts(events=events.height, shared_events=shared.len(), shared_rows=int(shared.sum()))
