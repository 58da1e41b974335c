"""The forms of a registration for many peer mentors, as requests of the bulk service."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Annotated, Any, Literal, Self
from uuid import UUID

from pydantic import AfterValidator, Field, StringConstraints, model_validator
from starlette.datastructures import FormData

from api.console.forms import ConsoleForm, InvalidFormError, create_field_error, parse_id
from api.console.item_problems import format_value
from api.console.written_days import WrittenTime, require_existing_time, write_day
from stafett.database.tables import BulkBatch, BulkItem
from stafett.domain.activity import ActivityType
from stafett.domain.activity_faults import decode_faults
from stafett.domain.bulk import BulkItemInput, BulkRequest
from stafett.domain.bulk_status import ItemErrorCode
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
    WrittenTime,
    Field(ge=datetime(EARLIEST_YEAR + 1, 1, 1), le=datetime(LATEST_YEAR, 1, 1)),  # noqa: DTZ001 - local
    AfterValidator(require_existing_time),
]


class ActivityForm(ConsoleForm):
    """An activity, whose start is a time in Oslo."""

    activity_type: ActivityType
    starts_at: _LocalTime
    duration_minutes: Annotated[int, Field(ge=1, le=MAX_DURATION_MINUTES)]
    participants: _Participants
    new_participants: _Participants
    place: Annotated[str, _Text, Field(max_length=200), NO_NUL] = ""
    in_person: Literal["true"] | None = None
    in_norway: Literal["true"] | None = None
    note: Annotated[str, Field(max_length=4000), NO_NUL] | None = None

    @model_validator(mode="after")
    def _check_new_participants(self) -> Self:
        if self.new_participants > self.participants:
            raise create_field_error("new_participants", "new_participants")
        return self

    @model_validator(mode="after")
    def _check_place(self) -> Self:
        """Require a place of those who met in person, without which a report has a warning."""
        if self.in_person is not None and not self.place:
            raise create_field_error("place", "place_missing")
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


class ItemForm(ConsoleForm):
    """The fields of a failed item that the page lets the user correct; the others are left out."""

    mentor: str | None = None
    activity_type: ActivityType | None = None
    starts_at: _LocalTime | None = None
    duration_minutes: Annotated[int, Field(ge=1, le=MAX_DURATION_MINUTES)] | None = None
    participants: _Participants | None = None
    new_participants: _Participants | None = None
    place: Annotated[str, _Text, Field(max_length=200), NO_NUL] | None = None
    in_person: Literal["yes", "no"] | None = None
    in_norway: Literal["yes", "no"] | None = None
    note: Annotated[str, Field(max_length=4000), NO_NUL] | None = None
    event_id: UUID | None = None

    @model_validator(mode="after")
    def _check_new_participants(self) -> Self:
        participants, new_participants = self.participants, self.new_participants
        if participants is not None and new_participants is not None and new_participants > participants:
            raise create_field_error("new_participants", "new_participants")
        return self

    @classmethod
    def parse_fields(cls, fields: Mapping[str, str], shown: Sequence[str]) -> Self:
        """Parse the shown fields. Those that every activity has must have a value, except the place."""
        missing = {name: code for name, code in _MISSING_CODES.items() if name in shown and not fields.get(name)}
        try:
            form = cls.parse({name: fields[name] for name in shown if name in fields})
        except InvalidFormError as error:
            raise InvalidFormError({**error.errors, **missing}) from None
        if missing:
            raise InvalidFormError(missing)
        return form

    def build_overrides(self, shown: Sequence[str]) -> dict[str, Any]:
        """Build the overrides of an item, as JSON, of the shown fields."""
        values = self.model_dump(mode="json", include=set(shown) - {"mentor"})
        if "starts_at" in values and self.starts_at:
            values["starts_at"] = self.starts_at.replace(tzinfo=OSLO).isoformat()
        if "place" in values:
            values["place"] = self.place or ""
        return values | {name: values[name] == "yes" for name in ("in_person", "in_norway") if name in values}


_MISSING_CODES = {
    "mentor": "mentor_unknown",
    "activity_type": "activity_type_missing",
    "starts_at": "start_missing",
    "duration_minutes": "duration_invalid",
    "participants": "participants_invalid",
    "new_participants": "new_participants_invalid",
    "in_person": "yes_or_no",
    "in_norway": "yes_or_no",
}
_ITEM_FIELDS = tuple(ItemForm.model_fields)


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


def list_wrong_fields(item: BulkItem) -> Sequence[str]:
    """List the fields that can be the reason why the item failed, in the order of the form."""
    faults = decode_faults(item.validation_error or "[]")
    names = {fault.field for fault in faults}
    if item.error_code == ItemErrorCode.OVERLAPPING_ACTIVITY:
        names.add("starts_at")
    if any(fault.code == "more_new_participants" for fault in faults):
        names.add("participants")
    if item.error_code in {ItemErrorCode.MENTOR_NOT_FOUND, ItemErrorCode.MENTOR_INACTIVE}:
        names.add("mentor")
    return [name for name in _ITEM_FIELDS if name in names]


def show_items(batch: BulkBatch, failed: Sequence[BulkItem]) -> dict[str, str]:
    """Return the fields of the form with the values with which the items failed."""
    fields = dict[str, str]()
    for item in failed:
        values = {"mentor": item.mentor_ref, "event_id": item.event_id} | batch.activity | item.overrides
        start = _get_start(batch, item)
        if start is not None:
            values["starts_at"] = start.astimezone(OSLO).strftime("%Y-%m-%dT%H:%M")
        for name in list_wrong_fields(item):
            fields[f"{name}-{item.position}"] = format_value(values.get(name))
    return fields


def correct_items(
    batch: BulkBatch, failed: Sequence[BulkItem], fields: Mapping[str, str], mentors: Mapping[str, str]
) -> BulkRequest:
    """Build a request of the failed items that the form does not leave out, with their corrected fields.

    ``mentors`` has the ids of the mentors whom the form names.
    """
    items, errors = list[BulkItemInput](), dict[str, str]()
    if failed and not any(_is_corrected(batch, item, fields) for item in failed):
        raise InvalidFormError({"corrections": "nothing_corrected"})
    for item in failed:
        if fields.get(f"omit-{item.position}") == "true":
            continue
        try:
            items.append(_correct_item(batch, item, fields, mentors))
        except InvalidFormError as error:
            errors |= {f"{name}-{item.position}": code for name, code in error.errors.items()}
    if not items and not errors:
        errors["corrections"] = "all_left_out"
    if errors:
        raise InvalidFormError(errors)
    activity = ActivityDefaults.model_validate(batch.activity)
    return BulkRequest(org_id=batch.org_id, label=batch.label, corrects=batch.id, activity=activity, items=tuple(items))


def _is_corrected(batch: BulkBatch, item: BulkItem, fields: Mapping[str, str]) -> bool:
    """Return whether the form leaves the item out, or has another value than the one with which it failed."""
    shown = show_items(batch, [item])
    return fields.get(f"omit-{item.position}") == "true" or any(
        fields.get(name, "").strip() not in {value, write_day(value)} for name, value in shown.items()
    )


def _correct_item(
    batch: BulkBatch, item: BulkItem, fields: Mapping[str, str], mentors: Mapping[str, str]
) -> BulkItemInput:
    shown = list_wrong_fields(item)
    form = ItemForm.parse_fields({name: fields.get(f"{name}-{item.position}", "") for name in shown}, shown)
    overrides, mentor = item.overrides | form.build_overrides(shown), item.mentor_ref
    if form.mentor is not None:
        text = form.mentor.strip()
        mentor = str(parse_id(text) or mentors.get(text, ""))
        if not mentor:
            raise InvalidFormError({"mentor": "mentor_unknown"})
    if item.event_id and (not form.starts_at or form.starts_at.replace(tzinfo=OSLO) == _get_start(batch, item)):
        overrides.setdefault("event_id", str(item.event_id))
    return BulkItemInput(mentor_id=mentor, client_ref=item.client_ref, overrides=overrides)


def _get_start(batch: BulkBatch, item: BulkItem) -> datetime | None:
    """Return the start with which the item failed, unless it cannot be read. Without an offset, it is one in Oslo."""
    text = item.overrides.get("starts_at", batch.activity.get("starts_at"))
    try:
        start = datetime.fromisoformat(text) if isinstance(text, str) else None
        return start and (start.astimezone(OSLO) if start.tzinfo else start.replace(tzinfo=OSLO))
    except (ValueError, OverflowError):
        return None
