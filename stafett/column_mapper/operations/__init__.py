"""The operations of expressions: those of JsonLogic, and further ones for dates, taxonomies and day windows."""

from stafett.column_mapper.expression_parser import OperationHandler
from stafett.column_mapper.operations import dates, day_windows, logic, numbers, texts, transformations

OPERATIONS: dict[str, OperationHandler] = {
    **logic.OPERATIONS,
    **numbers.OPERATIONS,
    **texts.OPERATIONS,
    **dates.OPERATIONS,
    **day_windows.OPERATIONS,
    **transformations.OPERATIONS,
}

__all__ = ["OPERATIONS"]
