"""A strategy for whole valid mapping documents, of every column type, policy and operation there is."""

from typing import Any

from hypothesis import strategies as st

from tests.mapping.expressions import KINDS, Expressions, Names
from tests.mapping.words import CODES, WRITTEN

Document = dict[str, Any]

FIELDS: Names = {
    "text": ("activity_type", "id", "place", "note", "mentor_id", "mentor_name", "registered_by"),
    "integer": ("participants", "new_participants", "attachments"),
    "number": ("participants", "new_participants", "attachments"),
    "boolean": ("in_person", "in_norway", "is_proxy"),
    "date": ("oslo_day",),
    "time": (),
    "instant": ("starts_at", "ends_at"),
}
# What is known of a row once the reasons are.
_COUNTED = {"boolean": ("counts",), "text": ("reason", "reason_code")}
# Each name invites the compiler to take it for one of its own.
_NAMES = ("row", "index", "literal", "value_1", "cell", "len", "group", "mentor", "day", "fault", "count", "x")
_HEADERS = (
    "oslo_day",
    "counts",
    "reason",
    "row",
    "Dato",
    "id",
    "mentor_id",
    "Sted «å»",
    "^.*$",
    "x",
    "note",
    "literal",
)
_COLUMNS = ("oslo_day", "id", "row", "cell", "fault", "counts", "x", "date", "reason_code", "index", "a", "len")
_RULES = ("too_long_ago", "rule", "row", "x")
_LOOKUPS = ("first", "row", "place")
_TAXONOMIES = ("first", "row", "kinds")
_KIND_OF = {"text": "text", "integer": "integer", "decimal": "number", "date": "date", "time": "time"} | {
    "duration": "minutes",
    "yes_no": "boolean",
    "choice": "code",
}


def localized(text: str) -> dict[str, str]:
    return {"nb": f"{text} nb", "nn": text, "en": f"{text} {{en}}"}


def with_names(names: Names, more: Names) -> Names:
    return {kind: (*names[kind], *more.get(kind, ())) for kind in names}


class _Documents:
    """Writes one document; every expression knows the names that may stand in it."""

    def __init__(self, draw: st.DrawFn) -> None:
        self._draw = draw
        self._first = draw(st.integers(0, 11))
        self._lookups = {name: self._lookup() for name in _LOOKUPS[: draw(st.integers(1, 3))]}
        self._taxonomies = {name: self._taxonomy() for name in _TAXONOMIES[: draw(st.integers(1, 3))]}
        self._expressions = Expressions(draw, tuple(self._lookups), tuple(self._taxonomies))
        self._values: dict[str, Any] = {}

    def document(self) -> Document:
        names = self._derived(FIELDS, 0)
        reasons = [self._reason(number, names) for number in range(self._draw(st.integers(0, 3)))]
        names = self._derived(with_names(names, _COUNTED), 6)
        columns = [self._column(number, names) for number in range(self._draw(st.integers(1, 6)))]
        counting = {"reasons": reasons} | self._maybe(
            rows_that_do_not_count=self._draw(st.sampled_from(("apart", "in_report")))
        )
        return {
            "format": 1,
            "title": "Rapport",
            "effective_from": "2026-01-01",
            "lookups": self._lookups,
            "taxonomies": self._taxonomies,
            "values": dict(self._draw(st.sampled_from((list, reversed)))(list(self._values.items()))),
            "columns": columns,
            "rules": [self._rule(number, names, columns) for number in range(self._draw(st.integers(0, 3)))],
            "counting": counting,
        }

    def _expression(self, kind: str, names: Names) -> Any:
        return self._expressions.written(kind, names, self._draw(st.integers(0, 4)))

    def _maybe(self, **entries: Any) -> dict[str, Any]:
        return entries if self._draw(st.booleans()) else {}

    def _lookup(self) -> dict[str, str]:
        return self._draw(st.dictionaries(WRITTEN.filter(bool), WRITTEN, min_size=1, max_size=4))

    def _taxonomy(self) -> list[dict[str, Any]]:
        codes = self._draw(st.lists(st.sampled_from(CODES), min_size=1, max_size=6, unique=True))
        return [{"code": code, "label": localized(code.title())} for code in codes]

    def _derived(self, names: Names, taken: int) -> Names:
        """More values, each of which may use the ones before it: and all of them may be used from now on."""
        for number in range(taken, taken + self._draw(st.integers(0, 3))):
            kind = self._draw(st.sampled_from(KINDS))
            name = _NAMES[(self._first + number) % len(_NAMES)]
            self._values[name] = self._expression(kind, names)
            names = with_names(names, dict.fromkeys({kind, "number"} if kind == "integer" else {kind}, (name,)))
        return names

    def _reason(self, number: int, names: Names) -> Document:
        code = _RULES[(self._first + number) % len(_RULES)]
        return {"code": code, "when": self._expression("boolean", names), "label": localized(code)}

    def _rule(self, number: int, names: Names, columns: list[Document]) -> Document:
        code = _RULES[(self._first + number) % len(_RULES)]
        # Warnings are more common, or few rows would ever be written.
        severity = self._draw(st.sampled_from(("warning", "warning", "reject")))
        when = self._expression("boolean", names)
        rule = {"code": code, "when": when, "severity": severity, "message": localized(f"{code}!")}
        return rule | self._maybe(column=self._draw(st.sampled_from(columns))["id"])

    def _column(self, number: int, names: Names) -> Document:
        place = self._first + number
        kind = self._draw(st.sampled_from(tuple(_KIND_OF)))
        header = {locale: _HEADERS[(place + shift) % len(_HEADERS)] for shift, locale in enumerate(("nb", "nn", "en"))}
        column = {"id": _COLUMNS[place % len(_COLUMNS)], "header": header, "type": kind}
        value = self._draw(st.sampled_from((self._value,) * 15 + (lambda _kind, _names: None,)))
        return column | {"value": value(_KIND_OF[kind], names)} | self._required(names) | self._policy(kind)

    def _value(self, kind: str, names: Names) -> Any:
        match kind:
            case "minutes":  # what is further apart than these a Duration cannot hold
                return {"%": [self._expression("integer", names), 100_000]}
            case "code":
                code = self._expression("text", names)
                return self._draw(st.sampled_from((code, {"var": "activity_type"}, {"var": "place"})))
            case _:
                return self._expression(kind, names)

    def _required(self, names: Names) -> Document:
        when = self._draw(st.sampled_from(("never", "always", "if")))
        if when == "never":
            return {}
        policy = {"if_missing": self._draw(st.sampled_from(("warning", "warning", "reject")))}
        return policy | {"required": True if when == "always" else self._expression("boolean", names)}

    def _policy(self, kind: str) -> Document:
        match kind:
            case "decimal":
                return self._maybe(decimals=self._draw(st.integers(0, 6)))
            case "yes_no":
                return self._maybe(labels={"yes": localized("Å ja"), "no": localized("Nix")})
            case "choice":
                return self._choice()
            case _:
                return {}

    def _choice(self) -> Document:
        options = self._draw(st.sampled_from(tuple(self._taxonomies)))
        unknown = self._draw(st.sampled_from(("fail", "keep", "keep", "fallback", "fallback")))
        codes = [entry["code"] for entry in self._taxonomies[options]]
        fallback = {"fallback": self._draw(st.sampled_from(codes))} if unknown == "fallback" else {}
        return {"options": options, "unknown": unknown} | fallback


@st.composite
def documents(draw: st.DrawFn) -> Document:
    return _Documents(draw).document()
