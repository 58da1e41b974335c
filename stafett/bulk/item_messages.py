"""Why items are not registered, in the languages of reports; no value is quoted."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import get_args

from stafett.domain.activity import ACTIVITY_TYPES
from stafett.domain.activity_faults import ActivityFault, decode_faults
from stafett.domain.bulk_status import ITEM_ERROR_MESSAGES, ItemErrorCode
from stafett.domain.export import Locale
from stafett.domain.failure_reasons import describe_item_failure

_FIELD_MESSAGES: Mapping[Locale, Mapping[str, str]] = MappingProxyType(
    {
        "nb": {
            "missing": "mangler",
            "enum": "er ingen aktivitetstype; mulige er {types}",
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
            "enum": "er ingen aktivitetstype; moglege er {types}",
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
            "enum": "is not a type of activity; possible are {types}",
            "greater_than_equal": "must be at least {limit}",
            "less_than_equal": "must be at most {limit}",
            "int_type": "must be a whole number",
            "bool_type": "must be true or false (in a CSV file: yes or no)",
            "string_type": "must be a text",
            "string_too_short": "is empty",
            "string_too_long": "must have at most {limit} characters",
            "time_invalid": "must be a time that exists, such as 31.01.2026 10:00 or 2026-01-31T10:00:00+01:00",
            "event_id_invalid": "must be the id of an event",
            "more_new_participants": "There cannot be more new participants than participants",
            "invalid": "is not valid",
        },
    }
)


_TYPES: Mapping[str, str] = MappingProxyType(
    {locale: ", ".join(each.names[locale] for each in ACTIVITY_TYPES) for locale in get_args(Locale)}
)
"""The names of all types of activities."""


def describe_item_error(code: ItemErrorCode, faults: str | None, locale: Locale) -> str:
    """Explain an item's error; of an activity that is not valid, explain each field."""
    if code is ItemErrorCode.INVALID_ACTIVITY and faults:
        return " ".join(f"{describe_fault(fault, locale)}." for fault in decode_faults(faults))
    return ITEM_ERROR_MESSAGES[code] if locale == "en" else describe_item_failure(code, locale)


def describe_fault(fault: ActivityFault, locale: Locale) -> str:
    """Explain a field of an activity, or why its fields are not valid together."""
    message = describe_field(fault, locale)
    return message if fault.code == "more_new_participants" else f"{fault.field} {message}"


def is_field_code(code: str) -> bool:
    """Return whether a fault of a field has a text of its own."""
    return code in _FIELD_MESSAGES["en"]


def describe_field(fault: ActivityFault, locale: Locale) -> str:
    """Explain what is wrong with a field, as the end of a sentence that begins with the field or its value."""
    messages = _FIELD_MESSAGES[locale]
    return messages.get(fault.code, messages["invalid"]).format(limit=fault.limit, types=_TYPES[locale])
