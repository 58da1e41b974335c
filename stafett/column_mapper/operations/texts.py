"""Operations on texts. A character is a code point, and arguments are never interpreted as patterns."""

from collections.abc import Mapping

import polars as pl

from stafett.column_mapper.expression_parser import OperationCall, OperationHandler
from stafett.column_mapper.issues import quote_name
from stafett.column_mapper.size_bounds import CELL_BYTES, SizeBound
from stafett.column_mapper.values import Value, ValueKind, derive_value

_MAX_POSITION, _MAX_PIECES, _MAX_DIGITS = 100_000, 20, 20
_MAX_CASE_GROWTH = 3  # the upper case of some characters has three characters


def cat(call: OperationCall) -> Value:
    call.check_argument_count(1)
    parts = [value.cast_to(ValueKind.TEXT) for value in call.parse_arguments(ValueKind.TEXT, ValueKind.INTEGER)]
    expr = pl.concat_str(*(part.expr for part in parts), ignore_nulls=True)
    size = SizeBound.total([*(part.size for part in parts), SizeBound.from_characters(_MAX_DIGITS * len(parts))])
    return derive_value(parts, ValueKind.TEXT, expr, size=size)


def substr(call: OperationCall) -> Value:
    call.check_argument_count(2, 3)
    text, start = call.parse_argument(0, ValueKind.TEXT), _parse_position(call, 1)
    expr = text.expr.str.slice(start) if start >= 0 else text.expr.str.tail(-start)
    if len(call.arguments) > 2:  # noqa: PLR2004 - with the length
        expr = expr.str.head(_parse_position(call, 2))
    return derive_value([text], ValueKind.TEXT, expr, size=text.size)


def _parse_position(call: OperationCall, index: int) -> int:
    position: int = call.literal_argument(index, int, "an integer")
    if abs(position) > _MAX_POSITION:
        raise call.error("out_of_range", f"Expected an integer from -{_MAX_POSITION} to {_MAX_POSITION}.", index)
    return position


def trim(call: OperationCall) -> Value:
    text = _parse_single_text(call)
    return derive_value([text], ValueKind.TEXT, text.expr.str.strip_chars(), size=text.size)


def upper(call: OperationCall) -> Value:
    text = _parse_single_text(call)
    return derive_value([text], ValueKind.TEXT, text.expr.str.to_uppercase(), size=text.size.scale(_MAX_CASE_GROWTH))


def lower(call: OperationCall) -> Value:
    text = _parse_single_text(call)
    return derive_value([text], ValueKind.TEXT, text.expr.str.to_lowercase(), size=text.size.scale(_MAX_CASE_GROWTH))


def length(call: OperationCall) -> Value:
    text = _parse_single_text(call)
    return derive_value([text], ValueKind.INTEGER, text.expr.str.len_chars().cast(pl.Int64), max_abs=2**40)


def _parse_single_text(call: OperationCall) -> Value:
    call.check_argument_count(1, 1)
    return call.parse_argument(0, ValueKind.TEXT)


def join(call: OperationCall) -> Value:
    call.check_argument_count(2)
    separator = call.literal_argument(0, str, "a separator")
    texts = [call.scope.to_atomic(value) for value in call.parse_arguments(ValueKind.TEXT, start=1)]
    non_empty = [pl.when(text.expr != "").then(text.expr) for text in texts]
    expr = pl.concat_str(*non_empty, separator=separator, ignore_nulls=True)
    size = SizeBound.total([*(text.size for text in texts), SizeBound.from_text(separator).scale(len(texts))])
    return derive_value(texts, ValueKind.TEXT, expr, size=size, temporary_size=SizeBound(0, CELL_BYTES * len(texts)))


def split(call: OperationCall) -> Value:
    call.check_argument_count(3, 3)
    text, separator = call.parse_argument(0, ValueKind.TEXT), _parse_non_empty_literal(call, 1, "a separator")
    piece = call.literal_argument(2, int, "the number of the piece, from 1")
    if not 1 <= piece <= _MAX_PIECES:
        raise call.error("out_of_range", f"Expected the number of the piece, from 1 to {_MAX_PIECES}.", 2)
    expr = text.expr.str.splitn(separator, piece + 1).struct.field(f"field_{piece - 1}")
    pieces = SizeBound.total([text.size, SizeBound(0, CELL_BYTES * (piece + 1))])
    return derive_value([text], ValueKind.TEXT, expr, size=text.size, temporary_size=pieces)


def replace(call: OperationCall) -> Value:
    call.check_argument_count(3, 3)
    text, old, new = (
        call.parse_argument(0, ValueKind.TEXT),
        _parse_non_empty_literal(call, 1, "a text"),
        call.literal_argument(2, str, "a text"),
    )
    expr = text.expr.str.replace_all(old, new, literal=True)
    growth, byte_growth = len(new) / len(old), len(new.encode()) / len(old.encode())
    size = text.size.scale(max(1, growth), byte_factor=max(1, byte_growth))
    return derive_value([text], ValueKind.TEXT, expr, size=size)


def _parse_non_empty_literal(call: OperationCall, index: int, expected: str) -> str:
    text: str = call.literal_argument(index, str, expected)
    if not text:
        raise call.error("literal_expected", f"Expected {expected} of at least one character.", index)
    return text


def lookup(call: OperationCall) -> Value:
    call.check_argument_count(2, 3)
    text, table = call.parse_argument(0, ValueKind.TEXT), _get_table(call, call.scope.lookups, "lookup")
    default = call.literal_argument(2, str, "a text") if len(call.arguments) > 2 else None  # noqa: PLR2004 - with the default
    size = SizeBound.largest(SizeBound.from_text(value) for value in (*table.values(), default or ""))
    return _replace_by_table(text, table, default, size)


def label(call: OperationCall) -> Value:
    call.check_argument_count(2, 2)
    table = _get_table(call, call.scope.taxonomies, "taxonomy")
    return _replace_by_table(
        call.parse_argument(0, ValueKind.TEXT), table, None, call.scope.label_sizes[call.arguments[1]]
    )


def _replace_by_table(text: Value, table: Mapping[str, str], default: str | None, size: SizeBound) -> Value:
    expr = text.expr.replace_strict(
        list(table), list(table.values()), default=pl.lit(default, dtype=pl.String), return_dtype=pl.String
    )
    return derive_value([text], ValueKind.TEXT, expr, size=size)


def _get_table(call: OperationCall, tables: Mapping[str, Mapping[str, str]], table_type: str) -> Mapping[str, str]:
    name = call.literal_argument(1, str, f"the name of a {table_type}")
    if name not in tables:
        raise call.error("unknown_table", f"There is no {table_type} {quote_name(name)}.", 1)
    return tables[name]


OPERATIONS: dict[str, OperationHandler] = {
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
