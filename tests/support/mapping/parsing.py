"""Evaluates the expressions of a document, one row and one operation at a time."""

from collections.abc import Callable
from typing import Any

from tests.support.mapping.operations import COMPARISONS, OPERATIONS, trim

Row = dict[str, Any]
Document = dict[str, Any]


def arguments_of(operands: Any) -> list[Any]:
    return operands if isinstance(operands, list) else [operands]


def is_empty(value: Any) -> bool:
    return value is None or (isinstance(value, str) and trim(value) == "")


def apply_operation(operation: str, values: list[Any]) -> Any:  # noqa: PLR0911 - the specification's table
    """Apply an operation whose result depends only on the values of its arguments."""
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


class RowEvaluator:
    """Evaluates a document in one locale for the rows of one pass, in report order."""

    def __init__(self, document: Document, rows: list[Row], locale: str) -> None:
        self.rows = rows
        self._document = document
        self._locale = locale
        self._values: dict[tuple[int, int], Any] = {}
        self._decimals: dict[int, bool] = {}

    def value(self, expression: Any, index: int) -> Any:
        """Return the expression's value in the row with this index."""
        if not isinstance(expression, dict):
            whole = isinstance(expression, float) and expression.is_integer()
            return int(expression) if whole else expression
        key = (id(expression), index)
        if key not in self._values:
            ((operation, operands),) = expression.items()
            result = self._compute(operation, arguments_of(operands), index)
            as_decimal = type(result) is int and self.is_decimal(expression)
            self._values[key] = float(result) if as_decimal else result
        return self._values[key]

    def is_true(self, expression: Any, index: int) -> bool:
        return self.value(expression, index) is True

    def reason(self, index: int) -> Any:
        """Return the first reason why the row does not count."""
        reasons = self._document["counting"]["reasons"]
        return next((reason for reason in reasons if self.is_true(reason["when"], index)), None)

    def label(self, taxonomy: str, code: str | None) -> str | None:
        entries = self._document["taxonomies"][taxonomy]
        return next((entry["label"][self._locale] for entry in entries if entry["code"] == code), None)

    def _compute(self, operation: str, arguments: list[Any], index: int) -> Any:  # noqa: PLR0911 - the specification's table
        match operation:
            case "var":
                return self._resolve_variable(arguments, index)
            case "if":
                return self._choose(arguments, index)
            case "and":
                return all(self.is_true(argument, index) for argument in arguments)
            case "or":
                return any(self.is_true(argument, index) for argument in arguments)
            case "!":
                return not self.is_true(arguments[0], index)
            case "day_rank" | "day_count":
                return self._count_or_rank(self._count_true_today, operation, arguments[0], index)
            case "event_rank" | "event_count":
                return self._count_or_rank(self._count_true_at_event, operation, arguments[0], index)
            case "in" if isinstance(arguments[1], list):
                return self.value(arguments[0], index) in arguments[1]
            case "lookup" | "label":
                return self._look_up(operation, *(self.value(argument, index) for argument in arguments))
            case _:
                return apply_operation(operation, [self.value(argument, index) for argument in arguments])

    def _look_up(self, operation: str, text: str | None, table: str, default: str | None = None) -> str | None:
        if operation == "label":
            return self.label(table, text)
        value: str | None = self._document["lookups"][table].get(text, default)
        return value

    def _resolve_variable(self, arguments: list[Any], index: int) -> Any:
        value = self._resolve_name(arguments[0], index)
        return self.value(arguments[1], index) if value is None and len(arguments) > 1 else value

    def _resolve_name(self, name: str, index: int) -> Any:
        reason = self.reason(index) if name in {"counts", "reason_code", "reason"} else None
        match name:
            case "counts":
                return reason is None
            case "reason_code":
                return reason and reason["code"]
            case "reason":
                return reason and reason["label"][self._locale]
            case _:
                row = self.rows[index]
                return row[name] if name in row else self.value(self._document["values"][name], index)

    def _choose(self, arguments: list[Any], index: int) -> Any:
        for condition, value in zip(arguments[::2], arguments[1::2], strict=False):
            if self.is_true(condition, index):
                return self.value(value, index)
        return self.value(arguments[-1], index) if len(arguments) % 2 else None

    def _count_or_rank(
        self, count_true: Callable[[Any, int, list[Row]], int], operation: str, condition: Any, index: int
    ) -> int | None:
        """Count the rows of a window for which the condition is true, for a rank those up to this row, if it is one."""
        if operation.endswith("count"):
            return count_true(condition, index, self.rows)
        return count_true(condition, index, self.rows[: index + 1]) if self.is_true(condition, index) else None

    def _count_true_today(self, condition: Any, index: int, rows: list[Row]) -> int:
        """Count the rows of the same mentor and day for which the condition is true."""
        mine = self.rows[index]
        return sum(
            (row["mentor_id"], row["oslo_day"]) == (mine["mentor_id"], mine["oslo_day"])
            and self.is_true(condition, position)
            for position, row in enumerate(rows)
        )

    def _count_true_at_event(self, condition: Any, index: int, rows: list[Row]) -> int:
        """Count the rows of the same event and day for which the condition is true; no event is one of its own."""
        mine = self.rows[index]
        return sum(
            row is mine
            if mine["event_id"] is None
            else (row["event_id"], row["oslo_day"]) == (mine["event_id"], mine["oslo_day"])
            for position, row in enumerate(rows)
            if self.is_true(condition, position)
        )

    def is_decimal(self, expression: Any) -> bool:
        """Return whether the expression is a decimal in every row, so that its whole numbers are decimals too."""
        key = id(expression)
        if key not in self._decimals:
            self._decimals[key] = any(map(self._is_decimal_part, self._numeric_parts(expression)))
        return self._decimals[key]

    def _is_decimal_part(self, part: Any) -> bool:
        return self.is_decimal(part) if isinstance(part, dict) else isinstance(part, float) and not part.is_integer()

    def _numeric_parts(self, expression: Any) -> list[Any]:
        """Return the parts that make the expression a decimal if one of them is."""
        ((operation, operands),) = expression.items()
        arguments = arguments_of(operands)
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
