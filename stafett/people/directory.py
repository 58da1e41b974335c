"""Organisations, peer mentors and registered activities, as the API lists them."""

from collections.abc import Sequence
from typing import Annotated
from uuid import UUID

from pydantic import Field, StringConstraints, TypeAdapter
from sqlalchemy import tuple_
from sqlmodel import col, select

from stafett.database.pagination import (
    DEFAULT_PAGE_SIZE,
    NEWEST_FIRST,
    ListFilter,
    OrgIdFilter,
    Page,
    PageSize,
    PageToken,
    decode_page_token,
    invalid_token_error,
    load_page,
    select_visible,
    split_page,
)
from stafett.database.session import Database
from stafett.database.tables import Activity, Organisation, PeerMentor
from stafett.domain.fields import NO_NUL
from stafett.domain.frozen import FrozenModel
from stafett.domain.membership import Caller
from stafett.domain.reporting_period import DayOrInstant, to_first_instant, to_last_instant


class OrganisationService:
    """Service that lists organisations: members see their own, operators all."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def list(self, caller: Caller) -> Sequence[Organisation]:
        with self._database.caller_transaction(caller) as session:
            return session.exec(select(Organisation).order_by(col(Organisation.id))).all()


_NAME_ORDER = (col(PeerMentor.display_name), col(PeerMentor.id))
_ID_KEY = TypeAdapter(tuple[UUID])
_LATEST_FIRST = NEWEST_FIRST._replace(names=("starts_at", "id"))


class MentorFilter(FrozenModel):
    """Filters of the list of peer mentors."""

    org_id: OrgIdFilter = None
    active: bool | None = Field(None, description="Only active, or only inactive, peer mentors.")
    q: Annotated[str, StringConstraints(min_length=1, max_length=100), NO_NUL] | None = Field(
        None, description="Only names that contain this text."
    )
    page_size: PageSize = DEFAULT_PAGE_SIZE
    page_token: PageToken = None


class PeerMentorService:
    """Service that lists peer mentors."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def list(self, caller: Caller, filters: MentorFilter) -> Page[PeerMentor]:
        """List mentors by name. The page token has the last mentor's id, because a name is personal data."""
        query = select_visible(PeerMentor, caller, filters).order_by(*_NAME_ORDER).limit(filters.page_size + 1)
        if filters.q:
            query = query.where(col(PeerMentor.display_name).icontains(filters.q, autoescape=True))
        with self._database.transaction(caller.org_id, user_id=caller.user_id) as session:
            if filters.page_token:
                last_mentor = session.get(PeerMentor, decode_page_token(filters.page_token, _ID_KEY))
                if last_mentor is None:  # erased meanwhile, or of another organisation
                    raise invalid_token_error()
                query = query.where(tuple_(*_NAME_ORDER) > (last_mentor.display_name, last_mentor.id))
            return split_page(session.exec(query).all(), filters, lambda mentor: [mentor.id])


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
