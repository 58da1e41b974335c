"""Activity types, with their names and counting rules in each locale."""

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Annotated, Final

from pydantic import BeforeValidator, Field

from stafett.domain.export import Locale
from stafett.domain.frozen import FrozenModel


class ActivityType(StrEnum):
    """Type of an activity. The organisation's column mapping decides whether an activity counts."""

    OPPSOKENDE_SAMTALE = "oppsokende_samtale"
    SAMTALEGRUPPE = "samtalegruppe"
    AKTIVITETSGRUPPE = "aktivitetsgruppe"
    LIKEPERSONSKURS = "likepersonskurs"
    TELEFONSAMTALE = "telefonsamtale"
    DIGITAL_SAMTALE = "digital_samtale"
    BESOK = "besok"
    ANNET = "annet"


SEVERAL_MENTORS_AT_ONE_EVENT: Final = "several_mentors_at_one_event"
"""The code of the warning that each mentor of an event counts."""

LocalisedText = Mapping[Locale, str]


class ActivityTypeInfo(FrozenModel):
    """Names and default counting rule of an activity type. The organisation's column mapping takes precedence."""

    id: ActivityType
    countable: bool = Field(description="Whether activities of the type can count.")
    names: LocalisedText = Field(description="Name of the type per locale.")
    counting_rule: LocalisedText = Field(description="When an activity of the type counts, in words, per locale.")


_NEVER_COUNTS: LocalisedText = {"nb": "Teller aldri.", "nn": "Tel aldri.", "en": "Never counts."}
_GROUP_RULE: LocalisedText = {
    "nb": "Teller når en likeperson leder den i Norge, med minst tre deltakere og i minst 45 minutter.",
    "nn": "Tel når ein likeperson leier henne i Noreg, med minst tre deltakarar og i minst 45 minutt.",
    "en": "Counts when a peer mentor leads it in Norway, with three or more participants and for at least 45 minutes.",
}


def _countable_type(activity_type: ActivityType, names: LocalisedText, rule: LocalisedText) -> ActivityTypeInfo:
    return ActivityTypeInfo(id=activity_type, countable=True, names=names, counting_rule=rule)


def _uncountable_type(activity_type: ActivityType, nb: str, nn: str, en: str) -> ActivityTypeInfo:
    return ActivityTypeInfo(
        id=activity_type, countable=False, names={"nb": nb, "nn": nn, "en": en}, counting_rule=_NEVER_COUNTS
    )


ACTIVITY_TYPES = (
    _countable_type(
        ActivityType.OPPSOKENDE_SAMTALE,
        {"nb": "Oppsøkende samtale", "nn": "Oppsøkjande samtale", "en": "Outreach conversation"},
        {
            "nb": "Teller når likepersonen har oppsøkt én person og de møttes fysisk i Norge.",
            "nn": "Tel når likepersonen har oppsøkt éin person og dei møttest fysisk i Noreg.",
            "en": "Counts when the peer mentor sought one person out and they met in person in Norway.",
        },
    ),
    _countable_type(
        ActivityType.SAMTALEGRUPPE,
        {"nb": "Samtalegruppe", "nn": "Samtalegruppe", "en": "Conversation group"},
        _GROUP_RULE,
    ),
    _countable_type(
        ActivityType.AKTIVITETSGRUPPE,
        {"nb": "Aktivitetsgruppe", "nn": "Aktivitetsgruppe", "en": "Activity group"},
        _GROUP_RULE,
    ),
    _countable_type(
        ActivityType.LIKEPERSONSKURS,
        {"nb": "Likepersonskurs", "nn": "Likepersonskurs", "en": "Peer mentor course"},
        {
            "nb": "Teller når kursdagen i Norge varer minst to ganger 45 minutter.",
            "nn": "Tel når kursdagen i Noreg varer minst to gonger 45 minutt.",
            "en": "Counts when the course day in Norway lasts at least twice 45 minutes.",
        },
    ),
    _uncountable_type(ActivityType.TELEFONSAMTALE, "Telefonsamtale", "Telefonsamtale", "Telephone conversation"),
    _uncountable_type(ActivityType.DIGITAL_SAMTALE, "Digital samtale", "Digital samtale", "Digital conversation"),
    _uncountable_type(ActivityType.BESOK, "Besøk", "Besøk", "Visit"),
    _uncountable_type(ActivityType.ANNET, "Annet", "Anna", "Other"),
)

ACTIVITY_TYPES_BY_ID: Mapping[ActivityType, ActivityTypeInfo] = {each.id: each for each in ACTIVITY_TYPES}

_ID_BY_NAME: Mapping[str, ActivityType] = MappingProxyType(
    {name.casefold(): each.id for each in ACTIVITY_TYPES for name in (each.id, *each.names.values())}
)


def _find_by_name(value: object) -> object:
    """Return the activity type with this id or name, in any case; return any other value unchanged."""
    return _ID_BY_NAME.get(value.strip().casefold(), value) if isinstance(value, str) else value


ActivityTypeName = Annotated[ActivityType, BeforeValidator(_find_by_name, json_schema_input_type=ActivityType)]
"""An activity type as users write it: its id, or its name in any language, in any case."""
