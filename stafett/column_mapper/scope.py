"""The names an expression may use, and the columns that are computed for it on the way."""

from collections.abc import Mapping
from dataclasses import replace
from difflib import get_close_matches
from types import MappingProxyType

import polars as pl

from stafett.activity_frames import OSLO_DAY
from stafett.column_mapper.document import MappingDocument
from stafett.column_mapper.issues import quote_name
from stafett.column_mapper.values import INVALID_VALUE, MAX_EXACT_INTEGER, Value, ValueKind, column_value
from stafett.domain.export import Locale

_MAX_PARTICIPANTS, _MAX_ATTACHMENTS = 2**31, 2**31
SOURCE_FIELDS: Mapping[str, Value] = MappingProxyType(
    {
        OSLO_DAY: column_value(ValueKind.DATE, OSLO_DAY, 0),
        "id": column_value(ValueKind.TEXT, "id", 0, max_text_units=1),
        "activity_type": column_value(ValueKind.TEXT, "activity_type", 0, max_text_units=1),
        "starts_at": column_value(ValueKind.INSTANT, "starts_at", 0),
        "ends_at": column_value(ValueKind.INSTANT, "ends_at", 0),
        "participants": column_value(ValueKind.INTEGER, "participants", 0, max_abs=_MAX_PARTICIPANTS),
        "new_participants": column_value(ValueKind.INTEGER, "new_participants", 0, max_abs=_MAX_PARTICIPANTS),
        "place": column_value(ValueKind.TEXT, "place", 0, max_text_units=1),
        "in_person": column_value(ValueKind.BOOLEAN, "in_person", 0),
        "in_norway": column_value(ValueKind.BOOLEAN, "in_norway", 0),
        "note": column_value(ValueKind.TEXT, "note", 0, max_text_units=1),
        "mentor_id": column_value(ValueKind.TEXT, "mentor_id", 0, max_text_units=1),
        "mentor_name": column_value(ValueKind.TEXT, "mentor_name", 0, max_text_units=1),
        "is_proxy": column_value(ValueKind.BOOLEAN, "is_proxy", 0),
        "registered_by": column_value(ValueKind.TEXT, "registered_by", 0, max_text_units=1),
        "attachments": column_value(ValueKind.INTEGER, "attachments", 0, max_abs=_MAX_ATTACHMENTS),
    }
)
"""What the source knows of an activity."""

COUNTS, REASON, REASON_CODE = "counts", "reason", "reason_code"
BUILT_IN_NAMES = (COUNTS, REASON, REASON_CODE)
"""What the counting rules say of a row."""

_MAX_EXPR_DEPTH, _MAX_SUGGESTIONS = 20, 20


class UnknownNameError(LookupError):
    """Nothing has this name."""


class Scope:
    """One document's names in one language."""

    def __init__(self, document: MappingDocument, locale: Locale) -> None:
        self.locale: Locale = locale
        self.lookups = document.lookups
        self.taxonomies = {
            name: {option.code: option.label.in_locale(locale) for option in taxonomy}
            for name, taxonomy in document.taxonomies.items()
        }
        self.max_label_units = {
            name: max(option.label.max_text_units for option in taxonomy)
            for name, taxonomy in document.taxonomies.items()
        }
        self.layers: list[list[pl.Expr]] = []
        self.uses_day_windows = False
        self._values_by_name = dict(SOURCE_FIELDS)
        self._columns_by_name: dict[str, Value] = {}
        self._suggestions: dict[str, str] = {}

    def define(self, name: str, value: Value) -> None:
        """Give a name to a value that was read."""
        self._values_by_name[name] = (
            value if value.kind is ValueKind.INVALID else self.materialise(f"value {name}", value)
        )

    def define_built_in(self, name: str, value: Value) -> None:
        self._values_by_name[name] = self.materialise(name, value)

    def resolve(self, name: str) -> Value:
        known = self._values_by_name.get(name)
        if known is None:
            raise UnknownNameError(f"There is no field or value {quote_name(name)}.{self._suggest(name)}")
        return known

    def _suggest(self, name: str) -> str:
        """For the first few names, once each: looking for what was meant takes its time."""
        if name not in self._suggestions and len(self._suggestions) < _MAX_SUGGESTIONS:
            near = get_close_matches(name, self._values_by_name, n=1)
            self._suggestions[name] = f" Did you mean “{near[0]}”?" if near else ""
        return self._suggestions.get(name, "")

    def materialise(self, name: str, value: Value) -> Value:
        """The value as a column of its own, computed once; the same name is the same column."""
        if name not in self._columns_by_name:
            while len(self.layers) <= value.layer:
                self.layers.append([])
            self.layers[value.layer].append(value.expr.alias(name))
            self._columns_by_name[name] = replace(
                column_value(value.kind, name, value.layer + 1),
                max_abs=value.max_abs,
                max_text_units=value.max_text_units,
            )
        return self._columns_by_name[name]

    def to_atomic(self, value: Value) -> Value:
        """The value as something that may be named twice."""
        return value if value.is_atomic else self.materialise(f"part {len(self._columns_by_name)}", value)

    def limit_depth(self, value: Value) -> Value:
        """The value with few operations on top of one another."""
        return self.to_atomic(value) if value.depth > _MAX_EXPR_DEPTH else value

    def null_if_inexact(self, value: Value) -> Value:
        """A number that is missing where it is beyond what is exact."""
        if value.max_abs <= MAX_EXACT_INTEGER:
            return value
        plain = self.to_atomic(value)
        bounded = pl.when(plain.expr.is_between(-MAX_EXACT_INTEGER, MAX_EXACT_INTEGER)).then(plain.expr)
        return replace(plain, expr=bounded, is_atomic=False, max_abs=MAX_EXACT_INTEGER, depth=1)

    def mark_invalid(self, name: str) -> None:
        """Have uses of a name whose own fault is told already pass in silence."""
        self._values_by_name[name] = INVALID_VALUE
