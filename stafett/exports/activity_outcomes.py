"""The outcomes that activities would have in a report made now: counted, not counted, left out or with a warning."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from datetime import UTC, date, datetime, timedelta
from itertools import chain
from typing import LiteralString, NamedTuple
from uuid import UUID

import polars as pl
from pydantic import TypeAdapter

from stafett.column_mapper.deviations import CAUSES, OUTCOME, ROW, find_deviations, list_causes
from stafett.column_mapper.program import MappedPart, MappingProgram, RowCheck
from stafett.column_mapper.slices import map_in_slices
from stafett.column_mapper.versions import MappingVersions
from stafett.database.connection import DeadlineConnection
from stafett.database.pagination import Page, PageToken, decode_page_token, encode_page_token
from stafett.database.session import Database
from stafett.database.tables import Activity
from stafett.domain.activity import ActivityType
from stafett.domain.errors import PermissionDeniedError
from stafett.domain.export import ExportFormat, Locale, PartialFailureReport
from stafett.domain.export_outputs import DeviationCause, DeviationOutcome
from stafett.domain.fields import UtcDatetime
from stafett.domain.membership import Caller, Permission
from stafett.domain.reporting_period import OSLO, ReportingPeriod
from stafett.exports.stages.map_columns import DEFAULT_MAX_MEMORY_BYTES, ignored_checks
from stafett.exports.stages.query_activities import ROWS_PER_PART, stream_activity_frames

ANY_NOT_COUNTABLE, ANY_REJECTED = "not-countable", "left-out"
"""Filters for every reason and every error; the codes of a mapping have no hyphens."""

_OUTCOME_FILTERS: Mapping[str, DeviationOutcome] = {
    ANY_NOT_COUNTABLE: DeviationOutcome.NOT_COUNTABLE,
    ANY_REJECTED: DeviationOutcome.REJECTED,
}
_ROWS_PER_SCAN, _ITEMS_PER_PAGE = 4_000, 50
_LIST_NAME = "-outcomes"
_CURSOR = TypeAdapter(tuple[UtcDatetime, UUID])
_BEFORE_ALL_IDS = UUID(int=0)
_INSTANT = timedelta(microseconds=1)

# The row with which a scan of the latest rows is long enough, found in the index of the report's order.
_SCAN_START_QUERY: LiteralString = """
SELECT starts_at FROM activities
WHERE org_id = %(org_id)s AND deleted_at IS NULL AND starts_at BETWEEN %(first)s AND %(last)s
ORDER BY starts_at DESC, id DESC OFFSET %(rows)s LIMIT 1
"""


class ActivityOutcome(NamedTuple):
    """The outcome of one activity; it is None if the activity counts and nothing is wrong with it."""

    outcome: DeviationOutcome | None
    causes: Sequence[DeviationCause]


class ListedActivity(NamedTuple):
    """An activity of a list, with its outcome."""

    id: UUID
    activity_type: ActivityType
    starts_at: datetime
    mentor_name: str
    place: str
    participants: int
    outcome: ActivityOutcome


class CauseFilter(NamedTuple):
    """A filter for one cause, with the words for it."""

    key: str
    message: str


class CauseFilters(NamedTuple):
    """The causes that a mapping knows: the reasons why activities do not count, and the checks that they can fail."""

    reasons: Sequence[CauseFilter]
    checks: Sequence[CauseFilter]


class OutcomePage(NamedTuple):
    """A page of activities with a cause, and from when on activities were examined if the next page has the others."""

    page: Page[ListedActivity]
    examined_from: date | None


class _Cursor(NamedTuple):
    """The last activity of the previous page, or the instant before which the next scan begins."""

    starts_at: datetime
    activity_id: UUID

    @property
    def day(self) -> date:
        """The last day to examine. All activities of a day are examined together, as the mapping does."""
        is_boundary = self.activity_id == _BEFORE_ALL_IDS
        return (self.starts_at - _INSTANT * is_boundary).astimezone(OSLO).date()


class ActivityOutcomes:
    """Maps activities with the rules of reports, on a request: those of one day, or those of a few thousand rows."""

    def __init__(self, database: Database, *, rows_per_scan: int = _ROWS_PER_SCAN) -> None:
        self._database = database
        self._mappings = MappingVersions(database)
        self._rows_per_scan = rows_per_scan

    def find(self, caller: Caller, activity: Activity, locale: Locale) -> ActivityOutcome:
        """Find the outcome in a report of the activity's year. Raises ``ExportError`` if no mapping can be used."""
        day = activity.starts_at.astimezone(OSLO).date()
        year = ReportingPeriod(start=date(day.year, 1, 1), end=date(day.year, 12, 31))
        with self._database.snapshot(_require_reader(caller)) as connection:
            program = self._load_program(connection, activity.org_id, year, locale)
            period = ReportingPeriod(start=day, end=day)
            outcomes = _map_rows(connection, program, activity.org_id, period)
        of_activity = outcomes.filter(pl.col("id") == str(activity.id))
        if of_activity.is_empty():
            return ActivityOutcome(None, ())
        return _to_outcome(_list_all_causes(program), of_activity.row(0, named=True))

    def list(
        self,
        caller: Caller,
        period: ReportingPeriod,
        cause: str,
        locale: Locale,
        page_token: PageToken = None,
    ) -> OutcomePage:
        """List the activities of the period that have a cause, latest first, with the mapping of its last day.

        A page examines only so many rows as a request has time for, and can therefore be empty and have a next one.
        """
        cursor = _Cursor(*decode_page_token(page_token, _LIST_NAME, _CURSOR)) if page_token else None
        org_id, last_day = _require_reader(caller), min(cursor.day, period.last_day) if cursor else period.last_day
        with self._database.snapshot(org_id) as connection:
            program = self._load_program(connection, org_id, period, locale)
            first_day = self._find_first_day(connection, org_id, period, last_day)
            scan = ReportingPeriod(start=first_day, end=last_day)
            outcomes = _map_rows(connection, program, org_id, scan) if last_day >= period.first_day else pl.DataFrame()
        items = list(_list_matching(program, outcomes, cause, cursor))
        return _cut_page(items, scan if first_day > period.first_day else None)

    def list_filters(self, caller: Caller, period: ReportingPeriod, locale: Locale) -> CauseFilters:
        """List the causes that the mapping of the period's last day knows. Raises ``ExportError`` if there is none."""
        org_id = _require_reader(caller)
        with self._database.snapshot(org_id) as connection:
            program = self._load_program(connection, org_id, period, locale)
        reasons = [CauseFilter(reason.code, reason.label) for reason in program.reasons]
        return CauseFilters(reasons, [CauseFilter(get_cause_key(each), each.message) for each in program.checks])

    def _load_program(
        self, connection: DeadlineConnection, org_id: str, period: ReportingPeriod, locale: Locale
    ) -> MappingProgram:
        mapping = self._mappings.choose_version(connection, org_id, period.first_day, period.last_day)
        return self._mappings.load_program(org_id, mapping, locale)

    def _find_first_day(
        self, connection: DeadlineConnection, org_id: str, period: ReportingPeriod, last_day: date
    ) -> date:
        """Find the day with which enough rows are examined, or else the first day of the period."""
        last = ReportingPeriod(start=last_day, end=last_day).last_instant
        values = {"org_id": org_id, "first": period.first_instant, "last": last, "rows": self._rows_per_scan}
        row = connection.execute(_SCAN_START_QUERY, values).fetchone()
        return row[0].astimezone(OSLO).date() if row else period.first_day


