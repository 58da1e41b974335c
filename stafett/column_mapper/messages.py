"""Messages to the readers of a report, in the report's language."""

from collections.abc import Mapping
from datetime import date
from types import MappingProxyType

from stafett.domain.export import Locale

Translations = Mapping[Locale, str]

VALUE_MISSING: Translations = MappingProxyType(
    {"nb": "«{header}» mangler.", "nn": "«{header}» manglar.", "en": "“{header}” is missing."}
)
UNKNOWN_CHOICE: Translations = MappingProxyType(
    {
        "nb": "«{header}» har en verdi som ikke finnes i listen.",
        "nn": "«{header}» har ein verdi som ikkje finst i lista.",
        "en": "“{header}” has a value that is not in the list.",
    }
)
TEXT_TRUNCATED: Translations = MappingProxyType(
    {
        "nb": "«{header}» er lengre enn de 32 767 tegnene en celle i Excel rommer, og er kuttet.",
        "nn": "«{header}» er lengre enn dei 32 767 teikna ei celle i Excel rommar, og er kutta.",
        "en": "“{header}” is longer than the 32,767 characters that a cell in Excel holds, and is cut.",
    }
)
ROW_TOO_LARGE: Translations = MappingProxyType(
    {
        "nb": "Aktivitetens tekster er for lange til å behandles.",
        "nn": "Tekstane til aktiviteten er for lange til å handsamast.",
        "en": "The texts of the activity are too long to be processed.",
    }
)
CHOICE_REPLACED: Translations = MappingProxyType(
    {
        "nb": "«{header}» hadde en verdi som ikke finnes i listen, og er skrevet som «{label}».",
        "nn": "«{header}» hadde ein verdi som ikkje finst i lista, og er skriven som «{label}».",
        "en": "“{header}” had a value that is not in the list, and is written as “{label}”.",
    }
)
OTHER_VALUES: Translations = MappingProxyType({"nb": "Andre verdier", "nn": "Andre verdiar", "en": "Other values"})
REPAIR_ACTIVITY: Translations = MappingProxyType(
    {
        "nb": "Rett aktiviteten, og lag rapporten på nytt.",
        "nn": "Rett aktiviteten, og lag rapporten på nytt.",
        "en": "Correct the activity, and export the period again.",
    }
)
REPAIR_NOT_COUNTABLE: Translations = MappingProxyType(
    {
        "nb": "Rett aktiviteten hvis den er feil ført; ellers teller den ikke, og ingenting skal gjøres.",
        "nn": "Rett aktiviteten om ho er ført feil; elles tel ho ikkje, og ingenting skal gjerast.",
        "en": "Correct the activity if it is entered wrongly; otherwise it does not count, and nothing is to be done.",
    }
)
REPAIR_MISSING_VALUE: Translations = MappingProxyType(
    {
        "nb": "Fyll ut det som mangler, og lag rapporten på nytt.",
        "nn": "Fyll ut det som manglar, og lag rapporten på nytt.",
        "en": "Enter what is missing, and export the period again.",
    }
)
REPAIR_CHOICE: Translations = MappingProxyType(
    {
        "nb": "Velg en verdi som finnes i listen, eller be administratoren om å legge verdien til.",
        "nn": "Vel ein verdi som finst i lista, eller be administratoren om å leggje verdien til.",
        "en": "Choose a value of the list, or let the administrator add the value.",
    }
)
REPAIR_TEXT: Translations = MappingProxyType(
    {"nb": "Kort ned teksten.", "nn": "Kort ned teksten.", "en": "Shorten the text."}
)
MAPPING_CHANGED: Translations = MappingProxyType(
    {
        "nb": "Reglene ble endret {day}, i perioden; de som gjelder ved slutten av den, er brukt for hele perioden.",
        "nn": "Reglane vart endra {day}, i perioden; dei som gjeld ved slutten av han, er brukte for heile perioden.",
        "en": "The rules changed on {day}, within the period; those at the period's end are used for all of it.",
    }
)
REASON_HEADER: Translations = MappingProxyType(
    {"nb": "Teller ikke fordi", "nn": "Tel ikkje fordi", "en": "Does not count because"}
)
ROWS_NOT_IN_CSV: Translations = MappingProxyType(
    {
        "nb": "{rows} aktiviteter teller ikke og står ikke i CSV-filen; et regneark viser dem på et eget ark.",
        "nn": "{rows} aktivitetar tel ikkje og står ikkje i CSV-fila; eit rekneark viser dei på eit eige ark.",
        "en": "{rows} activities do not count and are not in the CSV file; a workbook shows them on their own sheet.",
    }
)
SHARED_EVENTS: Translations = MappingProxyType(
    {
        "nb": "{rows} av aktivitetene som teller, er fra {events} arrangement med flere likepersoner;"
        " hver likeperson er talt for seg.",
        "nn": "{rows} av aktivitetane som tel, er frå {events} arrangement med fleire likepersonar;"
        " kvar likeperson er talt for seg.",
        "en": "{rows} of the activities that count are at events with several peer mentors ({events});"
        " each mentor is counted.",
    }
)


def format_date(locale: Locale, day: date) -> str:
    return day.isoformat() if locale == "en" else f"{day:%d.%m.%Y}"
