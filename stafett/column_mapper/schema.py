"""The published JSON Schema of mapping documents, for editors and programs that write documents."""

from typing import Any

from stafett.column_mapper.document import MappingDocument
from stafett.column_mapper.operation import NUMBER_RANGE, JsonSchema
from stafett.column_mapper.operation_schema import build_operation_schemas
from stafett.column_mapper.schema_descriptions import CLASS_DESCRIPTIONS, EXPRESSION_DESCRIPTION, FIELD_DESCRIPTIONS

_SCHEMA_ID = "urn:stafett:column-mapping:1"
_SCHEMA_DIALECT = "https://json-schema.org/draft/2020-12/schema"
_SHEET_NAME_PATTERN = r"^[^\[\]:*?/\\']([^\[\]:*?/\\]{0,29}[^\[\]:*?/\\'])?$"


def build_mapping_schema() -> JsonSchema:
    """Build the schema. It validates everything about a document except names and types, which the compiler checks."""
    schema = _simplify(MappingDocument.model_json_schema())
    parts = schema.pop("$defs")
    schema.pop("title")
    parts["Expression"] = _build_expression_schema()
    parts["SheetName"] = _build_sheet_name_schema(parts["Localized"])
    del parts["JsonValue"]
    _add_descriptions("MappingDocument", schema)
    for name, part in parts.items():
        _add_descriptions(name, part)
    _discriminate_columns_by_type(schema["properties"]["columns"])
    _require_fallback(parts["ChoiceColumn"])
    _use_sheet_name_schema(parts["Layout"])
    return {
        "$schema": _SCHEMA_DIALECT,
        "$id": _SCHEMA_ID,
        "title": "Column mapping",
        **schema,
        "$defs": dict(sorted(parts.items())),
    }


def _simplify(value: Any) -> Any:
    """Rewrite Pydantic's schema in the keywords that every validator supports."""
    match value:
        case {"patternProperties": dict() as patterns, **others}:
            ((pattern, child),) = patterns.items()
            names = {"pattern": _simplify(pattern)}
            return {**_simplify(others), "propertyNames": names, "additionalProperties": _simplify(child)}
        case {"$ref": "#/$defs/JsonValue", **others}:
            return {"$ref": "#/$defs/Expression", **others}
        case dict():
            return {name: _simplify(child) for name, child in value.items()}
        case list():
            return [_simplify(child) for child in value]
        case str() if value.endswith(r"\z"):
            return value.removesuffix(r"\z") + "$"
        case _:
            return value


def _build_expression_schema() -> JsonSchema:
    """Build one definition without alternatives, for which validators report the clearest errors."""
    return {
        "description": EXPRESSION_DESCRIPTION,
        "type": ["string", "number", "boolean", "null", "object"],
        **NUMBER_RANGE,
        "minProperties": 1,
        "maxProperties": 1,
        "additionalProperties": False,
        "properties": build_operation_schemas(),
    }


def _add_descriptions(name: str, schema: JsonSchema) -> None:
    if name in CLASS_DESCRIPTIONS:
        schema |= {"title": _title_from_class_name(name), "description": CLASS_DESCRIPTIONS[name]}
    family = "Column" if name.endswith("Column") else name
    for field, field_schema in schema.get("properties", {}).items():
        description = FIELD_DESCRIPTIONS.get(f"{name}.{field}") or FIELD_DESCRIPTIONS.get(f"{family}.{field}")
        if name != "Expression":
            field_schema["title"] = field.replace("_", " ").capitalize()
        if description:
            field_schema["description"] = description


def _title_from_class_name(name: str) -> str:
    return (
        "".join(f" {character.lower()}" if character.isupper() else character for character in name)
        .strip()
        .capitalize()
    )


def _discriminate_columns_by_type(columns: JsonSchema) -> None:
    by_type = columns["items"].pop("discriminator")["mapping"]
    columns["items"] = {
        "type": "object",
        "required": ["type"],
        "properties": {"type": {"enum": list(by_type), "description": FIELD_DESCRIPTIONS["Column.type"]}},
        "allOf": [_if_field_equals("type", kind, {"$ref": reference}) for kind, reference in by_type.items()],
    }


def _if_field_equals(field: str, value: str, then: JsonSchema) -> JsonSchema:
    return {"if": {"properties": {field: {"const": value}}, "required": [field]}, "then": then}


def _require_fallback(choice: JsonSchema) -> None:
    required = {"required": ["fallback"], "properties": {"fallback": {"type": "string"}}}
    choice |= _if_field_equals("unknown", "fallback", required) | {
        "else": {"properties": {"fallback": {"type": "null"}}}
    }


def _build_sheet_name_schema(localized: JsonSchema) -> JsonSchema:
    names = {language: {"type": "string", "pattern": _SHEET_NAME_PATTERN} for language in localized["properties"]}
    return {**localized, "properties": names}


def _use_sheet_name_schema(layout: JsonSchema) -> None:
    for field, field_schema in layout["properties"].items():
        if field == "sheet" or field.endswith("_sheet"):
            field_schema["$ref"] = "#/$defs/SheetName"
