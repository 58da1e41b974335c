"""Operators: users who operate the service. Only the owner of the database adds and removes them."""

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import func, update
from sqlmodel import col, select

from stafett.database.session import Database
from stafett.database.tables import User
from stafett.domain.errors import AlreadyExistsError, NotFoundError
from stafett.people.members import ensure_user


class OperatorService:
    """The operators, on a connection of the database's owner."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def list(self) -> Sequence[User]:
        with self._database.transaction() as session:
            return session.exec(select(User).where(col(User.is_operator)).order_by(col(User.email))).all()

    def add(self, address: str) -> UUID:
        """Make the user with this address an operator; a new address is a new user."""
        with self._database.transaction() as session:
            user_id = ensure_user(session, address)
            statement = update(User).where(col(User.id) == user_id, ~col(User.is_operator)).values(is_operator=True)
            if session.scalar(statement.returning(col(User.id))) is None:
                raise AlreadyExistsError("The address belongs to an operator.")
        return user_id

    def remove(self, address: str) -> UUID:
        """Take the role from an operator, whose account stays."""
        statement = update(User).where(col(User.email) == func.lower(address), col(User.is_operator))
        with self._database.transaction() as session:
            user_id: UUID | None = session.scalar(statement.values(is_operator=False).returning(col(User.id)))
        if user_id is None:
            raise NotFoundError("There is no operator with this address.")
        return user_id
