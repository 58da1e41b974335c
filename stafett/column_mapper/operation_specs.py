"""The words of every operation: the published schema and the reference page are both made of these."""

from dataclasses import dataclass
from enum import StrEnum

from stafett.column_mapper.expression_parser import MOST_ARGUMENTS


class Takes(StrEnum):
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
    LITERALS = "a list of literals, or a text"
    WRITTEN_TEXT = "a text, written out"
    WRITTEN_CHARACTERS = "a text of at least one character, written out"
    WRITTEN_DATE = "a date such as 2026-01-31, written out"
    WRITTEN_TIME = "a time such as 09:30 or 09:30:15, written out"
    POSITION = "an integer from -100000 to 100000, written out"
    PIECE = "which piece, from 1 to 20, written out"
    PLACES = "a number of places from 0 to 6, written out"


@dataclass(frozen=True)
class Argument:
    """One argument, or several of a kind that follow one another."""

    name: str
    takes: Takes
    least: int = 1
    most: int = 1

    def __str__(self) -> str:
        if self.most > 1:
            return ", ".join([self.name] * self.least + ["…"])
        return self.name if self.least else f"{self.name}?"


@dataclass(frozen=True)
class Operation:
    """What people are told of an operation."""

    name: str
    arguments: tuple[Argument, ...]
    gives: str
    does: str

    @property
    def least(self) -> int:
        return sum(argument.least for argument in self.arguments)

    @property
    def most(self) -> int:
        return sum(argument.most for argument in self.arguments)


def _several(name: str, takes: Takes, least: int, most: int = MOST_ARGUMENTS) -> tuple[Argument, ...]:
    return (Argument(name, takes, least, most),)


def _maybe(name: str, takes: Takes) -> Argument:
    return Argument(name, takes, least=0)


_TEXT, _NUMBER = Argument("text", Takes.TEXT), Argument("number", Takes.NUMBER)
_DATE, _TIME = Argument("date", Takes.DATE), Argument("time", Takes.TIME)
_INSTANT, _CONDITION = Argument("instant", Takes.INSTANT), Argument("condition", Takes.CONDITION)
_BOTH = (Argument("value", Takes.VALUE), Argument("value", Takes.VALUE))
_ORDERED = (Argument("a", Takes.ORDERED), Argument("b", Takes.ORDERED))
_BETWEEN = (*_ORDERED, _maybe("c", Takes.ORDERED))

