"""Typed expressions: for every kind of value, the operations that return it and the kinds of their arguments.

A kind that begins with @ is a literal. ``number`` is an integer or a decimal, ``null`` the null literal. A null occurs
only beside an argument with a type, because the specification leaves open what ``{"+": [null, null]}`` is.
"""

from collections.abc import Mapping, Sequence
from datetime import date, time
from typing import Any

from hypothesis import strategies as st

from tests.support.mapping.phrases import DOCUMENT_TEXTS, PIECES

Signature = tuple[str, ...]
Operations = dict[str, Sequence[Signature]]

KINDS = ("text", "integer", "number", "boolean", "date", "time", "instant")
_ORDERED = ("integer", "number", "date", "time", "instant")
_NUMBERS: Operations = {
    "+": [("?", "?"), ("?", "?", "?"), ("?", "null")],
    "*": [("?", "?"), ("?", "?", "?")],
    "-": [("?",), ("?", "?")],
    "min": [("?",), ("?", "?"), ("?", "null", "?")],
    "max": [("?",), ("?", "?"), ("?", "?", "?")],
    "abs": [("?",)],
}


def _common_operations(kind: str) -> Operations:
    return {
        "var": [("name",), ("name",), ("name", kind)],
        "if": [
            ("boolean", kind),
            ("day_condition", kind, kind),
            ("boolean", "null", kind),
            ("boolean", kind, "boolean", kind),
            ("boolean", kind, "boolean", kind, "null"),
        ],
    }


def _same_signatures(operations: str, *signatures: Signature) -> Operations:
    return dict.fromkeys(operations.split(), signatures)


def _substitute_kind(kind: str, operations: Mapping[str, Sequence[Signature]]) -> Operations:
    """Replace ``?`` in the signatures by the kind."""
    return {
        operation: [tuple(kind if argument == "?" else argument for argument in signature) for signature in signatures]
        for operation, signatures in operations.items()
    }


def _min_and_max(kind: str) -> Operations:
    return _substitute_kind(kind, {operation: _NUMBERS[operation] for operation in ("min", "max")})


_DAY_OPERATIONS = _same_signatures("day_rank day_count event_rank event_count", ("boolean",), ("day_condition",))

OPERATIONS_BY_RESULT: Mapping[str, Operations] = {
    "text": _common_operations("text")
    | {
        "cat": [("text",), ("text", "integer"), ("text", "@text", "text"), ("integer", "null")],
        "substr": [("text", "@start"), ("text", "@start", "@start")],
        "trim": [("text",), ("null",)],
        "upper": [("text",)],
        "lower": [("text",)],
        "join": [("@text", "text"), ("@text", "text", "text"), ("@text", "text", "null", "text")],
        "split": [("text", "@piece", "@nth")],
        "replace": [("text", "@piece", "@text")],
        "lookup": [("text", "@lookup"), ("text", "@lookup", "@text")],
        "label": [("text", "@taxonomy")],
    },
    "integer": _common_operations("integer")
    | _substitute_kind("integer", _NUMBERS)
    | {
        "%": [("integer", "integer"), ("integer", "@integer")],
        "length": [("text",), ("null",)],
        **_same_signatures("year month day weekday week", ("date",)),
        **_same_signatures("hour minute", ("time",)),
        "minutes_between": [("instant", "instant")],
        "days_between": [("date", "date")],
        "round": [("number",), ("number", "@zero"), ("integer", "@places")],
        "floor": [("number",)],
        "ceil": [("number",)],
        **_DAY_OPERATIONS,
    },
    "number": _common_operations("number")
    | _substitute_kind("number", _NUMBERS)
    | {"/": [("number", "number"), ("number", "@number")], "round": [("number", "@places")]},
    "boolean": _common_operations("boolean")
    | {
        **_same_signatures("== !=", *((kind, other) for kind in KINDS for other in (kind, "null"))),
        **_same_signatures("< <=", *((kind,) * count for kind in _ORDERED for count in (2, 3))),
        **_same_signatures("> >=", *((kind,) * 2 for kind in _ORDERED)),
        **_same_signatures("and or", ("boolean",), ("boolean", "day_condition"), ("boolean", "null", "boolean")),
        "!": [("boolean",), ("day_condition",), ("null",)],
        "in": [
            ("text", "@texts"),
            ("integer", "@integers"),
            ("number", "@numbers"),
            ("boolean", "@booleans"),
            ("text", "text"),
            ("@text", "text"),
            ("text", "null"),
        ],
        "empty": [(kind,) for kind in ("text", *KINDS, "null")],
    },
    # Conditions on the rank or count within a mentor's day.
    "day_condition": {
        "==": [("day_number", "integer"), ("day_number", "null")],
        "<=": [("day_number", "@count")],
        ">": [("day_number", "@count"), ("day_number", "day_number")],
    },
    "day_number": _DAY_OPERATIONS,
    "date": _common_operations("date") | _min_and_max("date") | {"date": [("@date",)], "date_of": [("instant",)]},
    "time": _common_operations("time") | _min_and_max("time") | {"time": [("@time",)], "time_of": [("instant",)]},
    "instant": _common_operations("instant") | _min_and_max("instant"),
}

