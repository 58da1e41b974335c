"""An activity that a coordinator registers in a peer mentor's stead: what it must be to be written down."""

from datetime import UTC, datetime
from typing import Annotated, Any, Self

from pydantic import (
    AwareDatetime,
    BeforeValidator,
    Field,
    Strict,
    StrictBool,
    StringConstraints,
    ValidationError,
    model_validator,
)

from stafett.domain.activity import ActivityType
from stafett.domain.fields import NO_NUL
from stafett.domain.frozen import FrozenModel
from stafett.domain.reporting_period import EARLIEST_YEAR, LATEST_YEAR

MAX_DURATION_MINUTES = 14 * 24 * 60
MAX_PARTICIPANTS = 100_000


def _parse_datetime(value: str) -> datetime | None:
    """Python's own complaint would repeat what was said."""
    try:
        return datetime.fromisoformat(value.upper())
    except ValueError:
        return None


def _parse_instant(value: object) -> datetime:
    """Pydantic would take a number of seconds for an instant too."""
    if isinstance(value, str):
        value = _parse_datetime(value)
    if not isinstance(value, datetime) or value.tzinfo is None:
        raise ValueError("expected an RFC 3339 time with its offset, such as 2026-01-31T10:00:00+01:00")
    try:
        instant = value.astimezone(UTC)
    except OverflowError:
        instant = datetime.min.replace(tzinfo=UTC)
    if not EARLIEST_YEAR <= instant.year <= LATEST_YEAR:
        raise ValueError(f"an activity lies between the years {EARLIEST_YEAR} and {LATEST_YEAR}")
    return instant


def _coerce_whole_number(value: object) -> object:
    """In JSON 60.0 is a whole number too; nothing else becomes one here."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


StartsAt = Annotated[AwareDatetime, BeforeValidator(_parse_instant, json_schema_input_type=AwareDatetime)]
_MinutesRange = Annotated[int, Field(ge=1, le=MAX_DURATION_MINUTES)]
_ParticipantRange = Annotated[int, Field(ge=0, le=MAX_PARTICIPANTS)]
DurationMinutes = Annotated[
    _MinutesRange, Strict(), BeforeValidator(_coerce_whole_number, json_schema_input_type=_MinutesRange)
]
ParticipantCount = Annotated[
    _ParticipantRange, Strict(), BeforeValidator(_coerce_whole_number, json_schema_input_type=_ParticipantRange)
]
Place = Annotated[str, StringConstraints(strict=True, max_length=200), NO_NUL]
Note = Annotated[str, StringConstraints(strict=True, max_length=4000), NO_NUL]


class ProxyActivity(FrozenModel):
    """Everything that is said of an activity but whose it is: the rules that hold whoever the mentor is."""

    activity_type: ActivityType
    starts_at: StartsAt
    duration_minutes: DurationMinutes
    participants: ParticipantCount
    new_participants: ParticipantCount
    place: Place
    in_person: StrictBool
    in_norway: StrictBool
    note: Note | None = None

    @model_validator(mode="after")
    def _check_new_participants(self) -> Self:
        if self.new_participants > self.participants:
            raise ValueError("more new participants than participants")
        return self


_UNSET: Any = None  # a default is not held against its type, and null is nothing that somebody may say


class ActivityDefaults(FrozenModel):
    """What a batch says once for all of its items: each field sound in itself, and any of them left to the items."""

    activity_type: ActivityType = _UNSET
    starts_at: StartsAt = _UNSET
    duration_minutes: DurationMinutes = _UNSET
    participants: ParticipantCount = _UNSET
    new_participants: ParticipantCount = _UNSET
    place: Place = _UNSET
    in_person: StrictBool = _UNSET
    in_norway: StrictBool = _UNSET
    note: Note | None = None

    @property
    def provided(self) -> dict[str, Any]:
        """Only what was said, as JSON."""
        return self.model_dump(mode="json", exclude_unset=True)


ACTIVITY_FIELDS = tuple(ProxyActivity.model_fields)
REQUIRED_ACTIVITY_FIELDS = tuple(name for name, field in ProxyActivity.model_fields.items() if field.is_required())


def describe_errors(error: ValidationError) -> str:
    """What is wrong, field by field, and never the value itself."""
    return " ".join(
        f"{_format_location(fault['loc'])}{fault['msg'].removeprefix('Value error, ')}." for fault in error.errors()
    )


def _format_location(location: tuple[int | str, ...]) -> str:
    return f"{location[0]}: " if location else ""
