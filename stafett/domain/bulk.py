"""Bulk registrations: one activity for many peer mentors, with overrides per item."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache
from typing import Annotated, Any, Literal, NamedTuple, Self
from uuid import UUID, uuid5

from pydantic import AfterValidator, Field, PrivateAttr, StrictBool, StrictInt, StringConstraints, ValidationError

from stafett.domain.activity_faults import encode_faults
from stafett.domain.bulk_status import ItemErrorCode, ItemStatus
from stafett.domain.errors import RequestIssue
from stafett.domain.export import OrgId
from stafett.domain.fields import NO_NUL
from stafett.domain.frozen import FrozenModel, PayloadModel
from stafett.domain.proxy_activity import REQUIRED_ACTIVITY_FIELDS, ActivityDefaults, ProxyActivity

MAX_ITEMS_PER_BATCH = 10_000
ITEMS_PER_CHUNK = 500
_MAX_SAFE_INTEGER = 2**53
_EVENT_FIELDS = ("activity_type", "starts_at", "place")


def _normalise_mentor_ref(value: str) -> str:
    """Normalise a UUID, and leave any other text unchanged, because no mentor can have it as an id."""
    try:
        return str(UUID(value))
    except ValueError:
        return value


def _text_constraints(max_length: int, min_length: int = 0) -> Any:
    return StringConstraints(strict=True, min_length=min_length, max_length=max_length)


ActivityField = Literal[
    "activity_type",
    "starts_at",
    "duration_minutes",
    "participants",
    "new_participants",
    "place",
    "in_person",
    "in_norway",
    "note",
    "event_id",
]
WarningCode = Literal["several_mentors_at_one_event", "starts_in_future"]
Label = Annotated[str, _text_constraints(200, 1), NO_NUL]
ClientRef = Annotated[str, _text_constraints(200, 1), NO_NUL]
MentorRef = Annotated[str, _text_constraints(200, 1), NO_NUL, AfterValidator(_normalise_mentor_ref)]
OverrideValue = (
    StrictBool
    | Annotated[StrictInt, Field(ge=-_MAX_SAFE_INTEGER, le=_MAX_SAFE_INTEGER)]
    | Annotated[float, Field(strict=True, allow_inf_nan=False)]
    | Annotated[str, _text_constraints(10_000), NO_NUL]
    | None
)
"""Any JSON scalar: an invalid value fails its item, not the whole request."""


class BulkItemInput(FrozenModel):
    """A peer mentor of the batch, with the fields that differ for this mentor."""

    mentor_id: MentorRef = Field(description="Id of the peer mentor.")
    client_ref: ClientRef | None = Field(
        None, description="The client's reference of the item, unique in the batch. The default is `mentor_id`."
    )
    overrides: dict[ActivityField, OverrideValue] = Field(
        default_factory=dict, description="Fields of the activity that differ for this mentor."
    )

    @property
    def effective_client_ref(self) -> str:
        """The reference that identifies the item in responses: ``client_ref``, or else the mentor's id."""
        return self.client_ref or self.mentor_id


def _require_items(items: tuple[BulkItemInput, ...]) -> tuple[BulkItemInput, ...]:
    if not items:
        raise ValueError("a batch has at least one item")
    return items


