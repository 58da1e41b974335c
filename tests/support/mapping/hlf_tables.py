"""The expected cells and texts of HLF's report."""

from datetime import date, time
from decimal import Decimal
from typing import Any

from stafett.column_mapper import MappingDocument
from stafett.domain.export import Locale
from tests.support.mapping.activities import (
    activity,
    activity_id,
    activity_ids,
    load_document,
    mentor_names,
    to_decimals,
)

HLF, HLF_BEFORE_2026 = load_document("hlf", since="2026-01-01"), load_document("hlf", since="1900-01-01")
MONDAY, TUESDAY = date(2026, 3, 2), date(2026, 3, 3)
TALK, GROUP, COURSE = "1 Samtale ansikt til ansikt", "2 Gruppe", "3 Kursdag"
TEXT_AND_VIDEO, OTHER = "4 Tekst- og videosamtale", "9 Annet"


def default_cells(mapping: MappingDocument, *numbers: int) -> dict[str, list[Any]]:
    """Return the cells of countable activities with the default fields."""
    rows = len(numbers)
    fields_since_2026: dict[str, list[Any]] = {"Tolk eller teksting nevnt": ["Nei"] * rows} if mapping is HLF else {}
    return {
        "Dato": [MONDAY] * rows,
        "Likepersonens nr. den dagen": [1] * rows,
        "Kvartal": [1] * rows,
        "Starttid": [time(17)] * rows,
        "Varighet (minutter)": [60] * rows,
        "HLF-kode": [GROUP] * rows,
        "Aktivitetstype": ["Samtalegruppe"] * rows,
        "Likeperson": mentor_names(*numbers),
        "Sted": ["Bodø"] * rows,
        "Deltakere": [4] * rows,
        "Nye deltakere": [1] * rows,
        "Deltakertimer": to_decimals("4.0") * rows,
        "Fysisk møte": ["Ja"] * rows,
        "I Norge": ["Ja"] * rows,
        "Vedlegg": [0] * rows,
        **fields_since_2026,
        "Merknad": [None] * rows,
        "Aktivitets-ID": activity_ids(*numbers),
    }


def default_excluded_cells(mapping: MappingDocument, *numbers: int) -> dict[str, list[Any]]:
    """Return the same cells for activities that do not count and therefore have no number."""
    return default_cells(mapping, *numbers) | {"Likepersonens nr. den dagen": [None] * len(numbers)}


