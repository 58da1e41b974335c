"""What a document says of each row of a pass: expressions read one row and one operation at a time."""

from typing import Any

from tests.mapping.operations import COMPARISONS, OPERATIONS, trimmed

Row = dict[str, Any]
Document = dict[str, Any]


def arguments_of(given: Any) -> list[Any]:
    return given if isinstance(given, list) else [given]


def is_empty(value: Any) -> bool:
    return value is None or (isinstance(value, str) and trimmed(value) == "")


def of_values(operation: str, values: list[Any]) -> Any:  # noqa: PLR0911 - the specification's table
    """What only depends on the arguments' values."""
    present = [value for value in values if value is not None]
    match operation:
        case "==" | "!=":
            return (values[0] == values[1]) == (operation == "==")
        case "min":
            return min(present, default=None)
        case "max":
            return max(present, default=None)
        case "cat":
            return "".join(map(str, present))
        case "join":
            return values[0].join(text for text in present[1:] if text != "")
        case "empty":
            return is_empty(values[0])
        case "<" | "<=" | ">" | ">=" | "in":
            return len(present) == len(values) and COMPARISONS[operation](*values)
        case _:
            return OPERATIONS[operation](*values) if len(present) == len(values) else None


class Reading:
    """The rows of one pass, in report order, as a document in one locale sees them."""

    def __init__(self, document: Document, rows: list[Row], locale: str) -> None:
        self.rows = rows
        self._document = document
        self._locale = locale
        self._values: dict[tuple[int, int], Any] = {}
        self._decimals: dict[int, bool] = {}

    def value(self, expression: Any, at: int) -> Any:
        """The expression's value in the row of this number."""
        if not isinstance(expression, dict):
            whole = isinstance(expression, float) and expression.is_integer()
            return int(expression) if whole else expression
        key = (id(expression), at)
        if key not in self._values:
            ((operation, given),) = expression.items()
            found = self._computed(operation, arguments_of(given), at)
            as_decimal = type(found) is int and self.is_decimal(expression)
            self._values[key] = float(found) if as_decimal else found
        return self._values[key]

    def is_true(self, expression: Any, at: int) -> bool:
        return self.value(expression, at) is True

    def reason(self, at: int) -> Any:
        """The first reason why the row does not count."""
        reasons = self._document["counting"]["reasons"]
        return next((reason for reason in reasons if self.is_true(reason["when"], at)), None)

    def label(self, taxonomy: str, code: str | None) -> str | None:
        entries = self._document["taxonomies"][taxonomy]
        return next((entry["label"][self._locale] for entry in entries if entry["code"] == code), None)

    def _computed(self, operation: str, arguments: list[Any], at: int) -> Any:  # noqa: PLR0911 - the specification's table
        match operation:
            case "var":
                return self._variable(arguments, at)
            case "if":
                return self._chosen(arguments, at)
            case "and":
                return all(self.is_true(argument, at) for argument in arguments)
            case "or":
                return any(self.is_true(argument, at) for argument in arguments)
            case "!":
                return not self.is_true(arguments[0], at)
            case "day_rank":
                before = self._true_today(arguments[0], at, self.rows[: at + 1])
                return before if self.is_true(arguments[0], at) else None
            case "day_count":
                return self._true_today(arguments[0], at, self.rows)
            case "in" if isinstance(arguments[1], list):
                return self.value(arguments[0], at) in arguments[1]
            case "lookup" | "label":
                return self._found(operation, *(self.value(argument, at) for argument in arguments))
            case _:
                return of_values(operation, [self.value(argument, at) for argument in arguments])

    def _found(self, operation: str, text: str | None, where: str, default: str | None = None) -> str | None:
        if operation == "label":
            return self.label(where, text)
        found: str | None = self._document["lookups"][where].get(text, default)
        return found

    def _variable(self, arguments: list[Any], at: int) -> Any:
        value = self._named(arguments[0], at)
        return self.value(arguments[1], at) if value is None and len(arguments) > 1 else value

    def _named(self, name: str, at: int) -> Any:
        reason = self.reason(at) if name in {"counts", "reason_code", "reason"} else None
        match name:
            case "counts":
                return reason is None
            case "reason_code":
                return reason and reason["code"]
            case "reason":
                return reason and reason["label"][self._locale]
            case _:
                row = self.rows[at]
                return row[name] if name in row else self.value(self._document["values"][name], at)

    def _chosen(self, arguments: list[Any], at: int) -> Any:
        for condition, value in zip(arguments[::2], arguments[1::2], strict=False):
            if self.is_true(condition, at):
                return self.value(value, at)
        return self.value(arguments[-1], at) if len(arguments) % 2 else None

    def _true_today(self, condition: Any, at: int, rows: list[Row]) -> int:
        """For how many of these, of the same mentor and the same day, the condition is true."""
        mine = self.rows[at]
        return sum(
            (row["mentor_id"], row["oslo_day"]) == (mine["mentor_id"], mine["oslo_day"])
            and self.is_true(condition, place)
            for place, row in enumerate(rows)
        )

    def is_decimal(self, expression: Any) -> bool:
        """Whether it is a decimal in every row, so that its whole numbers are decimals too."""
        key = id(expression)
        if key not in self._decimals:
            self._decimals[key] = any(map(self._makes_decimal, self._numbers_in(expression)))
        return self._decimals[key]

    def _makes_decimal(self, part: Any) -> bool:
        return self.is_decimal(part) if isinstance(part, dict) else isinstance(part, float) and not part.is_integer()

    def _numbers_in(self, expression: Any) -> list[Any]:
        """The parts whose being a decimal makes it one."""
        ((operation, given),) = expression.items()
        arguments = arguments_of(given)
        match operation:
            case "/":
                return [0.5]
            case "+" | "-" | "*" | "min" | "max" | "abs":
                return arguments
            case "if":
                return arguments[1::2] + (arguments[-1:] if len(arguments) % 2 else [])
            case "round":
                return arguments[:1] if len(arguments) > 1 and arguments[1] > 0 else []
            case "var":
                derived = self._document.get("values", {}).get(arguments[0])
                return [derived, *arguments[1:]]
            case _:
                return []
