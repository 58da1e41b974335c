"""The operations that are missing whenever an argument is: one plain function each, following the specification."""

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


def bound(number: Number | None) -> Any:
    """Return None for a result that is not finite or out of range; every comparison with NaN is false."""
    return number if number is not None and -LIMIT <= number <= LIMIT else None


def fold_numbers(step: Step) -> Callable[..., Number | None]:
    def fold(first: Number, *others: Number) -> Number | None:
        total: Number | None = first
        for other in others:
            total = None if total is None else bound(step(total, other))
        return total

    return fold


def subtract(first: Number, second: Number | None = None) -> Any:
    return bound(-first if second is None else first - second)


def divide(dividend: Number, divisor: Number) -> Any:
    return None if divisor == 0 else bound(float(dividend) / float(divisor))


def compute_remainder(dividend: int, divisor: int) -> int | None:
    if divisor == 0:
        return None
    magnitude = abs(dividend) % abs(divisor)
    return magnitude if dividend >= 0 else -magnitude


def round_number(number: Number, places: int = 0) -> Number | None:
    if isinstance(number, int):
        return number
    sign = -1.0 if number < 0 else 1.0
    power = 10.0**places
    result = bound(sign * float(math.floor(abs(number) * power + 0.5)) / power)
    return int(result) if places == 0 and result is not None else result


def get_substring(text: str, start: int, length: int | None = None) -> str:
    rest = text[start:] if start >= 0 else text[max(len(text) + start, 0) :]
    if length is None:
        return rest
    return rest[:length] if length >= 0 else rest[: max(len(rest) + length, 0)]


def trim(text: str) -> str:
    return text.strip(WHITE_SPACE)


def get_piece(text: str, separator: str, number: int) -> str | None:
    pieces = text.split(separator)
    return pieces[number - 1] if number <= len(pieces) else None


def count_minutes_between(first: datetime, second: datetime) -> int:
    whole = abs(second - first) // timedelta(minutes=1)
    return whole if second >= first else -whole


def is_ascending(first: Any, second: Any, third: Any = None) -> bool:
    return bool(first < second and (third is None or second < third))


def is_not_descending(first: Any, second: Any, third: Any = None) -> bool:
    return bool(first <= second and (third is None or second <= third))


OPERATIONS: Mapping[str, Callable[..., Any]] = {
    "+": fold_numbers(lambda first, second: first + second),
    "*": fold_numbers(lambda first, second: first * second),
    "-": subtract,
    "/": divide,
    "%": compute_remainder,
    "round": round_number,
    "floor": lambda number: bound(math.floor(number)),
    "ceil": lambda number: bound(math.ceil(number)),
    "abs": abs,
    "substr": get_substring,
    "trim": trim,
    "upper": str.upper,
    "lower": str.lower,
    "length": len,
    "split": get_piece,
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
    "minutes_between": count_minutes_between,
    "days_between": lambda first, second: (second - first).days,
}

# These are false, not missing, if an argument is missing.
COMPARISONS: Mapping[str, Callable[..., bool]] = {
    "<": is_ascending,
    "<=": is_not_descending,
    ">": lambda first, second: first > second,
    ">=": lambda first, second: first >= second,
    "in": lambda item, container: item in container,
}