ALL_TYPES = (
    activity(1, "oppsokende_samtale", minutes=10, participants=1),
    activity(2, "samtalegruppe", minutes=45, participants=3, note="Tolk fra Nav"),
    activity(3, "aktivitetsgruppe", minutes=200, participants=13, new_participants=4, note="Med skrivetolk"),
    activity(4, "likepersonskurs", minutes=90, participants=12, attachments=2, note="TEKSTING på storskjerm"),
    activity(5, "telefonsamtale", minutes=20, participants=1, in_person=False, place=""),
    activity(6, "digital_samtale", minutes=50, participants=1, in_person=False, place="", note="Video med teksting"),
    activity(7, "besok", participants=1, new_participants=0),
    activity(8, "annet", participants=40, note="Stand på torget"),
    activity(9, "samtalegruppe", in_person=False, place="", is_proxy=True),
)
COUNTED_CELLS = {
    "Varighet (minutter)": [10, 45, 200, 90, 60],
    "HLF-kode": [TALK, GROUP, GROUP, COURSE, GROUP],
    "Aktivitetstype": [
        *("Oppsøkende samtale", "Samtalegruppe", "Aktivitetsgruppe", "Likepersonskurs", "Samtalegruppe"),
    ],
    "Sted": ["Bodø", "Bodø", "Bodø", "Bodø", ""],
    "Deltakere": [1, 3, 13, 12, 4],
    "Nye deltakere": [1, 1, 4, 1, 1],
    "Deltakertimer": to_decimals("0.2", "2.3", "43.3", "18.0", "4.0"),
    "Fysisk møte": ["Ja", "Ja", "Ja", "Ja", "Nei"],
    "Vedlegg": [0, 0, 0, 2, 0],
    "Merknad": [None, "Tolk fra Nav", "Med skrivetolk", "TEKSTING på storskjerm", None],
}
EXCLUDED_CELLS = {
    "Varighet (minutter)": [20, 50, 60, 60],
    "Aktivitetstype": ["Telefonsamtale", "Digital samtale", "Besøk", "Annet"],
    "Sted": ["", "", "Bodø", "Bodø"],
    "Deltakere": [1, 1, 1, 40],
    "Nye deltakere": [1, 1, 0, 1],
    "Deltakertimer": to_decimals("0.3", "0.8", "1.0", "40.0"),
    "Fysisk møte": ["Nei", "Nei", "Ja", "Ja"],
    "Merknad": [None, "Video med teksting", None, "Stand på torget"],
}
ROW_IN_NYNORSK = {
    "Dato": MONDAY,
    "Likepersonen sitt nr. den dagen": 1,
    "Kvartal": 1,
    "Starttid": time(17),
    "Varigheit (minutt)": 60,
    "HLF-kode": "1 Samtale ansikt til ansikt",
    "Aktivitetstype": "Oppsøkjande samtale",
    "Likeperson": "Likeperson 1",
    "Stad": "Bodø",
    "Deltakarar": 1,
    "Nye deltakarar": 1,
    "Deltakartimar": Decimal("1.0"),
    "Fysisk møte": "Ja",
    "I Noreg": "Ja",
    "Vedlegg": 0,
    "Tolk eller teksting nemnt": "Nei",
    "Merknad": None,
    "Aktivitets-ID": activity_id(1),
}
ROW_IN_ENGLISH = {
    "Date": MONDAY,
    "The mentor's no. that day": 1,
    "Quarter": 1,
    "Start time": time(17),
    "Duration (minutes)": 60,
    "HLF code": "1 Conversation face to face",
    "Activity type": "Outreach conversation",
    "Peer mentor": "Likeperson 1",
    "Place": "Bodø",
    "Participants": 1,
    "New participants": 1,
    "Participant hours": Decimal("1.0"),
    "In person": "Yes",
    "In Norway": "Yes",
    "Attachments": 0,
    "Interpreter or captions mentioned": "No",
    "Note": None,
    "Activity ID": activity_id(1),
}
MESSAGES_BY_LOCALE: dict[Locale, list[str]] = {
    "nn": [
        "«Stad» manglar.",
        "Det er ført fleire nye deltakarar enn deltakarar.",
        "Aktiviteten byrjar om natta; er tidspunktet rett?",
        "Aktiviteten varer lenger enn eitt døgn; registrer éin for kvar dag.",
    ],
    "en": [
        "“Place” is missing.",
        "More new participants are entered than participants.",
        "The activity begins at night; is the time right?",
        "The activity lasts longer than a day; register one for each day.",
    ],
}
TWO_PARTS = (
    [
        activity(1, "oppsokende_samtale", participants=1),
        activity(2, "digital_samtale", participants=6, in_person=False),
        activity(3, "samtalegruppe", participants=2, place=""),
        activity(4, "samtalegruppe", participants=3, new_participants=4),
    ],
    [
        activity(5, "aktivitetsgruppe", "2026-03-03T09:00+01:00", mentor="Åse Lie", participants=7),
        activity(6, "telefonsamtale", "2026-03-03T10:00+01:00", participants=1, in_person=False),
        activity(7, "besok", "2026-03-03T10:00+01:00", participants=2, place=" "),
        activity(8, "aktivitetsgruppe", "2026-03-03T10:00+01:00", minutes=44),
        activity(9, "likepersonskurs", "2026-03-03T10:00+01:00", minutes=89, participants=9),
        activity(10, "likepersonskurs", "2026-03-03T10:00+01:00", minutes=90, participants=8, in_norway=False),
        activity(11, "likepersonskurs", "2026-03-03T10:00+01:00", minutes=90, participants=10, place=""),
        activity(12, "samtalegruppe", "2026-03-03T18:00+01:00", mentor="Åse Lie", new_participants=0),
        activity(13, "samtalegruppe", "2026-03-03T19:00+01:00", participants=0, new_participants=1),
        activity(14, "likepersonskurs", "2026-03-03T20:00+01:00", minutes=90, participants=0, new_participants=0),
    ],
)
