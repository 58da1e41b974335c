"""Texts of the workbook that do not come from the mapping document."""

from stafett.column_mapper.localized import Localized

REPORT_TO_BUFDIR = Localized(nb="Rapport til Bufdir", nn="Rapport til Bufdir", en="Report to Bufdir")
LISTS_SHEET = Localized(nb="Lister", nn="Lister", en="Lists")
NOT_IN_LIST = Localized(nb="Ikke i listen", nn="Ikkje i lista", en="Not in the list")
CHOOSE_FROM_LIST = Localized(
    nb="Velg en av verdiene i listen.", nn="Vel ein av verdiane i lista.", en="Choose one of the values in the list."
)
COUNT = Localized(nb="Antall", nn="Tal", en="Count")
TOTAL = Localized(nb="Sum", nn="Sum", en="Total")

# Names of tables: Excel allows letters, digits and underscores.
REPORT_TABLE = Localized(nb="Rapport", nn="Rapport", en="Report")
EXCLUDED_TABLE = Localized(nb="TellerIkke", nn="TelIkkje", en="DoesNotCount")
COUNTS_TABLE = Localized(nb="Aktiviteter", nn="Aktivitetar", en="Activities")
REASONS_TABLE = Localized(nb="Grunner", nn="Grunnar", en="Reasons")
TOTALS_TABLE = Localized(nb="Summer", nn="Summar", en="Totals")
WARNINGS_TABLE = Localized(nb="Merknader", nn="Merknader", en="Remarks")
FAILURES_TABLE = Localized(nb="Avvik", nn="Avvik", en="Deviations")
ABOUT_TABLE = Localized(nb="OmRapporten", nn="OmRapporten", en="AboutTheReport")

ACTIVITIES = Localized(nb="Aktiviteter", nn="Aktivitetar", en="Activities")
ACTIVITY_OUTCOME = Localized(nb="Hva som ble av dem", nn="Kva som vart av dei", en="What became of them")
QUERIED = Localized(nb="Registrert i perioden", nn="Registrerte i perioden", en="Registered in the period")
WRITTEN = Localized(nb="Står i rapporten", nn="Står i rapporten", en="In the report")
EXCLUDED = Localized(nb="Står på arket «{sheet}»", nn="Står på arket «{sheet}»", en="On the sheet “{sheet}”")
REJECTED = Localized(
    nb="Avvist, se arket «{sheet}»", nn="Avviste, sjå arket «{sheet}»", en="Rejected, see the sheet “{sheet}”"
)
COUNTABLE = Localized(nb="Teller", nn="Tel", en="Count")
EVENTS = Localized(nb="Arrangement som de er fra", nn="Arrangement som dei er frå", en="Events that these belong to")
NOT_COUNTABLE = Localized(nb="Teller ikke", nn="Tel ikkje", en="Do not count")
NOT_COUNTABLE_REASONS = Localized(
    nb="Hvorfor aktiviteter ikke teller",
    nn="Kvifor aktivitetar ikkje tel",
    en="Why activities do not count",
)
REASON = Localized(nb="Grunn", nn="Grunn", en="Reason")
NO_VALUE = Localized(nb="(uten verdi)", nn="(utan verdi)", en="(no value)")
WARNINGS = Localized(nb="Verdt å vite", nn="Verdt å vite", en="Worth knowing")
WARNING = Localized(nb="Merknad", nn="Merknad", en="Remark")

