"""Why items are not registered and lines of a file are not read, in the languages of reports; no value is quoted."""

from collections.abc import Mapping
from types import MappingProxyType

from stafett.domain.activity_faults import ActivityFault, decode_faults
from stafett.domain.bulk_status import ITEM_ERROR_MESSAGES, ItemErrorCode
from stafett.domain.errors import RequestIssue
from stafett.domain.export import Locale
from stafett.domain.failure_reasons import describe_item_failure

_FIELD_MESSAGES: Mapping[Locale, Mapping[str, str]] = MappingProxyType(
    {
        "nb": {
            "missing": "mangler",
            "enum": "er ingen aktivitetstype",
            "greater_than_equal": "må være minst {limit}",
            "less_than_equal": "kan være høyst {limit}",
            "int_type": "må være et heltall",
            "bool_type": "må være ja eller nei",
            "string_type": "må være en tekst",
            "string_too_short": "er tom",
            "string_too_long": "kan ha høyst {limit} tegn",
            "time_invalid": "må være et tidspunkt som finnes, skrevet som 31.01.2026 10:00",
            "event_id_invalid": "må være id-en til et arrangement",
            "more_new_participants": "Det kan ikke være flere nye deltakere enn deltakere",
            "invalid": "er ikke gyldig",
        },
        "nn": {
            "missing": "manglar",
            "enum": "er ingen aktivitetstype",
            "greater_than_equal": "må vere minst {limit}",
            "less_than_equal": "kan vere høgst {limit}",
            "int_type": "må vere eit heiltal",
            "bool_type": "må vere ja eller nei",
            "string_type": "må vere ein tekst",
            "string_too_short": "er tom",
            "string_too_long": "kan ha høgst {limit} teikn",
            "time_invalid": "må vere eit tidspunkt som finst, skrive som 31.01.2026 10:00",
            "event_id_invalid": "må vere id-en til eit arrangement",
            "more_new_participants": "Det kan ikkje vere fleire nye deltakarar enn deltakarar",
            "invalid": "er ikkje gyldig",
        },
        "en": {
            "missing": "is missing",
            "enum": "is not a type of activity",
            "greater_than_equal": "must be at least {limit}",
            "less_than_equal": "must be at most {limit}",
            "int_type": "must be a whole number",
            "bool_type": "must be true or false (in a CSV file: yes or no)",
            "string_type": "must be a text",
            "string_too_short": "is empty",
            "string_too_long": "must have at most {limit} characters",
            "time_invalid": (
                "must be a time that exists, in RFC 3339 with its offset, such as 2026-01-31T10:00:00+01:00,"
                " or in a CSV file a time in Oslo, such as 31.01.2026 10:00"
            ),
            "event_id_invalid": "must be the id of an event",
            "more_new_participants": "There cannot be more new participants than participants",
            "invalid": "is not valid",
        },
    }
)
_FILE_MESSAGES: Mapping[str, Mapping[Locale, str]] = MappingProxyType(
    {
        "encoding": {"nb": "Teksten er ikke UTF-8", "nn": "Teksten er ikkje UTF-8"},
        "csv": {"nb": "Filen er ikke gyldig CSV", "nn": "Fila er ikkje gyldig CSV"},
        "too_many_columns": {
            "nb": "Overskriften har flere kolonner enn de {value} som er kjent",
            "nn": "Overskrifta har fleire kolonnar enn dei {value} som er kjende",
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
"""Texts about a whole file or a line of it; in English the issue has its own."""


def describe_item_error(code: ItemErrorCode, faults: str | None, locale: Locale) -> str:
    """Explain an item's error; of an activity that is not valid, explain each field."""
    if code is ItemErrorCode.INVALID_ACTIVITY and faults:
        return " ".join(f"{describe_fault(fault, locale)}." for fault in decode_faults(faults))
    return ITEM_ERROR_MESSAGES[code] if locale == "en" else describe_item_failure(code, locale)


def describe_fault(fault: ActivityFault, locale: Locale) -> str:
    """Explain a field of an activity, or why its fields are not valid together."""
    message = _describe_field(fault, locale)
    return message if fault.code == "more_new_participants" else f"{fault.field} {message}"


def describe_line_issue(issue: RequestIssue, locale: Locale) -> str:
    """Explain an issue with a line of a file, or with an item of a batch; other issues have their own text."""
    source, _, field = issue.pointer.rpartition("/")
    is_of_line = issue.pointer.startswith("line:")
    if not is_of_line and not issue.pointer.startswith("/items/"):
        return issue.detail
    if issue.code in _FILE_MESSAGES:
        text = _FILE_MESSAGES[issue.code].get(locale) if is_of_line else None
        return text.format(value=issue.value) if text else issue.detail
    if issue.code in {*ItemErrorCode}:
        return describe_item_error(ItemErrorCode(issue.code), None, locale)
    is_known = source and (locale != "en" or issue.code in _FIELD_MESSAGES[locale])
    return describe_fault(ActivityFault(field, issue.code, issue.value), locale) if is_known else issue.detail


def _describe_field(fault: ActivityFault, locale: Locale) -> str:
    messages = _FIELD_MESSAGES[locale]
    return messages.get(fault.code, messages["invalid"]).format(limit=fault.limit)
