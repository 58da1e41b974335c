"""Figures of a year: the activities of each month and type, and how many of them count."""

from calendar import monthrange
from collections import Counter
from collections.abc import Container, Iterator, Mapping, Sequence
from datetime import date
from typing import NamedTuple

import polars as pl

from stafett.activity_frames import OSLO_DAY
from stafett.column_mapper.program import MappingProgram
from stafett.column_mapper.scope import COUNTS
from stafett.column_mapper.slices import map_in_slices
from stafett.column_mapper.versions import MappingVersions
from stafett.database.connection import DeadlineConnection
from stafett.database.session import Database
from stafett.domain.activity import ActivityType
from stafett.domain.errors import PermissionDeniedError
from stafett.domain.frozen import FrozenModel
from stafett.domain.membership import Caller, Permission
from stafett.domain.reporting_period import ReportingPeriod
from stafett.exports.activity_states import ActivityState, StateCache, load_states
from stafett.exports.stages.map_columns import DEFAULT_MAX_MEMORY_BYTES
from stafett.exports.stages.query_activities import ROWS_PER_PART, read_activity_frame

_MAX_CACHED_MONTHS = 2400
"""About 200 years of organisations, in a few megabytes."""
_MONTHS = range(1, 13)


class Figure(FrozenModel):
    """The number of activities, how many of them count, and how many a report leaves out."""

    activities: int = 0
    countable: int = 0
    rejected: int = 0

    def __add__(self, other: "Figure") -> "Figure":
        return Figure(
            activities=self.activities + other.activities,
            countable=self.countable + other.countable,
            rejected=self.rejected + other.rejected,
        )


MonthFigures = Mapping[ActivityType, Figure]


class YearFigures(FrozenModel):
    """The figures of a year, which equal the counts of a preview of the same year."""

    year: int
    by_month: dict[int, MonthFigures]

    @property
    def types(self) -> tuple[ActivityType, ...]:
        """The types that occur, in the order of the types."""
        return tuple(each for each in ActivityType if self.of_type(each).activities)

    @property
    def months(self) -> tuple[date, ...]:
        """The first day of each month."""
        return tuple(date(self.year, month, 1) for month in _MONTHS)

    def of(self, month: date, activity_type: ActivityType) -> Figure:
        return self.by_month.get(month.month, {}).get(activity_type, Figure())

    def of_month(self, month: date) -> Figure:
        return sum((self.of(month, each) for each in ActivityType), Figure())

    def of_type(self, activity_type: ActivityType) -> Figure:
        return sum((self.of(month, activity_type) for month in self.months), Figure())

    @property
    def total(self) -> Figure:
        return sum(map(self.of_month, self.months), Figure())


class MonthState(NamedTuple):
    """Everything on which the figures of a month depend. It differs after every change of them."""

    org_id: str
    year: int
    month: int
    mapping_sha256: str
    activities: ActivityState


class FigureService:
    """Computes figures with the mapping that a preview applies, and remembers those of months that do not change."""

    def __init__(
        self,
        database: Database,
        *,
        max_memory_bytes: int = DEFAULT_MAX_MEMORY_BYTES,
        max_cached_months: int = _MAX_CACHED_MONTHS,
    ) -> None:
        self._database = database
        self._mappings = MappingVersions(database)
        self._max_memory_bytes = max_memory_bytes
        self._cache = StateCache[MonthState, MonthFigures](max_cached_months)

    def compute(self, caller: Caller, year: int) -> YearFigures:
        """Read and map the months that have changed. Raises ``ExportError`` if the mapping cannot be used."""
        org_id = caller.org_id
        if org_id is None or not caller.has_permission(Permission.READ_ORGANISATION):
            raise PermissionDeniedError("You may not read the organisation's activities.")
        with self._database.snapshot(org_id) as connection:
            mapping = self._mappings.choose_version(connection, org_id, date(year, 1, 1), date(year, 12, 31))
            program = self._mappings.load_program(org_id, mapping, "nb")  # the language decides texts only
            states = _load_month_states(connection, org_id, year, mapping.sha256)
            by_month = {state.month: figures for state in states if (figures := self._cache.find(state)) is not None}
            for changed in _group_adjacent(states, frozenset(by_month)):
                for state, figures in self._compute_months(connection, program, changed):
                    self._cache.store(state, figures)
                    by_month[state.month] = figures
        return YearFigures(year=year, by_month=by_month)

    def _compute_months(
        self, connection: DeadlineConnection, program: MappingProgram, states: Sequence[MonthState]
    ) -> Iterator[tuple[MonthState, MonthFigures]]:
        """Map whole months, so that the mapping's day windows are complete."""
        first, last = (_to_period(state.year, state.month) for state in (states[0], states[-1]))
        period = states[0].org_id, first.first_instant, last.last_instant
        rows = read_activity_frame(connection, period, sum(state.activities.rows for state in states))
        slices = map_in_slices(program, rows, self._max_memory_bytes)
        verdicts = pl.concat([part.verdicts for _, part in slices])
        all_rows, remaining, countable = map(_count_by_month, (rows, verdicts, verdicts.filter(COUNTS)))
        for state in states:
            yield (
                state,
                {
                    ActivityType(name): Figure(
                        activities=number,
                        countable=countable[state.month, name],
                        rejected=number - remaining[state.month, name],
                    )
                    for (month, name), number in all_rows.items()
                    if month == state.month
                },
            )


def _load_month_states(connection: DeadlineConnection, org_id: str, year: int, mapping_sha256: str) -> list[MonthState]:
    """Load the state of each month with activities."""
    months = [_to_period(year, month) for month in _MONTHS]
    states = load_states(connection, org_id, [month.first_instant for month in months], months[-1].last_instant)
    return [MonthState(org_id, year, _MONTHS[state.part], mapping_sha256, state) for state in states]


def _to_period(year: int, month: int) -> ReportingPeriod:
    return ReportingPeriod(start=date(year, month, 1), end=date(year, month, monthrange(year, month)[1]))


def _group_adjacent(states: Sequence[MonthState], known: Container[int]) -> Iterator[Sequence[MonthState]]:
    """Group the months that are not known and have no other one between them, into parts for which memory has room."""
    group = list[MonthState]()
    for state in states:
        is_full = sum(each.activities.rows for each in group) + state.activities.rows > ROWS_PER_PART
        if group and (is_full or state.month in known):
            yield group
            group = []
        if state.month not in known:
            group.append(state)
    if group:
        yield group


def _count_by_month(rows: pl.DataFrame) -> Counter[tuple[int, str]]:
    """Count the rows of each month and type."""
    counted = rows.group_by(pl.col(OSLO_DAY).dt.month(), "activity_type").len()
    return Counter({(month, name): number for month, name, number in counted.iter_rows()})
