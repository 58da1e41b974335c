"""Activities that a coordinator registers on behalf of peer mentors, with their validation rules."""

from datetime import UTC, datetime
from typing import Annotated, Any, Self
from uuid import UUID

from pydantic import (
    AwareDatetime,
    BeforeValidator,
    ConfigDict,
    Field,
    Strict,
    StrictBool,
    StringConstraints,
    model_validator,
)

from stafett.domain.activity import ActivityTypeName
from stafett.domain.fields import NO_NUL
from stafett.domain.frozen import FrozenModel
from stafett.domain.reporting_period import EARLIEST_YEAR, LATEST_YEAR

MAX_DURATION_MINUTES = 14 * 24 * 60
MAX_PARTICIPANTS = 100_000
MAX_PLACE_LENGTH, MAX_NOTE_LENGTH = 200, 4000


def _parse_datetime(value: str) -> datetime | None:
    """Parse an ISO 8601 time, or return None, because Python's own error message would quote the value."""
    try:
        return datetime.fromisoformat(value.upper())
    except ValueError:
        return None


def _parse_instant(value: object) -> datetime:
    """Parse an RFC 3339 time. Pydantic would also accept a number of seconds."""
    if isinstance(value, str):
        value = _parse_datetime(value)
    if not isinstance(value, datetime) or value.tzinfo is None:
        raise ValueError(
            "expected a time that exists, in RFC 3339 with its offset, such as 2026-01-31T10:00:00+01:00,"
            " or in a CSV file a time in Oslo, such as 31.01.2026 10:00"
        )
    try:
        instant = value.astimezone(UTC)
    except OverflowError:
        instant = datetime.min.replace(tzinfo=UTC)  # out of range for Python, so the year is rejected below
    if not EARLIEST_YEAR <= instant.year <= LATEST_YEAR:
        raise ValueError(f"the year must be between {EARLIEST_YEAR} and {LATEST_YEAR}")
    return instant


def _coerce_whole_number(value: object) -> object:
    """Convert a float such as 60.0, a whole number in JSON, to an integer, and leave other values unchanged."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _parse_event_id(value: object) -> UUID:
    """Parse a UUID. Pydantic's own error message would quote a character of the value."""
    try:
        return value if isinstance(value, UUID) else UUID(value if isinstance(value, str) else "")
    except ValueError:
        raise ValueError("expected a UUID") from None


StartsAt = Annotated[AwareDatetime, BeforeValidator(_parse_instant, json_schema_input_type=AwareDatetime)]
_MinutesRange = Annotated[int, Field(ge=1, le=MAX_DURATION_MINUTES)]
_ParticipantRange = Annotated[int, Field(ge=0, le=MAX_PARTICIPANTS)]
DurationMinutes = Annotated[
    _MinutesRange, Strict(), BeforeValidator(_coerce_whole_number, json_schema_input_type=_MinutesRange)
]
ParticipantCount = Annotated[
    _ParticipantRange, Strict(), BeforeValidator(_coerce_whole_number, json_schema_input_type=_ParticipantRange)
]
Place = Annotated[str, StringConstraints(strict=True, max_length=MAX_PLACE_LENGTH), NO_NUL]
EventId = Annotated[UUID, BeforeValidator(_parse_event_id, json_schema_input_type=UUID)]
Note = Annotated[str, StringConstraints(strict=True, max_length=MAX_NOTE_LENGTH), NO_NUL]


def check_participants(participants: int, new_participants: int) -> None:
    """Raise ``ValueError`` if there are more new participants than participants."""
    if new_participants > participants:
        raise ValueError("more new participants than participants")


class ProxyActivity(FrozenModel):
    """A complete activity without its mentor. Its validation rules are the same for every mentor."""

    activity_type: ActivityTypeName
    starts_at: StartsAt
    duration_minutes: DurationMinutes
    participants: ParticipantCount
    new_participants: ParticipantCount
    place: Place
    in_person: StrictBool
    in_norway: StrictBool
    note: Note | None = None
    event_id: EventId | None = None

    @model_validator(mode="after")
    def _check_new_participants(self) -> Self:
        check_participants(self.participants, self.new_participants)
        return self


def _leave_unset() -> Any:
    """Return what an omitted field has; as a factory, so that the document has no default that is not valid."""
    return None


class ActivityDefaults(FrozenModel):
    """Fields shared by all items of a batch. Each is validated on its own, and any of them can be left to the items."""

    activity_type: ActivityTypeName = Field(
        default_factory=_leave_unset,
        description="Type of the activity: its id, or its name in any language, in any case.",
    )
    starts_at: StartsAt = Field(default_factory=_leave_unset, description="Start, as an RFC 3339 time with its offset.")
    duration_minutes: DurationMinutes = Field(default_factory=_leave_unset, description="Duration in minutes.")
    participants: ParticipantCount = Field(
        default_factory=_leave_unset, description="Number of participants, new ones included."
    )
    new_participants: ParticipantCount = Field(
        default_factory=_leave_unset, description="Number of participants who took part for the first time."
    )
    place: Place = Field(default_factory=_leave_unset, description="Place of the activity.")
    in_person: StrictBool = Field(default_factory=_leave_unset, description="Whether the participants met in person.")
    in_norway: StrictBool = Field(
        default_factory=_leave_unset, description="Whether the activity took place in Norway."
    )
    note: Note | None = Field(
        None,
        description="Free text. It is not returned, and is part of reports if the mapping has a column for it.",
    )
    event_id: EventId | None = Field(
        None,
        description="Id of the event, the same for all peer mentors who were there. By default the items of a batch"
        " with the same type, start and place have an event of their own; null is no event.",
    )

    @property
    def provided(self) -> dict[str, Any]:
        """The fields that the client provided, as JSON."""
        return self.model_dump(mode="json", exclude_unset=True)


class ActivityCorrection(ActivityDefaults):
    """Fields of a registered activity to correct. Omitted fields stay unchanged, and so does the peer mentor."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"duration_minutes": 60}]})

    note: Note | None = Field(
        None, description="Free text, which replaces the stored one; null removes it. It is not returned."
    )
    event_id: EventId | None = Field(
        None, description="Id of the event, the same for all peer mentors who were there; null is no event."
    )

    @model_validator(mode="after")
    def _require_a_change(self) -> Self:
        if not self.model_fields_set:
            raise ValueError("specify at least one field")
        return self


ACTIVITY_FIELDS = tuple(ProxyActivity.model_fields)
REQUIRED_ACTIVITY_FIELDS = tuple(name for name, field in ProxyActivity.model_fields.items() if field.is_required())
