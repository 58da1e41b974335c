"""The names an expression may use, and the columns that are computed for it on the way."""

from collections.abc import Mapping
from dataclasses import replace
from difflib import get_close_matches
from types import MappingProxyType

import polars as pl

from stafett.activity_frames import OSLO_DAY
from stafett.column_mapper.document import MappingDocument
from stafett.column_mapper.issues import quoted
from stafett.column_mapper.values import MOST, UNKNOWN, Kind, Value, column
from stafett.domain.export import Locale

_PEOPLE, _ATTACHMENTS = 2**31, 2**31
FIELDS: Mapping[str, Value] = MappingProxyType(
    {
        OSLO_DAY: column(Kind.DATE, OSLO_DAY, 0),
        "id": column(Kind.TEXT, "id", 0, size=1),
        "activity_type": column(Kind.TEXT, "activity_type", 0, size=1),
        "starts_at": column(Kind.INSTANT, "starts_at", 0),
        "ends_at": column(Kind.INSTANT, "ends_at", 0),
        "participants": column(Kind.INTEGER, "participants", 0, most=_PEOPLE),
        "new_participants": column(Kind.INTEGER, "new_participants", 0, most=_PEOPLE),
        "place": column(Kind.TEXT, "place", 0, size=1),
        "in_person": column(Kind.BOOLEAN, "in_person", 0),
        "in_norway": column(Kind.BOOLEAN, "in_norway", 0),
        "note": column(Kind.TEXT, "note", 0, size=1),
        "mentor_id": column(Kind.TEXT, "mentor_id", 0, size=1),
        "mentor_name": column(Kind.TEXT, "mentor_name", 0, size=1),
        "is_proxy": column(Kind.BOOLEAN, "is_proxy", 0),
        "registered_by": column(Kind.TEXT, "registered_by", 0, size=1),
        "attachments": column(Kind.INTEGER, "attachments", 0, most=_ATTACHMENTS),
    }
)
"""What the source knows of an activity."""

COUNTS, REASON, REASON_CODE = "counts", "reason", "reason_code"
BUILT_IN = (COUNTS, REASON, REASON_CODE)
"""What the counting rules say of a row."""

_HIGHEST, _MOST_HINTS = 20, 20


class UnknownNameError(LookupError):
    """Nothing has this name."""


class Scope:
    """One document's names in one language."""

    def __init__(self, document: MappingDocument, locale: Locale) -> None:
        self.locale: Locale = locale
        self.lookups = document.lookups
        self.taxonomies = {
            name: {option.code: option.label.in_(locale) for option in taxonomy}
            for name, taxonomy in document.taxonomies.items()
        }
        self.label_sizes = {
            name: max(option.label.size for option in taxonomy) for name, taxonomy in document.taxonomies.items()
        }
        self.layers: list[list[pl.Expr]] = []
        self.looks_at_days = False
        self._names = dict(FIELDS)
        self._kept: dict[str, Value] = {}
        self._hints: dict[str, str] = {}

    def define(self, name: str, value: Value) -> None:
        """Give a name to a value that was read."""
        self._names[name] = value if value.kind is Kind.UNKNOWN else self.kept(f"value {name}", value)

    def built_in(self, name: str, value: Value) -> None:
        self._names[name] = self.kept(name, value)

    def find(self, name: str) -> Value:
        known = self._names.get(name)
        if known is None:
            raise UnknownNameError(f"There is no field or value {quoted(name)}.{self._hint(name)}")
        return known

    def _hint(self, name: str) -> str:
        """For the first few names, once each: looking for what was meant takes its time."""
        if name not in self._hints and len(self._hints) < _MOST_HINTS:
            near = get_close_matches(name, self._names, n=1)
            self._hints[name] = f" Did you mean “{near[0]}”?" if near else ""
        return self._hints.get(name, "")

    def kept(self, name: str, value: Value) -> Value:
        """The value as a column of its own, computed once; the same name is the same column."""
        if name not in self._kept:
            while len(self.layers) <= value.layer:
                self.layers.append([])
            self.layers[value.layer].append(value.expr.alias(name))
            self._kept[name] = replace(column(value.kind, name, value.layer + 1), most=value.most, size=value.size)
        return self._kept[name]

    def settled(self, value: Value) -> Value:
        """The value as something that may be named twice."""
        return value if value.is_plain else self.kept(f"part {len(self._kept)}", value)

    def lowered(self, value: Value) -> Value:
        """The value with few operations on top of one another."""
        return self.settled(value) if value.height > _HIGHEST else value

    def within_bounds(self, value: Value) -> Value:
        """A number that is missing where it is beyond what is exact."""
        if value.most <= MOST:
            return value
        plain = self.settled(value)
        bounded = pl.when(plain.expr.is_between(-MOST, MOST)).then(plain.expr)
        return replace(plain, expr=bounded, is_plain=False, most=MOST, height=1)

    def poison(self, name: str) -> None:
        """Have uses of a name whose own fault is told already pass in silence."""
        self._names[name] = UNKNOWN
