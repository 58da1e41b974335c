"""The forms of a registration for many peer mentors, as requests of the bulk service."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Annotated, Any, Literal, Self
from uuid import UUID

from pydantic import Field, StringConstraints, model_validator
from starlette.datastructures import FormData

from api.console.forms import ConsoleForm, InvalidFormError, create_field_error, parse_id
from api.console.written_days import WrittenTime
from stafett.database.tables import BulkBatch, BulkItem
from stafett.domain.activity import ActivityType
from stafett.domain.bulk import BulkItemInput, BulkRequest
from stafett.domain.fields import NO_NUL
from stafett.domain.proxy_activity import (
    MAX_DURATION_MINUTES,
    MAX_PARTICIPANTS,
    REQUIRED_ACTIVITY_FIELDS,
    ActivityCorrection,
    ActivityDefaults,
)
from stafett.domain.reporting_period import EARLIEST_YEAR, LATEST_YEAR, OSLO

_Participants = Annotated[int, Field(ge=0, le=MAX_PARTICIPANTS)]
_Text = StringConstraints(strip_whitespace=True)
_LocalTime = Annotated[
    WrittenTime, Field(ge=datetime(EARLIEST_YEAR + 1, 1, 1), le=datetime(LATEST_YEAR, 1, 1))  # noqa: DTZ001 - local
]


class ActivityForm(ConsoleForm):
    """An activity, whose start is a time in Oslo."""

    activity_type: ActivityType
    starts_at: _LocalTime
    duration_minutes: Annotated[int, Field(ge=1, le=MAX_DURATION_MINUTES)]
    participants: _Participants
    new_participants: _Participants
    place: Annotated[str, _Text, Field(max_length=200), NO_NUL]
    in_person: Literal["true"] | None = None
    in_norway: Literal["true"] | None = None
    note: Annotated[str, Field(max_length=4000), NO_NUL] | None = None

    @model_validator(mode="after")
    def _check_new_participants(self) -> Self:
        if self.new_participants > self.participants:
            raise create_field_error("new_participants", "new_participants")
        return self

    @property
    def values(self) -> dict[str, Any]:
        """The fields that every activity has."""
        values: dict[str, Any] = self.model_dump(include=set(REQUIRED_ACTIVITY_FIELDS))
        values |= {"starts_at": self.starts_at.replace(tzinfo=OSLO), "in_person": self.in_person is not None}
        return values | {"in_norway": self.in_norway is not None}


class BatchForm(ActivityForm):
    """The activity that all chosen mentors took part in, and the name of the batch."""

    label: Annotated[str, _Text, Field(max_length=200), NO_NUL] | None = None

    @property
    def defaults(self) -> ActivityDefaults:
        note = {} if self.note is None else {"note": self.note}
        return ActivityDefaults.model_validate(self.values | note)


class CorrectionForm(ActivityForm):
    """A registered activity as it should be. The note that it has is not in the form."""

    place: Annotated[str, _Text, Field(max_length=200), NO_NUL] = ""
    remove_note: Literal["true"] | None = None
    event_id: UUID | None = None

    def build_correction(self, shown: Mapping[str, str]) -> ActivityCorrection:
        """Build the correction. A start and a duration that equal those shown stay as they are, to the microsecond."""
        values = self.values | {"event_id": self.event_id}
        if self.starts_at == datetime.fromisoformat(shown["starts_at"]):
            del values["starts_at"]
        if str(self.duration_minutes) == shown["duration_minutes"]:
            del values["duration_minutes"]
        if self.note is not None or self.remove_note is not None:
            values["note"] = self.note
        return ActivityCorrection.model_validate(values)


class UploadForm(ConsoleForm):
    """The name of a batch whose items are in a file, and the key of the page."""

    action: Literal["check", "register"] = "check"
    key: UUID | None = None
    label: Annotated[str, _Text, Field(max_length=200), NO_NUL] | None = None
    corrects: UUID | None = None


class _StartForm(ConsoleForm):
    starts_at: _LocalTime


def build_request(org_id: str, form: BatchForm, mentors: Sequence[UUID]) -> BulkRequest:
    items = tuple(BulkItemInput(mentor_id=str(mentor)) for mentor in mentors)
    return BulkRequest(org_id=org_id, label=form.label or None, activity=form.defaults, items=items)


def read_chosen_mentors(form: FormData) -> list[UUID]:
    """Return the mentors that earlier pages have chosen, as this page's boxes change them, each once."""
    offered, checked = set(_parse_ids(form, "offered")), _parse_ids(form, "mentor")
    earlier = [mentor for mentor in _parse_ids(form, "mentors") if mentor not in offered]
    return list(dict.fromkeys([*earlier, *checked]))


def _parse_ids(form: FormData, name: str) -> list[UUID]:
    texts = " ".join(value for value in form.getlist(name) if isinstance(value, str)).split()
    return [mentor_id for text in texts if (mentor_id := parse_id(text))]


def correct_items(batch: BulkBatch, failed: Sequence[BulkItem], fields: Mapping[str, str]) -> BulkRequest:
    """Build a request of the failed items that the form does not leave out, with their corrected starts."""
    items, errors = [], {}
    for item in failed:
        if fields.get(f"omit-{item.position}") == "true":
            continue
        try:
            start = _StartForm.parse({"starts_at": fields.get(f"starts_at-{item.position}", "")}).starts_at
        except InvalidFormError as error:
            errors[f"starts_at-{item.position}"] = error.errors["starts_at"]
            continue
        corrected = start.replace(tzinfo=OSLO)
        overrides = item.overrides | {"starts_at": corrected.isoformat()}
        if item.event_id and corrected == _get_start(batch, item):
            overrides.setdefault("event_id", str(item.event_id))
        items.append(BulkItemInput(mentor_id=item.mentor_ref, client_ref=item.client_ref, overrides=overrides))
    if not items and not errors:
        errors["corrections"] = "all_left_out"
    if errors:
        raise InvalidFormError(errors)
    activity = ActivityDefaults.model_validate(batch.activity)
    return BulkRequest(org_id=batch.org_id, label=batch.label, corrects=batch.id, activity=activity, items=tuple(items))


def _get_start(batch: BulkBatch, item: BulkItem) -> datetime | None:
    """Return the start with which the item failed, unless it cannot be read."""
    start = item.overrides.get("starts_at", batch.activity.get("starts_at"))
    try:
        return datetime.fromisoformat(start) if isinstance(start, str) else None
    except ValueError:
        return None
