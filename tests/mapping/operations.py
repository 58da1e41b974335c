"""The operations that are missing whenever an argument is: one plain function each, as the specification words it."""

import math
from collections.abc import Callable, Mapping
from datetime import date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

OSLO = ZoneInfo("Europe/Oslo")
LIMIT = 9007199254740991
# The property White_Space. Python's own strip() would take U+001C to U+001F as well.
WHITE_SPACE = "\t\n\v\f\r \x85\xa0\u1680" + "".join(map(chr, range(0x2000, 0x200B))) + "\u2028\u2029\u202f\u205f\u3000"

Number = int | float
Step = Callable[[Any, Any], Any]


def bounded(number: Number | None) -> Any:
    """A result that is not finite or too far out is missing; no comparison holds for NaN."""
    return number if number is not None and -LIMIT <= number <= LIMIT else None


def folded(step: Step) -> Callable[..., Number | None]:
    def fold(first: Number, *others: Number) -> Number | None:
        total: Number | None = first
        for other in others:
            total = None if total is None else bounded(step(total, other))
        return total

    return fold


def minus(first: Number, second: Number | None = None) -> Any:
    return bounded(-first if second is None else first - second)


def divided(dividend: Number, divisor: Number) -> Any:
    return None if divisor == 0 else bounded(float(dividend) / float(divisor))


def remainder(dividend: int, divisor: int) -> int | None:
    if divisor == 0:
        return None
    left = abs(dividend) % abs(divisor)
    return left if dividend >= 0 else -left


def rounded(number: Number, places: int = 0) -> Number | None:
    if isinstance(number, int):
        return number
    sign = -1.0 if number < 0 else 1.0
    power = 10.0**places
    result = bounded(sign * float(math.floor(abs(number) * power + 0.5)) / power)
    return int(result) if places == 0 and result is not None else result


def substring(text: str, start: int, length: int | None = None) -> str:
    rest = text[start:] if start >= 0 else text[max(len(text) + start, 0) :]
    if length is None:
        return rest
    return rest[:length] if length >= 0 else rest[: max(len(rest) + length, 0)]


def trimmed(text: str) -> str:
    return text.strip(WHITE_SPACE)


def piece(text: str, separator: str, number: int) -> str | None:
    pieces = text.split(separator)
    return pieces[number - 1] if number <= len(pieces) else None


def minutes_between(first: datetime, second: datetime) -> int:
    whole = abs(second - first) // timedelta(minutes=1)
    return whole if second >= first else -whole


def ascending(first: Any, second: Any, third: Any = None) -> bool:
    return bool(first < second and (third is None or second < third))


def not_descending(first: Any, second: Any, third: Any = None) -> bool:
    return bool(first <= second and (third is None or second <= third))


OPERATIONS: Mapping[str, Callable[..., Any]] = {
    "+": folded(lambda one, other: one + other),
    "*": folded(lambda one, other: one * other),
    "-": minus,
    "/": divided,
    "%": remainder,
    "round": rounded,
    "floor": lambda number: bounded(math.floor(number)),
    "ceil": lambda number: bounded(math.ceil(number)),
    "abs": abs,
    "substr": substring,
    "trim": trimmed,
    "upper": str.upper,
    "lower": str.lower,
    "length": len,
    "split": piece,
    "replace": str.replace,
    "date": date.fromisoformat,
    "time": time.fromisoformat,
    "date_of": lambda instant: instant.astimezone(OSLO).date(),
    "time_of": lambda instant: instant.astimezone(OSLO).time(),
    "year": lambda day: day.year,
    "month": lambda day: day.month,
    "day": lambda day: day.day,
    "weekday": lambda day: day.isoweekday(),
    "week": lambda day: day.isocalendar().week,
    "hour": lambda clock: clock.hour,
    "minute": lambda clock: clock.minute,
    "minutes_between": minutes_between,
    "days_between": lambda first, second: (second - first).days,
}

# These are false, not missing, where an argument is missing.
COMPARISONS: Mapping[str, Callable[..., bool]] = {
    "<": ascending,
    "<=": not_descending,
    ">": lambda first, second: first > second,
    ">=": lambda first, second: first >= second,
    "in": lambda wanted, where: wanted in where,
}
