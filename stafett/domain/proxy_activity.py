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
from stafett.domain.frozen import Frozen
from stafett.domain.reporting_period import EARLIEST, LATEST

MOST_MINUTES = 14 * 24 * 60
MOST_PEOPLE = 100_000


def _read(given: str) -> datetime | None:
    """Python's own complaint would repeat what was said."""
    try:
        return datetime.fromisoformat(given.upper())
    except ValueError:
        return None


def _written_as_an_instant(given: object) -> datetime:
    """Pydantic would take a number of seconds for an instant too."""
    if isinstance(given, str):
        given = _read(given)
    if not isinstance(given, datetime) or given.tzinfo is None:
        raise ValueError("expected an RFC 3339 time with its offset, such as 2026-01-31T10:00:00+01:00")
    try:
        instant = given.astimezone(UTC)
    except OverflowError:
        instant = datetime.min.replace(tzinfo=UTC)
    if not EARLIEST <= instant.year <= LATEST:
        raise ValueError(f"an activity lies between the years {EARLIEST} and {LATEST}")
    return instant


def _whole(given: object) -> object:
    """In JSON 60.0 is a whole number too; nothing else becomes one here."""
    return int(given) if isinstance(given, float) and given.is_integer() else given


StartsAt = Annotated[AwareDatetime, BeforeValidator(_written_as_an_instant, json_schema_input_type=AwareDatetime)]
_Minutes = Annotated[int, Field(ge=1, le=MOST_MINUTES)]
_People = Annotated[int, Field(ge=0, le=MOST_PEOPLE)]
Minutes = Annotated[_Minutes, Strict(), BeforeValidator(_whole, json_schema_input_type=_Minutes)]
People = Annotated[_People, Strict(), BeforeValidator(_whole, json_schema_input_type=_People)]
Place = Annotated[str, StringConstraints(strict=True, max_length=200), NO_NUL]
Note = Annotated[str, StringConstraints(strict=True, max_length=4000), NO_NUL]


class ProxyActivity(Frozen):
    """Everything that is said of an activity but whose it is: the rules that hold whoever the mentor is."""

    activity_type: ActivityType
    starts_at: StartsAt
    duration_minutes: Minutes
    participants: People
    new_participants: People
    place: Place
    in_person: StrictBool
    in_norway: StrictBool
    note: Note | None = None

    @model_validator(mode="after")
    def _nobody_new_who_was_not_there(self) -> Self:
        if self.new_participants > self.participants:
            raise ValueError("more new participants than participants")
        return self


_UNSAID: Any = None  # a default is not held against its type, and null is nothing that somebody may say


class SharedFields(Frozen):
    """What a batch says once for all of its items: each field sound in itself, and any of them left to the items."""

    activity_type: ActivityType = _UNSAID
    starts_at: StartsAt = _UNSAID
    duration_minutes: Minutes = _UNSAID
    participants: People = _UNSAID
    new_participants: People = _UNSAID
    place: Place = _UNSAID
    in_person: StrictBool = _UNSAID
    in_norway: StrictBool = _UNSAID
    note: Note | None = None

    @property
    def said(self) -> dict[str, Any]:
        """Only what was said, as JSON."""
        return self.model_dump(mode="json", exclude_unset=True)


FIELDS = tuple(ProxyActivity.model_fields)
REQUIRED = tuple(name for name, field in ProxyActivity.model_fields.items() if field.is_required())


def fault_of(error: ValidationError) -> str:
    """What is wrong, field by field, and never the value itself."""
    return " ".join(f"{_where(fault['loc'])}{fault['msg'].removeprefix('Value error, ')}." for fault in error.errors())


def _where(place: tuple[int | str, ...]) -> str:
    return f"{place[0]}: " if place else ""
