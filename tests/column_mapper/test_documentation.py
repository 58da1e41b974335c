import json
import re
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from stafett.column_mapper import (
    InvalidMappingError,
    MappingIssue,
    compile_mapping,
    expression_parser,
    load_mapping,
    operation,
)
from stafett.column_mapper.loader import MAX_DOCUMENT_BYTES
from stafett.column_mapper.operations import OPERATIONS
from stafett.column_mapper.schema import build_mapping_schema
from stafett.column_mapper.scope import SOURCE_FIELDS
from stafett.column_mapper.transformations import TRANSFORMATIONS
from stafett.column_mapper.values import MAX_EXACT_INTEGER
from tests.support.mapping.reference import (
    PAGE,
    Example,
    Json,
    build_frame,
    evaluate,
    examples,
    examples_of_form,
    field_table,
    parse_tables,
)

SCHEMA = Draft202012Validator(build_mapping_schema())


def _abbreviate(example: Example) -> str:
    return json.dumps(example.json, ensure_ascii=False)[:60]


def _parse_cell(cell: str) -> Any:
    return json.loads(cell.strip("`"))


def _list_issues(document: Json) -> tuple[MappingIssue, ...]:
    with pytest.raises(InvalidMappingError) as error:
        load_mapping(json.dumps(document))
    return error.value.issues


def test_every_json_block_of_the_page_has_a_tested_form() -> None:
    assert {example.form for example in examples()} == {"document", "part", "expression", "faulty"}
    assert len(re.findall("^```json", PAGE, re.MULTILINE)) == len(list(examples()))


@pytest.mark.parametrize("example", examples_of_form("document"), ids=_abbreviate)
def test_documents_write_the_rows_shown_on_the_page(example: Example) -> None:
    report_rows = compile_mapping(load_mapping(json.dumps(example.json)), "nb").apply(build_frame([{}])).report_rows
    assert SCHEMA.is_valid(example.json)
    assert [
        {name: str(value) for name, value in row.items()} for row in report_rows.iter_rows(named=True)
    ] == example.table


@pytest.mark.parametrize("example", examples_of_form("part"), ids=_abbreviate)
def test_parts_compile_within_their_document(example: Example) -> None:
    document = example.document | example.json
    compile_mapping(load_mapping(json.dumps(document)), "nb")
    assert SCHEMA.is_valid(document)


@pytest.mark.parametrize("example", examples_of_form("expression"), ids=_abbreviate)
def test_expressions_have_the_results_shown_on_the_page(example: Example) -> None:
    rows = [{name: _parse_cell(cell) for name, cell in line.items()} for line in example.table]
    expected = [row.pop("result") for row in rows]
    assert rows
    assert evaluate(example.document, example.json, rows) == expected
    assert SCHEMA.is_valid(example.document | {"values": {"example": example.json}})


@pytest.mark.parametrize("example", examples_of_form("faulty"), ids=_abbreviate)
def test_faulty_documents_have_the_issues_shown_on_the_page(example: Example) -> None:
    smallest = examples_of_form("document")[0].json
    expected = [(line["pointer"].strip("`"), line["detail"]) for line in example.table]
    assert [(issue.pointer, issue.detail) for issue in _list_issues(smallest | example.json)] == expected


def test_table_of_operations_matches_the_code() -> None:
    shown = [tuple(line.values()) for table in parse_tables(PAGE) if "operation" in table[0] for line in table]
    assert shown == [
        (f"`{operation.name}`", ", ".join(map(str, operation.arguments)), operation.returns, operation.description)
        for operation in OPERATIONS.values()
    ]


def test_table_of_transformations_matches_the_registered_ones() -> None:
    shown = next(table for table in parse_tables(PAGE) if "transformation" in table[0])
    assert [tuple(line.values()) for line in shown] == [
        (
            f"`{transformation.name}`",
            ", ".join(transformation.argument_kinds),
            transformation.return_kind,
            transformation.description,
        )
        for _, transformation in sorted(TRANSFORMATIONS.items())
    ]


def test_table_of_fields_matches_the_source_fields() -> None:
    assert [(line["field"].strip("`"), line["type"]) for line in field_table()] == [
        (name, field.kind.value) for name, field in SOURCE_FIELDS.items()
    ]


def test_table_of_columns_has_every_type() -> None:
    shown = next(table for table in parse_tables(PAGE) if "type of its value" in table[0])
    types = build_mapping_schema()["properties"]["columns"]["items"]["properties"]["type"]["enum"]
    assert sorted(line["type"].strip("`") for line in shown) == sorted(types)


def test_limits_on_the_page_match_the_code() -> None:
    assert f"{MAX_DOCUMENT_BYTES // 1024} KiB" in PAGE
    assert f"| arguments of an operation | {operation.MAX_ARGUMENTS} |" in PAGE
    assert f"more than {expression_parser.MAX_TEXT_UNITS:.0f} times as long" in PAGE
    assert f"from -{MAX_EXACT_INTEGER} to {MAX_EXACT_INTEGER}" in PAGE


@pytest.mark.parametrize(
    ("levels", "code"),
    [(40, "unexpected_list"), (41, "too_deep")],
)
def test_document_depth_limit_matches_the_page(levels: int, code: str) -> None:
    deep: Any = []
    for _ in range(levels - 3):
        deep = [deep]
    document = examples_of_form("document")[0].json | {"values": {"deep": deep}}
    assert "40 levels" in PAGE
    assert [issue.code for issue in _list_issues(document)] == [code]


def test_document_value_limit_matches_the_page() -> None:
    document = examples_of_form("document")[0].json | {"values": {"many": [0] * 20_000}}
    assert "20,000 values" in PAGE
    assert [issue.code for issue in _list_issues(document)] == ["too_large"]


@pytest.mark.parametrize(
    ("line", "parts", "limit"),
    [
        ("columns, rules, values", ("columns", "rules", "values"), 200),
        ("reasons, lookups, taxonomies", ("lookups", "taxonomies"), 100),
    ],
)
def test_document_part_limits_match_the_page(line: str, parts: tuple[str, ...], limit: int) -> None:
    schemas = [build_mapping_schema()["properties"][part] for part in parts]
    assert {part.get("maxItems", part.get("maxProperties")) for part in schemas} == {limit}
    assert f"| {line} | {limit} of each |" in PAGE
