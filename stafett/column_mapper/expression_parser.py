"""Parses expressions from JSON to typed Polars expressions, and collects every issue."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from stafett.column_mapper.issues import ExpressionError, MappingIssue, quote_name, suggest_name
from stafett.column_mapper.localized import MAX_TEXT_LENGTH
from stafett.column_mapper.operation import Operation
from stafett.column_mapper.scope import Scope
from stafett.column_mapper.values import INVALID_VALUE, Value, ValueKind, common_kind, literal_value
from stafett.domain.json_pointer import PathSegment, format_pointer

MAX_TEXT_UNITS, _MAX_COST = 50.0, 3000.0
"""The maximum length of a computed text, and of the arguments and text lengths of a document in all."""

MAX_TEXT_BYTES = 1024 * 1024


class ExpressionParser:
    """Parser for the expressions of one document; an invalid one becomes ``INVALID_VALUE`` and parsing continues."""

    def __init__(self, scope: Scope, operations: Mapping[str, Operation], issues: list[MappingIssue]) -> None:
        self.scope = scope
        self._operations = operations
        self._issues = issues
        self._cost = 0.0

    def parse(self, expression: Any, *path: PathSegment) -> Value:
        try:
            return self.scope.limit_depth(self._parse_value(expression, path))
        except ExpressionError as error:
            self._issues.append(
                MappingIssue(pointer=format_pointer(*path, *error.relative_path), code=error.code, detail=error.detail)
            )
            return INVALID_VALUE

    def parse_as(self, kinds: Sequence[ValueKind], expression: Any, *path: PathSegment) -> Value:
        """Parse an expression that must have one of these types."""
        return self.convert(self.parse(expression, *path), kinds, *path)

    def convert(self, value: Value, kinds: Sequence[ValueKind], *path: PathSegment) -> Value:
        """Cast a parsed value to the first of these types that it converts to."""
        if value.kind is ValueKind.INVALID:
            return value
        target = next((kind for kind in kinds if common_kind(value.kind, kind) is kind), None)
        if target is None:
            expected, hint = _format_alternatives(kinds), _conversion_hint(value.kind, kinds)
            detail = f"Expected {expected}, found {with_article(value.kind)}.{hint}"
            self._issues.append(MappingIssue(pointer=format_pointer(*path), code="wrong_type", detail=detail))
            return INVALID_VALUE
        return value.cast_to(target)

    def _parse_value(self, expression: Any, path: tuple[PathSegment, ...]) -> Value:
        match expression:
            case dict():
                return self._parse_operation(expression, path)
            case list():
                raise ExpressionError("unexpected_list", "A list is only allowed as the arguments of an operation.")
            case str() if len(expression) > MAX_TEXT_LENGTH:
                raise ExpressionError("too_long", f"A text has at most {MAX_TEXT_LENGTH} characters.")
            case _:
                return literal_value(expression)

    def _parse_operation(self, expression: dict[str, Any], path: tuple[PathSegment, ...]) -> Value:
        if len(expression) != 1:
            raise ExpressionError(
                "not_an_operation", 'Expected an object with one operation, such as {"var": "place"}.'
            )
        ((name, arguments),) = expression.items()
        operation = self._operations.get(name)
        if operation is None:
            suggestion = suggest_name(name, self._operations)
            raise ExpressionError("unknown_operation", f"There is no operation {quote_name(name)}.{suggestion}")
        call = OperationCall(self, operation, arguments, (*path, name))
        result = call.compile()
        if call.is_invalid:
            return INVALID_VALUE
        if result.size.text_units > MAX_TEXT_UNITS:
            raise ExpressionError("too_long", "This text could become more than 50 times as long as the longest field.")
        if result.size.max_bytes > MAX_TEXT_BYTES:
            raise ExpressionError("too_long", f"This text could become longer than {MAX_TEXT_BYTES // 1024} KiB.")
        self._add_cost(len(call.arguments) + result.size.text_units)
        return replace(result, depth=result.depth + 1).fold_constant()

    def _add_cost(self, cost: float) -> None:
        """Add to the document's cost, and raise the first time that it exceeds the maximum.

        Later operations do not raise, so that one expensive document causes one issue.
        """
        was_within_maximum, self._cost = self._cost <= _MAX_COST, self._cost + cost
        if was_within_maximum and self._cost > _MAX_COST:
            raise ExpressionError(
                "too_much", "The document is too complex from here on: use fewer operations or shorter texts."
            )


class OperationCall:
    """One use of an operation; parses its arguments as the operation requires."""

    def __init__(
        self, parser: ExpressionParser, operation: Operation, arguments: Any, path: tuple[PathSegment, ...]
    ) -> None:
        self.scope = parser.scope
        self._is_list = isinstance(arguments, list)
        self.arguments: list[Any] = arguments if self._is_list else [arguments]
        self.is_invalid = False
        self._parser = parser
        self._operation = operation
        self._path = path

    def compile(self) -> Value:
        """Parse the arguments, and compile the operation with them."""
        self.check_argument_count(self._operation.min_arguments, self._operation.max_arguments)
        arguments = [self._parse_argument(index, argument) for index, argument in enumerate(self.arguments)]
        return self._operation.compile(self, *arguments)

    def check_argument_count(self, min_count: int, max_count: int) -> None:
        if not min_count <= len(self.arguments) <= max_count:
            expected = f"{min_count}" if min_count == max_count else f"{min_count} to {max_count}"
            arguments = "argument" if max_count == 1 else "arguments"
            raise self.error("wrong_arguments", f"Expected {expected} {arguments}, found {len(self.arguments)}.")

    def _parse_argument(self, index: int, argument: Any) -> Any:
        expected = self._operation.argument_type(index)
        if expected.is_literal:
            if code := expected.find_literal_issue(argument):
                raise self.error(code, f"Expected {expected.description}.", index)
            return argument
        if expected.allows_list and isinstance(argument, list):
            return argument
        value = self._parser.parse(argument, *self._path, *self._argument_path(index))
        return self.convert(index, value, *(expected.kinds or [value.kind]))

    def convert(self, index: int, value: Value, *kinds: ValueKind) -> Value:
        """Cast the value of an argument to the first of these types that it converts to."""
        converted = self._parser.convert(value, kinds, *self._path, *self._argument_path(index))
        self.is_invalid |= converted.kind is ValueKind.INVALID
        return converted

    def to_common_kind(
        self,
        values: Sequence[Value],
        kinds: frozenset[ValueKind] | None = None,
        *,
        indices: Sequence[int] | None = None,
    ) -> list[Value]:
        """Cast values to one type that all of them convert to.

        ``indices`` are the positions of the values among the arguments, for the location of an issue.
        """
        common = ValueKind.NULL
        for index, value in zip(indices or range(len(values)), values, strict=True):
            widened = common_kind(common, value.kind)
            if widened is None:
                raise self.error(
                    "types_differ",
                    f"{with_article(value.kind).capitalize()} cannot be combined with {with_article(common)}.",
                    index,
                )
            if kinds and widened not in kinds | {ValueKind.NULL, ValueKind.INVALID}:
                raise self.error(
                    "wrong_type", f"Expected {_format_alternatives(kinds)}, found {with_article(widened)}.", index
                )
            common = widened
        return [value.cast_to(common) for value in values]

    def error(self, code: str, detail: str, index: int | None = None, *subpath: PathSegment) -> ExpressionError:
        argument_path = [] if index is None else [*self._argument_path(index), *subpath]
        return ExpressionError(code, detail, self._path[-1], *argument_path)

    def _argument_path(self, index: int) -> Iterator[PathSegment]:
        if self._is_list:
            yield index


_NAMES_WITH_ARTICLE: dict[str, str] = {
    ValueKind.INTEGER: "an integer",
    ValueKind.INSTANT: "an instant",
    ValueKind.NULL: "null",
}


def _format_alternatives(kinds: Iterable[ValueKind]) -> str:
    *others, last = (with_article(kind) for kind in ValueKind if kind in set(kinds))
    return f"{', '.join(others)} or {last}" if others else last


def with_article(kind: str) -> str:
    return _NAMES_WITH_ARTICLE.get(kind, f"a {kind}")


def _conversion_hint(actual: ValueKind, expected: Sequence[ValueKind]) -> str:
    match actual, expected[0]:
        case ValueKind.INSTANT, ValueKind.DATE:
            return " Use “date_of” to get its date."
        case ValueKind.INSTANT, ValueKind.TIME:
            return " Use “time_of” to get its time of day."
        case ValueKind.DECIMAL, ValueKind.INTEGER:
            return " Use “round”, “floor” or “ceil” to get an integer."
        case ValueKind.TEXT, ValueKind.DATE:
            return ' Write a date as {"date": "2026-01-31"}.'
        case ValueKind.TEXT, ValueKind.TIME:
            return ' Write a time as {"time": "09:30"}.'
        case _:
            return ""
