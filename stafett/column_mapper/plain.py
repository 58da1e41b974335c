"""The columns every organisation starts with, and the counting rules in force since 2020."""

import hashlib

import polars as pl

from stafett.activity_rows import OSLO_DAY
from stafett.domain.activity import ActivityType
from stafett.domain.export import Locale
from stafett.domain.export_outputs import MappingVersion

COUNTS = "__counts"

_HEADERS: dict[str, dict[Locale, str]] = {
    "date": {"nb": "Dato", "nn": "Dato", "en": "Date"},
    "starts": {"nb": "Starttid", "nn": "Starttid", "en": "Start time"},
    "minutes": {"nb": "Varighet (minutter)", "nn": "Lengd (minutt)", "en": "Duration (minutes)"},
    "activity_type": {"nb": "Aktivitetstype", "nn": "Aktivitetstype", "en": "Activity type"},
    "mentor": {"nb": "Likeperson", "nn": "Likeperson", "en": "Peer mentor"},
    "place": {"nb": "Sted", "nn": "Stad", "en": "Place"},
    "participants": {"nb": "Deltakere", "nn": "Deltakarar", "en": "Participants"},
    "new_participants": {"nb": "Nye deltakere", "nn": "Nye deltakarar", "en": "New participants"},
    "in_person": {"nb": "Fysisk møte", "nn": "Fysisk møte", "en": "In person"},
    "in_norway": {"nb": "I Norge", "nn": "I Noreg", "en": "In Norway"},
    "counts": {"nb": "Tellende", "nn": "Teljande", "en": "Countable"},
    "note": {"nb": "Merknad", "nn": "Merknad", "en": "Note"},
    "activity_id": {"nb": "Aktivitets-ID", "nn": "Aktivitets-ID", "en": "Activity ID"},
}
_TYPES: dict[ActivityType, dict[Locale, str]] = {
    ActivityType.OPPSOKENDE_SAMTALE: {
        "nb": "Oppsøkende samtale",
        "nn": "Oppsøkjande samtale",
        "en": "Outreach conversation",
    },
    ActivityType.SAMTALEGRUPPE: {"nb": "Samtalegruppe", "nn": "Samtalegruppe", "en": "Conversation group"},
    ActivityType.AKTIVITETSGRUPPE: {"nb": "Aktivitetsgruppe", "nn": "Aktivitetsgruppe", "en": "Activity group"},
    ActivityType.LIKEPERSONSKURS: {"nb": "Likepersonskurs", "nn": "Likepersonskurs", "en": "Peer mentor course"},
    ActivityType.TELEFONSAMTALE: {"nb": "Telefonsamtale", "nn": "Telefonsamtale", "en": "Telephone conversation"},
    ActivityType.DIGITAL_SAMTALE: {"nb": "Digital samtale", "nn": "Digital samtale", "en": "Digital conversation"},
    ActivityType.BESOK: {"nb": "Besøk", "nn": "Besøk", "en": "Visit"},
    ActivityType.ANNET: {"nb": "Annet", "nn": "Anna", "en": "Other"},
}
_YES_NO: dict[Locale, tuple[str, str]] = {"nb": ("Ja", "Nei"), "nn": ("Ja", "Nei"), "en": ("Yes", "No")}

_SMALLEST_GROUP, _GROUP_MINUTES, _COURSE_MINUTES = 3, 45, 2 * 45

_MINUTES = (pl.col("ends_at") - pl.col("starts_at")).dt.total_minutes()
_IS_GROUP = pl.col("activity_type").is_in([ActivityType.SAMTALEGRUPPE, ActivityType.AKTIVITETSGRUPPE])
_KIND_COUNTS = (
    ((pl.col("activity_type") == ActivityType.OPPSOKENDE_SAMTALE) & pl.col("in_person"))
    | (_IS_GROUP & (pl.col("participants") >= _SMALLEST_GROUP) & (_MINUTES >= _GROUP_MINUTES))
    | ((pl.col("activity_type") == ActivityType.LIKEPERSONSKURS) & (_MINUTES >= _COURSE_MINUTES))
) & pl.col("in_norway")
# The first countable activity of a mentor's day makes the day; a further one only with somebody new.
_EARLIER_THAT_DAY = (_KIND_COUNTS.cast(pl.Int64).cum_sum() - _KIND_COUNTS.cast(pl.Int64)).over("mentor_id", OSLO_DAY)
_IS_COUNTABLE = _KIND_COUNTS & ((_EARLIER_THAT_DAY == 0) | (pl.col("new_participants") > 0))
# Whatever a report depends on; hashed, so that a changed rule is another mapping.
_RULES = (_HEADERS, _TYPES, _YES_NO, _SMALLEST_GROUP, _GROUP_MINUTES, _COURSE_MINUTES)


class PlainMapping:
    """The same thirteen columns for everybody."""

    def __init__(self, locale: Locale) -> None:
        self._locale: Locale = locale

    @property
    def version(self) -> MappingVersion:
        return MappingVersion(version=1, sha256=hashlib.sha256(repr(_RULES).encode()).hexdigest())

    def apply(self, part: pl.DataFrame) -> pl.DataFrame:
        """The report's columns under their headers, and whether each row counts."""
        locale = self._locale
        local = pl.col("starts_at").dt.convert_time_zone("Europe/Oslo")
        types = {kind.value: names[locale] for kind, names in _TYPES.items()}
        columns = {
            "date": pl.col(OSLO_DAY),
            "starts": local.dt.time().dt.to_string("%H:%M"),
            "minutes": _MINUTES,
            "activity_type": pl.col("activity_type").replace_strict(types),
            "mentor": pl.col("mentor_name"),
            "place": pl.col("place"),
            "participants": pl.col("participants"),
            "new_participants": pl.col("new_participants"),
            "in_person": self._yes_no(pl.col("in_person")),
            "in_norway": self._yes_no(pl.col("in_norway")),
            "counts": self._yes_no(pl.col(COUNTS)),
            "note": pl.col("note"),
            "activity_id": pl.col("id"),
        }
        headed = [expression.alias(_HEADERS[name][locale]) for name, expression in columns.items()]
        return part.with_columns(_IS_COUNTABLE.alias(COUNTS)).select(*headed, COUNTS)

    def _yes_no(self, flag: pl.Expr) -> pl.Expr:
        yes, no = _YES_NO[self._locale]
        return pl.when(flag).then(pl.lit(yes)).otherwise(pl.lit(no))
