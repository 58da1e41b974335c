"""Reads expressions: from JSON to Polars, every part of known type, every fault found."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any

from stafett.column_mapper.issues import ExpressionError, MappingIssue, quote_name
from stafett.column_mapper.localized import MAX_TEXT_LENGTH
from stafett.column_mapper.scope import Scope
from stafett.column_mapper.values import INVALID_VALUE, Value, ValueKind, common_kind, literal_value
from stafett.domain.json_pointer import PathSegment, format_pointer

MAX_ARGUMENTS = 50
MAX_TEXT_UNITS, _MAX_COST = 50.0, 3000.0

OperationHandler = Callable[["OperationCall"], Value]


class ExpressionParser:
    """Reads the expressions of one document; what is faulty becomes UNKNOWN, and the reading goes on."""

    def __init__(self, scope: Scope, operations: dict[str, OperationHandler], issues: list[MappingIssue]) -> None:
        self.scope = scope
        self._operations = operations
        self._issues = issues
        self._cost = 0.0

    def parse(self, expression: Any, *path: PathSegment) -> Value:
        try:
            return self.scope.limit_depth(self._parse_value(expression, path))
        except ExpressionError as refused:
            self._issues.append(
                MappingIssue(
                    pointer=format_pointer(*path, *refused.relative_path), code=refused.code, detail=refused.detail
                )
            )
            return INVALID_VALUE

    def parse_as(self, kinds: Sequence[ValueKind], expression: Any, *path: PathSegment) -> Value:
        """An expression that has to be of one of these types."""
        value = self.parse(expression, *path)
        if value.kind is ValueKind.INVALID:
            return value
        meant = next((kind for kind in kinds if common_kind(value.kind, kind) is kind), None)
        if meant is None:
            expected, hint = _format_alternatives(kinds), _conversion_hint(value.kind, kinds)
            detail = f"Expected {expected}, found {with_article(value.kind)}.{hint}"
            self._issues.append(MappingIssue(pointer=format_pointer(*path), code="wrong_type", detail=detail))
            return INVALID_VALUE
        return value.cast_to(meant)

    def _parse_value(self, expression: Any, path: tuple[PathSegment, ...]) -> Value:
        match expression:
            case dict():
                return self._parse_operation(expression, path)
            case list():
                raise ExpressionError("unexpected_list", "A list stands only as the arguments of an operation.")
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
            raise ExpressionError(
                "unknown_operation", f"There is no operation {quote_name(name)}.{_suggest_operation(name)}"
            )
        is_list = isinstance(arguments, list)
        call = OperationCall(self, arguments if is_list else [arguments], (*path, name), is_list=is_list)
        made = operation(call)
        if call.is_invalid:
            return INVALID_VALUE
        if made.max_text_units > MAX_TEXT_UNITS:
            raise ExpressionError("too_long", "This text could become more than 50 times as long as the longest field.")
        self.charge(len(call.arguments) + made.max_text_units)
        return replace(made, depth=made.depth + 1).fold_constant()

    def charge(self, cost: float) -> None:
        """A document that asks for too much is refused once, and not in every operation from there on."""
        was_enough, self._cost = self._cost <= _MAX_COST, self._cost + cost
        if was_enough and self._cost > _MAX_COST:
            raise ExpressionError(
                "too_much", "From here on the document asks for too much: use fewer operations or shorter texts."
            )


class OperationCall:
    """One use of an operation: its arguments, read as the operation wants them."""

    def __init__(
        self, parser: ExpressionParser, arguments: list[Any], path: tuple[PathSegment, ...], *, is_list: bool
    ) -> None:
        self.scope = parser.scope
        self.arguments = arguments
        self.is_invalid = False
        self._parser = parser
        self._path = path
        self._is_list = is_list

    def check_argument_count(self, min_count: int, max_count: int = MAX_ARGUMENTS) -> None:
        if not min_count <= len(self.arguments) <= max_count:
            wanted = f"{min_count}" if min_count == max_count else f"{min_count} to {max_count}"
            arguments = "argument" if max_count == 1 else "arguments"
            raise self.error("wrong_arguments", f"Expected {wanted} {arguments}, found {len(self.arguments)}.")

    def parse_argument(self, index: int, *kinds: ValueKind) -> Value:
        """One argument, of one of these types if any are named."""
        place = (*self._path, *self._argument_path(index))
        if kinds:
            value = self._parser.parse_as(kinds, self.arguments[index], *place)
        else:
            value = self._parser.parse(self.arguments[index], *place)
        self.is_invalid |= value.kind is ValueKind.INVALID
        return value

    def parse_arguments(self, *kinds: ValueKind, start: int = 0) -> list[Value]:
        return [self.parse_argument(number, *kinds) for number in range(start, len(self.arguments))]

    def to_common_kind(
        self,
        values: Sequence[Value],
        kinds: frozenset[ValueKind] | None = None,
        *,
        indices: Sequence[int] | None = None,
    ) -> list[Value]:
        """The values as one type that all of them can be taken for; ``numbers`` tell which arguments they are."""
        common = ValueKind.NULL
        for number, value in zip(indices or range(len(values)), values, strict=True):
            met = common_kind(common, value.kind)
            if met is None:
                raise self.error(
                    "types_differ",
                    f"{with_article(value.kind).capitalize()} does not go with {with_article(common)}.",
                    number,
                )
            if kinds and met not in kinds | {ValueKind.NULL, ValueKind.INVALID}:
                raise self.error(
                    "wrong_type", f"Expected {_format_alternatives(kinds)}, found {with_article(met)}.", number
                )
            common = met
        return [value.cast_to(common) for value in values]

    def literal_argument(self, index: int, python_type: type[str] | type[int], expected: str) -> Any:
        """An argument that has to be written out."""
        given = self.arguments[index]
        if type(given) is not python_type:
            raise self.error("literal_expected", f"Expected {expected}, written out.", index)
        return given

    def error(self, code: str, detail: str, index: int | None = None, *subpath: PathSegment) -> ExpressionError:
        below = [] if index is None else [*self._argument_path(index), *subpath]
        return ExpressionError(code, detail, self._path[-1], *below)

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
            return " “date_of” gives its date."
        case ValueKind.INSTANT, ValueKind.TIME:
            return " “time_of” gives its time of day."
        case ValueKind.DECIMAL, ValueKind.INTEGER:
            return " “round”, “floor” or “ceil” makes it whole."
        case ValueKind.TEXT, ValueKind.DATE:
            return ' A date is written {"date": "2026-01-31"}.'
        case ValueKind.TEXT, ValueKind.TIME:
            return ' A time is written {"time": "09:30"}.'
        case _:
            return ""


_OPERATOR_ALIASES = {
    "===": "==",
    "!==": "!=",
    "not": "!",
    "&&": "and",
    "||": "or",
    "?:": "if",
    "!!": "==",
    "concat": "cat",
}


def _suggest_operation(name: str) -> str:
    return f" Did you mean “{_OPERATOR_ALIASES[name]}”?" if name in _OPERATOR_ALIASES else ""
