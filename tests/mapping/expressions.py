"""Typed expressions: for every kind of value, the operations that give it and the kinds they are given.

A kind that begins with @ is a literal. ``number`` is integer or decimal, ``null`` the literal that is nothing. A null
stands only beside something that has a type, for what ``{"+": [null, null]}`` is the specification does not say.
"""

from collections.abc import Mapping, Sequence
from datetime import date, time
from typing import Any

from hypothesis import strategies as st

from tests.mapping.words import PIECES, WRITTEN

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


def _any(kind: str) -> Operations:
    return {
        "var": [("name",), ("name",), ("name", kind)],
        "if": [
            ("boolean", kind),
            ("busy", kind, kind),
            ("boolean", "null", kind),
            ("boolean", kind, "boolean", kind),
            ("boolean", kind, "boolean", kind, "null"),
        ],
    }


def _each(operations: str, *signatures: Signature) -> Operations:
    return dict.fromkeys(operations.split(), signatures)


def _for(kind: str, operations: Mapping[str, Sequence[Signature]]) -> Operations:
    """With ``?`` meaning this kind itself."""
    return {
        operation: [tuple(kind if one == "?" else one for one in signature) for signature in signatures]
        for operation, signatures in operations.items()
    }


def _least(kind: str) -> Operations:
    return _for(kind, {operation: _NUMBERS[operation] for operation in ("min", "max")})


_DAY = _each("day_rank day_count", ("boolean",), ("busy",))

GIVING: Mapping[str, Operations] = {
    "text": _any("text")
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
    "integer": _any("integer")
    | _for("integer", _NUMBERS)
    | {
        "%": [("integer", "integer"), ("integer", "@integer")],
        "length": [("text",), ("null",)],
        **_each("year month day weekday week", ("date",)),
        **_each("hour minute", ("time",)),
        "minutes_between": [("instant", "instant")],
        "days_between": [("date", "date")],
        "round": [("number",), ("number", "@zero"), ("integer", "@places")],
        "floor": [("number",)],
        "ceil": [("number",)],
        **_DAY,
    },
    "number": _any("number")
    | _for("number", _NUMBERS)
    | {"/": [("number", "number"), ("number", "@number")], "round": [("number", "@places")]},
    "boolean": _any("boolean")
    | {
        **_each("== !=", *((kind, other) for kind in KINDS for other in (kind, "null"))),
        **_each("< <=", *((kind,) * count for kind in _ORDERED for count in (2, 3))),
        **_each("> >=", *((kind,) * 2 for kind in _ORDERED)),
        **_each("and or", ("boolean",), ("boolean", "busy"), ("boolean", "null", "boolean")),
        "!": [("boolean",), ("busy",), ("null",)],
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
    # A condition that is itself of a mentor's day.
    "busy": {
        "==": [("ranked", "integer"), ("ranked", "null")],
        "<=": [("ranked", "@count")],
        ">": [("ranked", "@count"), ("ranked", "ranked")],
    },
    "ranked": _DAY,
    "date": _any("date") | _least("date") | {"date": [("@date",)], "date_of": [("instant",)]},
    "time": _any("time") | _least("time") | {"time": [("@time",)], "time_of": [("instant",)]},
    "instant": _any("instant") | _least("instant"),
}

_FURTHEST = 9007199254740991
_INTEGERS = st.integers(-10, 60) | st.sampled_from(
    (1.0, -0.0, 60.0, 10**6, 2**31, _FURTHEST, -_FURTHEST, _FURTHEST - 1)
)
_AWKWARD = (0.5, -0.5, 1.5, 2.5, -2.5, 0.1, 0.2, 0.3, 2.675, 1.005, -1.005, 99.995, 0.1234565, 123456789.987654321)
_EXTREME = (1e-9, 5e-324, 0.49999999999999994, 4503599627370495.5, -4503599627370495.5, 3.0, 2, 7, -3, 0)
_NUMBER = st.sampled_from(_AWKWARD + _EXTREME) | st.integers(-9999999, 9999999).map(lambda number: number / 10_000)

LITERALS: dict[str, st.SearchStrategy[Any]] = {
    "@text": WRITTEN,
    "@texts": st.lists(WRITTEN, min_size=1, max_size=4),
    "@piece": PIECES,
    "@nth": st.integers(1, 4),
    "@start": st.integers(-9, 9) | st.sampled_from((-100000, 100000)),
    "@integer": _INTEGERS,
    "@integers": st.lists(_INTEGERS, min_size=1, max_size=4),
    "@number": _NUMBER,
    "@numbers": st.lists(_NUMBER | _INTEGERS, min_size=1, max_size=4),
    "@booleans": st.lists(st.booleans(), min_size=1, max_size=2),
    "@boolean": st.booleans(),
    "@count": st.integers(0, 3),
    "@zero": st.just(0),
    "@places": st.integers(0, 6),
    "@date": st.dates(date(1900, 1, 1), date(2199, 12, 31)).map(date.isoformat),
    "@time": st.times(time(0), time(23, 59, 59)).map(lambda at: at.isoformat("seconds"))
    | st.sampled_from(("00:00", "02:30", "23:59", "23:00")),
}


Names = Mapping[str, Sequence[str]]


class Expressions:
    """Writes expressions of a wanted kind with the names, lookups and taxonomies there are."""

    def __init__(self, draw: st.DrawFn, lookups: Sequence[str], taxonomies: Sequence[str]) -> None:
        self._draw = draw
        self._literals = LITERALS | {"@lookup": st.sampled_from(lookups), "@taxonomy": st.sampled_from(taxonomies)}

    def written(self, kind: str, names: Names, depth: int) -> Any:
        if kind == "null":
            return None
        if kind in self._literals:
            return self._draw(self._literals[kind])
        if depth == 0:
            return self._leaf(kind, names)
        operation = self._draw(st.sampled_from(tuple(GIVING[kind])))
        signature = self._draw(st.sampled_from(GIVING[kind][operation]))
        if operation == "var" and not names[kind]:
            return self._leaf(kind, names)
        return self._call(operation, [self._argument(one, kind, names, depth - 1) for one in signature])

    def _argument(self, wanted: str, kind: str, names: Names, depth: int) -> Any:
        return self._draw(st.sampled_from(names[kind])) if wanted == "name" else self.written(wanted, names, depth)

    def _leaf(self, kind: str, names: Names) -> Any:
        kind = {"busy": "boolean", "ranked": "integer"}.get(kind, kind)
        if names[kind] and (kind == "instant" or self._draw(st.booleans())):
            return {"var": self._draw(st.sampled_from(names[kind]))}
        literal = self._draw(self._literals[f"@{kind}"])
        return {kind: literal} if kind in {"date", "time"} else literal

    def _call(self, operation: str, arguments: list[Any]) -> Any:
        """One argument may stand bare."""
        bare = len(arguments) == 1 and self._draw(st.booleans())
        return {operation: arguments[0] if bare else arguments}
