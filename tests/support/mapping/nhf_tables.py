"""The expected cells and texts of NHF's report."""

from datetime import date, time
from decimal import Decimal
from typing import Any

from stafett.domain.export import Locale
from tests.support.mapping.activities import (
    activity,
    activity_id,
    activity_ids,
    load_document,
    mentor_names,
    to_decimals,
)

NHF, NHF_BEFORE_2020 = load_document("nhf", since="2020-01-01"), load_document("nhf", since="1900-01-01")
MONDAY, TUESDAY = date(2026, 3, 2), date(2026, 3, 3)
INDIVIDUAL, GROUP, TRAINING, OTHER = (
    "Individuelt likepersonsarbeid",
    "Likepersonsarbeid i gruppe",
    "Opplæring av likepersoner",
    "Øvrig aktivitet",
)
ZERO, ONE, TWO, MANY = "Ingen deltakere", "En til en", "2 deltakere", "Mer enn 12 deltakere"
SOME = "3–12 deltakere"  # noqa: RUF001 - correct typography
NEVER_COUNTS, ABROAD, NOT_IN_PERSON = "Aktivitetstypen teller ikke", "Holdt utenfor Norge", "Ikke et fysisk møte"
NO_PARTICIPANTS, TOO_FEW, SHORT_GROUP = "Ingen deltakere", "Færre enn 3 deltakere", "Gruppe kortere enn 45 minutter"
TOO_FEW_ON_COURSE = "Kurs med færre enn 5 deltakere"
SHORT_COURSE = "Kursdag kortere enn 2 × 45 minutter"  # noqa: RUF001 - correct typography
NO_NEWCOMERS = "Likepersonen har allerede en tellende aktivitet denne dagen, og ingen deltaker er ny"
UNKNOWN_TYPE = "«Aktivitetstype» har en verdi som ikke finnes i listen."
EMPTY_COURSE = "Et likepersonskurs må ha deltakere."
NO_NOTE = "En aktivitet av typen «Annet» bør ha en merknad."


def default_cells(*numbers: int) -> dict[str, list[Any]]:
    """Return the cells of activities with the default fields."""
    rows = len(numbers)
    return {
        "Dato": [MONDAY] * rows,
        "Kategori": [GROUP] * rows,
        "Aktivitetstype": ["Samtalegruppe"] * rows,
        "Starttid": [time(17)] * rows,
        "Varighet (minutter)": [60] * rows,
        "Timer": to_decimals("1.00") * rows,
        "Likeperson": mentor_names(*numbers),
        "Sted": ["Bodø"] * rows,
        "Deltakere": [4] * rows,
        "Nye deltakere": [1] * rows,
        "Gruppestørrelse": [SOME] * rows,
        "Fysisk møte": ["Ja"] * rows,
        "I Norge": ["Ja"] * rows,
        "Registrert av koordinator": ["Nei"] * rows,
        "Vedlegg": [0] * rows,
        "Tellende": ["Ja"] * rows,
        "Teller ikke fordi": [None] * rows,
        "Merknad": [None] * rows,
        "Aktivitets-ID": activity_ids(*numbers),
    }


