"""What peer mentors do."""

from enum import StrEnum


class ActivityType(StrEnum):
    """The kinds of activity; whether one counts is for the organisation's mapping to say."""

    OPPSOKENDE_SAMTALE = "oppsokende_samtale"
    SAMTALEGRUPPE = "samtalegruppe"
    AKTIVITETSGRUPPE = "aktivitetsgruppe"
    LIKEPERSONSKURS = "likepersonskurs"
    TELEFONSAMTALE = "telefonsamtale"
    DIGITAL_SAMTALE = "digital_samtale"
    BESOK = "besok"
    ANNET = "annet"
