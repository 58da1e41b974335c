import json
import re
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from stafett.column_mapper import InvalidMappingError, MappingIssue, compile_mapping, load_mapping
from stafett.column_mapper import expression_parser as reading_of_expressions
from stafett.column_mapper.loader import MAX_DOCUMENT_BYTES
from stafett.column_mapper.operation_specs import OPERATION_SPECS
from stafett.column_mapper.schema import build_mapping_schema
from stafett.column_mapper.scope import SOURCE_FIELDS
from stafett.column_mapper.transformations import TRANSFORMATIONS
from stafett.column_mapper.values import MAX_EXACT_INTEGER
from tests.mapping.reference import PAGE, Example, Json, answers, examples, field_table, frame_of, of_form, tables

SCHEMA = Draft202012Validator(build_mapping_schema())


def _named(example: Example) -> str:
    return json.dumps(example.json, ensure_ascii=False)[:60]


def _value(cell: str) -> Any:
    return json.loads(cell.strip("`"))


def _faults(document: Json) -> tuple[MappingIssue, ...]:
    with pytest.raises(InvalidMappingError) as refused:
        load_mapping(json.dumps(document))
    return refused.value.issues


def test_every_block_of_json_on_the_page_is_of_a_form_that_is_run() -> None:
    assert {example.form for example in examples()} == {"document", "part", "expression", "faulty"}
    assert len(re.findall("^```json", PAGE, re.MULTILINE)) == len(list(examples()))


@pytest.mark.parametrize("example", of_form("document"), ids=_named)
def test_documents_compile_and_write_the_rows_that_are_shown(example: Example) -> None:
    written = compile_mapping(load_mapping(json.dumps(example.json)), "nb").apply(frame_of([{}])).report_rows
    assert SCHEMA.is_valid(example.json)
    assert [{name: str(value) for name, value in row.items()} for row in written.iter_rows(named=True)] == example.table


@pytest.mark.parametrize("example", of_form("part"), ids=_named)
def test_parts_of_documents_compile_in_their_place(example: Example) -> None:
    document = example.document | example.json
    compile_mapping(load_mapping(json.dumps(document)), "nb")
    assert SCHEMA.is_valid(document)


@pytest.mark.parametrize("example", of_form("expression"), ids=_named)
def test_expressions_give_what_is_shown(example: Example) -> None:
    rows = [{name: _value(cell) for name, cell in line.items()} for line in example.table]
    expected = [row.pop("gives") for row in rows]
    assert rows
    assert answers(example.document, example.json, rows) == expected
    assert SCHEMA.is_valid(example.document | {"values": {"example": example.json}})


@pytest.mark.parametrize("example", of_form("faulty"), ids=_named)
def test_faulty_documents_have_the_faults_that_are_shown(example: Example) -> None:
    smallest = of_form("document")[0].json
    told = [(line["pointer"].strip("`"), line["what is said"]) for line in example.table]
    assert [(fault.pointer, fault.detail) for fault in _faults(smallest | example.json)] == told


def test_the_table_of_operations_is_the_vocabulary() -> None:
    shown = [tuple(line.values()) for table in tables(PAGE) if "operation" in table[0] for line in table]
    assert shown == [
        (f"`{operation.name}`", ", ".join(map(str, operation.arguments)), operation.returns, operation.description)
        for operation in OPERATION_SPECS
    ]


def test_the_table_of_transformations_is_what_is_registered() -> None:
    shown = next(table for table in tables(PAGE) if "takes" in table[0])
    assert [tuple(line.values()) for line in shown] == [
        (f"`{known.name}`", ", ".join(known.argument_kinds), known.return_kind, known.description)
        for _, known in sorted(TRANSFORMATIONS.items())
    ]


def test_the_table_of_fields_is_what_the_source_knows() -> None:
    assert [(line["field"].strip("`"), line["type"]) for line in field_table()] == [
        (name, field.kind.value) for name, field in SOURCE_FIELDS.items()
    ]


def test_the_table_of_columns_has_every_type() -> None:
    shown = next(table for table in tables(PAGE) if "its value is" in table[0])
    types = build_mapping_schema()["properties"]["columns"]["items"]["properties"]["type"]["enum"]
    assert sorted(line["type"].strip("`") for line in shown) == sorted(types)


def test_the_limits_on_the_page_are_the_limits() -> None:
    assert f"{MAX_DOCUMENT_BYTES // 1024} KiB" in PAGE
    assert f"| arguments of an operation | {reading_of_expressions.MAX_ARGUMENTS} |" in PAGE
    assert f"more than {reading_of_expressions.MAX_TEXT_UNITS:.0f} times as long" in PAGE
    assert f"from -{MAX_EXACT_INTEGER} to {MAX_EXACT_INTEGER}" in PAGE


@pytest.mark.parametrize(
    ("below", "code"),
    [(40, "unexpected_list"), (41, "too_deep")],
)
def test_a_document_has_as_many_levels_as_the_page_says(below: int, code: str) -> None:
    deep: Any = []
    for _ in range(below - 3):
        deep = [deep]
    document = of_form("document")[0].json | {"values": {"deep": deep}}
    assert "40 levels" in PAGE
    assert [fault.code for fault in _faults(document)] == [code]


def test_a_document_has_as_many_values_as_the_page_says() -> None:
    document = of_form("document")[0].json | {"values": {"many": [0] * 20_000}}
    assert "20,000 values" in PAGE
    assert [fault.code for fault in _faults(document)] == ["too_large"]


@pytest.mark.parametrize(
    ("line", "parts", "most"),
    [
        ("columns, rules, values", ("columns", "rules", "values"), 200),
        ("reasons, lookups, taxonomies", ("lookups", "taxonomies"), 100),
    ],
)
def test_a_document_has_as_many_parts_as_the_page_says(line: str, parts: tuple[str, ...], most: int) -> None:
    said = [build_mapping_schema()["properties"][part] for part in parts]
    assert {part.get("maxItems", part.get("maxProperties")) for part in said} == {most}
    assert f"| {line} | {most} of each |" in PAGE
