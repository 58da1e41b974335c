"""Activity types, with their names and counting rules in each locale."""

from collections.abc import Mapping
from enum import StrEnum

from stafett.domain.export import Locale
from stafett.domain.frozen import Frozen


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


Words = Mapping[Locale, str]


class ActivityKind(Frozen):
    """What a client shows of a kind; an organisation's own mapping has the last word on what counts."""

    id: ActivityType
    countable: bool
    names: Words
    counting_rule: Words


_NEVER: Words = {"nb": "Teller aldri.", "nn": "Tel aldri.", "en": "Never counts."}
_GROUP: Words = {
    "nb": "Teller når en likeperson leder den i Norge, med minst tre deltakere og i minst 45 minutter.",
    "nn": "Tel når ein likeperson leier henne i Noreg, med minst tre deltakarar og i minst 45 minutt.",
    "en": "Counts when a peer mentor leads it in Norway, with three or more participants and for at least 45 minutes.",
}


def _counts(kind: ActivityType, names: Words, rule: Words) -> ActivityKind:
    return ActivityKind(id=kind, countable=True, names=names, counting_rule=rule)


def _never_counts(kind: ActivityType, nb: str, nn: str, en: str) -> ActivityKind:
    return ActivityKind(id=kind, countable=False, names={"nb": nb, "nn": nn, "en": en}, counting_rule=_NEVER)


ACTIVITY_KINDS = (
    _counts(
        ActivityType.OPPSOKENDE_SAMTALE,
        {"nb": "Oppsøkende samtale", "nn": "Oppsøkjande samtale", "en": "Outreach conversation"},
        {
            "nb": "Teller når likepersonen har oppsøkt én person og de møttes fysisk i Norge.",
            "nn": "Tel når likepersonen har oppsøkt éin person og dei møttest fysisk i Noreg.",
            "en": "Counts when the peer mentor sought one person out and they met in person in Norway.",
        },
    ),
    _counts(
        ActivityType.SAMTALEGRUPPE,
        {"nb": "Samtalegruppe", "nn": "Samtalegruppe", "en": "Conversation group"},
        _GROUP,
    ),
    _counts(
        ActivityType.AKTIVITETSGRUPPE,
        {"nb": "Aktivitetsgruppe", "nn": "Aktivitetsgruppe", "en": "Activity group"},
        _GROUP,
    ),
    _counts(
        ActivityType.LIKEPERSONSKURS,
        {"nb": "Likepersonskurs", "nn": "Likepersonskurs", "en": "Peer mentor course"},
        {
            "nb": "Teller når kursdagen i Norge varer minst to ganger 45 minutter.",
            "nn": "Tel når kursdagen i Noreg varer minst to gonger 45 minutt.",
            "en": "Counts when the course day in Norway lasts at least twice 45 minutes.",
        },
    ),
    _never_counts(ActivityType.TELEFONSAMTALE, "Telefonsamtale", "Telefonsamtale", "Telephone conversation"),
    _never_counts(ActivityType.DIGITAL_SAMTALE, "Digital samtale", "Digital samtale", "Digital conversation"),
    _never_counts(ActivityType.BESOK, "Besøk", "Besøk", "Visit"),
    _never_counts(ActivityType.ANNET, "Annet", "Anna", "Other"),
)