def get_cause_key(check: RowCheck | PartialFailureReport) -> str:
    """Return what identifies a check among the causes: its code, and its column if it has one."""
    return f"{check.code}.{check.column}" if check.column else check.code


def _require_reader(caller: Caller) -> str:
    if caller.org_id is None or not caller.has_permission(Permission.READ_ORGANISATION):
        raise PermissionDeniedError("You may not read the organisation's activities.")
    return caller.org_id


def _list_all_causes(program: MappingProgram) -> Mapping[int, DeviationCause]:
    every_reason = {reason.code: 1 for reason in program.reasons}
    return {each.number: each for each in list_causes(program, range(len(program.checks)), every_reason)}


def _map_rows(
    connection: DeadlineConnection, program: MappingProgram, org_id: str, period: ReportingPeriod
) -> pl.DataFrame:
    """Map the activities of whole days, so that the mapping's day windows are complete; return the deviating ones."""
    instants = (org_id, period.first_instant, period.last_instant)
    with closing(stream_activity_frames(connection, instants, ROWS_PER_PART)) as frames:
        slices = chain.from_iterable(map_in_slices(program, rows, DEFAULT_MAX_MEMORY_BYTES) for rows in frames)
        deviations = [_select_deviations(program, rows, part) for rows, part in slices]
    return pl.concat(deviations) if deviations else pl.DataFrame()


