"""What an expression can do: JsonLogic's operations, and named ones of our own."""

from stafett.column_mapper.operations import dates, days, logic, numbers, own, texts
from stafett.column_mapper.reader import Operation

OPERATIONS: dict[str, Operation] = {
    **logic.OPERATIONS,
    **numbers.OPERATIONS,
    **texts.OPERATIONS,
    **dates.OPERATIONS,
    **days.OPERATIONS,
    **own.OPERATIONS,
}

__all__ = ["OPERATIONS"]
