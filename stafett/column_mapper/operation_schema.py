"""The JSON Schema of operations: the number of their arguments, and the types of literal arguments."""

from stafett.column_mapper.operation import Argument, JsonSchema, Operation, expression_schema
from stafett.column_mapper.operations import OPERATIONS
from stafett.column_mapper.transformations import TRANSFORMATIONS, Transformation
from stafett.column_mapper.values import ValueKind

_JSON_TYPES_BY_KIND = {
    ValueKind.TEXT: ["string"],
    ValueKind.INTEGER: ["integer"],
    ValueKind.DECIMAL: ["number"],
    ValueKind.BOOLEAN: ["boolean"],
}


def build_operation_schemas() -> dict[str, JsonSchema]:
    return {operation.name: _operation_schema(operation) for operation in OPERATIONS.values()}


def _operation_schema(operation: Operation) -> JsonSchema:
    signature = ", ".join(map(str, operation.arguments))
    described = {
        "description": f"{operation.name}: [{signature}]. {operation.description} Returns: {operation.returns}."
    }
    list_schema = _transformation_schema(operation) if operation.name == "transformation" else _list_schema(operation)
    if operation.min_arguments > 1:
        return {**described, **list_schema}
    first = operation.arguments[0].type.json_schema
    return {**described, "if": {"type": "array"}, "then": list_schema, "else": first}


def _list_schema(operation: Operation) -> JsonSchema:
    """Build the schema of a list of arguments. Only the last of them can be repeated."""
    *leading, last = map(_argument_schema, operation.arguments)
    prefix: JsonSchema = {"prefixItems": leading} if leading else {}
    return {
        "type": "array",
        "minItems": operation.min_arguments,
        "maxItems": operation.max_arguments,
        **prefix,
        "items": last,
    }


def _argument_schema(argument: Argument) -> JsonSchema:
    return {**argument.type.json_schema, "description": f"{argument.name}: {argument.type.description}"}


def _transformation_schema(operation: Operation) -> JsonSchema:
    """Build one alternative for each transformation, so that an editor knows its arguments."""
    name = operation.arguments[0].type
    names = {**name.json_schema, "description": name.description}
    calls = [_transformation_call_schema(transformation) for _, transformation in sorted(TRANSFORMATIONS.items())]
    return {"type": "array", "minItems": 1, "prefixItems": [names], "anyOf": calls}


def _transformation_call_schema(transformation: Transformation) -> JsonSchema:
    arguments = [expression_schema(*_JSON_TYPES_BY_KIND.get(kind, [])) for kind in transformation.argument_kinds]
    count = 1 + len(arguments)
    return {
        "description": transformation.description,
        "prefixItems": [{"const": transformation.name}, *arguments],
        "minItems": count,
        "maxItems": count,
    }
