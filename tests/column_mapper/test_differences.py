"""The comparison of two mapping documents."""

from typing import Any

from stafett.column_mapper.differences import DocumentDifference, compare_documents

COLUMN = {"id": "date", "header": {"nb": "Dato"}, "value": {"var": "day"}}


def test_equal_documents_have_no_differences() -> None:
    document = {"columns": [COLUMN], "values": {"x": [1, {"id": 2}]}}
    assert compare_documents(document, document | {}) == []


def test_columns_are_compared_by_id_and_expressions_as_a_whole() -> None:
    before: dict[str, Any] = {"title": "A", "columns": [COLUMN]}
    changed = COLUMN | {"header": {"nb": "Dag"}, "value": {"if": [True, 1, 2]}}
    after = {"title": "A", "columns": [{"id": "place", "type": "text"}, changed]}
    assert compare_documents(before, after) == [
        DocumentDifference("columns / order", "date", "place, date"),
        DocumentDifference("columns / date / header / nb", '"Dato"', '"Dag"'),
        DocumentDifference("columns / date / value", '{"var": "day"}', '{"if": [true, 1, 2]}'),
        DocumentDifference("columns / place / id", None, '"place"'),
        DocumentDifference("columns / place / type", None, '"text"'),
    ]


def test_part_that_only_one_document_has_is_listed() -> None:
    assert compare_documents({"values": {"x": {"var": "y"}}}, {}) == [
        DocumentDifference("values / x", '{"var": "y"}', None)
    ]
