"""Operations as JSON Schema says them: how many arguments, and what may stand there when it is written out."""

from typing import Any

from stafett.column_mapper.operation_specs import VOCABULARY, Argument, Operation, Takes
from stafett.column_mapper.transformations import TRANSFORMATIONS, Transformation
from stafett.column_mapper.values import MOST, Kind

JsonSchema = dict[str, Any]

LIMITS: JsonSchema = {"minimum": -MOST, "maximum": MOST}
_NAME = {"type": "string", "pattern": "^[a-z][a-z0-9_]{0,62}$"}
_LITERALS = {
    "type": "array",
    "minItems": 1,
    "maxItems": 1000,
    "items": {"type": ["string", "number", "boolean"], **LIMITS},
}


def operations() -> dict[str, JsonSchema]:
    return {operation.name: _described(operation) for operation in VOCABULARY}


def _described(operation: Operation) -> JsonSchema:
    signature = ", ".join(map(str, operation.arguments))
    said = {"description": f"{operation.name}: [{signature}]. {operation.does} Gives: {operation.gives}."}
    listed = _transformations() if operation.name == "transformation" else _listed(operation)
    if operation.least > 1:
        return {**said, **listed}
    return {**said, "if": {"type": "array"}, "then": listed, "else": _schema(operation.arguments[0])}


def _listed(operation: Operation) -> JsonSchema:
    """Arguments in a list; only the last of them may come several times."""
    *single, last = operation.arguments
    first: JsonSchema = {"prefixItems": [_argument(argument) for argument in single]} if single else {}
    return {
        "type": "array",
        "minItems": operation.least,
        "maxItems": operation.most,
        **first,
        "items": _argument(last),
    }


def _argument(argument: Argument) -> JsonSchema:
    return {**_schema(argument), "description": f"{argument.name}: {argument.takes}"}


def _schema(argument: Argument) -> JsonSchema:
    return _SCHEMAS[argument.takes]


def _literal_or_operation(*kinds: str) -> JsonSchema:
    return {"$ref": "#/$defs/Expression", "type": [*kinds, "null", "object"]}


_SCHEMAS: dict[Takes, JsonSchema] = {
    Takes.VALUE: {"$ref": "#/$defs/Expression"},
    Takes.CONDITION: _literal_or_operation("boolean"),
    Takes.TEXT: _literal_or_operation("string"),
    Takes.TEXT_OR_INTEGER: _literal_or_operation("string", "integer"),
    Takes.NUMBER: _literal_or_operation("number"),
    Takes.INTEGER: _literal_or_operation("integer"),
    Takes.DATE: _literal_or_operation(),
    Takes.TIME: _literal_or_operation(),
    Takes.INSTANT: _literal_or_operation(),
    Takes.ORDERED: _literal_or_operation("number"),
    Takes.NAME: _NAME,
    Takes.LOOKUP: _NAME,
    Takes.TAXONOMY: _NAME,
    Takes.TRANSFORMATION: {"enum": sorted(TRANSFORMATIONS)},
    Takes.LITERALS: {"if": {"type": "array"}, "then": _LITERALS, "else": _literal_or_operation("string")},
    Takes.WRITTEN_TEXT: {"type": "string"},
    Takes.WRITTEN_CHARACTERS: {"type": "string", "minLength": 1},
    Takes.WRITTEN_DATE: {"type": "string", "format": "date", "pattern": "^[0-9]{4}-[0-9]{2}-[0-9]{2}$"},
    Takes.WRITTEN_TIME: {"type": "string", "pattern": "^([01][0-9]|2[0-3]):[0-5][0-9](:[0-5][0-9])?$"},
    Takes.POSITION: {"type": "integer", "minimum": -100_000, "maximum": 100_000},
    Takes.PIECE: {"type": "integer", "minimum": 1, "maximum": 20},
    Takes.PLACES: {"type": "integer", "minimum": 0, "maximum": 6},
}
_LITERAL_OF = {Kind.TEXT: ["string"], Kind.INTEGER: ["integer"], Kind.DECIMAL: ["number"], Kind.BOOLEAN: ["boolean"]}


def _transformations() -> JsonSchema:
    """Each with its own arguments, so that an editor knows how many."""
    names = {"enum": sorted(TRANSFORMATIONS), "description": str(Takes.TRANSFORMATION)}
    calls = [_called(known) for _, known in sorted(TRANSFORMATIONS.items())]
    return {"type": "array", "minItems": 1, "prefixItems": [names], "anyOf": calls}


def _called(known: Transformation) -> JsonSchema:
    takes = [_literal_or_operation(*_LITERAL_OF.get(kind, [])) for kind in known.takes]
    count = 1 + len(takes)
    return {
        "description": known.words,
        "prefixItems": [{"const": known.name}, *takes],
        "minItems": count,
        "maxItems": count,
    }
