"""Expressions of the core that our language shares with JsonLogic, limited to those with the same meaning.

Excluded, because the specification differs on purpose: missing values (null is 0 or "" there), a divisor of 0 (missing
here, an error there), % of negative numbers (the sign of the dividend here, of the divisor in that library), decimals
and booleans in cat, conditions that are no booleans, == between types, an order of texts, and numbers beyond the whole
ones a double can hold (which is why everything starts small).
"""

from collections.abc import Mapping, Sequence
from typing import Any

from hypothesis import strategies as st

from tests.support.mapping.phrases import DOCUMENT_TEXTS

# ``whole`` is never negative.
KINDS = ("text", "whole", "number", "boolean")
_NAMES: Mapping[str, Sequence[str]] = {
    "text": ("activity_type", "id", "place", "mentor_id", "mentor_name"),
    "whole": ("participants", "new_participants"),
    "number": ("participants", "new_participants", "attachments"),
    "boolean": ("in_person", "in_norway", "is_proxy"),
}
_LITERALS: Mapping[str, st.SearchStrategy[Any]] = {
    "text": DOCUMENT_TEXTS,
    "whole": st.integers(0, 9),
    "number": st.integers(-9, 9) | st.sampled_from((0.1, 0.2, 0.3, 1.5, -2.75)),
    "boolean": st.booleans(),
    "divisor": st.sampled_from((1, 2, 3, 7, -3, 0.5)),
    "modulus": st.integers(1, 7),
    "place": st.integers(-9, 9),
    "texts": st.lists(DOCUMENT_TEXTS, min_size=1, max_size=3),
    "numbers": st.lists(st.integers(-3, 9) | st.just(0.1), min_size=1, max_size=3),
    "booleans": st.lists(st.booleans(), min_size=1, max_size=2),
}


Signature = tuple[str, ...]


def _same_signatures(operations: str, *signatures: Signature) -> dict[str, Sequence[Signature]]:
    return dict.fromkeys(operations.split(), signatures)


_OPERATIONS_BY_RESULT: Mapping[str, dict[str, Sequence[Signature]]] = {
    "text": {
        "cat": [("text",), ("text", "whole"), ("whole", "text", "text")],
        "substr": [("text", "place"), ("text", "place", "place")],
    },
    "whole": {
        **_same_signatures("+ min max", ("whole", "whole"), ("whole", "whole", "whole")),
        "*": [("whole", "whole")],
        "%": [("whole", "modulus")],
    },
    "number": {
        **_same_signatures("+ min max", ("number", "number"), ("number", "whole", "number")),
        "-": [("number",), ("number", "number")],
        "*": [("number", "number")],
        "/": [("number", "divisor")],
    },
    "boolean": {
        **_same_signatures("== !=", *((kind, kind) for kind in KINDS)),
        **_same_signatures("< <=", ("number", "number"), ("number", "number", "number")),
        **_same_signatures("> >=", ("number", "number")),
        **_same_signatures("and or", ("boolean", "boolean"), ("boolean", "boolean", "boolean")),
        "!": [("boolean",)],
        "in": [("text", "text"), ("text", "texts"), ("number", "numbers"), ("boolean", "booleans")],
    },
}


@st.composite
def expressions(draw: st.DrawFn, kind: str) -> Any:
    return _draw_expression(draw, kind, draw(st.integers(0, 3)))


def _draw_expression(draw: st.DrawFn, kind: str, depth: int) -> Any:
    if kind not in KINDS:
        return draw(_LITERALS[kind])
    if depth == 0:
        return draw(_LITERALS[kind] | st.sampled_from(_NAMES[kind]).map(lambda name: {"var": name}))
    operations = _OPERATIONS_BY_RESULT[kind] | _same_signatures(
        "if", ("boolean", kind, kind), ("boolean", kind, "boolean", kind, kind)
    )
    operation = draw(st.sampled_from(tuple(operations)))
    signature = draw(st.sampled_from(operations[operation]))
    return {operation: [_draw_expression(draw, argument, depth - 1) for argument in signature]}
