"""The operation that calls a registered transformation by its name."""

from typing import TYPE_CHECKING

from stafett.column_mapper.expression_parser import OperationCall
from stafett.column_mapper.issues import quote_name
from stafett.column_mapper.operation import MAX_ARGUMENTS, VALUE, Argument, ArgumentType, Operation
from stafett.column_mapper.size_bounds import SizeBound
from stafett.column_mapper.transformations import TRANSFORMATIONS
from stafett.column_mapper.values import DTYPES, NUMERIC_KINDS, Value, derive_value

if TYPE_CHECKING:
    import polars as pl

_TRANSFORMATION = ArgumentType(
    "the name of a registered transformation, as a literal", {"enum": sorted(TRANSFORMATIONS)}, is_literal=True
)


def _apply_transformation(call: OperationCall, name: str, *arguments: Value) -> Value:
    transformation = TRANSFORMATIONS.get(name)
    if transformation is None:
        names = ", ".join(sorted(TRANSFORMATIONS))
        raise call.error("unknown_name", f"There is no transformation {quote_name(name)}. Available: {names}.", 0)
    count = 1 + len(transformation.argument_kinds)
    call.check_argument_count(count, count)
    values = [
        call.scope.to_atomic(call.convert(index, value, kind))
        for index, (value, kind) in enumerate(zip(arguments, transformation.argument_kinds, strict=True), start=1)
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


OPERATIONS = (
    Operation(
        "transformation",
        (Argument("name", _TRANSFORMATION), Argument("its arguments", VALUE, 0, MAX_ARGUMENTS - 1)),
        "the return type of the transformation",
        "The function that is registered under this name, applied to the arguments.",
        _apply_transformation,
    ),
)
