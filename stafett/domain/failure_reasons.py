"""Why jobs and items fail, in words for their users and in each language."""

from collections.abc import Mapping
from types import MappingProxyType

from stafett.domain.bulk_status import ItemErrorCode
from stafett.domain.export import Locale
from stafett.domain.export_status import ExportErrorCode

LocalizedReason = Mapping[Locale, str]

_EXPORT_FAILURES: Mapping[ExportErrorCode, LocalizedReason] = MappingProxyType(
    {
        ExportErrorCode.NO_DATA_FOR_PERIOD: {
            "nb": "Det er ingen aktiviteter i perioden. Kontroller perioden, eller registrer aktiviteter først.",
            "nn": "Det er ingen aktivitetar i perioden. Kontroller perioden, eller registrer aktivitetar først.",
            "en": "There are no activities in this period. Check the period, or register activities first.",
        },
        ExportErrorCode.COLUMN_MAPPING_UNAVAILABLE: {
            "nb": "Organisasjonens kolonneoppsett kan ikke brukes. En administrator må rette det.",
            "nn": "Kolonneoppsettet til organisasjonen kan ikkje brukast. Ein administrator må rette det.",
            "en": "The organisation's column layout cannot be used. An administrator has to correct it.",
        },
        ExportErrorCode.FILE_GENERATION_FAILED: {
            "nb": "Filen kunne ikke skrives. Prøv igjen; mislykkes det på nytt, så kontakt brukerstøtten.",
            "nn": "Fila kunne ikkje skrivast. Prøv igjen; går det gale på nytt, så kontakt brukarstøtta.",
            "en": "The file could not be written. Try again; if it fails again, contact support.",
        },
        ExportErrorCode.AUDIT_SERVICE_UNAVAILABLE: {
            "nb": "Loggen kunne ikke skrives. Prøv igjen senere.",
            "nn": "Loggen kunne ikkje skrivast. Prøv igjen seinare.",
            "en": "The audit trail could not be written. Try again later.",
        },
        ExportErrorCode.PERMISSION_DENIED: {
            "nb": "Den som startet dette, har ikke lenger lov til det.",
            "nn": "Den som starta dette, har ikkje lenger lov til det.",
            "en": "The person who started this may no longer do so.",
        },
        ExportErrorCode.STORAGE_UNAVAILABLE: {
            "nb": "Fillageret svarte ikke. Prøv igjen senere.",
            "nn": "Fillageret svara ikkje. Prøv igjen seinare.",
            "en": "The file storage did not answer. Try again later.",
        },
        ExportErrorCode.QUERY_FAILED: {
            "nb": "Aktivitetene kunne ikke leses. Prøv igjen; mislykkes det på nytt, så kontakt brukerstøtten.",
            "nn": "Aktivitetane kunne ikkje lesast. Prøv igjen; går det gale på nytt, så kontakt brukarstøtta.",
            "en": "The activities could not be read. Try again; if it fails again, contact support.",
        },
        ExportErrorCode.ATTACHMENT_UNAVAILABLE: {
            "nb": "Et vedlegg kunne ikke leses. Prøv igjen, eller lag rapporten uten vedlegg.",
            "nn": "Eit vedlegg kunne ikkje lesast. Prøv igjen, eller lag rapporten utan vedlegg.",
            "en": "An attachment could not be read. Try again, or make the report without attachments.",
        },
        ExportErrorCode.SNAPSHOT_GONE: {
            "nb": "Radene til den versjonen er ikke lagret lenger. Lag en ny versjon av dagens data.",
            "nn": "Radene til den versjonen er ikkje lagra lenger. Lag ein ny versjon av data frå i dag.",
            "en": "The rows of that version are no longer stored. Make a new version from today's data.",
        },
        ExportErrorCode.CANCELLED: {
            "nb": "Den ble avbrutt.",
            "nn": "Han vart avbroten.",
            "en": "It was cancelled.",
        },
        ExportErrorCode.INTERNAL: {
            "nb": "Noe uventet skjedde. Prøv igjen; mislykkes det på nytt, så kontakt brukerstøtten.",
            "nn": "Noko uventa skjedde. Prøv igjen; går det gale på nytt, så kontakt brukarstøtta.",
            "en": "Something unexpected happened. Try again; if it fails again, contact support.",
        },
    }
)

_ITEM_FAILURES: Mapping[ItemErrorCode, LocalizedReason] = MappingProxyType(
    {
        ItemErrorCode.MENTOR_NOT_FOUND: {
            "nb": "Organisasjonen har ingen slik likeperson.",
            "nn": "Organisasjonen har ingen slik likeperson.",
            "en": "The organisation has no such peer mentor.",
        },
        ItemErrorCode.MENTOR_INACTIVE: {
            "nb": "Likepersonen er ikke aktiv.",
            "nn": "Likepersonen er ikkje aktiv.",
            "en": "The peer mentor is not active.",
        },
        ItemErrorCode.OVERLAPPING_ACTIVITY: {
            "nb": "Likepersonen har en annen aktivitet på det tidspunktet.",
            "nn": "Likepersonen har ein annan aktivitet på det tidspunktet.",
            "en": "The peer mentor has another activity at that time.",
        },
        ItemErrorCode.INVALID_ACTIVITY: {
            "nb": "Aktiviteten er ikke fullstendig eller ikke gyldig.",
            "nn": "Aktiviteten er ikkje fullstendig eller ikkje gyldig.",
            "en": "The activity is not complete or not valid.",
        },
        ItemErrorCode.TEMPORARILY_UNAVAILABLE: {
            "nb": "En tjeneste var utilgjengelig. Prøv igjen.",
            "nn": "Ei teneste var utilgjengeleg. Prøv igjen.",
            "en": "A service was unavailable. Try again.",
        },
    }
)


def describe_export_failure(code: str, locale: Locale) -> str:
    """Return the reason for an error code; an unknown one is an unexpected error."""
    known = ExportErrorCode(code) if code in {*ExportErrorCode} else ExportErrorCode.INTERNAL
    return _EXPORT_FAILURES[known][locale]


def describe_item_failure(code: str, locale: Locale) -> str:
    return _ITEM_FAILURES[ItemErrorCode(code)][locale]
