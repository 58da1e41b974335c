"""Texts; a character is a code point, and nothing here is a pattern."""

from collections.abc import Mapping

import polars as pl

from stafett.column_mapper.expression_parser import Call, Operation
from stafett.column_mapper.issues import quoted
from stafett.column_mapper.localized import size_of
from stafett.column_mapper.values import Kind, Value, made_of

_LONGEST, _MOST_PIECES = 100_000, 20
_CASE_MAY_TRIPLE = 3  # some letters have three others for a capital


def cat(call: Call) -> Value:
    call.takes(1)
    parts = [value.to(Kind.TEXT) for value in call.values(Kind.TEXT, Kind.INTEGER)]
    expr = pl.concat_str(*(part.expr for part in parts), ignore_nulls=True)
    return made_of(parts, Kind.TEXT, expr, size=sum(part.size for part in parts) + len(parts) * 0.2)


def substr(call: Call) -> Value:
    call.takes(2, 3)
    text, start = call.value(0, Kind.TEXT), _place(call, 1)
    expr = text.expr.str.slice(start) if start >= 0 else text.expr.str.tail(-start)
    if len(call.given) > 2:  # noqa: PLR2004 - the length, if it is said
        expr = expr.str.head(_place(call, 2))
    return made_of([text], Kind.TEXT, expr, size=text.size)


def _place(call: Call, number: int) -> int:
    place: int = call.literal(number, int, "a whole number")
    if abs(place) > _LONGEST:
        raise call.refused("out_of_range", f"Expected a number from -{_LONGEST} to {_LONGEST}.", number)
    return place


def trim(call: Call) -> Value:
    text = _only_text(call)
    return made_of([text], Kind.TEXT, text.expr.str.strip_chars(), size=text.size)


def upper(call: Call) -> Value:
    text = _only_text(call)
    return made_of([text], Kind.TEXT, text.expr.str.to_uppercase(), size=text.size * _CASE_MAY_TRIPLE)


def lower(call: Call) -> Value:
    text = _only_text(call)
    return made_of([text], Kind.TEXT, text.expr.str.to_lowercase(), size=text.size * _CASE_MAY_TRIPLE)


def length(call: Call) -> Value:
    text = _only_text(call)
    return made_of([text], Kind.INTEGER, text.expr.str.len_chars().cast(pl.Int64), most=2**40)


def _only_text(call: Call) -> Value:
    call.takes(1, 1)
    return call.value(0, Kind.TEXT)


def join(call: Call) -> Value:
    call.takes(2)
    separator = call.literal(0, str, "a separator")
    texts = [call.scope.settled(value) for value in call.values(Kind.TEXT, start=1)]
    seen = [pl.when(text.expr != "").then(text.expr) for text in texts]
    expr = pl.concat_str(*seen, separator=separator, ignore_nulls=True)
    size = sum(text.size for text in texts) + len(texts) * size_of(separator)
    return made_of(texts, Kind.TEXT, expr, size=size)


def split(call: Call) -> Value:
    call.takes(3, 3)
    text, separator = call.value(0, Kind.TEXT), _visible(call, 1, "a separator")
    piece = call.literal(2, int, "which piece, from 1")
    if not 1 <= piece <= _MOST_PIECES:
        raise call.refused("out_of_range", f"Expected which piece, from 1 to {_MOST_PIECES}.", 2)
    expr = text.expr.str.splitn(separator, piece + 1).struct.field(f"field_{piece - 1}")
    return made_of([text], Kind.TEXT, expr, size=text.size)


def replace(call: Call) -> Value:
    call.takes(3, 3)
    text, old, new = call.value(0, Kind.TEXT), _visible(call, 1, "a text"), call.literal(2, str, "a text")
    expr = text.expr.str.replace_all(old, new, literal=True)
    return made_of([text], Kind.TEXT, expr, size=text.size * max(1, len(new) / len(old)))


def _visible(call: Call, number: int, wanted: str) -> str:
    given: str = call.literal(number, str, wanted)
    if not given:
        raise call.refused("literal_expected", f"Expected {wanted} of at least one character.", number)
    return given


def lookup(call: Call) -> Value:
    call.takes(2, 3)
    text, table = call.value(0, Kind.TEXT), _table(call, call.scope.lookups, "lookup")
    default = call.literal(2, str, "a text") if len(call.given) > 2 else None  # noqa: PLR2004 - if it is said
    size = max(size_of(written) for written in (*table.values(), default or ""))
    return _looked_up(text, table, default, size)


def label(call: Call) -> Value:
    call.takes(2, 2)
    table = _table(call, call.scope.taxonomies, "taxonomy")
    return _looked_up(call.value(0, Kind.TEXT), table, None, call.scope.label_sizes[call.given[1]])


def _looked_up(text: Value, table: Mapping[str, str], default: str | None, size: float) -> Value:
    expr = text.expr.replace_strict(
        list(table), list(table.values()), default=pl.lit(default, dtype=pl.String), return_dtype=pl.String
    )
    return made_of([text], Kind.TEXT, expr, size=size)


def _table(call: Call, tables: Mapping[str, Mapping[str, str]], what: str) -> Mapping[str, str]:
    name = call.literal(1, str, f"the name of a {what}")
    if name not in tables:
        raise call.refused("unknown_table", f"There is no {what} {quoted(name)}.", 1)
    return tables[name]


OPERATIONS: dict[str, Operation] = {
    "cat": cat,
    "substr": substr,
    "trim": trim,
    "upper": upper,
    "lower": lower,
    "length": length,
    "join": join,
    "split": split,
    "replace": replace,
    "lookup": lookup,
    "label": label,
}
