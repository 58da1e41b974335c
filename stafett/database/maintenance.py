"""Database access of the maintenance role, which may read no text that users write."""

from sqlalchemy import event
from sqlalchemy.orm import ORMExecuteState, defer
from sqlmodel import SQLModel

from stafett.database.session import Database, Timeouts
from stafett.database.tables import BulkBatch, Reexport

_UNREADABLE_COLUMNS: dict[type[SQLModel], tuple[str, ...]] = {
    BulkBatch: ("label", "activity"),
    Reexport: ("label", "request"),
}
"""The columns without a grant, of the tables of which the role reads whole rows."""


class MaintenanceDatabase(Database):
    """The database of the maintenance role. Every query leaves out the columns that the role cannot read."""

    def __init__(
        self, url: str, *, pool_size: int, timeouts: Timeouts = Timeouts.WORKER, transaction_pooling: bool = False
    ) -> None:
        super().__init__(url, pool_size=pool_size, timeouts=timeouts, transaction_pooling=transaction_pooling)
        event.listen(self._open_session, "do_orm_execute", leave_out_unreadable_columns)


def leave_out_unreadable_columns(state: ORMExecuteState) -> None:
    if not state.is_select or state.is_column_load:
        return
    selected = [description["expr"] for description in state.statement.column_descriptions]  # type: ignore[attr-defined]  # of every Select
    for table, columns in _UNREADABLE_COLUMNS.items():
        if any(each is table for each in selected):  # `in` would compare with columns, which builds SQL
            state.statement = state.statement.options(
                *(defer(getattr(table, column), raiseload=True) for column in columns)
            )
