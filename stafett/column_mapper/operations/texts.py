"""Operations on texts. A character is a code point, and arguments are never interpreted as patterns."""

from collections.abc import Mapping

import polars as pl

from stafett.column_mapper.expression_parser import OperationCall
from stafett.column_mapper.issues import quote_name
from stafett.column_mapper.operation import (
    LITERAL_TEXT,
    MAX_ARGUMENTS,
    NON_EMPTY_LITERAL_TEXT,
    TEXT,
    TEXT_OR_INTEGER,
    Argument,
    Operation,
    integer_type,
    name_type,
)
from stafett.column_mapper.size_bounds import CELL_BYTES, SizeBound
from stafett.column_mapper.values import Value, ValueKind, derive_value

_MAX_DIGITS = 20
_MAX_CASE_GROWTH = 3  # the upper case of some characters has three characters


def _concatenate(_call: OperationCall, *values: Value) -> Value:
    parts = [value.cast_to(ValueKind.TEXT) for value in values]
    expr = pl.concat_str(*(part.expr for part in parts), ignore_nulls=True)
    size = SizeBound.total([*(part.size for part in parts), SizeBound.from_characters(_MAX_DIGITS * len(parts))])
    return derive_value(parts, ValueKind.TEXT, expr, size=size)


def _take_part(_call: OperationCall, text: Value, start: int, length: int | None = None) -> Value:
    expr = text.expr.str.slice(start) if start >= 0 else text.expr.str.tail(-start)
    return derive_value([text], ValueKind.TEXT, expr if length is None else expr.str.head(length), size=text.size)


def _trim(_call: OperationCall, text: Value) -> Value:
    return derive_value([text], ValueKind.TEXT, text.expr.str.strip_chars(), size=text.size)


def _to_upper(_call: OperationCall, text: Value) -> Value:
    return derive_value([text], ValueKind.TEXT, text.expr.str.to_uppercase(), size=text.size.scale(_MAX_CASE_GROWTH))


def _to_lower(_call: OperationCall, text: Value) -> Value:
    return derive_value([text], ValueKind.TEXT, text.expr.str.to_lowercase(), size=text.size.scale(_MAX_CASE_GROWTH))


def _count_characters(_call: OperationCall, text: Value) -> Value:
    return derive_value([text], ValueKind.INTEGER, text.expr.str.len_chars().cast(pl.Int64), max_abs=2**40)


def _join(call: OperationCall, separator: str, *values: Value) -> Value:
    texts = [call.scope.to_atomic(value) for value in values]
    non_empty = [pl.when(text.expr != "").then(text.expr) for text in texts]
    expr = pl.concat_str(*non_empty, separator=separator, ignore_nulls=True)
    size = SizeBound.total([*(text.size for text in texts), SizeBound.from_text(separator).scale(len(texts))])
    return derive_value(texts, ValueKind.TEXT, expr, size=size, temporary_size=SizeBound(0, CELL_BYTES * len(texts)))


def _split(_call: OperationCall, text: Value, separator: str, piece: int) -> Value:
    expr = text.expr.str.splitn(separator, piece + 1).struct.field(f"field_{piece - 1}")
    pieces = SizeBound.total([text.size, SizeBound(0, CELL_BYTES * (piece + 1))])
    return derive_value([text], ValueKind.TEXT, expr, size=text.size, temporary_size=pieces)


def _replace(_call: OperationCall, text: Value, old: str, new: str) -> Value:
    expr = text.expr.str.replace_all(old, new, literal=True)
    growth, byte_growth = len(new) / len(old), len(new.encode()) / len(old.encode())
    size = text.size.scale(max(1, growth), byte_factor=max(1, byte_growth))
    return derive_value([text], ValueKind.TEXT, expr, size=size)


def _look_up(call: OperationCall, text: Value, name: str, default: str | None = None) -> Value:
    table = _get_table(call, call.scope.lookups, name, "lookup")
    size = SizeBound.largest(SizeBound.from_text(value) for value in (*table.values(), default or ""))
    return _replace_by_table(text, table, default, size)


def _get_label(call: OperationCall, text: Value, name: str) -> Value:
    table = _get_table(call, call.scope.taxonomies, name, "taxonomy")
    return _replace_by_table(text, table, None, call.scope.label_sizes[name])


def _replace_by_table(text: Value, table: Mapping[str, str], default: str | None, size: SizeBound) -> Value:
    expr = text.expr.replace_strict(
        list(table), list(table.values()), default=pl.lit(default, dtype=pl.String), return_dtype=pl.String
    )
    return derive_value([text], ValueKind.TEXT, expr, size=size)


def _get_table(
    call: OperationCall, tables: Mapping[str, Mapping[str, str]], name: str, table_type: str
) -> Mapping[str, str]:
    if name not in tables:
        raise call.error("unknown_table", f"There is no {table_type} {quote_name(name)}.", 1)
    return tables[name]


_TEXT, _POSITION = Argument("text", TEXT), integer_type("an integer", -100_000, 100_000)
OPERATIONS = (
    Operation(
        "cat",
        (Argument("text", TEXT_OR_INTEGER, 1, MAX_ARGUMENTS),),
        "text",
        "The texts concatenated. A missing text counts as empty, so the result is never missing.",
        _concatenate,
    ),
    Operation(
        "join",
        (Argument("separator", LITERAL_TEXT), Argument("text", TEXT, 1, MAX_ARGUMENTS - 1)),
        "text",
        "The texts joined by the separator. Missing and empty texts are left out.",
        _join,
    ),
    Operation(
        "substr",
        (_TEXT, Argument("start", _POSITION), Argument("length", _POSITION, 0)),
        "text",
        "The part from the start (0 is the first character, -1 the last). A negative length omits the last characters.",
        _take_part,
    ),
    Operation("trim", (_TEXT,), "text", "The text without leading and trailing white space.", _trim),
    Operation("upper", (_TEXT,), "text", "The text in upper case.", _to_upper),
    Operation("lower", (_TEXT,), "text", "The text in lower case.", _to_lower),
    Operation("length", (_TEXT,), "integer", "The number of characters (code points).", _count_characters),
    Operation(
        "split",
        (
            _TEXT,
            Argument("separator", NON_EMPTY_LITERAL_TEXT),
            Argument("n", integer_type("the number of the piece,", 1, 20)),
        ),
        "text",
        "The n-th piece of the text, split at the separator. Missing if there are fewer pieces.",
        _split,
    ),
    Operation(
        "replace",
        (_TEXT, Argument("old", NON_EMPTY_LITERAL_TEXT), Argument("new", LITERAL_TEXT)),
        "text",
        "The text with every occurrence of the old text replaced by the new one.",
        _replace,
    ),
    Operation(
        "lookup",
        (_TEXT, Argument("lookup", name_type("a lookup")), Argument("default", LITERAL_TEXT, 0)),
        "text",
        "The lookup's value for this text. The default, else missing, if there is none or the text is missing.",
        _look_up,
    ),
    Operation(
        "label",
        (_TEXT, Argument("taxonomy", name_type("a taxonomy"))),
        "text",
        "The label of this code in the report's language. Missing if the taxonomy does not have the code.",
        _get_label,
    ),
)
