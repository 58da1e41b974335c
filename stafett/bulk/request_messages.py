"""Why a request for a batch is refused as a whole, in the languages of reports; no value is quoted.

In English an issue has its own text; the texts of single fields are those of items.
"""

from collections.abc import Mapping
from types import MappingProxyType

from stafett.bulk.item_messages import describe_fault, describe_item_error, is_field_code
from stafett.domain.activity_faults import ActivityFault
from stafett.domain.bulk_status import ItemErrorCode
from stafett.domain.errors import RequestIssue
from stafett.domain.export import Locale

_FILE_MESSAGES: Mapping[str, Mapping[Locale, str]] = MappingProxyType(
    {
        "encoding": {"nb": "Teksten er ikke UTF-8", "nn": "Teksten er ikkje UTF-8"},
        "csv": {"nb": "Filen er ikke gyldig CSV", "nn": "Fila er ikkje gyldig CSV"},
        "too_many_columns": {
            "nb": "Overskriften har flere kolonner enn de {value} som er kjent",
            "nn": "Overskrifta har fleire kolonnar enn dei {value} som er kjende",
        },
        "no_line_breaks": {
            "nb": "Innholdet har ingen linjeskift; curl beholder dem med --data-binary i stedet for -d",
            "nn": "Innhaldet har ingen linjeskift; curl tek vare på dei med --data-binary i staden for -d",
        },
        "unknown_column": {
            "nb": "Kolonne {value} har et ukjent navn",
            "nn": "Kolonne {value} har eit ukjent namn",
        },
        "missing_column": {"nb": "Kolonnen {value} mangler", "nn": "Kolonnen {value} manglar"},
        "repeated_column": {"nb": "Et kolonnenavn står to ganger", "nn": "Eit kolonnenamn står to gonger"},
        "cells": {
            "nb": "Linjen har et annet antall celler enn overskriften, som har {value}",
            "nn": "Linja har eit anna tal på celler enn overskrifta, som har {value}",
        },
        "row_too_long": {"nb": "En rad kan ha høyst {value} tegn", "nn": "Ei rad kan ha høgst {value} teikn"},
        "too_many_lines": {"nb": "En fil kan ha høyst {value} linjer", "nn": "Ei fil kan ha høgst {value} linjer"},
        "too_long": {"nb": "En fil kan ha høyst {value} linjer", "nn": "Ei fil kan ha høgst {value} linjer"},
        "too_short": {"nb": "Det er ingen linje under overskriften", "nn": "Det er inga linje under overskrifta"},
        "not_unique": {
            "nb": "Linje {value} har samme client_ref, eller samme mentor_id uten client_ref: "
            "Slett en av linjene, eller gi hver av dem sin client_ref",
            "nn": "Linje {value} har same client_ref, eller same mentor_id utan client_ref: "
            "Slett ei av linjene, eller gi kvar av dei sin client_ref",
        },
    }
)
"""Texts about a whole file or a line of it."""

_REQUEST_MESSAGES: Mapping[str, Mapping[Locale, str]] = MappingProxyType(
    {
        "json_invalid": {
            "nb": "Innholdet er ikke gyldig JSON i UTF-8",
            "nn": "Innhaldet er ikkje gyldig JSON i UTF-8",
        },
        "json_invalid_at": {
            "nb": "Innholdet er ikke gyldig JSON i UTF-8 (linje:kolonne {value})",
            "nn": "Innhaldet er ikkje gyldig JSON i UTF-8 (linje:kolonne {value})",
        },
        "too_many_keys": {
            "nb": "Et objekt kan ha høyst {value} nøkler",
            "nn": "Eit objekt kan ha høgst {value} nøklar",
        },
        "too_deep": {"nb": "Innholdet kan ha høyst {value} nivåer", "nn": "Innhaldet kan ha høgst {value} nivå"},
        "too_many_values": {
            "nb": "Innholdet kan ha høyst {value} verdier",
            "nn": "Innhaldet kan ha høgst {value} verdiar",
        },
        "extra_forbidden": {"nb": "Feltet er ukjent", "nn": "Feltet er ukjent"},
        "literal_error": {"nb": "Feltet er ukjent", "nn": "Feltet er ukjent"},
        "csv_only": {
            "nb": "Oppgi verdien i innholdet: parameteren gjelder bare CSV.",
            "nn": "Oppgje verdien i innhaldet: parameteren gjeld berre CSV.",
        },
        "repeated": {"nb": "Oppgi parameteren én gang", "nn": "Oppgje parameteren éin gong"},
        "not_unique": {
            "nb": "Samme client_ref som element {value}. Et element uten client_ref bruker id-en til likepersonen.",
            "nn": "Same client_ref som element {value}. Eit element utan client_ref bruker id-en til likepersonen.",
        },
        "unknown_batch": {
            "nb": "Organisasjonen har ingen slik registrering.",
            "nn": "Organisasjonen har inga slik registrering.",
        },
        "not_finished": {
            "nb": "Registreringen er ikke ferdig; rett den når den er det.",
            "nn": "Registreringa er ikkje ferdig; rett henne når ho er det.",
        },
        "no_failed_items": {
            "nb": "Registreringen har ingen elementer som feilet, og dermed ingenting å rette.",
            "nn": "Registreringa har ingen element som feila, og dermed ingenting å rette.",
        },
    }
)
"""Texts about a whole request, an unknown field, or an item of a batch."""

