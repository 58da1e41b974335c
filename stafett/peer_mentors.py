"""The peer mentors of an organisation, for somebody who is about to choose among them."""

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import tuple_
from sqlmodel import col, select
from sqlmodel.sql.expression import SelectOfScalar

from stafett.database.session import Database
from stafett.database.tables import PeerMentor
from stafett.domain.errors import NotFoundError
from stafett.domain.frozen import Frozen
from stafett.domain.membership import Caller

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
