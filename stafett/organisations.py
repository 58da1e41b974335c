"""The organisations that a caller may know of."""

from collections.abc import Sequence

from sqlmodel import col, select

from stafett.database.session import Database
from stafett.database.tables import Organisation
from stafett.domain.membership import Caller


class Organisations:
    """The gateway's side of the ``organisations`` table: a member sees their own, an operator every one."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def list(self, caller: Caller) -> Sequence[Organisation]:
        with self._database.transaction(caller.org_id, user_id=caller.user_id, operator=caller.is_operator) as session:
            return session.exec(select(Organisation).order_by(col(Organisation.id))).all()
