"""The JSON Schema of operations: the number of their arguments, and the types of literal arguments."""

from typing import Any

from stafett.column_mapper.operation_specs import OPERATION_SPECS, ArgumentSpec, ArgumentType, OperationSpec
from stafett.column_mapper.transformations import TRANSFORMATIONS, Transformation
from stafett.column_mapper.values import MAX_EXACT_INTEGER, ValueKind

JsonSchema = dict[str, Any]

NUMBER_RANGE: JsonSchema = {"minimum": -MAX_EXACT_INTEGER, "maximum": MAX_EXACT_INTEGER}
_NAME_SCHEMA = {"type": "string", "pattern": "^[a-z][a-z0-9_]{0,62}$"}
_LITERAL_LIST_SCHEMA = {
    "type": "array",
    "minItems": 1,
    "maxItems": 1000,
    "items": {"type": ["string", "number", "boolean"], **NUMBER_RANGE},
}


def build_operation_schemas() -> dict[str, JsonSchema]:
    return {operation.name: _operation_schema(operation) for operation in OPERATION_SPECS}


def _operation_schema(operation: OperationSpec) -> JsonSchema:
    signature = ", ".join(map(str, operation.arguments))
    described = {
        "description": f"{operation.name}: [{signature}]. {operation.description} Returns: {operation.returns}."
    }
    list_schema = _transformation_schema() if operation.name == "transformation" else _argument_list_schema(operation)
    if operation.min_arguments > 1:
        return {**described, **list_schema}
    return {**described, "if": {"type": "array"}, "then": list_schema, "else": _argument_schema(operation.arguments[0])}


def _argument_list_schema(operation: OperationSpec) -> JsonSchema:
    """Build the schema of a list of arguments. Only the last of them can be repeated."""
    *leading, last = operation.arguments
    prefix: JsonSchema = (
        {"prefixItems": [_described_argument_schema(argument) for argument in leading]} if leading else {}
    )
    return {
        "type": "array",
        "minItems": operation.min_arguments,
        "maxItems": operation.max_arguments,
        **prefix,
        "items": _described_argument_schema(last),
    }


def _described_argument_schema(argument: ArgumentSpec) -> JsonSchema:
    return {**_argument_schema(argument), "description": f"{argument.name}: {argument.type}"}


def _argument_schema(argument: ArgumentSpec) -> JsonSchema:
    return _SCHEMA_BY_ARGUMENT_TYPE[argument.type]


def _literal_or_operation_schema(*json_types: str) -> JsonSchema:
    return {"$ref": "#/$defs/Expression", "type": [*json_types, "null", "object"]}


_SCHEMA_BY_ARGUMENT_TYPE: dict[ArgumentType, JsonSchema] = {
    ArgumentType.VALUE: {"$ref": "#/$defs/Expression"},
    ArgumentType.CONDITION: _literal_or_operation_schema("boolean"),
    ArgumentType.TEXT: _literal_or_operation_schema("string"),
    ArgumentType.TEXT_OR_INTEGER: _literal_or_operation_schema("string", "integer"),
    ArgumentType.NUMBER: _literal_or_operation_schema("number"),
    ArgumentType.INTEGER: _literal_or_operation_schema("integer"),
    ArgumentType.DATE: _literal_or_operation_schema(),
    ArgumentType.TIME: _literal_or_operation_schema(),
    ArgumentType.INSTANT: _literal_or_operation_schema(),
    ArgumentType.ORDERED: _literal_or_operation_schema("number"),
    ArgumentType.NAME: _NAME_SCHEMA,
    ArgumentType.LOOKUP: _NAME_SCHEMA,
    ArgumentType.TAXONOMY: _NAME_SCHEMA,
    ArgumentType.TRANSFORMATION: {"enum": sorted(TRANSFORMATIONS)},
    ArgumentType.LITERAL_LIST_OR_TEXT: {
        "if": {"type": "array"},
        "then": _LITERAL_LIST_SCHEMA,
        "else": _literal_or_operation_schema("string"),
    },
    ArgumentType.LITERAL_TEXT: {"type": "string"},
    ArgumentType.NON_EMPTY_LITERAL_TEXT: {"type": "string", "minLength": 1},
    ArgumentType.LITERAL_DATE: {"type": "string", "format": "date", "pattern": "^[0-9]{4}-[0-9]{2}-[0-9]{2}$"},
    ArgumentType.LITERAL_TIME: {"type": "string", "pattern": "^([01][0-9]|2[0-3]):[0-5][0-9](:[0-5][0-9])?$"},
    ArgumentType.POSITION: {"type": "integer", "minimum": -100_000, "maximum": 100_000},
    ArgumentType.PIECE_NUMBER: {"type": "integer", "minimum": 1, "maximum": 20},
    ArgumentType.DECIMAL_PLACES: {"type": "integer", "minimum": 0, "maximum": 6},
}
_JSON_TYPES_BY_KIND = {
    ValueKind.TEXT: ["string"],
    ValueKind.INTEGER: ["integer"],
    ValueKind.DECIMAL: ["number"],
    ValueKind.BOOLEAN: ["boolean"],
}


def _transformation_schema() -> JsonSchema:
    """Build one alternative for each transformation, so that an editor knows its arguments."""
    names = {"enum": sorted(TRANSFORMATIONS), "description": str(ArgumentType.TRANSFORMATION)}
    calls = [_transformation_call_schema(transformation) for _, transformation in sorted(TRANSFORMATIONS.items())]
    return {"type": "array", "minItems": 1, "prefixItems": [names], "anyOf": calls}


def _transformation_call_schema(transformation: Transformation) -> JsonSchema:
    arguments = [
        _literal_or_operation_schema(*_JSON_TYPES_BY_KIND.get(kind, [])) for kind in transformation.argument_kinds
    ]
    count = 1 + len(arguments)
    return {
        "description": transformation.description,
        "prefixItems": [{"const": transformation.name}, *arguments],
        "minItems": count,
        "maxItems": count,
    }