BORDERLINE_ACTIVITIES = (
    activity(1, "samtalegruppe", participants=2),
    activity(2, "samtalegruppe", participants=3),
    activity(3, "aktivitetsgruppe", participants=2),
    activity(4, "aktivitetsgruppe", participants=3),
    activity(5, "samtalegruppe", participants=3, minutes=44),
    activity(6, "samtalegruppe", participants=3, minutes=45),
    activity(7, "likepersonskurs", participants=4, minutes=89),
    activity(8, "likepersonskurs", participants=4, minutes=90),
    activity(9, "likepersonskurs", participants=5, minutes=89),
    activity(10, "likepersonskurs", participants=5, minutes=90),
    activity(11, "samtalegruppe", participants=0, new_participants=0),
    activity(12, "oppsokende_samtale", participants=0, new_participants=0),
    activity(13, "oppsokende_samtale", participants=1),
    activity(14, "annet", participants=0, new_participants=0, note="Stand i regnvær"),
)
BORDERLINE_CELLS = default_cells(1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14) | {
    "Kategori": [GROUP] * 6 + [TRAINING] * 4 + [GROUP, INDIVIDUAL, INDIVIDUAL, OTHER],
    "Aktivitetstype": [
        *("Samtalegruppe", "Samtalegruppe", "Aktivitetsgruppe", "Aktivitetsgruppe", "Samtalegruppe", "Samtalegruppe"),
        *("Likepersonskurs", "Likepersonskurs", "Likepersonskurs", "Likepersonskurs"),
        *("Samtalegruppe", "Oppsøkende samtale", "Oppsøkende samtale", "Annet"),
    ],
    "Varighet (minutter)": [60, 60, 60, 60, 44, 45, 89, 90, 89, 90, 60, 60, 60, 60],
    "Timer": to_decimals(*("1", "1", "1", "1", "0.73", "0.75", "1.48", "1.50", "1.48", "1.50", "1", "1", "1", "1")),
    "Deltakere": [2, 3, 2, 3, 3, 3, 4, 4, 5, 5, 0, 0, 1, 0],
    "Nye deltakere": [1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 1, 0],
    "Gruppestørrelse": [TWO, SOME, TWO, SOME, SOME, SOME, SOME, SOME, SOME, SOME, ZERO, ZERO, ONE, ZERO],
    "Merknad": [None] * 13 + ["Stand i regnvær"],
}
SIZES_BY_LOCALE: dict[Locale, list[str]] = {
    "nb": [ZERO, ONE, TWO, SOME, SOME, MANY],
    "nn": [
        *("Ingen deltakarar", "Ein til ein", "2 deltakarar"),
        *("3–12 deltakarar", "3–12 deltakarar", "Meir enn 12 deltakarar"),  # noqa: RUF001 - correct typography
    ],
    "en": [
        *("No participants", "One to one", "2 participants"),
        *("3–12 participants", "3–12 participants", "More than 12 participants"),  # noqa: RUF001 - correct typography
    ],
}
OTHER_BY_LOCALE: dict[Locale, str] = {"nb": OTHER, "nn": "Annan aktivitet", "en": "Other activity"}
ROW_IN_NYNORSK = {
    "Dato": MONDAY,
    "Kategori": "Opplæring av likepersonar",
    "Aktivitetstype": "Likepersonskurs",
    "Starttid": time(17),
    "Varigheit (minutt)": 60,
    "Timar": Decimal("1.00"),
    "Likeperson": "Likeperson 1",
    "Stad": "Bodø",
    "Deltakarar": 4,
    "Nye deltakarar": 1,
    "Gruppestorleik": "3–12 deltakarar",  # noqa: RUF001 - correct typography
    "Fysisk møte": "Ja",
    "I Noreg": "Nei",
    "Registrert av koordinator": "Nei",
    "Vedlegg": 0,
    "Teljande": "Nei",
    "Tel ikkje fordi": "Halde utanfor Noreg",
    "Merknad": None,
    "Aktivitets-ID": activity_id(1),
}
ROW_IN_ENGLISH = {
    "Date": MONDAY,
    "Category": "Training of peer mentors",
    "Activity type": "Peer mentor course",
    "Start time": time(17),
    "Duration (minutes)": 60,
    "Hours": Decimal("1.00"),
    "Peer mentor": "Likeperson 1",
    "Place": "Bodø",
    "Participants": 4,
    "New participants": 1,
    "Group size": "3–12 participants",  # noqa: RUF001 - correct typography
    "In person": "Yes",
    "In Norway": "No",
    "Registered by a coordinator": "No",
    "Attachments": 0,
    "Countable": "No",
    "Does not count because": "Held outside Norway",
    "Note": None,
    "Activity ID": activity_id(1),
}
MESSAGES_BY_LOCALE: dict[Locale, list[str]] = {
    "nn": [
        "«Aktivitetstype» har ein verdi som ikkje finst i lista.",
        "«Stad» manglar.",
        "Eit likepersonskurs må ha deltakarar.",
        "Ein oppsøkjande samtale er ikkje ei gruppe; det er ført tre eller fleire deltakarar.",
        "Ein aktivitet av typen «Anna» bør ha ein merknad.",
    ],
    "en": [
        "“Activity type” has a value that is not in the list.",
        "“Place” is missing.",
        "A peer mentor course must have participants.",
        "An outreach conversation is not a group; three or more participants are entered.",
        "An activity of the kind “Other” should have a note.",
    ],
}