def _select_deviations(program: MappingProgram, rows: pl.DataFrame, part: MappedPart) -> pl.DataFrame:
    found = find_deviations(program, rows, part, ignored_checks(ExportFormat.XLSX))
    return rows[found[ROW]].hstack(found.select(OUTCOME, CAUSES))


def _list_matching(
    program: MappingProgram, outcomes: pl.DataFrame, cause: str, cursor: _Cursor | None
) -> Iterator[ListedActivity]:
    """Yield the activities before the cursor that have the cause, latest first."""
    if outcomes.is_empty():
        return
    if cause in _OUTCOME_FILTERS:
        matching = outcomes.filter(pl.col(OUTCOME) == _OUTCOME_FILTERS[cause].value)
    else:
        keys = [*map(get_cause_key, program.checks), *(reason.code for reason in program.reasons)]
        numbers = [number for number, key in enumerate(keys) if key == cause]
        matching = outcomes.filter(pl.col(CAUSES).list.eval(pl.element().is_in(numbers)).list.any())
    if cursor is not None:
        starts_at, activity_id = pl.lit(cursor.starts_at.astimezone(UTC)), str(cursor.activity_id)
        is_earlier = (pl.col("starts_at") < starts_at) | (
            (pl.col("starts_at") == starts_at) & (pl.col("id") < activity_id)
        )
        matching = matching.filter(is_earlier)
    causes = _list_all_causes(program)
    latest = matching.sort("starts_at", "id", descending=True).head(_ITEMS_PER_PAGE + 1)
    for row in latest.iter_rows(named=True):
        yield ListedActivity(
            id=UUID(row["id"]),
            activity_type=ActivityType(row["activity_type"]),
            starts_at=row["starts_at"],
            mentor_name=row["mentor_name"],
            place=row["place"],
            participants=row["participants"],
            outcome=_to_outcome(causes, row),
        )


def _to_outcome(causes: Mapping[int, DeviationCause], row: Mapping[str, object]) -> ActivityOutcome:
    numbers: Sequence[int] = row[CAUSES]  # type: ignore[assignment]  # the frame's schema
    return ActivityOutcome(DeviationOutcome(str(row[OUTCOME])), [causes[number] for number in numbers])


def _cut_page(items: Sequence[ListedActivity], unfinished_scan: ReportingPeriod | None) -> OutcomePage:
    """Return the page, and the token of the next: after its last activity, or before the days that are examined."""
    if len(items) > _ITEMS_PER_PAGE:
        last = items[_ITEMS_PER_PAGE - 1]
        token = encode_page_token(_LIST_NAME, [last.starts_at, last.id])
        return OutcomePage(Page(items[:_ITEMS_PER_PAGE], token), None)
    if unfinished_scan is None:
        return OutcomePage(Page(items, None), None)
    token = encode_page_token(_LIST_NAME, [unfinished_scan.first_instant, _BEFORE_ALL_IDS])
    return OutcomePage(Page(items, token), unfinished_scan.first_day)
