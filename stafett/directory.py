"""Organisations, peer mentors and registered activities, as the API lists them."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy import ColumnElement, tuple_
from sqlmodel import col, select
from sqlmodel.sql.expression import SelectOfScalar

from stafett.database.pagination import PageWanted
from stafett.database.session import Database
from stafett.database.tables import Activity, Organisation, PeerMentor
from stafett.domain.errors import NotFoundError
from stafett.domain.frozen import Frozen
from stafett.domain.membership import Caller


class Organisations:
    """The gateway's side of the ``organisations`` table: a member sees their own, an operator every one."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def list(self, caller: Caller) -> Sequence[Organisation]:
        with self._database.transaction(caller.org_id, user_id=caller.user_id, operator=caller.is_operator) as session:
            return session.exec(select(Organisation).order_by(col(Organisation.id))).all()


_BY_NAME = (col(PeerMentor.display_name), col(PeerMentor.id))


class MentorsWanted(Frozen):
    """Which of them a list shows, and after whom it goes on."""

    org_id: str | None = None
    active: bool | None = None
    q: str | None = None
    after: UUID | None = None
    page_size: int = 50


class PeerMentors:
    """The gateway's side of the ``peer_mentors`` table: it reads."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def list(self, caller: Caller, wanted: MentorsWanted) -> Sequence[PeerMentor]:
        """By name, one more than a page; where a page ends is said by an id, for a name is nobody's business."""
        query = _wanted(caller, wanted).order_by(*_BY_NAME).limit(wanted.page_size + 1)
        with self._database.transaction(caller.org_id, user_id=caller.user_id) as session:
            if wanted.after is not None:
                last = session.get(PeerMentor, wanted.after)
                if last is None:
                    raise NotFoundError("The peer mentor after whom the list was to go on is not there any more.")
                query = query.where(tuple_(*_BY_NAME) > (last.display_name, last.id))
            return session.exec(query).all()


def _wanted(caller: Caller, wanted: MentorsWanted) -> SelectOfScalar[PeerMentor]:
    query = select(PeerMentor)
    for org_id in (wanted.org_id, caller.org_id):
        query = query if org_id is None else query.where(col(PeerMentor.org_id) == org_id)
    if wanted.active is not None:
        query = query.where(col(PeerMentor.active) == wanted.active)
    if wanted.q:
        query = query.where(col(PeerMentor.display_name).icontains(wanted.q, autoescape=True))
    return query


class ActivitiesWanted(PageWanted):
    """Which activities a list shows; both ends of the period are in it."""

    batch_id: UUID | None = None
    mentor_id: UUID | None = None
    period_start: datetime | None = None
    period_end: datetime | None = None


class RegisteredActivities:
    """The gateway's side of the ``activities`` table."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def list(self, caller: Caller, wanted: ActivitiesWanted) -> Sequence[Activity]:
        """The latest first, as they took place; one more than a page."""
        place = (col(Activity.starts_at), col(Activity.id))
        query = select(Activity).where(*_conditions(caller, wanted)).order_by(*(column.desc() for column in place))
        if wanted.after is not None:
            query = query.where(tuple_(*place) < wanted.after)
        with self._database.transaction(caller.org_id, user_id=caller.user_id) as session:
            return session.exec(query.limit(wanted.page_size + 1)).all()


def _conditions(caller: Caller, wanted: ActivitiesWanted) -> list[ColumnElement[bool]]:
    conditions: list[ColumnElement[bool]] = [col(Activity.org_id) == caller.org_id, col(Activity.deleted_at).is_(None)]
    ids = (
        (Activity.org_id, wanted.org_id),
        (Activity.batch_id, wanted.batch_id),
        (Activity.mentor_id, wanted.mentor_id),
    )
    conditions += [col(column) == value for column, value in ids if value is not None]
    if wanted.period_start is not None:
        conditions.append(col(Activity.starts_at) >= wanted.period_start)
    if wanted.period_end is not None:
        conditions.append(col(Activity.starts_at) <= wanted.period_end)
    if wanted.created_after is not None:
        conditions.append(col(Activity.created_at) > wanted.created_after)
    if wanted.created_before is not None:
        conditions.append(col(Activity.created_at) < wanted.created_before)
    return conditions
