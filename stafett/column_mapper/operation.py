"""Operations with their signatures, from which calls are checked and the schema and docs/mapping.md are made."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from stafett.column_mapper.values import MAX_EXACT_INTEGER, Value, ValueKind

JsonSchema = dict[str, Any]

MAX_ARGUMENTS = 50
NUMBER_RANGE: JsonSchema = {"minimum": -MAX_EXACT_INTEGER, "maximum": MAX_EXACT_INTEGER}


@dataclass(frozen=True)
class ArgumentType:
    """The type of an argument: an expression, or a literal that conforms to the JSON Schema."""

    description: str
    json_schema: JsonSchema
    kinds: tuple[ValueKind, ...] = ()
    """The types that an expression can have; none allows all."""
    is_literal: bool = False
    allows_list: bool = False

    def find_literal_issue(self, value: Any) -> str | None:
        """Return the code of the issue with a literal. Whether a name exists is for the operation to check."""
        schema = self.json_schema
        is_expected = type(value) is (int if schema.get("type") == "integer" else str)
        if not is_expected or (isinstance(value, str) and len(value) < schema.get("minLength", 0)):
            return "literal_expected"
        is_within = isinstance(value, str) or schema["minimum"] <= value <= schema["maximum"]
        return None if is_within else "out_of_range"


def expression_schema(*json_types: str) -> JsonSchema:
    """Return the schema of an operation, ``null`` or a literal of these types."""
    return {"$ref": "#/$defs/Expression", "type": [*json_types, "null", "object"]}


VALUE = ArgumentType("any value", {"$ref": "#/$defs/Expression"})
CONDITION = ArgumentType(
    "a condition: true, false, or an operation that returns a boolean",
    expression_schema("boolean"),
    (ValueKind.BOOLEAN,),
)
TEXT = ArgumentType("a text", expression_schema("string"), (ValueKind.TEXT,))
TEXT_OR_INTEGER = ArgumentType(
    "a text or an integer", expression_schema("string", "integer"), (ValueKind.TEXT, ValueKind.INTEGER)
)
NUMBER = ArgumentType("an integer or a decimal", expression_schema("number"), (ValueKind.INTEGER, ValueKind.DECIMAL))
INTEGER = ArgumentType("an integer", expression_schema("integer"), (ValueKind.INTEGER,))
DATE = ArgumentType("a date", expression_schema(), (ValueKind.DATE,))
TIME = ArgumentType("a time of day", expression_schema(), (ValueKind.TIME,))
INSTANT = ArgumentType("an instant, such as starts_at", expression_schema(), (ValueKind.INSTANT,))
ORDERED = ArgumentType("a number, a date, a time or an instant", expression_schema("number"))
LITERAL_TEXT = ArgumentType("a text, as a literal", {"type": "string"}, is_literal=True)
NON_EMPTY_LITERAL_TEXT = ArgumentType(
    "a text of at least one character, as a literal", {"type": "string", "minLength": 1}, is_literal=True
)


def name_type(named: str) -> ArgumentType:
    """Return the type of the name of something in the document."""
    schema = {"type": "string", "pattern": "^[a-z][a-z0-9_]{0,62}$"}
    return ArgumentType(f"the name of {named}, as a literal", schema, is_literal=True)


def integer_type(description: str, minimum: int, maximum: int) -> ArgumentType:
    """Return the type of a literal integer within bounds."""
    schema = {"type": "integer", "minimum": minimum, "maximum": maximum}
    return ArgumentType(f"{description} from {minimum} to {maximum}, as a literal", schema, is_literal=True)


@dataclass(frozen=True)
class Argument:
    """One argument, or several consecutive arguments of one type."""

    name: str
    type: ArgumentType
    min_count: int = 1
    max_count: int = 1

    def __str__(self) -> str:
        if self.max_count > 1:
            return ", ".join([self.name] * self.min_count + ["…"])
        return self.name if self.min_count else f"{self.name}?"


@dataclass(frozen=True)
class Operation:
    """The name, arguments, return type and description of an operation. Only the last argument can be repeated."""

    name: str
    arguments: tuple[Argument, ...]
    returns: str
    description: str
    compile: Callable[..., Value]
    """Called with the ``OperationCall`` and its parsed arguments: values, literals, or a list if one is allowed."""

    @property
    def min_arguments(self) -> int:
        return sum(argument.min_count for argument in self.arguments)

    @property
    def max_arguments(self) -> int:
        return sum(argument.max_count for argument in self.arguments)

    def argument_type(self, index: int) -> ArgumentType:
        return self.arguments[min(index, len(self.arguments) - 1)].type
