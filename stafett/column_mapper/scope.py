"""The names that expressions can use, and the intermediate columns that are computed for them."""

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType

import polars as pl

from stafett.activity_frames import OSLO_DAY
from stafett.column_mapper.document import MappingDocument
from stafett.column_mapper.issues import quote_name, suggest_name
from stafett.column_mapper.size_bounds import SizeBound
from stafett.column_mapper.values import INVALID_VALUE, MAX_EXACT_INTEGER, Value, ValueKind, column_value
from stafett.domain.export import Locale

EVENT_ID = "event_id"
_MAX_PARTICIPANTS, _MAX_ATTACHMENTS = 2**31, 2**31
SOURCE_FIELDS: Mapping[str, Value] = MappingProxyType(
    {
        OSLO_DAY: column_value(ValueKind.DATE, OSLO_DAY, 0),
        "id": column_value(ValueKind.TEXT, "id", 0, size=SizeBound.from_field("id")),
        "activity_type": column_value(ValueKind.TEXT, "activity_type", 0, size=SizeBound.from_field("activity_type")),
        "starts_at": column_value(ValueKind.INSTANT, "starts_at", 0),
        "ends_at": column_value(ValueKind.INSTANT, "ends_at", 0),
        "participants": column_value(ValueKind.INTEGER, "participants", 0, max_abs=_MAX_PARTICIPANTS),
        "new_participants": column_value(ValueKind.INTEGER, "new_participants", 0, max_abs=_MAX_PARTICIPANTS),
        "place": column_value(ValueKind.TEXT, "place", 0, size=SizeBound.from_field("place")),
        "in_person": column_value(ValueKind.BOOLEAN, "in_person", 0),
        "in_norway": column_value(ValueKind.BOOLEAN, "in_norway", 0),
        "note": column_value(ValueKind.TEXT, "note", 0, size=SizeBound.from_field("note")),
        "mentor_id": column_value(ValueKind.TEXT, "mentor_id", 0, size=SizeBound.from_field("mentor_id")),
        "mentor_name": column_value(ValueKind.TEXT, "mentor_name", 0, size=SizeBound.from_field("mentor_name")),
        "branch": column_value(ValueKind.TEXT, "branch", 0, size=SizeBound.from_field("branch")),
        "is_proxy": column_value(ValueKind.BOOLEAN, "is_proxy", 0),
        "registered_by": column_value(ValueKind.TEXT, "registered_by", 0, size=SizeBound.from_field("registered_by")),
        EVENT_ID: column_value(ValueKind.TEXT, EVENT_ID, 0, size=SizeBound.from_field(EVENT_ID)),
        "attachments": column_value(ValueKind.INTEGER, "attachments", 0, max_abs=_MAX_ATTACHMENTS),
    }
)
"""The fields of an activity, by the names that expressions use."""

COUNTS, REASON, REASON_CODE = "counts", "reason", "reason_code"
BUILT_IN_NAMES = (COUNTS, REASON, REASON_CODE)
"""Names that the counting rules define for each row."""

_MAX_EXPR_DEPTH, _MAX_SUGGESTIONS = 20, 20


class UnknownNameError(LookupError):
    """No field or value has this name."""


class Scope:
    """The names of one document, with labels in one language."""

    def __init__(self, document: MappingDocument, locale: Locale) -> None:
        self.locale: Locale = locale
        self.lookups = document.lookups
        self.taxonomies = {
            name: {option.code: option.label.in_locale(locale) for option in taxonomy}
            for name, taxonomy in document.taxonomies.items()
        }
        self.label_sizes = {
            name: SizeBound.largest(option.label.size for option in taxonomy)
            for name, taxonomy in document.taxonomies.items()
        }
        self.layers: list[list[pl.Expr]] = []
        self.window_columns: set[str] = set()
        self.columns: dict[str, Value] = {}
        """The value that each intermediate column is computed from."""
        self._values_by_name = dict(SOURCE_FIELDS)
        self._columns_by_name: dict[str, Value] = {}
        self._suggestions: dict[str, str] = {}

    def define(self, name: str, value: Value) -> None:
        """Register a named value of the document."""
        self._values_by_name[name] = (
            value if value.kind is ValueKind.INVALID else self.materialise(f"value {name}", value)
        )

    def define_built_in(self, name: str, value: Value) -> None:
        self._values_by_name[name] = self.materialise(name, value)

    def resolve(self, name: str) -> Value:
        value = self._values_by_name.get(name)
        if value is None:
            raise UnknownNameError(f"There is no field or value {quote_name(name)}.{self._suggest(name)}")
        return value

    def _suggest(self, name: str) -> str:
        """Suggest a similar name, for the first few unknown names only, because the search is slow."""
        if name not in self._suggestions and len(self._suggestions) < _MAX_SUGGESTIONS:
            self._suggestions[name] = suggest_name(name, self._values_by_name)
        return self._suggestions.get(name, "")

    def materialise(self, name: str, value: Value) -> Value:
        """Compute the value once, as a column. Calls with the same name share one column."""
        if name not in self._columns_by_name:
            while len(self.layers) <= value.layer:
                self.layers.append([])
            self.layers[value.layer].append(value.expr.alias(name))
            self.columns[name] = value
            self._columns_by_name[name] = column_value(
                value.kind, name, value.layer + 1, max_abs=value.max_abs, size=value.size
            )
        return self._columns_by_name[name]

    def materialise_window(self, name: str, value: Value) -> Value:
        """Compute a column that depends on other rows of the part, from ``WINDOW_KEYS`` and columns without texts."""
        self.window_columns.add(name)
        return self.materialise(name, value)

    def to_atomic(self, value: Value) -> Value:
        """Return the value in a form that can be used twice without being computed twice."""
        return value if value.is_atomic else self.materialise(f"part {len(self._columns_by_name)}", value)

    def limit_depth(self, value: Value) -> Value:
        """Materialise a value whose operations are nested too deeply."""
        return self.to_atomic(value) if value.depth > _MAX_EXPR_DEPTH else value

    def null_if_inexact(self, value: Value) -> Value:
        """Make a number missing where it is beyond ``MAX_EXACT_INTEGER``."""
        if value.max_abs <= MAX_EXACT_INTEGER:
            return value
        atomic = self.to_atomic(value)
        bounded = pl.when(atomic.expr.is_between(-MAX_EXACT_INTEGER, MAX_EXACT_INTEGER)).then(atomic.expr)
        return replace(atomic, expr=bounded, is_atomic=False, max_abs=MAX_EXACT_INTEGER, depth=1)

    def mark_invalid(self, name: str) -> None:
        """Make later uses of a name whose own issue is already recorded raise no further issues."""
        self._values_by_name[name] = INVALID_VALUE
