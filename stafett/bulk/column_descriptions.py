"""Descriptions of the columns of a batch's CSV file, for those who fill it in, in the languages of reports."""

from collections.abc import Mapping
from typing import NamedTuple

from stafett.bulk.csv_format import REQUIRED_COLUMNS, TEMPLATE_COLUMNS
from stafett.domain.activity import ACTIVITY_TYPES
from stafett.domain.export import Locale
from stafett.domain.proxy_activity import MAX_DURATION_MINUTES, MAX_NOTE_LENGTH, MAX_PARTICIPANTS, MAX_PLACE_LENGTH


class ColumnDescription(NamedTuple):
    """What a column contains, and whether a file without it is rejected."""

    column: str
    is_required: bool
    text: str


_TEXTS: Mapping[Locale, Mapping[str, str]] = {
    "nb": {
        "client_ref": "Din egen referanse for linjen, forskjellig for hver linje. Tom: ID-en til likepersonen.",
        "mentor_id": "ID-en til likepersonen. Malen har den ferdig utfylt: slett linjer som du ikke fyller ut.",
        "activity_type": "Én av disse: {types}.",
        "starts_at": "Dag og klokkeslett i norsk tid, for eksempel 31.01.2026 10:00 eller 2026-01-31 10:00.",
        "duration_minutes": "Varighet i hele minutter, fra 1 til {max_minutes}.",
        "participants": "Antall deltakere, også de nye: et helt tall fra 0 til {max_participants}.",
        "new_participants": "Hvor mange av deltakerne som var med for første gang: et helt tall fra 0.",
        "place": "Sted, høyst {max_place} tegn. Cellene kan være tomme når deltakerne ikke møttes fysisk.",
        "in_person": "Om deltakerne møttes fysisk: ja eller nei.",
        "in_norway": "Om aktiviteten var i Norge: ja eller nei.",
        "note": "Merknad i fritekst, høyst {max_note} tegn. Kan komme med i rapporter: ingen helseopplysninger. Kan"
        " være tom.",
        "event_id": "ID-en til arrangementet, hvis likepersonene var på det samme. Tom: linjer med lik type, start og"
        " sted er samme arrangement.",
        "mentor_name": "Navnet på likepersonen, bare til å lese.",
    },
    "nn": {
        "client_ref": "Din eigen referanse for linja, ulik for kvar linje. Tom: ID-en til likepersonen.",
        "mentor_id": "ID-en til likepersonen. Malen har han ferdig utfylt: slett linjer som du ikkje fyller ut.",
        "activity_type": "Éin av desse: {types}.",
        "starts_at": "Dag og klokkeslett i norsk tid, til dømes 31.01.2026 10:00 eller 2026-01-31 10:00.",
        "duration_minutes": "Lengd i heile minutt, frå 1 til {max_minutes}.",
        "participants": "Talet på deltakarar, også dei nye: eit heilt tal frå 0 til {max_participants}.",
        "new_participants": "Kor mange av deltakarane som var med for første gong: eit heilt tal frå 0.",
        "place": "Stad, høgst {max_place} teikn. Cellene kan vere tomme når deltakarane ikkje møttest fysisk.",
        "in_person": "Om deltakarane møttest fysisk: ja eller nei.",
        "in_norway": "Om aktiviteten var i Noreg: ja eller nei.",
        "note": "Merknad i fritekst, høgst {max_note} teikn. Kan kome med i rapportar: ingen helseopplysningar. Kan"
        " vere tom.",
        "event_id": "ID-en til arrangementet, om likepersonane var på det same. Tom: linjer med lik type, start og stad"
        " er same arrangement.",
        "mentor_name": "Namnet på likepersonen, berre til å lese.",
    },
    "en": {
        "client_ref": "Your own reference of the line, different for each line. Empty: the id of the peer mentor.",
        "mentor_id": "Id of the peer mentor. The template has it filled in: delete lines that you do not fill in.",
        "activity_type": "One of these: {types}.",
        "starts_at": "Day and time in Norway, such as 31.01.2026 10:00 or 2026-01-31 10:00.",
        "duration_minutes": "Duration in whole minutes, from 1 to {max_minutes}.",
        "participants": "Number of participants, new ones included: a whole number from 0 to {max_participants}.",
        "new_participants": "How many of the participants took part for the first time: a whole number from 0.",
        "place": "Place, at most {max_place} characters. The cells may be empty when the participants did not meet in"
        " person.",
        "in_person": "Whether the participants met in person: yes (ja) or no (nei).",
        "in_norway": "Whether the activity was in Norway: yes (ja) or no (nei).",
        "note": "Note in free text, at most {max_note} characters. Can be part of reports: no details of health. May"
        " be empty.",
        "event_id": "Id of the event, if the peer mentors were at the same one. Empty: lines with the same type, start"
        " and place are one event.",
        "mentor_name": "Name of the peer mentor, to read only.",
    },
}


def column_descriptions(locale: Locale) -> tuple[ColumnDescription, ...]:
    """Describe each column of the template, in its order: what the cells contain and in which form."""
    values = {
        "types": ", ".join(each.names[locale] for each in ACTIVITY_TYPES),
        "max_minutes": MAX_DURATION_MINUTES,
        "max_participants": MAX_PARTICIPANTS,
        "max_place": MAX_PLACE_LENGTH,
        "max_note": MAX_NOTE_LENGTH,
    }
    texts = _TEXTS[locale]
    return tuple(
        ColumnDescription(column, column in REQUIRED_COLUMNS, texts[column].format(**values))
        for column in TEMPLATE_COLUMNS
    )
