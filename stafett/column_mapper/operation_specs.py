"""The signatures and descriptions of all operations, for the published schema and docs/mapping.md."""

from dataclasses import dataclass
from enum import StrEnum

from stafett.column_mapper.expression_parser import MAX_ARGUMENTS


class ArgumentType(StrEnum):
    """The types of arguments, by the text that describes them. Those of the second group are literals."""

    VALUE = "any value"
    CONDITION = "a condition: true, false, or an operation that returns a boolean"
    TEXT = "a text"
    TEXT_OR_INTEGER = "a text or an integer"
    NUMBER = "an integer or a decimal"
    INTEGER = "an integer"
    DATE = "a date"
    TIME = "a time of day"
    INSTANT = "an instant, such as starts_at"
    ORDERED = "a number, a date, a time or an instant"

    NAME = "the name of a field or value, as a literal"
    LOOKUP = "the name of a lookup, as a literal"
    TAXONOMY = "the name of a taxonomy, as a literal"
    TRANSFORMATION = "the name of a registered transformation, as a literal"
    LITERAL_LIST_OR_TEXT = "a list of literals, or a text"
    LITERAL_TEXT = "a text, as a literal"
    NON_EMPTY_LITERAL_TEXT = "a text of at least one character, as a literal"
    LITERAL_DATE = "a date such as 2026-01-31, as a literal"
    LITERAL_TIME = "a time such as 09:30 or 09:30:15, as a literal"
    POSITION = "an integer from -100000 to 100000, as a literal"
    PIECE_NUMBER = "the number of the piece, from 1 to 20, as a literal"
    DECIMAL_PLACES = "a number of decimal places from 0 to 6, as a literal"


@dataclass(frozen=True)
class ArgumentSpec:
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
class OperationSpec:
    """The name, arguments, return type and description of an operation."""

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


def _repeated_argument(
    name: str, argument_type: ArgumentType, min_count: int, max_count: int = MAX_ARGUMENTS
) -> tuple[ArgumentSpec, ...]:
    return (ArgumentSpec(name, argument_type, min_count, max_count),)


def _optional_argument(name: str, argument_type: ArgumentType) -> ArgumentSpec:
    return ArgumentSpec(name, argument_type, min_count=0)


_TEXT, _NUMBER = ArgumentSpec("text", ArgumentType.TEXT), ArgumentSpec("number", ArgumentType.NUMBER)
_DATE, _TIME = ArgumentSpec("date", ArgumentType.DATE), ArgumentSpec("time", ArgumentType.TIME)
_INSTANT, _CONDITION = ArgumentSpec("instant", ArgumentType.INSTANT), ArgumentSpec("condition", ArgumentType.CONDITION)
_TWO_VALUES = (ArgumentSpec("value", ArgumentType.VALUE), ArgumentSpec("value", ArgumentType.VALUE))
_TWO_ORDERED = (ArgumentSpec("a", ArgumentType.ORDERED), ArgumentSpec("b", ArgumentType.ORDERED))
_TWO_OR_THREE_ORDERED = (*_TWO_ORDERED, _optional_argument("c", ArgumentType.ORDERED))

