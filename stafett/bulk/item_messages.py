"""Messages about items that were not registered, in the languages of reports."""

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from stafett.domain.bulk_status import ITEM_ERROR_MESSAGES, ItemErrorCode
from stafett.domain.export import Locale
from stafett.domain.failure_reasons import describe_item_failure
from stafett.domain.proxy_activity import ProxyActivity, describe_errors

_FIELD_MESSAGES: Mapping[Locale, Mapping[str, str]] = {
    "nb": {
        "missing": "mangler",
        "enum": "er ingen aktivitetstype",
        "greater_than_equal": "må være minst {ge}",
        "less_than_equal": "kan være høyst {le}",
        "int_type": "må være et heltall",
        "bool_type": "må være ja eller nei",
        "string_type": "må være en tekst",
        "string_too_long": "kan ha høyst {max_length} tegn",
        "starts_at": "må være et tidspunkt som finnes, skrevet som 31.01.2026 10:00",
        "new_participants": "Det kan ikke være flere nye deltakere enn deltakere",
        "invalid": "er ikke gyldig",
    },
    "nn": {
        "missing": "manglar",
        "enum": "er ingen aktivitetstype",
        "greater_than_equal": "må vere minst {ge}",
        "less_than_equal": "kan vere høgst {le}",
        "int_type": "må vere eit heiltal",
        "bool_type": "må vere ja eller nei",
        "string_type": "må vere ein tekst",
        "string_too_long": "kan ha høgst {max_length} teikn",
        "starts_at": "må vere eit tidspunkt som finst, skrive som 31.01.2026 10:00",
        "new_participants": "Det kan ikkje vere fleire nye deltakarar enn deltakarar",
        "invalid": "er ikkje gyldig",
    },
}


def translate_item_error(code: ItemErrorCode, activity_fields: Mapping[str, Any], locale: Locale) -> str:
    """Explain an item's error; of an activity that is not valid, explain each field without quoting its value."""
    if code is ItemErrorCode.INVALID_ACTIVITY:
        try:
            ProxyActivity.model_validate(dict(activity_fields))
        except ValidationError as error:
            return describe_errors(error) if locale == "en" else _describe_fields(error, locale)
    return ITEM_ERROR_MESSAGES[code] if locale == "en" else describe_item_failure(code, locale)


def _describe_fields(error: ValidationError, locale: Locale) -> str:
    messages = _FIELD_MESSAGES[locale]
    sentences = []
    for details in error.errors(include_url=False, include_input=False):
        field = str(details["loc"][0]) if details["loc"] else "new_participants"
        key = field if details["type"] == "value_error" else details["type"]
        message = messages.get(key, messages["invalid"]).format(**details.get("ctx", {}))
        sentences.append(f"{field} {message}." if details["loc"] else f"{message}.")
    return " ".join(sentences)
