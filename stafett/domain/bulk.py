"""A bulk registration, told whole: one activity, many peer mentors, and what is said of some of them otherwise."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from functools import cache
from typing import Annotated, Any, Literal, NamedTuple
from uuid import UUID, uuid5

from pydantic import AfterValidator, Field, StrictBool, StrictInt, StringConstraints, ValidationError

from stafett.domain.bulk_status import ItemErrorCode, ItemStatus
from stafett.domain.errors import InvalidRequestError, RequestIssue
from stafett.domain.export import OrgId
from stafett.domain.fields import NO_NUL
from stafett.domain.frozen import FrozenModel
from stafett.domain.proxy_activity import REQUIRED_ACTIVITY_FIELDS, ActivityDefaults, ProxyActivity, describe_errors

MAX_ITEMS = 10_000
ITEMS_PER_CHUNK = 500
_MAX_SAFE_INTEGER = 2**53


def _normalise_mentor_ref(value: str) -> str:
    """What is no id of ours is kept as it is: no mentor has it."""
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
]
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
"""What somebody says of a field, sound or not: that is for the item's verdict."""


class BulkItemInput(FrozenModel):
    """One mentor, and what is otherwise for this one."""

    mentor_id: MentorRef
    client_ref: ClientRef | None = None
    overrides: dict[ActivityField, OverrideValue] = Field(default_factory=dict)

    @property
    def effective_client_ref(self) -> str:
        """The item's own key in everything that is answered of it."""
        return self.client_ref or self.mentor_id


def _require_items(items: tuple[BulkItemInput, ...]) -> tuple[BulkItemInput, ...]:
    if not items:
        raise ValueError("a batch has at least one item")
    return items


class BulkRequest(FrozenModel):
    """One submission, for one organisation."""

    org_id: OrgId
    label: Label | None = None
    activity: ActivityDefaults
    items: Annotated[
        tuple[BulkItemInput, ...],
        AfterValidator(_require_items),  # the bound of a field would count items that are unsound as not there
        Field(max_length=MAX_ITEMS, json_schema_extra={"minItems": 1}),
    ]

    def validate_batch(self) -> None:
        """Nothing that every item needs is missing, and every item can be told from the others."""
        faults = [*self._find_missing_fields(), *self._find_duplicate_refs()]
        if faults:
            raise InvalidRequestError(faults)

    def _find_missing_fields(self) -> Iterator[RequestIssue]:
        for name in REQUIRED_ACTIVITY_FIELDS:
            if name not in self.activity.model_fields_set and any(name not in item.overrides for item in self.items):
                yield RequestIssue(f"/activity/{name}", "missing", "Field required, unless every item says it")

    def _find_duplicate_refs(self) -> Iterator[RequestIssue]:
        first: dict[str, int] = {}
        for position, item in enumerate(self.items):
            if first.setdefault(item.effective_client_ref, position) != position:
                detail = (
                    f"Item {first[item.effective_client_ref]} has the same; without a client_ref it is the mentor's id"
                )
                yield RequestIssue(f"/items/{position}/client_ref", "not_unique", detail)


class PlannedItem(NamedTuple):
    """An item as it is kept: what is said of it in its proper form, or what is wrong with it."""

    position: int
    chunk: int
    client_ref: str
    mentor_ref: str
    mentor_id: UUID | None
    overrides: dict[str, Any]
    starts_at: str | None
    validation_error: str | None

    def derive_activity_id(self, batch_id: UUID) -> UUID:
        """The same for ever: what is written again is known."""
        return uuid5(batch_id, self.client_ref)


def plan_items(request: BulkRequest) -> list[PlannedItem]:
    """Every item held against the rules that need no database, and given its place in a chunk."""
    shared, chunks = request.activity.provided, _assign_chunks(request.items)

    @cache
    def unchanged() -> tuple[dict[str, Any] | None, str | None]:
        return _validate_activity(shared)

    items = []
    for position, item in enumerate(request.items):
        sound, fault = _validate_activity(shared | item.overrides) if item.overrides else unchanged()
        overrides: dict[str, Any] = {name: sound[name] if sound else said for name, said in item.overrides.items()}
        starts_at = sound["starts_at"] if sound else None
        mentor = _parse_uuid(item.mentor_id)
        items.append(
            PlannedItem(
                position,
                chunks[position],
                item.effective_client_ref,
                item.mentor_id,
                mentor,
                overrides,
                starts_at,
                fault,
            )
        )
    return items


def _validate_activity(values: dict[str, Any]) -> tuple[dict[str, Any] | None, str | None]:
    try:
        return ProxyActivity.model_validate(values).model_dump(mode="json"), None
    except ValidationError as error:
        return None, describe_errors(error)


def _assign_chunks(items: Sequence[BulkItemInput]) -> list[int]:
    """Each item's chunk; all of a mentor's are in one, so that chunks at work together never meet."""
    of_mentors, chunks = defaultdict[str, list[int]](list), [0] * len(items)
    for position, item in enumerate(items):
        of_mentors[item.mentor_id].append(position)
    chunk = filled = 0
    for positions in of_mentors.values():
        if filled and filled + len(positions) > ITEMS_PER_CHUNK:
            chunk, filled = chunk + 1, 0
        for position in positions:
            if filled == ITEMS_PER_CHUNK:
                chunk, filled = chunk + 1, 0
            chunks[position], filled = chunk, filled + 1
    return chunks


def _parse_uuid(mentor_ref: str) -> UUID | None:
    try:
        return UUID(mentor_ref)
    except ValueError:
        return None


class ItemError(FrozenModel):
    """Why an item was not registered."""

    code: ItemErrorCode
    message: str
    retryable: bool


class ItemOutcome(FrozenModel):
    """What became of an item."""

    client_ref: str
    mentor_id: str
    status: ItemStatus
    activity_id: UUID | None
    error: ItemError | None
    attempts: int


class BulkCounts(FrozenModel):
    """What became of a batch's items; none is ever lost silently."""

    total: int
    pending: int
    registered: int
    failed: int
    cancelled: int