class BulkRequest(FrozenModel):
    """Request for a bulk registration in an organisation."""

    org_id: OrgId = Field(description="Id of the organisation that the activities belong to.")
    label: Label | None = Field(None, description="Name of the batch for its users. No personal data.")
    corrects: UUID | None = Field(
        None, description="Id of the ended batch of the organisation whose failed items this batch corrects."
    )
    activity: ActivityDefaults = Field(description="Fields that all items share unless an item overrides them.")
    items: Annotated[
        tuple[BulkItemInput, ...],
        AfterValidator(_require_items),  # min_length would count invalid items as missing
        Field(
            max_length=MAX_ITEMS_PER_BATCH,
            description="One item per activity to register.",
            json_schema_extra={"minItems": 1},
        ),
    ]

    _lines: tuple[int, ...] = PrivateAttr(default=())
    _line_issues: tuple[RequestIssue, ...] = PrivateAttr(default=())

    @classmethod
    def from_lines(cls, items: Mapping[int, BulkItemInput], line_issues: Iterable[RequestIssue], **fields: Any) -> Self:
        """Create the request of a file from the items by their lines, and the issues with the other lines."""
        request = cls(activity=ActivityDefaults(), items=tuple(items.values()), **fields)
        request._lines, request._line_issues = tuple(items), tuple(line_issues)
        return request

    def locate(self, position: int, field: str) -> str:
        """Return the pointer to a field of an item, or the line and the column if the item is one of a file."""
        if self._lines:
            return f"line:{self._lines[position]}/{field}"
        is_of_activity = field in REQUIRED_ACTIVITY_FIELDS or field in self.items[position].overrides
        return f"/items/{position}/{'overrides/' if is_of_activity else ''}{field}"

    def locate_line(self, position: int) -> int | None:
        """Return the line of an item, if the items are lines of a file."""
        return self._lines[position] if self._lines else None

    @property
    def corrects_pointer(self) -> str:
        """The pointer to ``corrects``, which is a parameter of the query if the items are lines of a file."""
        return "query:corrects" if self._lines else "/corrects"

    def find_missing_fields(self) -> Iterator[RequestIssue]:
        """Find the required fields that neither the shared activity nor every item has."""
        for name in REQUIRED_ACTIVITY_FIELDS:
            if name not in self.activity.model_fields_set and any(name not in item.overrides for item in self.items):
                yield RequestIssue(f"/activity/{name}", "missing", "Field required, unless every item overrides it")

    def find_duplicates(self) -> dict[int, RequestIssue]:
        """Find the items that have the reference of an earlier one, by their positions."""
        first: dict[str, int] = {}
        positions = (
            (position, first.setdefault(item.effective_client_ref, position))
            for position, item in enumerate(self.items)
        )
        return {
            position: self._describe_duplicate(position, original)
            for position, original in positions
            if original != position
        }

    @property
    def line_issues(self) -> Sequence[RequestIssue]:
        """The issues with lines of the file that are not items."""
        return self._line_issues

    def _describe_duplicate(self, position: int, original: int) -> RequestIssue:
        pointer = self.locate(position, "client_ref")
        if not self._lines:
            detail = f"Duplicate of item {original}. An item without a client_ref uses the mentor's id."
            return RequestIssue(pointer, "not_unique", detail, original)
        line = self._lines[original]
        detail = (
            f"Line {line} has the same client_ref, or the same mentor_id without one: "
            "delete one of the lines, or give each a client_ref"
        )
        return RequestIssue(pointer, "not_unique", detail, line)


class PlannedItem(NamedTuple):
    """An item as it is stored: with its overrides in normalised form, or with its validation error."""

    position: int
    chunk: int
    client_ref: str
    mentor_ref: str
    mentor_id: UUID | None
    overrides: dict[str, Any]
    starts_at: str | None
    validation_error: str | None
    """What is wrong with its activity, as ``encode_faults`` returns it."""
    event: UUID | str | None = None
    """The event that the client named, or a text that the items of one event have in common."""

    def derive_event_id(self, batch_id: UUID) -> UUID | None:
        return uuid5(batch_id, self.event) if isinstance(self.event, str) else self.event

    def derive_activity_id(self, batch_id: UUID) -> UUID:
        """Derive the activity's id, which never changes, so that a repeated insert is detected."""
        return uuid5(batch_id, self.client_ref)


def plan_items(request: BulkRequest) -> list[PlannedItem]:
    """Validate each item against the rules that need no database, and assign it to a chunk."""
    shared, chunks = request.activity.provided, _assign_chunks(request.items)

    @cache
    def plan_shared() -> _PlannedActivity:
        return _plan_activity(shared)

    items = []
    activities = [
        _plan_activity(shared | item.overrides) if item.overrides else plan_shared() for item in request.items
    ]
    named_events = _find_named_events(activities)
    for position, (item, activity) in enumerate(zip(request.items, activities, strict=True)):
        valid = activity.valid
        overrides: dict[str, Any] = {name: valid[name] if valid else value for name, value in item.overrides.items()}
        starts_at = valid["starts_at"] if valid else None
        mentor_id = _parse_uuid(item.mentor_id)
        items.append(
            PlannedItem(
                position,
                chunks[position],
                item.effective_client_ref,
                item.mentor_id,
                mentor_id,
                overrides,
                starts_at,
                activity.error,
                activity.event_id or named_events.get(activity.event_key, activity.event_key),
            )
        )
    return items


