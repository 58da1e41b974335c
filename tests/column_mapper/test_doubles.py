"""Compares decimals bit by bit: a cell hides the last bits of a double, a comparison in the document does not."""

from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.hypothesis_profiles import scale_examples
from tests.support.mapping.compiled_mapping import assert_matches_oracle
from tests.support.mapping.documents import FIELDS, Document, localize
from tests.support.mapping.expressions import ExpressionBuilder
from tests.support.mapping.parsing import RowEvaluator
from tests.support.mapping.rows import Row, row_lists


@st.composite
def comparisons_with_the_first_row(draw: st.DrawFn) -> tuple[Document, list[Row]]:
    """A document with a column for which rows have, to the bit, the number of the first row."""
    rows = draw(row_lists(max_rows=5).filter(bool))
    number = _maybe_divide(
        draw, ExpressionBuilder(draw, ("of",), ("kinds",)).draw_expression("number", FIELDS, draw(st.integers(1, 3)))
    )
    document: Document = {
        "format": 1,
        "title": "Doubles",
        "effective_from": "2026-01-01",
        "lookups": {"of": {"kurs": "møte"}},
        "taxonomies": {"kinds": [{"code": "kurs", "label": localize("Kurs")}]},
        "counting": {"reasons": []},
    }
    same = {"==": [number, RowEvaluator(document, rows, "nb").value(number, 0)]}
    column = {"id": "same", "header": localize("same"), "type": "yes_no", "value": same}
    return document | {"columns": [column]}, rows


def _maybe_divide(draw: st.DrawFn, number: Any) -> Any:
    """Often divide and round the number: multiplying by the reciprocal would give another double."""
    share = {"/": [number, draw(st.integers(2, 99))]}
    return draw(st.sampled_from((number, share, {"round": [share, draw(st.integers(1, 6))]})))


@settings(max_examples=scale_examples(300), deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(comparisons_with_the_first_row())
def test_numbers_are_the_same_doubles_as_in_the_oracle(example: tuple[Document, list[Row]]) -> None:
    assert_matches_oracle(*example)