_LOGIC = (
    Operation(
        "var",
        (Argument("name", Takes.NAME), _maybe("default", Takes.VALUE)),
        "the field's or value's own type",
        "The field or value of that name; the default where it is missing.",
    ),
    Operation(
        "if",
        (_CONDITION, Argument("value", Takes.VALUE), Argument("else if, value", Takes.VALUE, 0, MOST_ARGUMENTS - 2)),
        "the values' common type",
        "The value after the first condition that is true; else the last one, if it stands alone; else missing.",
    ),
    Operation("==", _BOTH, "boolean", "Whether both are the same; missing is the same as missing and nothing else."),
    Operation("!=", _BOTH, "boolean", "Whether they are not the same."),
    Operation("<", _BETWEEN, "boolean", "Whether a is less than b, and b less than c; false if one is missing."),
    Operation("<=", _BETWEEN, "boolean", "Whether a is at most b, and b at most c; false if one is missing."),
    Operation(">", _ORDERED, "boolean", "Whether a is more than b; false if one is missing."),
    Operation(">=", _ORDERED, "boolean", "Whether a is at least b; false if one is missing."),
    Operation(
        "and", _several("condition", Takes.CONDITION, 1), "boolean", "Whether all are true; missing is not true."
    ),
    Operation("or", _several("condition", Takes.CONDITION, 1), "boolean", "Whether one is true; missing is not true."),
    Operation("!", (_CONDITION,), "boolean", "Whether it is not true; so true where it is missing."),
    Operation(
        "in",
        (Argument("value", Takes.VALUE), Argument("list", Takes.LITERALS)),
        "boolean",
        "Whether the value is one of up to 1000 literals; of two texts, whether the first is part of the second.",
    ),
    Operation(
        "empty",
        (Argument("value", Takes.VALUE),),
        "boolean",
        "Whether it is missing, or a text of nothing but white space.",
    ),
)
_NUMBERS = (
    Operation("+", _several("number", Takes.NUMBER, 2), "integer, or decimal if one is", "The sum."),
    Operation(
        "-",
        (_NUMBER, _maybe("number", Takes.NUMBER)),
        "integer, or decimal if one is",
        "The difference; of one number, its negative.",
    ),
    Operation("*", _several("number", Takes.NUMBER, 2), "integer, or decimal if one is", "The product."),
    Operation("/", (_NUMBER, _NUMBER), "decimal", "The quotient; missing if the divisor is 0."),
    Operation(
        "%",
        (Argument("integer", Takes.INTEGER), Argument("integer", Takes.INTEGER)),
        "integer",
        "What is left of the first after division, with its sign; missing if the divisor is 0.",
    ),
    Operation("min", _several("a", Takes.ORDERED, 1), "as its arguments", "The least, passing over missing ones."),
    Operation("max", _several("a", Takes.ORDERED, 1), "as its arguments", "The greatest, passing over missing ones."),
    Operation(
        "round",
        (_NUMBER, _maybe("places", Takes.PLACES)),
        "integer; decimal with places",
        "Rounded to so many places, or to a whole number; a half goes away from zero.",
    ),
    Operation("floor", (_NUMBER,), "integer", "The nearest whole number that is not greater."),
    Operation("ceil", (_NUMBER,), "integer", "The nearest whole number that is not less."),
    Operation("abs", (_NUMBER,), "as its argument", "Without its sign."),
)
_TEXTS = (
    Operation(
        "cat",
        _several("text", Takes.TEXT_OR_INTEGER, 1),
        "text",
        "One after the other; missing ones are empty, so the result is never missing.",
    ),
    Operation(
        "join",
        (Argument("separator", Takes.WRITTEN_TEXT), Argument("text", Takes.TEXT, 1, MOST_ARGUMENTS - 1)),
        "text",
        "One after the other with the separator between; missing and empty ones are passed over.",
    ),
    Operation(
        "substr",
        (_TEXT, Argument("start", Takes.POSITION), _maybe("length", Takes.POSITION)),
        "text",
        "A part, from the start (0 is the first character, -1 the last); a negative length leaves so many off the end.",
    ),
    Operation("trim", (_TEXT,), "text", "Without white space at both ends."),
    Operation("upper", (_TEXT,), "text", "In capitals."),
    Operation("lower", (_TEXT,), "text", "In small letters."),
    Operation("length", (_TEXT,), "integer", "How many characters (code points) it has."),
    Operation(
        "split",
        (_TEXT, Argument("separator", Takes.WRITTEN_CHARACTERS), Argument("n", Takes.PIECE)),
        "text",
        "The n-th piece of the text, cut at the separator; missing if there are fewer.",
    ),
    Operation(
        "replace",
        (_TEXT, Argument("old", Takes.WRITTEN_CHARACTERS), Argument("new", Takes.WRITTEN_TEXT)),
        "text",
        "With every occurrence of the old text replaced.",
    ),
    Operation(
        "lookup",
        (_TEXT, Argument("lookup", Takes.LOOKUP), _maybe("default", Takes.WRITTEN_TEXT)),
        "text",
        "What the lookup says for this text; the default, or missing, if it says nothing or the text is missing.",
    ),
    Operation(
        "label",
        (_TEXT, Argument("taxonomy", Takes.TAXONOMY)),
        "text",
        "The label of this code in the report's language; missing if the taxonomy does not have it.",
    ),
)
_DATES = (
    Operation("date", (Argument("date", Takes.WRITTEN_DATE),), "date", "This date."),
    Operation("time", (Argument("time", Takes.WRITTEN_TIME),), "time", "This time of day."),
    Operation("date_of", (_INSTANT,), "date", "Its date in Europe/Oslo."),
    Operation("time_of", (_INSTANT,), "time", "Its time of day in Europe/Oslo."),
    Operation("year", (_DATE,), "integer", "Its year."),
    Operation("month", (_DATE,), "integer", "Its month, 1 to 12."),
    Operation("day", (_DATE,), "integer", "Its day of the month, 1 to 31."),
    Operation("weekday", (_DATE,), "integer", "Its day of the week: 1 is Monday, 7 is Sunday."),
    Operation("week", (_DATE,), "integer", "Its week as calendars in Norway number them (ISO 8601)."),
    Operation("hour", (_TIME,), "integer", "Its hour, 0 to 23."),
    Operation("minute", (_TIME,), "integer", "Its minute, 0 to 59."),
    Operation(
        "minutes_between",
        (_INSTANT, _INSTANT),
        "integer",
        "Whole minutes from the first to the second, the rest cut off; negative if the second is earlier.",
    ),
    Operation(
        "days_between",
        (_DATE, _DATE),
        "integer",
        "Days from the first to the second; negative if the second is earlier.",
    ),
)
_DAYS = (
    Operation(
        "day_rank",
        (_CONDITION,),
        "integer",
        "1, 2, 3 … among the same mentor's rows of the same day for which it is true; missing where it is not.",
    ),
    Operation(
        "day_count", (_CONDITION,), "integer", "For how many of the same mentor's rows of the same day it is true."
    ),
)
_OWN = (
    Operation(
        "transformation",
        (
            Argument("name", Takes.TRANSFORMATION),
            Argument("its arguments", Takes.VALUE, 0, MOST_ARGUMENTS - 1),
        ),
        "the transformation's type",
        "A function that is registered under this name.",
    ),
)

VOCABULARY = (*_LOGIC, *_NUMBERS, *_TEXTS, *_DATES, *_DAYS, *_OWN)