class _PlannedActivity(NamedTuple):
    """The fields of an activity in normalised form or its validation error; its named event, or what identifies one."""

    valid: dict[str, Any] | None
    error: str | None
    event_id: UUID | None
    event_key: str | None


def _plan_activity(values: dict[str, Any]) -> _PlannedActivity:
    try:
        valid = ProxyActivity.model_validate(values).model_dump(mode="json", exclude_unset=True)
    except ValidationError as error:
        return _PlannedActivity(None, encode_faults(error), *_find_event(_validate_event_fields(values)))
    return _PlannedActivity(valid, None, *_find_event(valid))


def _validate_event_fields(values: dict[str, Any]) -> dict[str, Any]:
    """Return what identifies the event of an activity with another invalid field, which joins it once corrected."""
    fields = {name: values[name] for name in (*_EVENT_FIELDS, "event_id") if name in values}
    try:
        return ActivityDefaults.model_validate(fields).provided
    except ValidationError:
        return {}


def _find_event(fields: Mapping[str, Any]) -> tuple[UUID | None, str | None]:
    """Return the named event, and what identifies one within a batch: mentors who did the same at the same time."""
    if not fields or ("event_id" in fields and not fields["event_id"]):
        return None, None
    event_id = UUID(fields["event_id"]) if "event_id" in fields else None
    return event_id, " ".join(fields[name] for name in _EVENT_FIELDS)


def _find_named_events(activities: Iterable[_PlannedActivity]) -> dict[str | None, UUID]:
    """Return by its key each event that some activities name, and that the others with its key therefore belong to."""
    ids = defaultdict[str | None, set[UUID]](set)
    for activity in activities:
        if activity.event_id and activity.event_key:
            ids[activity.event_key].add(activity.event_id)
    return {key: named.pop() for key, named in ids.items() if len(named) == 1}


def _assign_chunks(items: Sequence[BulkItemInput]) -> list[int]:
    """Return each item's chunk. A mentor's items share one if they fit, so that concurrent chunks do not conflict."""
    positions_by_mentor, chunks = defaultdict[str, list[int]](list), [0] * len(items)
    for position, item in enumerate(items):
        positions_by_mentor[item.mentor_id].append(position)
    chunk = size = 0
    for positions in positions_by_mentor.values():
        if size and size + len(positions) > ITEMS_PER_CHUNK:
            chunk, size = chunk + 1, 0
        for position in positions:
            if size == ITEMS_PER_CHUNK:
                chunk, size = chunk + 1, 0
            chunks[position], size = chunk, size + 1
    return chunks


def _parse_uuid(mentor_ref: str) -> UUID | None:
    try:
        return UUID(mentor_ref)
    except ValueError:
        return None


class ItemError(FrozenModel):
    """Error of an item that was not registered."""

    code: ItemErrorCode
    message: str = Field(description="Explanation for people.")
    retryable: bool = Field(description="Whether a retry can succeed without any correction.")


class ItemOutcome(FrozenModel):
    """Outcome of an item."""

    client_ref: str = Field(description="The client's reference of the item; by default the mentor's id.")
    mentor_id: str
    status: ItemStatus
    activity_id: UUID | None = Field(description="Id of the registered activity; null until it is registered.")
    error: ItemError | None = Field(description="Why the item was not registered; null otherwise.")
    attempts: int = Field(description="Number of attempts to register the item.")


class BatchWarning(FrozenModel):
    """What to consider about a batch."""

    code: WarningCode = Field(description="Stable code of the warning.")
    message: str = Field(description="Explanation for people.")
    rows: int = Field(description="Number of activities that the warning is about.")
    events: int | None = Field(
        None, description="Number of events that these activities belong to, if it is about some."
    )


class BulkCounts(PayloadModel):
    """Item counts of a batch, which account for every item."""

    total: int
    pending: int
    registered: int
    failed: int
    cancelled: int
