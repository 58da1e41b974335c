import copy
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

import stafett.column_mapper
from stafett.column_mapper import InvalidMappingError, load_mapping
from stafett.column_mapper.schema import build_mapping_schema
from stafett.column_mapper.schema_descriptions import CLASS_DESCRIPTIONS, FIELD_DESCRIPTIONS
from stafett.column_mapper.transformations import TRANSFORMATIONS

DOCUMENTS = sorted(Path(stafett.column_mapper.__file__).parent.glob("organisations/*/*.json"))
SCHEMA = build_mapping_schema()
VALIDATOR = Draft202012Validator(SCHEMA)
HEADER = {"nb": "Sted", "nn": "Stad", "en": "Place"}
SMALLEST: dict[str, Any] = {
    "format": 1,
    "title": "Prøve",
    "effective_from": "2026-01-01",
    "columns": [{"id": "place", "header": HEADER, "type": "text", "value": {"var": "place"}}],
    "counting": {"reasons": []},
}


def _is_valid(document: Any) -> bool:
    return VALIDATOR.is_valid(document)


def _with_value(expression: Any) -> Any:
    return SMALLEST | {"values": {"example": expression}}


def _with_column(**changed: Any) -> Any:
    document = copy.deepcopy(SMALLEST)
    document["columns"][0] |= changed
    return document


def test_schema_is_valid_json_schema() -> None:
    Draft202012Validator.check_schema(SCHEMA)
    assert SCHEMA["$id"] == "urn:stafett:column-mapping:1"
    assert json.loads(json.dumps(SCHEMA)) == SCHEMA


def test_every_part_and_every_field_is_described() -> None:
    undescribed = [path for path, part in _list_parts(SCHEMA) if "description" not in part]
    assert undescribed == []


def test_descriptions_refer_only_to_existing_classes_and_fields() -> None:
    fields_by_class = {
        name: part.get("properties", {}) for name, part in [*SCHEMA["$defs"].items(), ("MappingDocument", SCHEMA)]
    }
    fields_by_class["Column"] = SCHEMA["$defs"]["TextColumn"]["properties"]
    assert CLASS_DESCRIPTIONS.keys() <= fields_by_class.keys()
    assert all(field in fields_by_class[part] for part, field in (name.split(".") for name in FIELD_DESCRIPTIONS))


