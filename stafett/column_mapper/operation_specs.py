"""The words of every operation: the published schema and the reference page are both made of these."""

from dataclasses import dataclass
from enum import StrEnum

from stafett.column_mapper.expression_parser import MAX_ARGUMENTS


class ArgumentType(StrEnum):
    """What may stand as an argument; the ones of the second half are written out, never computed."""

    VALUE = "any value"
    CONDITION = "a condition: true, false, or an operation that gives a boolean"
    TEXT = "a text"
    TEXT_OR_INTEGER = "a text or an integer"
    NUMBER = "an integer or a decimal"
    INTEGER = "an integer"
    DATE = "a date"
    TIME = "a time of day"
    INSTANT = "an instant, such as starts_at"
    ORDERED = "a number, a date, a time or an instant"

    NAME = "the name of a field or of a value, written out"
    LOOKUP = "the name of a lookup, written out"
    TAXONOMY = "the name of a taxonomy, written out"
    TRANSFORMATION = "the name of a registered transformation, written out"
    LITERAL_LIST_OR_TEXT = "a list of literals, or a text"
    LITERAL_TEXT = "a text, written out"
    NON_EMPTY_LITERAL_TEXT = "a text of at least one character, written out"
    LITERAL_DATE = "a date such as 2026-01-31, written out"
    LITERAL_TIME = "a time such as 09:30 or 09:30:15, written out"
    POSITION = "an integer from -100000 to 100000, written out"
    PIECE_NUMBER = "which piece, from 1 to 20, written out"
    DECIMAL_PLACES = "a number of places from 0 to 6, written out"


@dataclass(frozen=True)
class ArgumentSpec:
    """One argument, or several of a kind that follow one another."""

    name: str
    type: ArgumentType
    min_count: int = 1
    max_count: int = 1

    def __str__(self) -> str:
        if self.max_count > 1:
            return ", ".join([self.name] * self.min_count + ["…"])
        return self.name if self.min_count else f"{self.name}?"


@dataclass(frozen=True)
class OperationSpec:
    """What people are told of an operation."""

    name: str
    arguments: tuple[ArgumentSpec, ...]
    returns: str
    description: str

    @property
    def min_arguments(self) -> int:
        return sum(argument.min_count for argument in self.arguments)

    @property
    def max_arguments(self) -> int:
        return sum(argument.max_count for argument in self.arguments)


def _repeated(
    name: str, argument_type: ArgumentType, min_count: int, max_count: int = MAX_ARGUMENTS
) -> tuple[ArgumentSpec, ...]:
    return (ArgumentSpec(name, argument_type, min_count, max_count),)


def _optional(name: str, argument_type: ArgumentType) -> ArgumentSpec:
    return ArgumentSpec(name, argument_type, min_count=0)


_TEXT, _NUMBER = ArgumentSpec("text", ArgumentType.TEXT), ArgumentSpec("number", ArgumentType.NUMBER)
_DATE, _TIME = ArgumentSpec("date", ArgumentType.DATE), ArgumentSpec("time", ArgumentType.TIME)
_INSTANT, _CONDITION = ArgumentSpec("instant", ArgumentType.INSTANT), ArgumentSpec("condition", ArgumentType.CONDITION)
_TWO_VALUES = (ArgumentSpec("value", ArgumentType.VALUE), ArgumentSpec("value", ArgumentType.VALUE))
_TWO_ORDERED = (ArgumentSpec("a", ArgumentType.ORDERED), ArgumentSpec("b", ArgumentType.ORDERED))
_TWO_OR_THREE_ORDERED = (*_TWO_ORDERED, _optional("c", ArgumentType.ORDERED))

