"""The escape hatch: a function registered in code, called by its name."""

from typing import TYPE_CHECKING

from stafett.column_mapper.expression_parser import Call, Operation
from stafett.column_mapper.issues import quoted
from stafett.column_mapper.transformations import TRANSFORMATIONS
from stafett.column_mapper.values import DTYPES, NUMBERS, Value, made_of

if TYPE_CHECKING:
    import polars as pl


def transformation(call: Call) -> Value:
    call.takes(1)
    name = call.literal(0, str, "the name of a transformation")
    known = TRANSFORMATIONS.get(name)
    if known is None:
        names = ", ".join(sorted(TRANSFORMATIONS))
        raise call.refused("unknown_name", f"There is no transformation {quoted(name)}; there are: {names}.", 0)
    call.takes(1 + len(known.takes), 1 + len(known.takes))
    values = [call.scope.settled(call.value(number, kind)) for number, kind in enumerate(known.takes, start=1)]
    expr: pl.Expr = known.function(*(value.expr for value in values)).cast(DTYPES[known.gives])
    if known.gives in NUMBERS:
        return call.scope.within_bounds(made_of(values, known.gives, expr, most=float("inf")))
    return made_of(values, known.gives, expr, size=sum(value.size for value in values) * known.lengthens)


OPERATIONS: dict[str, Operation] = {"transformation": transformation}
