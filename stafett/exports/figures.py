"""Figures of a year: the activities of each month and type, and how many of them count."""

from collections import Counter
from collections.abc import Iterator
from datetime import date

import polars as pl

from stafett.activity_frames import OSLO_DAY
from stafett.column_mapper.outcome import MappingOutcome
from stafett.column_mapper.scope import COUNTS
from stafett.column_mapper.versions import MappingVersions
from stafett.database.connection import DeadlineConnection
from stafett.database.session import Database
from stafett.domain.activity import ActivityType
from stafett.domain.errors import PermissionDeniedError
from stafett.domain.export import ExportCounts
from stafett.domain.frozen import FrozenModel
from stafett.domain.membership import Caller, Permission
from stafett.domain.reporting_period import ReportingPeriod
from stafett.exports.stages.map_columns import DEFAULT_MAX_MEMORY_BYTES
from stafett.exports.stages.query_activities import ROWS_PER_PART, read_activity_frame

_QUARTERS = (((1, 1), (3, 31)), ((4, 1), (6, 30)), ((7, 1), (9, 30)), ((10, 1), (12, 31)))
"""First and last day of each read, for whose sorting and memory a frame has room."""

_MONTHS = range(1, 13)


class Figure(FrozenModel):
    """The number of activities, and how many of them count."""

    activities: int = 0
    countable: int = 0

    def __add__(self, other: "Figure") -> "Figure":
        return Figure(activities=self.activities + other.activities, countable=self.countable + other.countable)


class YearFigures(FrozenModel):
    """The figures of a year. ``counts`` has those of a preview of the same year."""

    year: int
    counts: ExportCounts
    by_month_and_type: dict[tuple[int, ActivityType], Figure]

    @property
    def types(self) -> tuple[ActivityType, ...]:
        """The types that occur, in the order of the types."""
        return tuple(each for each in ActivityType if self.of_type(each).activities)

    @property
    def months(self) -> tuple[date, ...]:
        """The first day of each month."""
        return tuple(date(self.year, month, 1) for month in _MONTHS)

    def of(self, month: date, activity_type: ActivityType) -> Figure:
        return self.by_month_and_type.get((month.month, activity_type), Figure())

    def of_month(self, month: date) -> Figure:
        return sum((self.of(month, each) for each in ActivityType), Figure())

    def of_type(self, activity_type: ActivityType) -> Figure:
        return sum((self.of(month, activity_type) for month in self.months), Figure())

    @property
    def total(self) -> Figure:
        return sum(self.by_month_and_type.values(), Figure())


class FigureService:
    """Computes figures with the mapping that a preview of the year applies. Nothing is stored."""

    def __init__(self, database: Database, *, max_memory_bytes: int = DEFAULT_MAX_MEMORY_BYTES) -> None:
        self._database = database
        self._mappings = MappingVersions(database)
        self._max_memory_bytes = max_memory_bytes

    def compute(self, caller: Caller, year: int) -> YearFigures:
        """Read and map the year's activities. Raises ``ExportError`` if the organisation's mapping cannot be used."""
        org_id = caller.org_id
        if org_id is None or not caller.has_permission(Permission.READ_ORGANISATION):
            raise PermissionDeniedError("You may not read the organisation's activities.")
        figures = Counter[tuple[int, str]](), Counter[tuple[int, str]]()
        with self._database.snapshot(org_id) as connection:
            mapping = self._mappings.choose_version(connection, org_id, date(year, 1, 1), date(year, 12, 31))
            program = self._mappings.load_program(org_id, mapping, "nb")  # the language decides texts only
            outcome = MappingOutcome(program, max_memory_bytes=self._max_memory_bytes)
            for rows in _read_parts(connection, org_id, year):
                verdicts = pl.concat([part.verdicts for part in outcome.map_and_add_slices(rows)])
                for counter, counted in zip(figures, (rows, verdicts.filter(COUNTS)), strict=True):
                    counter.update(_count_by_month_and_type(counted))
        activities, countable = figures
        by_month_and_type = {
            (month, ActivityType(name)): Figure(activities=number, countable=countable[month, name])
            for (month, name), number in activities.items()
        }
        return YearFigures(year=year, counts=outcome.counts, by_month_and_type=by_month_and_type)


def _read_parts(connection: DeadlineConnection, org_id: str, year: int) -> Iterator[pl.DataFrame]:
    """Yield parts of whole days, so that the mapping's day windows are complete; the whole year if it is short."""
    frames = list[pl.DataFrame]()
    for first, last in _QUARTERS:
        period = ReportingPeriod(start=date(year, *first), end=date(year, *last))
        frame = read_activity_frame(connection, (org_id, period.first_instant, period.last_instant))
        frames += [] if frame is None else [frame]
        if sum(frame.height for frame in frames) > ROWS_PER_PART:
            yield pl.concat(frames)
            frames.clear()
    if frames:
        yield pl.concat(frames)


def _count_by_month_and_type(rows: pl.DataFrame) -> dict[tuple[int, str], int]:
    counted = rows.group_by(pl.col(OSLO_DAY).dt.month(), "activity_type").len()
    return {(month, activity_type): number for month, activity_type, number in counted.iter_rows()}