_FIELD_MESSAGES: Mapping[str, Mapping[Locale, str]] = MappingProxyType(
    {
        "not_shared": {
            "nb": "mangler, og kan bare utelates hvis alle elementene har det",
            "nn": "manglar, og kan berre utelatast om alle elementa har det",
        },
        "time_invalid": {
            "nb": "må være et tidspunkt som finnes, i RFC 3339 med tidssone, som 2026-01-31T10:00:00+01:00",
            "nn": "må vere eit tidspunkt som finst, i RFC 3339 med tidssone, som 2026-01-31T10:00:00+01:00",
        },
        "bool_type": {"nb": "må være true eller false", "nn": "må vere true eller false"},
        "bool_parsing": {"nb": "må være true eller false", "nn": "må vere true eller false"},
        "float_type": {"nb": "må være et tall", "nn": "må vere eit tal"},
        "finite_number": {"nb": "må være et endelig tall", "nn": "må vere eit endeleg tal"},
        "dict_type": {"nb": "må være et objekt", "nn": "må vere eit objekt"},
        "model_type": {"nb": "må være et objekt", "nn": "må vere eit objekt"},
        "tuple_type": {"nb": "må være en liste", "nn": "må vere ei liste"},
        "too_long": {"nb": "kan ha høyst {limit} elementer", "nn": "kan ha høgst {limit} element"},
        "no_items": {"nb": "må ha minst ett element", "nn": "må ha minst eitt element"},
        "uuid_parsing": {"nb": "må være en id (UUID)", "nn": "må vere ein id (UUID)"},
        "uuid_type": {"nb": "må være en id (UUID)", "nn": "må vere ein id (UUID)"},
        "nul": {"nb": "kan ikke ha NUL-tegn", "nn": "kan ikkje ha NUL-teikn"},
    }
)
"""Texts about fields of JSON that an item's activity has none of, or that differ from those of a file."""

_WHOLE_BODY: Mapping[Locale, str] = MappingProxyType({"nb": "Innholdet", "nn": "Innhaldet"})
_CODES_OF_OUR_RULES = {
    "starts_at": "time_invalid",
    "event_id": "event_id_invalid",
    "items": "no_items",
} | dict.fromkeys(("label", "mentor_id", "client_ref", "place", "note"), "nul")


def describe_issue(issue: RequestIssue, locale: Locale) -> str:
    """Explain why a request, a line of its file or an item is refused."""
    if issue.pointer.startswith("line:"):
        return _describe_line_issue(issue, locale)
    if locale == "en":
        return issue.detail
    request_code = "json_invalid_at" if issue.code == "json_invalid" and issue.value else issue.code
    if request_code in _REQUEST_MESSAGES:
        return _REQUEST_MESSAGES[request_code][locale].format(value=issue.value)
    if issue.code in {*ItemErrorCode}:
        return describe_item_error(ItemErrorCode(issue.code), None, locale)
    field, code = _name_field(issue.pointer), _read_code(issue)
    if code in _FIELD_MESSAGES:
        return f"{field or _WHOLE_BODY[locale]} {_FIELD_MESSAGES[code][locale].format(limit=issue.value)}"
    return describe_fault(ActivityFault(field or _WHOLE_BODY[locale], code, issue.value), locale)


def _describe_line_issue(issue: RequestIssue, locale: Locale) -> str:
    """Explain an issue with a line of a file; some have a text of their own, also in English."""
    source, _, field = issue.pointer.rpartition("/")
    if issue.code in _FILE_MESSAGES:
        text = _FILE_MESSAGES[issue.code].get(locale)
        return text.format(value=issue.value) if text else issue.detail
    if issue.code in {*ItemErrorCode}:
        return describe_item_error(ItemErrorCode(issue.code), None, locale)
    is_known = source and (locale != "en" or is_field_code(issue.code))
    return describe_fault(ActivityFault(field, issue.code, issue.value), locale) if is_known else issue.detail


def _name_field(pointer: str) -> str:
    """Return a field's name as the pointer has it, with its list if it is an item: `items/3`."""
    names = pointer.replace(":", "/").lstrip("/").split("/")
    return "/".join(names[-2:] if names[-1].isdecimal() else names[-1:])


def _read_code(issue: RequestIssue) -> str:
    """Return the code that decides the text: some rules of ours share one, and a field can be left to the items."""
    field = _name_field(issue.pointer)
    match issue.code:
        case "value_error":
            return _CODES_OF_OUR_RULES.get(field, issue.code)
        case "missing" if issue.pointer.startswith("/activity/"):
            return "not_shared"
        case "enum" if field != "activity_type":
            return "invalid"
        case code:
            return code
