"""A strategy for valid mapping documents with every column type, policy and operation."""

from typing import Any

from hypothesis import strategies as st

from tests.support.mapping.expressions import KINDS, ExpressionBuilder, Names
from tests.support.mapping.phrases import CODES, DOCUMENT_TEXTS

Document = dict[str, Any]

FIELDS: Names = {
    "text": ("activity_type", "id", "place", "note", "mentor_id", "mentor_name", "branch", "registered_by", "event_id"),
    "integer": ("participants", "new_participants", "attachments"),
    "number": ("participants", "new_participants", "attachments"),
    "boolean": ("in_person", "in_norway", "is_proxy"),
    "date": ("oslo_day",),
    "time": (),
    "instant": ("starts_at", "ends_at"),
}
# Names that exist once the reasons of a row are evaluated.
_COUNTING_NAMES = {"boolean": ("counts",), "text": ("reason", "reason_code")}
# Each name resembles one that the compiler uses internally.
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


def localize(text: str) -> dict[str, str]:
    return {"nb": f"{text} nb", "nn": text, "en": f"{text} {{en}}"}


def add_names(names: Names, more: Names) -> Names:
    return {kind: (*names[kind], *more.get(kind, ())) for kind in names}


class _DocumentBuilder:
    """Builds one document; each expression uses only names that are defined where it occurs."""

    def __init__(self, draw: st.DrawFn) -> None:
        self._draw = draw
        self._offset = draw(st.integers(0, 11))
        self._lookups = {name: self._draw_lookup() for name in _LOOKUPS[: draw(st.integers(1, 3))]}
        self._taxonomies = {name: self._draw_taxonomy() for name in _TAXONOMIES[: draw(st.integers(1, 3))]}
        self._expressions = ExpressionBuilder(draw, tuple(self._lookups), tuple(self._taxonomies))
        self._values: dict[str, Any] = {}

    def build(self) -> Document:
        names = self._draw_values(FIELDS, 0)
        reasons = [self._draw_reason(number, names) for number in range(self._draw(st.integers(0, 3)))]
        names = self._draw_values(add_names(names, _COUNTING_NAMES), 6)
        columns = [self._draw_column(number, names) for number in range(self._draw(st.integers(1, 6)))]
        counting = {"reasons": reasons} | self._draw_optional(
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
            "rules": [self._draw_rule(number, names, columns) for number in range(self._draw(st.integers(0, 3)))],
            "counting": counting,
        }

    def _draw_expression(self, kind: str, names: Names) -> Any:
        return self._expressions.draw_expression(kind, names, self._draw(st.integers(0, 4)))

    def _draw_optional(self, **entries: Any) -> dict[str, Any]:
        return entries if self._draw(st.booleans()) else {}

    def _draw_lookup(self) -> dict[str, str]:
        return self._draw(st.dictionaries(DOCUMENT_TEXTS.filter(bool), DOCUMENT_TEXTS, min_size=1, max_size=4))

    def _draw_taxonomy(self) -> list[dict[str, Any]]:
        codes = self._draw(st.lists(st.sampled_from(CODES), min_size=1, max_size=6, unique=True))
        return [{"code": code, "label": localize(code.title())} for code in codes]

    def _draw_values(self, names: Names, first: int) -> Names:
        """Add values that may use the earlier ones, and return the names including theirs."""
        for number in range(first, first + self._draw(st.integers(0, 3))):
            kind = self._draw(st.sampled_from(KINDS))
            name = _NAMES[(self._offset + number) % len(_NAMES)]
            self._values[name] = self._draw_expression(kind, names)
            names = add_names(names, dict.fromkeys({kind, "number"} if kind == "integer" else {kind}, (name,)))
        return names

    def _draw_reason(self, number: int, names: Names) -> Document:
        code = _RULES[(self._offset + number) % len(_RULES)]
        return {"code": code, "when": self._draw_expression("boolean", names), "label": localize(code)}

    def _draw_rule(self, number: int, names: Names, columns: list[Document]) -> Document:
        code = _RULES[(self._offset + number) % len(_RULES)]
        # Warnings are more common, or few rows would ever be written.
        severity = self._draw(st.sampled_from(("warning", "warning", "reject")))
        when = self._draw_expression("boolean", names)
        rule = {"code": code, "when": when, "severity": severity, "message": localize(f"{code}!")}
        return rule | self._draw_optional(column=self._draw(st.sampled_from(columns))["id"])

    def _draw_column(self, number: int, names: Names) -> Document:
        position = self._offset + number
        kind = self._draw(st.sampled_from(tuple(_KIND_OF)))
        header = {
            locale: _HEADERS[(position + shift) % len(_HEADERS)] for shift, locale in enumerate(("nb", "nn", "en"))
        }
        column = {"id": _COLUMNS[position % len(_COLUMNS)], "header": header, "type": kind}
        value = self._draw(st.sampled_from((self._draw_value,) * 15 + (lambda _kind, _names: None,)))
        return column | {"value": value(_KIND_OF[kind], names)} | self._draw_required(names) | self._draw_policy(kind)

    def _draw_value(self, kind: str, names: Names) -> Any:
        match kind:
            case "minutes":  # a Duration cannot hold longer ones
                return {"%": [self._draw_expression("integer", names), 100_000]}
            case "code":
                code = self._draw_expression("text", names)
                return self._draw(st.sampled_from((code, {"var": "activity_type"}, {"var": "place"})))
            case _:
                return self._draw_expression(kind, names)

    def _draw_required(self, names: Names) -> Document:
        when = self._draw(st.sampled_from(("never", "always", "if")))
        if when == "never":
            return {}
        policy = {"if_missing": self._draw(st.sampled_from(("warning", "warning", "reject")))}
        return policy | {"required": True if when == "always" else self._draw_expression("boolean", names)}

    def _draw_policy(self, kind: str) -> Document:
        match kind:
            case "decimal":
                return self._draw_optional(decimals=self._draw(st.integers(0, 6)))
            case "yes_no":
                return self._draw_optional(labels={"yes": localize("Å ja"), "no": localize("Nix")})
            case "choice":
                return self._draw_choice()
            case _:
                return {}

    def _draw_choice(self) -> Document:
        options = self._draw(st.sampled_from(tuple(self._taxonomies)))
        unknown = self._draw(st.sampled_from(("fail", "keep", "keep", "fallback", "fallback")))
        codes = [entry["code"] for entry in self._taxonomies[options]]
        fallback = {"fallback": self._draw(st.sampled_from(codes))} if unknown == "fallback" else {}
        return {"options": options, "unknown": unknown} | fallback


@st.composite
def documents(draw: st.DrawFn) -> Document:
    return _DocumentBuilder(draw).build()
