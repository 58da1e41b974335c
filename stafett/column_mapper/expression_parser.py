"""Reads expressions: from JSON to Polars, every part of known type, every fault found."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any

from stafett.column_mapper.issues import MappingFault, Refused, quoted
from stafett.column_mapper.localized import MOST_CHARACTERS
from stafett.column_mapper.scope import Scope
from stafett.column_mapper.values import UNKNOWN, Kind, Value, literal, meeting
from stafett.domain.json_pointer import Step, pointer

MOST_ARGUMENTS = 50
LARGEST_TEXT, _MOST_WORK = 50.0, 3000.0

Operation = Callable[["Call"], Value]


class Reader:
    """Reads the expressions of one document; what is faulty becomes UNKNOWN, and the reading goes on."""

    def __init__(self, scope: Scope, operations: dict[str, Operation], faults: list[MappingFault]) -> None:
        self.scope = scope
        self._operations = operations
        self._faults = faults
        self._work = 0.0

    def read(self, given: Any, *place: Step) -> Value:
        try:
            return self.scope.lowered(self._value(given, place))
        except Refused as refused:
            self._faults.append(
                MappingFault(pointer=pointer(*place, *refused.below), code=refused.code, detail=refused.detail)
            )
            return UNKNOWN

    def read_as(self, kinds: Sequence[Kind], given: Any, *place: Step) -> Value:
        """An expression that has to be of one of these types."""
        value = self.read(given, *place)
        if value.kind is Kind.UNKNOWN:
            return value
        meant = next((kind for kind in kinds if meeting(value.kind, kind) is kind), None)
        if meant is None:
            detail = f"Expected {_any_of(kinds)}, found {a(value.kind)}.{_hint(value.kind, kinds)}"
            self._faults.append(MappingFault(pointer=pointer(*place), code="wrong_type", detail=detail))
            return UNKNOWN
        return value.to(meant)

    def _value(self, given: Any, place: tuple[Step, ...]) -> Value:
        match given:
            case dict():
                return self._operation(given, place)
            case list():
                raise Refused("unexpected_list", "A list stands only as the arguments of an operation.")
            case str() if len(given) > MOST_CHARACTERS:
                raise Refused("too_long", f"A text has at most {MOST_CHARACTERS} characters.")
            case _:
                return literal(given)

    def _operation(self, given: dict[str, Any], place: tuple[Step, ...]) -> Value:
        if len(given) != 1:
            raise Refused("not_an_operation", 'Expected an object with one operation, such as {"var": "place"}.')
        ((name, arguments),) = given.items()
        operation = self._operations.get(name)
        if operation is None:
            raise Refused("unknown_operation", f"There is no operation {quoted(name)}.{_instead_of(name)}")
        is_list = isinstance(arguments, list)
        call = Call(self, arguments if is_list else [arguments], (*place, name), is_list=is_list)
        made = operation(call)
        if call.is_faulty:
            return UNKNOWN
        if made.size > LARGEST_TEXT:
            raise Refused("too_long", "This text could become more than 50 times as long as the longest field.")
        self.account_for(len(call.given) + made.size)
        return replace(made, height=made.height + 1).folded()

    def account_for(self, work: float) -> None:
        """A document that asks for too much is refused once, and not in every operation from there on."""
        was_enough, self._work = self._work <= _MOST_WORK, self._work + work
        if was_enough and self._work > _MOST_WORK:
            raise Refused(
                "too_much", "From here on the document asks for too much: use fewer operations or shorter texts."
            )


class Call:
    """One use of an operation: its arguments, read as the operation wants them."""

    def __init__(self, reader: Reader, given: list[Any], place: tuple[Step, ...], *, is_list: bool) -> None:
        self.scope = reader.scope
        self.given = given
        self.is_faulty = False
        self._reader = reader
        self._place = place
        self._is_list = is_list

    def takes(self, least: int, most: int = MOST_ARGUMENTS) -> None:
        if not least <= len(self.given) <= most:
            wanted = f"{least}" if least == most else f"{least} to {most}"
            arguments = "argument" if most == 1 else "arguments"
            raise self.refused("wrong_arguments", f"Expected {wanted} {arguments}, found {len(self.given)}.")

    def value(self, number: int, *kinds: Kind) -> Value:
        """One argument, of one of these types if any are named."""
        place = (*self._place, *self._below(number))
        if kinds:
            value = self._reader.read_as(kinds, self.given[number], *place)
        else:
            value = self._reader.read(self.given[number], *place)
        self.is_faulty |= value.kind is Kind.UNKNOWN
        return value

    def values(self, *kinds: Kind, start: int = 0) -> list[Value]:
        return [self.value(number, *kinds) for number in range(start, len(self.given))]

    def alike(
        self, values: Sequence[Value], kinds: frozenset[Kind] | None = None, *, numbers: Sequence[int] | None = None
    ) -> list[Value]:
        """The values as one type that all of them can be taken for; ``numbers`` tell which arguments they are."""
        common = Kind.NOTHING
        for number, value in zip(numbers or range(len(values)), values, strict=True):
            met = meeting(common, value.kind)
            if met is None:
                raise self.refused(
                    "types_differ", f"{a(value.kind).capitalize()} does not go with {a(common)}.", number
                )
            if kinds and met not in kinds | {Kind.NOTHING, Kind.UNKNOWN}:
                raise self.refused("wrong_type", f"Expected {_any_of(kinds)}, found {a(met)}.", number)
            common = met
        return [value.to(common) for value in values]

    def literal(self, number: int, kind: type[str] | type[int], wanted: str) -> Any:
        """An argument that has to be written out."""
        given = self.given[number]
        if type(given) is not kind:
            raise self.refused("literal_expected", f"Expected {wanted}, written out.", number)
        return given

    def refused(self, code: str, detail: str, number: int | None = None, *further: Step) -> Refused:
        below = [] if number is None else [*self._below(number), *further]
        return Refused(code, detail, self._place[-1], *below)

    def _below(self, number: int) -> Iterator[Step]:
        if self._is_list:
            yield number


_ARTICLES: dict[str, str] = {Kind.INTEGER: "an integer", Kind.INSTANT: "an instant", Kind.NOTHING: "null"}


def _any_of(kinds: Iterable[Kind]) -> str:
    *others, last = (a(kind) for kind in Kind if kind in set(kinds))
    return f"{', '.join(others)} or {last}" if others else last


def a(kind: str) -> str:
    return _ARTICLES.get(kind, f"a {kind}")


def _hint(found: Kind, wanted: Sequence[Kind]) -> str:
    match found, wanted[0]:
        case Kind.INSTANT, Kind.DATE:
            return " “date_of” gives its date."
        case Kind.INSTANT, Kind.TIME:
            return " “time_of” gives its time of day."
        case Kind.DECIMAL, Kind.INTEGER:
            return " “round”, “floor” or “ceil” makes it whole."
        case Kind.TEXT, Kind.DATE:
            return ' A date is written {"date": "2026-01-31"}.'
        case Kind.TEXT, Kind.TIME:
            return ' A time is written {"time": "09:30"}.'
        case _:
            return ""


_OTHER_NAMES = {"===": "==", "!==": "!=", "not": "!", "&&": "and", "||": "or", "?:": "if", "!!": "==", "concat": "cat"}


def _instead_of(name: str) -> str:
    return f" Did you mean “{_OTHER_NAMES[name]}”?" if name in _OTHER_NAMES else ""
