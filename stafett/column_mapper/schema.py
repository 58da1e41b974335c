"""The published JSON Schema of a mapping document, for editors and for whoever writes documents with a program."""

from typing import Any

from stafett.column_mapper.document import MappingDocument
from stafett.column_mapper.operation_schema import LIMITS, operations
from stafett.column_mapper.schema_descriptions import EXPRESSION, FIELDS, PARTS

JsonSchema = dict[str, Any]

_ID = "urn:stafett:column-mapping:1"
_DIALECT = "https://json-schema.org/draft/2020-12/schema"
_SHEETS_NAME = r"^[^\[\]:*?/\\']([^\[\]:*?/\\]{0,29}[^\[\]:*?/\\'])?$"


def mapping_schema() -> JsonSchema:
    """What can be said of a document without compiling it: all it accepts compiles, but for names and types."""
    schema = _plain(MappingDocument.model_json_schema())
    parts = schema.pop("$defs")
    schema.pop("title")
    parts["Expression"] = _expression()
    parts["SheetName"] = _sheet_name(parts["Localized"])
    del parts["JsonValue"]
    _describe("MappingDocument", schema)
    for name, part in parts.items():
        _describe(name, part)
    _tell_columns_by_type(schema["properties"]["columns"])
    _tie_fallback(parts["ChoiceColumn"])
    _name_sheets(parts["Layout"])
    return {"$schema": _DIALECT, "$id": _ID, "title": "Column mapping", **schema, "$defs": dict(sorted(parts.items()))}


def _plain(value: Any) -> Any:
    """Pydantic's schema as every validator understands it."""
    match value:
        case {"patternProperties": dict() as patterns, **others}:
            ((pattern, below),) = patterns.items()
            names = {"pattern": _plain(pattern)}
            return {**_plain(others), "propertyNames": names, "additionalProperties": _plain(below)}
        case {"$ref": "#/$defs/JsonValue", **others}:
            return {"$ref": "#/$defs/Expression", **others}
        case dict():
            return {name: _plain(below) for name, below in value.items()}
        case list():
            return [_plain(below) for below in value]
        case str() if value.endswith(r"\z"):
            return value.removesuffix(r"\z") + "$"
        case _:
            return value


def _expression() -> JsonSchema:
    """One definition, for a validator that follows no alternatives says best what is wrong."""
    return {
        "description": EXPRESSION,
        "type": ["string", "number", "boolean", "null", "object"],
        **LIMITS,
        "minProperties": 1,
        "maxProperties": 1,
        "additionalProperties": False,
        "properties": operations(),
    }


def _describe(name: str, part: JsonSchema) -> None:
    if name in PARTS:
        part |= {"title": _spaced(name), "description": PARTS[name]}
    family = "Column" if name.endswith("Column") else name
    for field, below in part.get("properties", {}).items():
        words = FIELDS.get(f"{name}.{field}") or FIELDS.get(f"{family}.{field}")
        if name != "Expression":
            below["title"] = field.replace("_", " ").capitalize()
        if words:
            below["description"] = words


def _spaced(name: str) -> str:
    return "".join(f" {one.lower()}" if one.isupper() else one for one in name).strip().capitalize()


def _tell_columns_by_type(columns: JsonSchema) -> None:
    by_type = columns["items"].pop("discriminator")["mapping"]
    columns["items"] = {
        "type": "object",
        "required": ["type"],
        "properties": {"type": {"enum": list(by_type), "description": FIELDS["Column.type"]}},
        "allOf": [_if_it_is("type", kind, {"$ref": reference}) for kind, reference in by_type.items()],
    }


def _if_it_is(field: str, value: str, then: JsonSchema) -> JsonSchema:
    return {"if": {"properties": {field: {"const": value}}, "required": [field]}, "then": then}


def _tie_fallback(choice: JsonSchema) -> None:
    named = {"required": ["fallback"], "properties": {"fallback": {"type": "string"}}}
    choice |= _if_it_is("unknown", "fallback", named) | {"else": {"properties": {"fallback": {"type": "null"}}}}


def _sheet_name(localized: JsonSchema) -> JsonSchema:
    names = {language: {"type": "string", "pattern": _SHEETS_NAME} for language in localized["properties"]}
    return {**localized, "properties": names}


def _name_sheets(layout: JsonSchema) -> None:
    for field, below in layout["properties"].items():
        if field == "sheet" or field.endswith("_sheet"):
            below["$ref"] = "#/$defs/SheetName"
