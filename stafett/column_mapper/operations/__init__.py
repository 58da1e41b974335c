"""The operations of expressions: those of JsonLogic, and further ones for dates, taxonomies and day windows."""

from collections.abc import Mapping
from types import MappingProxyType

from stafett.column_mapper.operation import Operation
from stafett.column_mapper.operations import dates, day_windows, logic, numbers, texts, transformations

_MODULES = (logic, numbers, texts, dates, day_windows, transformations)
OPERATIONS: Mapping[str, Operation] = MappingProxyType(
    {operation.name: operation for module in _MODULES for operation in module.OPERATIONS}
)

__all__ = ["OPERATIONS"]
