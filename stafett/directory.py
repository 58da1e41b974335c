"""Organisations, peer mentors and registered activities, as the API lists them."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy import ColumnElement, tuple_
from sqlmodel import col, select
from sqlmodel.sql.expression import SelectOfScalar

from stafett.database.pagination import ListFilter
from stafett.database.session import Database
from stafett.database.tables import Activity, Organisation, PeerMentor
from stafett.domain.errors import NotFoundError
from stafett.domain.frozen import FrozenModel
from stafett.domain.membership import Caller


class OrganisationService:
    """Service that lists organisations: members see their own, operators all."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def list(self, caller: Caller) -> Sequence[Organisation]:
        with self._database.transaction(
            caller.org_id, user_id=caller.user_id, is_operator=caller.is_operator
        ) as session:
            return session.exec(select(Organisation).order_by(col(Organisation.id))).all()


_NAME_ORDER = (col(PeerMentor.display_name), col(PeerMentor.id))


class MentorFilter(FrozenModel):
    """Filters of the list of peer mentors, and the cursor after which its page starts."""

    org_id: str | None = None
    active: bool | None = None
    q: str | None = None
    cursor: UUID | None = None
    page_size: int = 50


class PeerMentorService:
    """Service that lists peer mentors."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def list(self, caller: Caller, filters: MentorFilter) -> Sequence[PeerMentor]:
        """List a page and one more row, by name. The cursor is an id, because a name is personal data."""
        query = _build_query(caller, filters).order_by(*_NAME_ORDER).limit(filters.page_size + 1)
        with self._database.transaction(caller.org_id, user_id=caller.user_id) as session:
            if filters.cursor is not None:
                last_mentor = session.get(PeerMentor, filters.cursor)
                if last_mentor is None:
                    raise NotFoundError("The peer mentor of the page token no longer exists. List from the first page.")
                query = query.where(tuple_(*_NAME_ORDER) > (last_mentor.display_name, last_mentor.id))
            return session.exec(query).all()


def _build_query(caller: Caller, filters: MentorFilter) -> SelectOfScalar[PeerMentor]:
    query = select(PeerMentor)
    for org_id in (filters.org_id, caller.org_id):
        query = query if org_id is None else query.where(col(PeerMentor.org_id) == org_id)
    if filters.active is not None:
        query = query.where(col(PeerMentor.active) == filters.active)
    if filters.q:
        query = query.where(col(PeerMentor.display_name).icontains(filters.q, autoescape=True))
    return query


class ActivityFilter(ListFilter):
    """Filters of the list of activities. Both ends of the period are included."""

    batch_id: UUID | None = None
    mentor_id: UUID | None = None
    period_start: datetime | None = None
    period_end: datetime | None = None


class ActivityService:
    """Service that lists activities."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def list(self, caller: Caller, filters: ActivityFilter) -> Sequence[Activity]:
        """List a page and one more row, latest start first."""
        sort_key = (col(Activity.starts_at), col(Activity.id))
        query = (
            select(Activity)
            .where(*_build_conditions(caller, filters))
            .order_by(*(column.desc() for column in sort_key))
        )
        if filters.cursor is not None:
            query = query.where(tuple_(*sort_key) < filters.cursor)
        with self._database.transaction(caller.org_id, user_id=caller.user_id) as session:
            return session.exec(query.limit(filters.page_size + 1)).all()


def _build_conditions(caller: Caller, filters: ActivityFilter) -> list[ColumnElement[bool]]:
    conditions: list[ColumnElement[bool]] = [col(Activity.org_id) == caller.org_id, col(Activity.deleted_at).is_(None)]
    ids = (
        (Activity.org_id, filters.org_id),
        (Activity.batch_id, filters.batch_id),
        (Activity.mentor_id, filters.mentor_id),
    )
    conditions += [col(column) == value for column, value in ids if value is not None]
    if filters.period_start is not None:
        conditions.append(col(Activity.starts_at) >= filters.period_start)
    if filters.period_end is not None:
        conditions.append(col(Activity.starts_at) <= filters.period_end)
    if filters.created_after is not None:
        conditions.append(col(Activity.created_at) > filters.created_after)
    if filters.created_before is not None:
        conditions.append(col(Activity.created_at) < filters.created_before)
    return conditions