FAILURE_REASON = Localized(nb="Hva", nn="Kva", en="What")
COLUMN = Localized(nb="Kolonne", nn="Kolonne", en="Column")
CODE = Localized(nb="Kode", nn="Kode", en="Code")
FAILURE_OUTCOME = Localized(nb="Følge", nn="Følgje", en="Outcome")
OUTCOME_REJECTED = Localized(nb="Avvist", nn="Avvist", en="Rejected")
OUTCOME_WARNING = Localized(nb="Merknad", nn="Merknad", en="Warning")
FIRST_ROW_NUMBERS = Localized(nb="De første, nr.", nn="Dei første, nr.", en="The first, no.")
FIRST_ACTIVITY_IDS = Localized(
    nb="De første, aktivitets-ID", nn="Dei første, aktivitets-ID", en="The first, activity ID"
)
ROW_NUMBERS_NOTE = Localized(
    nb="Nr. 1 er den første aktiviteten i perioden; de avviste og de som ikke teller, er regnet med. "
    "Det er ikke radnummeret i et ark.",
    nn="Nr. 1 er den første aktiviteten i perioden; dei avviste og dei som ikkje tel, er rekna med. "
    "Det er ikkje radnummeret i eit ark.",
    en="No. 1 is the first activity of the period; those rejected and those that do not count are included. "
    "It is not a sheet's row number.",
)
DEVIATIONS_SHEET = Localized(nb="Avvik rad for rad", nn="Avvik rad for rad", en="Deviations by row")
DEVIATIONS_TABLE = Localized(nb="AvvikRadForRad", nn="AvvikRadForRad", en="DeviationsByRow")
DATE = Localized(nb="Dato", nn="Dato", en="Date")
PEER_MENTOR = Localized(nb="Likeperson", nn="Likeperson", en="Peer mentor")
PLACE = Localized(nb="Sted", nn="Stad", en="Place")
SHEET = Localized(nb="Ark", nn="Ark", en="Sheet")
SHEET_ROW = Localized(nb="Rad", nn="Rad", en="Row")
PROBLEM = Localized(nb="Hva er galt", nn="Kva er gale", en="What is wrong")
REPAIR = Localized(nb="Hvordan rette det", nn="Korleis rette det", en="How to correct it")
ACTIVITY_ID = Localized(nb="Aktivitets-ID", nn="Aktivitets-ID", en="Activity ID")
OUTCOME_NOT_COUNTABLE = Localized(nb="Teller ikke", nn="Tel ikkje", en="Does not count")

REASONS_NOTE = Localized(
    nb="Hvorfor aktiviteter er avvist eller har en merknad, én linje for hver grunn.",
    nn="Kvifor aktivitetar er avviste eller har ein merknad, éi linje for kvar grunn.",
    en="Why activities are rejected or have a warning, one line for each reason.",
)
BY_ROW_NOTE = Localized(
    nb="Arket «{sheet}» har hver aktivitet som er avvist, ikke teller eller har en merknad: {count} i alt.",
    nn="Arket «{sheet}» har kvar aktivitet som er avvist, ikkje tel eller har ein merknad: {count} i alt.",
    en="The sheet “{sheet}” has each activity that is rejected, does not count or has a warning: {count} in all.",
)
NO_FAILURES = Localized(
    nb="Ingen aktivitet er avvist eller har en merknad.",
    nn="Ingen aktivitet er avvist eller har ein merknad.",
    en="No activity is rejected or has a warning.",
)

PROPERTY = Localized(nb="Opplysning", nn="Opplysning", en="Fact")
VALUE = Localized(nb="Verdi", nn="Verdi", en="Value")
ORGANISATION = Localized(nb="Organisasjon", nn="Organisasjon", en="Organisation")
FIRST_DAY = Localized(nb="Periodens første dag", nn="Første dagen i perioden", en="First day of the period")
LAST_DAY = Localized(nb="Periodens siste dag", nn="Siste dagen i perioden", en="Last day of the period")
MAPPING = Localized(nb="Regler", nn="Reglar", en="Rules")
MAPPING_VERSION = Localized(nb="Reglenes versjon", nn="Versjon av reglane", en="Version of the rules")
MAPPING_EFFECTIVE_FROM = Localized(nb="Reglene gjelder fra", nn="Reglane gjeld frå", en="The rules hold from")
MAPPING_HASH = Localized(nb="Reglenes SHA-256", nn="SHA-256 av reglane", en="SHA-256 of the rules")
LANGUAGE = Localized(nb="Språk", nn="Språk", en="Language")
LANGUAGE_NAME = Localized(nb="Bokmål (nb)", nn="Nynorsk (nn)", en="English (en)")
LONG_NUMBERS = Localized(nb="Lange tall", nn="Lange tal", en="Long numbers")
LONG_NUMBERS_NOTE = Localized(
    nb="Tall med mer enn 15 sifre, dager før 1.3.1900 og negative varigheter står som tekst.",
    nn="Tal med meir enn 15 siffer, dagar før 1.3.1900 og negative varigheiter står som tekst.",
    en="Numbers of more than 15 digits, days before 1 March 1900 and negative durations are text.",
)
