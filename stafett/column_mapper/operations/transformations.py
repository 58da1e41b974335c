"""The escape hatch: a function registered in code, called by its name."""

from typing import TYPE_CHECKING

from stafett.column_mapper.expression_parser import OperationCall, OperationHandler
from stafett.column_mapper.issues import quote_name
from stafett.column_mapper.transformations import TRANSFORMATIONS
from stafett.column_mapper.values import DTYPES, NUMERIC_KINDS, Value, derive_value

if TYPE_CHECKING:
    import polars as pl


def apply_transformation(call: OperationCall) -> Value:
    call.check_argument_count(1)
    name = call.literal_argument(0, str, "the name of a transformation")
    known = TRANSFORMATIONS.get(name)
    if known is None:
        names = ", ".join(sorted(TRANSFORMATIONS))
        raise call.error("unknown_name", f"There is no transformation {quote_name(name)}; there are: {names}.", 0)
    call.check_argument_count(1 + len(known.argument_kinds), 1 + len(known.argument_kinds))
    values = [
        call.scope.to_atomic(call.parse_argument(number, kind))
        for number, kind in enumerate(known.argument_kinds, start=1)
    ]
    expr: pl.Expr = known.function(*(value.expr for value in values)).cast(DTYPES[known.return_kind])
    if known.return_kind in NUMERIC_KINDS:
        return call.scope.null_if_inexact(derive_value(values, known.return_kind, expr, max_abs=float("inf")))
    return derive_value(
        values, known.return_kind, expr, max_text_units=sum(value.max_text_units for value in values) * known.max_growth
    )


OPERATIONS: dict[str, OperationHandler] = {"transformation": apply_transformation}
