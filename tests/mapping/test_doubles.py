"""A decimal is one certain double: a cell hides the last bits of it, a comparison does not."""

from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.mapping.compiled import assert_compiled_as_specified
from tests.mapping.documents import FIELDS, Document, localized
from tests.mapping.expressions import Expressions
from tests.mapping.reading import Reading
from tests.mapping.rows import Row, row_lists


@st.composite
def told_apart(draw: st.DrawFn) -> tuple[Document, list[Row]]:
    """A column that says which rows have, to the bit, the number that the first one has."""
    rows = draw(row_lists(most=5).filter(bool))
    number = _shared(draw, Expressions(draw, ("of",), ("kinds",)).written("number", FIELDS, draw(st.integers(1, 3))))
    document: Document = {
        "format": 1,
        "title": "Doubles",
        "effective_from": "2026-01-01",
        "lookups": {"of": {"kurs": "møte"}},
        "taxonomies": {"kinds": [{"code": "kurs", "label": localized("Kurs")}]},
        "counting": {"reasons": []},
    }
    same = {"==": [number, Reading(document, rows, "nb").value(number, 0)]}
    column = {"id": "same", "header": localized("same"), "type": "yes_no", "value": same}
    return document | {"columns": [column]}, rows


def _shared(draw: st.DrawFn, number: Any) -> Any:
    """Mostly divided once more, and rounded: to multiply by the reciprocal would be another double."""
    share = {"/": [number, draw(st.integers(2, 99))]}
    return draw(st.sampled_from((number, share, {"round": [share, draw(st.integers(1, 6))]})))


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(told_apart())
def test_a_number_is_the_same_double_as_the_specification_has_it(drawn: tuple[Document, list[Row]]) -> None:
    assert_compiled_as_specified(*drawn)
