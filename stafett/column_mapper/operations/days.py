"""A mentor's day: parts are cut between days of Europe/Oslo, so every row of a day is there when it is looked at."""

import json
from dataclasses import replace

import polars as pl

from stafett.activity_rows import OSLO_DAY
from stafett.column_mapper.operations.building import made_of
from stafett.column_mapper.reader import Call, Operation
from stafett.column_mapper.values import Kind, Value

_THE_DAY = ("mentor_id", OSLO_DAY)
_MOST_A_DAY = 10_000_000


def _condition(call: Call) -> Value:
    """As a column of its own, and so are the answers: Polars does not look at days within days."""
    call.takes(1, 1)
    value = call.value(0, Kind.BOOLEAN)
    call.scope.looks_at_days = True
    return call.scope.kept(f"if {_spelled(call)}", replace(value, expr=value.truth))


def day_rank(call: Call) -> Value:
    condition = _condition(call)
    rank = condition.expr.cast(pl.Int64).cum_sum().over(_THE_DAY)
    value = made_of([condition], Kind.INTEGER, pl.when(condition.expr).then(rank), most=_MOST_A_DAY)
    return call.scope.kept(f"rank {_spelled(call)}", value)


def day_count(call: Call) -> Value:
    condition = _condition(call)
    count = condition.expr.cast(pl.Int64).sum().over(_THE_DAY)
    return call.scope.kept(f"count {_spelled(call)}", made_of([condition], Kind.INTEGER, count, most=_MOST_A_DAY))


def _spelled(call: Call) -> str:
    return json.dumps(call.given, sort_keys=True)


OPERATIONS: dict[str, Operation] = {"day_rank": day_rank, "day_count": day_count}
