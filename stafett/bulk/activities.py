"""Registered activities, as the API lists them."""

from uuid import UUID

from pydantic import Field
from sqlmodel import col

from stafett.database.pagination import NEWEST_FIRST, ListFilter, Page, load_page, select_visible
from stafett.database.session import Database
from stafett.database.tables import Activity
from stafett.domain.membership import Caller
from stafett.domain.reporting_period import DayOrInstant, to_first_instant, to_last_instant

_LATEST_FIRST = NEWEST_FIRST._replace(names=("starts_at", "id"))


class ActivityFilter(ListFilter):
    """Filters of the list of activities. Both ends of the period are included."""

    batch_id: UUID | None = Field(None, description="Only activities that this batch registered.")
    mentor_id: UUID | None = Field(None, description="Only activities of this peer mentor.")
    period_start: DayOrInstant | None = Field(
        None, description="Only activities that start on this date in Europe/Oslo, at this time, or later."
    )
    period_end: DayOrInstant | None = Field(
        None, description="Only activities that start on this date in Europe/Oslo, at this time, or earlier."
    )


class ActivityService:
    """Service that lists activities."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def list(self, caller: Caller, filters: ActivityFilter) -> Page[Activity]:
        """List activities, latest start first."""
        starts_at, query = col(Activity.starts_at), select_visible(Activity, caller, filters)
        if filters.period_start is not None:
            query = query.where(starts_at >= to_first_instant(filters.period_start))
        if filters.period_end is not None:
            query = query.where(starts_at <= to_last_instant(filters.period_end))
        with self._database.transaction(caller.org_id, user_id=caller.user_id) as session:
            return load_page(session, Activity, query, filters, _LATEST_FIRST)