def _list_parts(schema: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for name, part in [*schema["$defs"].items(), ("document", schema)]:
        yield name, part
        for field, child in part.get("properties", {}).items():
            if field not in {"type", "nb", "nn", "en"}:
                yield f"{name}.{field}", child


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_bundled_documents_conform_to_the_schema(path: Path) -> None:
    assert [error.message for error in VALIDATOR.iter_errors(json.loads(path.read_text("utf-8")))] == []


def test_at_least_five_documents_are_bundled() -> None:
    assert len(DOCUMENTS) >= 5


@pytest.mark.parametrize(
    "expression",
    [
        "Oslo",
        3,
        2.5,
        True,
        None,
        {"var": "place"},
        {"var": ["place"]},
        {"var": ["note", "-"]},
        {"if": [{"var": "in_person"}, "ja", "nei"]},
        {"in": [{"var": "place"}, ["Oslo", "Bergen"]]},
        {"in": ["dal", {"var": "place"}]},
        {"+": [1, {"var": "participants"}, 2.5]},
        {"-": {"var": "participants"}},
        {"<": [0, {"var": "participants"}, 10]},
        {"substr": [{"var": "place"}, -3, 2]},
        {"split": [{"var": "place"}, ",", 1]},
        {"round": [2.345, 1]},
        {"round": 2.5},
        {"year": {"date": "2026-01-31"}},
        {"hour": {"time": "09:30:15"}},
        {"day_count": True},
        {"upper": None},
        {"and": [True]},
        {"transformation": ["initials", {"var": "mentor_name"}]},
    ],
    ids=json.dumps,
)
def test_compilable_expression_conforms_to_the_schema(expression: Any) -> None:
    load_mapping(json.dumps(_with_value(expression)))
    assert _is_valid(_with_value(expression))


FAULTY: dict[str, Any] = {
    "no columns": SMALLEST | {"columns": []},
    "no counting": {name: part for name, part in SMALLEST.items() if name != "counting"},
    "another format version": SMALLEST | {"format": 2},
    "a part that is not known": SMALLEST | {"colour": "red"},
    "a header without Nynorsk": _with_column(header={"nb": "Sted", "en": "Place"}),
    "an id with capitals": _with_column(id="Place"),
    "an id that ends in a line break": _with_column(id="place\n1"),
    "a type that is not known": _with_column(type="currency"),
    "decimals of a text": _with_column(decimals=2),
    "a choice without its taxonomy": _with_column(type="choice"),
    "a fallback without its code": _with_column(type="choice", options="places", unknown="fallback"),
    "a code for no fallback": _with_column(type="choice", options="places", fallback="oslo"),
    "a width that Excel does not have": _with_column(width=300),
    "a value's name with a blank": SMALLEST | {"values": {"my value": 1}},
    "a lookup from a text to a number": SMALLEST | {"lookups": {"numbers": {"one": 1}}},
    "a taxonomy of nothing": SMALLEST | {"taxonomies": {"places": []}},
    "a rule without a message": SMALLEST | {"rules": [{"code": "one", "when": True, "severity": "reject"}]},
    "a sheet's name with a colon": SMALLEST | {"layout": {"sheet": {"nb": "A:B", "nn": "A", "en": "A"}}},
    "a sheet's name of 32 characters": SMALLEST | {"layout": {"sheet": {"nb": "a" * 32, "nn": "A", "en": "A"}}},
    "a start cell without a row": SMALLEST | {"layout": {"start_cell": "A"}},
    "an operation that is not known": _with_value({"eval": "1"}),
    "two operations in one object": _with_value({"var": "place", "upper": "x"}),
    "no operation at all": _with_value({}),
    "a list where a value should be": _with_value([1, 2]),
    "too few arguments": _with_value({"==": [1]}),
    "one bare argument of two": _with_value({"==": 1}),
    "too many arguments": _with_value({"!": [True, False]}),
    "more than 50 arguments": _with_value({"+": [1] * 51}),
    "a number where a text should be": _with_value({"upper": 3}),
    "a text where a number should be": _with_value({"+": [1, "2"]}),
    "a text where a condition should be": _with_value({"and": ["yes"]}),
    "a text where a date should be": _with_value({"year": "2026-01-01"}),
    "a date in Norwegian format": _with_value({"date": "31.01.2026"}),
    "an impossible time": _with_value({"time": "25:00"}),
    "null in a list of literals": _with_value({"in": [{"var": "place"}, ["Oslo", None]]}),
    "a separator of nothing": _with_value({"split": [{"var": "place"}, "", 1]}),
    "seven decimal places": _with_value({"round": [1.5, 7]}),
    "a computed name": _with_value({"var": {"var": "place"}}),
    "a transformation that is not registered": _with_value({"transformation": ["encrypt", "x"]}),
    "a transformation with too many arguments": _with_value({"transformation": ["initials", "x", "y"]}),
    "a number that is not exact everywhere": _with_value(2**53),
    "an issue deep inside": _with_value({"if": [{"and": [True, {"or": [{"nor": []}]}]}, 1, 2]}),
}


@pytest.mark.parametrize("document", FAULTY.values(), ids=FAULTY.keys())
def test_document_rejected_by_the_schema_is_rejected_by_the_compiler(document: Any) -> None:
    assert not _is_valid(document)
    with pytest.raises(InvalidMappingError):
        load_mapping(json.dumps(document))


def test_schema_lists_every_transformation() -> None:
    calls = SCHEMA["$defs"]["Expression"]["properties"]["transformation"]["then"]["anyOf"]
    assert [call["prefixItems"][0]["const"] for call in calls] == sorted(TRANSFORMATIONS)
    assert all(call["description"] for call in calls)