_LOGIC = (
    OperationSpec(
        "var",
        (ArgumentSpec("name", ArgumentType.NAME), _optional_argument("default", ArgumentType.VALUE)),
        "the type of the field or value",
        "The field or value of that name, or the default where it is missing.",
    ),
    OperationSpec(
        "if",
        (
            _CONDITION,
            ArgumentSpec("value", ArgumentType.VALUE),
            ArgumentSpec("else if, value", ArgumentType.VALUE, 0, MAX_ARGUMENTS - 2),
        ),
        "the common type of the values",
        "The value after the first true condition; otherwise the last argument, if it has no condition, else missing.",
    ),
    OperationSpec(
        "==", _TWO_VALUES, "boolean", "Whether both are equal. A missing value equals only another missing value."
    ),
    OperationSpec("!=", _TWO_VALUES, "boolean", "Whether they are not equal."),
    OperationSpec(
        "<", _TWO_OR_THREE_ORDERED, "boolean", "Whether a is less than b, and b less than c. False if one is missing."
    ),
    OperationSpec(
        "<=", _TWO_OR_THREE_ORDERED, "boolean", "Whether a is at most b, and b at most c. False if one is missing."
    ),
    OperationSpec(">", _TWO_ORDERED, "boolean", "Whether a is greater than b. False if one is missing."),
    OperationSpec(">=", _TWO_ORDERED, "boolean", "Whether a is at least b. False if one is missing."),
    OperationSpec(
        "and",
        _repeated_argument("condition", ArgumentType.CONDITION, 1),
        "boolean",
        "Whether all are true. A missing condition is not true.",
    ),
    OperationSpec(
        "or",
        _repeated_argument("condition", ArgumentType.CONDITION, 1),
        "boolean",
        "Whether at least one is true. A missing condition is not true.",
    ),
    OperationSpec("!", (_CONDITION,), "boolean", "Whether the condition is not true. True where it is missing."),
    OperationSpec(
        "in",
        (ArgumentSpec("value", ArgumentType.VALUE), ArgumentSpec("list", ArgumentType.LITERAL_LIST_OR_TEXT)),
        "boolean",
        "Whether the value is one of up to 1000 literals. With two texts, whether the second contains the first.",
    ),
    OperationSpec(
        "empty",
        (ArgumentSpec("value", ArgumentType.VALUE),),
        "boolean",
        "Whether the value is missing, or a text of white space only.",
    ),
)
_NUMBERS = (
    OperationSpec(
        "+", _repeated_argument("number", ArgumentType.NUMBER, 2), "integer; decimal if one is a decimal", "The sum."
    ),
    OperationSpec(
        "-",
        (_NUMBER, _optional_argument("number", ArgumentType.NUMBER)),
        "integer; decimal if one is a decimal",
        "The difference. With one number, its negative.",
    ),
    OperationSpec(
        "*",
        _repeated_argument("number", ArgumentType.NUMBER, 2),
        "integer; decimal if one is a decimal",
        "The product.",
    ),
    OperationSpec("/", (_NUMBER, _NUMBER), "decimal", "The quotient. Missing if the divisor is 0."),
    OperationSpec(
        "%",
        (ArgumentSpec("integer", ArgumentType.INTEGER), ArgumentSpec("integer", ArgumentType.INTEGER)),
        "integer",
        "The remainder of the division, with the sign of the first integer. Missing if the divisor is 0.",
    ),
    OperationSpec(
        "min",
        _repeated_argument("a", ArgumentType.ORDERED, 1),
        "the type of its arguments",
        "The smallest argument. Missing arguments are ignored.",
    ),
    OperationSpec(
        "max",
        _repeated_argument("a", ArgumentType.ORDERED, 1),
        "the type of its arguments",
        "The largest argument. Missing arguments are ignored.",
    ),
    OperationSpec(
        "round",
        (_NUMBER, _optional_argument("places", ArgumentType.DECIMAL_PLACES)),
        "integer; decimal if places are given",
        "The number rounded to that many decimal places, or to an integer. Ties get the larger absolute value.",
    ),
    OperationSpec("floor", (_NUMBER,), "integer", "The largest integer that is not greater than the number."),
    OperationSpec("ceil", (_NUMBER,), "integer", "The smallest integer that is not less than the number."),
    OperationSpec("abs", (_NUMBER,), "the type of its argument", "The absolute value."),
)
_TEXTS = (
    OperationSpec(
        "cat",
        _repeated_argument("text", ArgumentType.TEXT_OR_INTEGER, 1),
        "text",
        "The texts concatenated. A missing text counts as empty, so the result is never missing.",
    ),
    OperationSpec(
        "join",
        (
            ArgumentSpec("separator", ArgumentType.LITERAL_TEXT),
            ArgumentSpec("text", ArgumentType.TEXT, 1, MAX_ARGUMENTS - 1),
        ),
        "text",
        "The texts joined by the separator. Missing and empty texts are left out.",
    ),
    OperationSpec(
        "substr",
        (_TEXT, ArgumentSpec("start", ArgumentType.POSITION), _optional_argument("length", ArgumentType.POSITION)),
        "text",
        "The part from the start (0 is the first character, -1 the last). A negative length omits the last characters.",
    ),
    OperationSpec("trim", (_TEXT,), "text", "The text without leading and trailing white space."),
    OperationSpec("upper", (_TEXT,), "text", "The text in upper case."),
    OperationSpec("lower", (_TEXT,), "text", "The text in lower case."),
    OperationSpec("length", (_TEXT,), "integer", "The number of characters (code points)."),
    OperationSpec(
        "split",
        (
            _TEXT,
            ArgumentSpec("separator", ArgumentType.NON_EMPTY_LITERAL_TEXT),
            ArgumentSpec("n", ArgumentType.PIECE_NUMBER),
        ),
        "text",
        "The n-th piece of the text, split at the separator. Missing if there are fewer pieces.",
    ),
    OperationSpec(
        "replace",
        (
            _TEXT,
            ArgumentSpec("old", ArgumentType.NON_EMPTY_LITERAL_TEXT),
            ArgumentSpec("new", ArgumentType.LITERAL_TEXT),
        ),
        "text",
        "The text with every occurrence of the old text replaced by the new one.",
    ),
    OperationSpec(
        "lookup",
        (_TEXT, ArgumentSpec("lookup", ArgumentType.LOOKUP), _optional_argument("default", ArgumentType.LITERAL_TEXT)),
        "text",
        "The lookup's value for this text. The default, else missing, if there is none or the text is missing.",
    ),
    OperationSpec(
        "label",
        (_TEXT, ArgumentSpec("taxonomy", ArgumentType.TAXONOMY)),
        "text",
        "The label of this code in the report's language. Missing if the taxonomy does not have the code.",
    ),
)
_DATES = (
    OperationSpec("date", (ArgumentSpec("date", ArgumentType.LITERAL_DATE),), "date", "The date."),
    OperationSpec("time", (ArgumentSpec("time", ArgumentType.LITERAL_TIME),), "time", "The time of day."),
    OperationSpec("date_of", (_INSTANT,), "date", "The date in Europe/Oslo."),
    OperationSpec("time_of", (_INSTANT,), "time", "The time of day in Europe/Oslo."),
    OperationSpec("year", (_DATE,), "integer", "The year."),
    OperationSpec("month", (_DATE,), "integer", "The month, 1 to 12."),
    OperationSpec("day", (_DATE,), "integer", "The day of the month, 1 to 31."),
    OperationSpec("weekday", (_DATE,), "integer", "The day of the week: 1 is Monday, 7 is Sunday."),
    OperationSpec("week", (_DATE,), "integer", "The week number (ISO 8601), as in Norwegian calendars."),
    OperationSpec("hour", (_TIME,), "integer", "The hour, 0 to 23."),
    OperationSpec("minute", (_TIME,), "integer", "The minute, 0 to 59."),
    OperationSpec(
        "minutes_between",
        (_INSTANT, _INSTANT),
        "integer",
        "Whole minutes from the first to the second, truncated. Negative if the second is earlier.",
    ),
    OperationSpec(
        "days_between",
        (_DATE, _DATE),
        "integer",
        "Days from the first to the second. Negative if the second is earlier.",
    ),
)
_DAY_WINDOWS = (
    OperationSpec(
        "day_rank",
        (_CONDITION,),
        "integer",
        "1, 2, 3 … for the rows of the same mentor and day where the condition is true. Missing where it is not true.",
    ),
    OperationSpec(
        "day_count",
        (_CONDITION,),
        "integer",
        "The number of rows of the same mentor and day where the condition is true.",
    ),
)
_TRANSFORMATIONS = (
    OperationSpec(
        "transformation",
        (
            ArgumentSpec("name", ArgumentType.TRANSFORMATION),
            ArgumentSpec("its arguments", ArgumentType.VALUE, 0, MAX_ARGUMENTS - 1),
        ),
        "the return type of the transformation",
        "The function that is registered under this name, applied to the arguments.",
    ),
)

OPERATION_SPECS = (*_LOGIC, *_NUMBERS, *_TEXTS, *_DATES, *_DAY_WINDOWS, *_TRANSFORMATIONS)
