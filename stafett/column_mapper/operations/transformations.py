"""The operation that calls a registered transformation by its name."""

from typing import TYPE_CHECKING

from stafett.column_mapper.expression_parser import OperationCall, OperationHandler
from stafett.column_mapper.issues import quote_name
from stafett.column_mapper.size_bounds import SizeBound
from stafett.column_mapper.transformations import TRANSFORMATIONS
from stafett.column_mapper.values import DTYPES, NUMERIC_KINDS, Value, derive_value

if TYPE_CHECKING:
    import polars as pl


def apply_transformation(call: OperationCall) -> Value:
    call.check_argument_count(1)
    name = call.literal_argument(0, str, "the name of a transformation")
    transformation = TRANSFORMATIONS.get(name)
    if transformation is None:
        names = ", ".join(sorted(TRANSFORMATIONS))
        raise call.error("unknown_name", f"There is no transformation {quote_name(name)}. Available: {names}.", 0)
    call.check_argument_count(1 + len(transformation.argument_kinds), 1 + len(transformation.argument_kinds))
    values = [
        call.scope.to_atomic(call.parse_argument(index, kind))
        for index, kind in enumerate(transformation.argument_kinds, start=1)
    ]
    return_kind = transformation.return_kind
    expr: pl.Expr = transformation.function(*(value.expr for value in values)).cast(DTYPES[return_kind])
    if return_kind in NUMERIC_KINDS:
        return call.scope.null_if_inexact(derive_value(values, return_kind, expr, max_abs=float("inf")))
    argument_size = SizeBound.total(value.size for value in values)
    return derive_value(
        values,
        return_kind,
        expr,
        size=argument_size.scale(transformation.max_growth),
        temporary_size=argument_size.scale(transformation.memory_growth),
    )


OPERATIONS: dict[str, OperationHandler] = {"transformation": apply_transformation}