_MAX_EXACT_INTEGER = 9007199254740991
_INTEGERS = st.integers(-10, 60) | st.sampled_from(
    (1.0, -0.0, 60.0, 10**6, 2**31, _MAX_EXACT_INTEGER, -_MAX_EXACT_INTEGER, _MAX_EXACT_INTEGER - 1)
)
_AWKWARD = (0.5, -0.5, 1.5, 2.5, -2.5, 0.1, 0.2, 0.3, 2.675, 1.005, -1.005, 99.995, 0.1234565, 123456789.987654321)
_EXTREME = (1e-9, 5e-324, 0.49999999999999994, 4503599627370495.5, -4503599627370495.5, 3.0, 2, 7, -3, 0)
_NUMBERS_WITH_FRACTION = st.sampled_from(_AWKWARD + _EXTREME) | st.integers(-9999999, 9999999).map(
    lambda number: number / 10_000
)

LITERALS: dict[str, st.SearchStrategy[Any]] = {
    "@text": DOCUMENT_TEXTS,
    "@texts": st.lists(DOCUMENT_TEXTS, min_size=1, max_size=4),
    "@piece": PIECES,
    "@nth": st.integers(1, 4),
    "@start": st.integers(-9, 9) | st.sampled_from((-100000, 100000)),
    "@integer": _INTEGERS,
    "@integers": st.lists(_INTEGERS, min_size=1, max_size=4),
    "@number": _NUMBERS_WITH_FRACTION,
    "@numbers": st.lists(_NUMBERS_WITH_FRACTION | _INTEGERS, min_size=1, max_size=4),
    "@booleans": st.lists(st.booleans(), min_size=1, max_size=2),
    "@boolean": st.booleans(),
    "@count": st.integers(0, 3),
    "@zero": st.just(0),
    "@places": st.integers(0, 6),
    "@date": st.dates(date(1900, 1, 1), date(2199, 12, 31)).map(date.isoformat),
    "@time": st.times(time(0), time(23, 59, 59)).map(lambda clock: clock.isoformat("seconds"))
    | st.sampled_from(("00:00", "02:30", "23:59", "23:00")),
}


Names = Mapping[str, Sequence[str]]


class ExpressionBuilder:
    """Draws expressions of a kind from the given names, lookups and taxonomies."""

    def __init__(self, draw: st.DrawFn, lookups: Sequence[str], taxonomies: Sequence[str]) -> None:
        self._draw = draw
        self._literals = LITERALS | {"@lookup": st.sampled_from(lookups), "@taxonomy": st.sampled_from(taxonomies)}

    def draw_expression(self, kind: str, names: Names, depth: int) -> Any:
        if kind == "null":
            return None
        if kind in self._literals:
            return self._draw(self._literals[kind])
        if depth == 0:
            return self._draw_leaf(kind, names)
        operation = self._draw(st.sampled_from(tuple(OPERATIONS_BY_RESULT[kind])))
        signature = self._draw(st.sampled_from(OPERATIONS_BY_RESULT[kind][operation]))
        if operation == "var" and not names[kind]:
            return self._draw_leaf(kind, names)
        return self._draw_call(
            operation, [self._draw_argument(argument, kind, names, depth - 1) for argument in signature]
        )

    def _draw_argument(self, argument_kind: str, kind: str, names: Names, depth: int) -> Any:
        return (
            self._draw(st.sampled_from(names[kind]))
            if argument_kind == "name"
            else self.draw_expression(argument_kind, names, depth)
        )

    def _draw_leaf(self, kind: str, names: Names) -> Any:
        kind = {"day_condition": "boolean", "day_number": "integer"}.get(kind, kind)
        if names[kind] and (kind == "instant" or self._draw(st.booleans())):
            return {"var": self._draw(st.sampled_from(names[kind]))}
        literal = self._draw(self._literals[f"@{kind}"])
        return {kind: literal} if kind in {"date", "time"} else literal

    def _draw_call(self, operation: str, arguments: list[Any]) -> Any:
        """Draw the call; a single argument may be written without a list."""
        bare = len(arguments) == 1 and self._draw(st.booleans())
        return {operation: arguments[0] if bare else arguments}