_LOGIC = (
    OperationSpec(
        "var",
        (ArgumentSpec("name", ArgumentType.NAME), _optional("default", ArgumentType.VALUE)),
        "the field's or value's own type",
        "The field or value of that name; the default where it is missing.",
    ),
    OperationSpec(
        "if",
        (
            _CONDITION,
            ArgumentSpec("value", ArgumentType.VALUE),
            ArgumentSpec("else if, value", ArgumentType.VALUE, 0, MAX_ARGUMENTS - 2),
        ),
        "the values' common type",
        "The value after the first condition that is true; else the last one, if it stands alone; else missing.",
    ),
    OperationSpec(
        "==", _TWO_VALUES, "boolean", "Whether both are the same; missing is the same as missing and nothing else."
    ),
    OperationSpec("!=", _TWO_VALUES, "boolean", "Whether they are not the same."),
    OperationSpec(
        "<", _TWO_OR_THREE_ORDERED, "boolean", "Whether a is less than b, and b less than c; false if one is missing."
    ),
    OperationSpec(
        "<=", _TWO_OR_THREE_ORDERED, "boolean", "Whether a is at most b, and b at most c; false if one is missing."
    ),
    OperationSpec(">", _TWO_ORDERED, "boolean", "Whether a is more than b; false if one is missing."),
    OperationSpec(">=", _TWO_ORDERED, "boolean", "Whether a is at least b; false if one is missing."),
    OperationSpec(
        "and",
        _repeated("condition", ArgumentType.CONDITION, 1),
        "boolean",
        "Whether all are true; missing is not true.",
    ),
    OperationSpec(
        "or", _repeated("condition", ArgumentType.CONDITION, 1), "boolean", "Whether one is true; missing is not true."
    ),
    OperationSpec("!", (_CONDITION,), "boolean", "Whether it is not true; so true where it is missing."),
    OperationSpec(
        "in",
        (ArgumentSpec("value", ArgumentType.VALUE), ArgumentSpec("list", ArgumentType.LITERAL_LIST_OR_TEXT)),
        "boolean",
        "Whether the value is one of up to 1000 literals; of two texts, whether the first is part of the second.",
    ),
    OperationSpec(
        "empty",
        (ArgumentSpec("value", ArgumentType.VALUE),),
        "boolean",
        "Whether it is missing, or a text of nothing but white space.",
    ),
)
_NUMBERS = (
    OperationSpec("+", _repeated("number", ArgumentType.NUMBER, 2), "integer, or decimal if one is", "The sum."),
    OperationSpec(
        "-",
        (_NUMBER, _optional("number", ArgumentType.NUMBER)),
        "integer, or decimal if one is",
        "The difference; of one number, its negative.",
    ),
    OperationSpec("*", _repeated("number", ArgumentType.NUMBER, 2), "integer, or decimal if one is", "The product."),
    OperationSpec("/", (_NUMBER, _NUMBER), "decimal", "The quotient; missing if the divisor is 0."),
    OperationSpec(
        "%",
        (ArgumentSpec("integer", ArgumentType.INTEGER), ArgumentSpec("integer", ArgumentType.INTEGER)),
        "integer",
        "What is left of the first after division, with its sign; missing if the divisor is 0.",
    ),
    OperationSpec(
        "min", _repeated("a", ArgumentType.ORDERED, 1), "as its arguments", "The least, passing over missing ones."
    ),
    OperationSpec(
        "max", _repeated("a", ArgumentType.ORDERED, 1), "as its arguments", "The greatest, passing over missing ones."
    ),
    OperationSpec(
        "round",
        (_NUMBER, _optional("places", ArgumentType.DECIMAL_PLACES)),
        "integer; decimal with places",
        "Rounded to so many places, or to a whole number; a half goes away from zero.",
    ),
    OperationSpec("floor", (_NUMBER,), "integer", "The nearest whole number that is not greater."),
    OperationSpec("ceil", (_NUMBER,), "integer", "The nearest whole number that is not less."),
    OperationSpec("abs", (_NUMBER,), "as its argument", "Without its sign."),
)
_TEXTS = (
    OperationSpec(
        "cat",
        _repeated("text", ArgumentType.TEXT_OR_INTEGER, 1),
        "text",
        "One after the other; missing ones are empty, so the result is never missing.",
    ),
    OperationSpec(
        "join",
        (
            ArgumentSpec("separator", ArgumentType.LITERAL_TEXT),
            ArgumentSpec("text", ArgumentType.TEXT, 1, MAX_ARGUMENTS - 1),
        ),
        "text",
        "One after the other with the separator between; missing and empty ones are passed over.",
    ),
    OperationSpec(
        "substr",
        (_TEXT, ArgumentSpec("start", ArgumentType.POSITION), _optional("length", ArgumentType.POSITION)),
        "text",
        "A part, from the start (0 is the first character, -1 the last); a negative length leaves so many off the end.",
    ),
    OperationSpec("trim", (_TEXT,), "text", "Without white space at both ends."),
    OperationSpec("upper", (_TEXT,), "text", "In capitals."),
    OperationSpec("lower", (_TEXT,), "text", "In small letters."),
    OperationSpec("length", (_TEXT,), "integer", "How many characters (code points) it has."),
    OperationSpec(
        "split",
        (
            _TEXT,
            ArgumentSpec("separator", ArgumentType.NON_EMPTY_LITERAL_TEXT),
            ArgumentSpec("n", ArgumentType.PIECE_NUMBER),
        ),
        "text",
        "The n-th piece of the text, cut at the separator; missing if there are fewer.",
    ),
    OperationSpec(
        "replace",
        (
            _TEXT,
            ArgumentSpec("old", ArgumentType.NON_EMPTY_LITERAL_TEXT),
            ArgumentSpec("new", ArgumentType.LITERAL_TEXT),
        ),
        "text",
        "With every occurrence of the old text replaced.",
    ),
    OperationSpec(
        "lookup",
        (_TEXT, ArgumentSpec("lookup", ArgumentType.LOOKUP), _optional("default", ArgumentType.LITERAL_TEXT)),
        "text",
        "What the lookup says for this text; the default, or missing, if it says nothing or the text is missing.",
    ),
    OperationSpec(
        "label",
        (_TEXT, ArgumentSpec("taxonomy", ArgumentType.TAXONOMY)),
        "text",
        "The label of this code in the report's language; missing if the taxonomy does not have it.",
    ),
)
_DATES = (
    OperationSpec("date", (ArgumentSpec("date", ArgumentType.LITERAL_DATE),), "date", "This date."),
    OperationSpec("time", (ArgumentSpec("time", ArgumentType.LITERAL_TIME),), "time", "This time of day."),
    OperationSpec("date_of", (_INSTANT,), "date", "Its date in Europe/Oslo."),
    OperationSpec("time_of", (_INSTANT,), "time", "Its time of day in Europe/Oslo."),
    OperationSpec("year", (_DATE,), "integer", "Its year."),
    OperationSpec("month", (_DATE,), "integer", "Its month, 1 to 12."),
    OperationSpec("day", (_DATE,), "integer", "Its day of the month, 1 to 31."),
    OperationSpec("weekday", (_DATE,), "integer", "Its day of the week: 1 is Monday, 7 is Sunday."),
    OperationSpec("week", (_DATE,), "integer", "Its week as calendars in Norway number them (ISO 8601)."),
    OperationSpec("hour", (_TIME,), "integer", "Its hour, 0 to 23."),
    OperationSpec("minute", (_TIME,), "integer", "Its minute, 0 to 59."),
    OperationSpec(
        "minutes_between",
        (_INSTANT, _INSTANT),
        "integer",
        "Whole minutes from the first to the second, the rest cut off; negative if the second is earlier.",
    ),
    OperationSpec(
        "days_between",
        (_DATE, _DATE),
        "integer",
        "Days from the first to the second; negative if the second is earlier.",
    ),
)
_DAY_WINDOWS = (
    OperationSpec(
        "day_rank",
        (_CONDITION,),
        "integer",
        "1, 2, 3 … among the same mentor's rows of the same day for which it is true; missing where it is not.",
    ),
    OperationSpec(
        "day_count", (_CONDITION,), "integer", "For how many of the same mentor's rows of the same day it is true."
    ),
)
_TRANSFORMATIONS = (
    OperationSpec(
        "transformation",
        (
            ArgumentSpec("name", ArgumentType.TRANSFORMATION),
            ArgumentSpec("its arguments", ArgumentType.VALUE, 0, MAX_ARGUMENTS - 1),
        ),
        "the transformation's type",
        "A function that is registered under this name.",
    ),
)

OPERATION_SPECS = (*_LOGIC, *_NUMBERS, *_TEXTS, *_DATES, *_DAY_WINDOWS, *_TRANSFORMATIONS)
