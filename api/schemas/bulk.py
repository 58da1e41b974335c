"""What goes over the wire about batches and the activities that they register."""

from typing import Any, Self
from uuid import UUID

from pydantic import AwareDatetime, ConfigDict, Field

from api.paging import MAX_TOKEN_LENGTH, ListQuery
from api.schemas.exports import Resource
from stafett.bulk.service import BatchDetails, ValidationResult
from stafett.bulk.state import counts_from_row
from stafett.database.tables import Activity, BulkBatch
from stafett.domain.activity import ActivityType
from stafett.domain.bulk import BulkCounts, BulkRequest, ItemOutcome, Label
from stafett.domain.bulk_status import BulkStatus, ItemStatus
from stafett.domain.export import OrgId
from stafett.domain.frozen import FrozenModel
from stafett.domain.membership import Caller
from stafett.domain.reporting_period import DayOrInstant, to_first_instant, to_last_instant

_BATCH_EXAMPLE: dict[str, Any] = {
    "org_id": "nhf",
    "label": "Training day",
    "activity": {
        "activity_type": "samtalegruppe",
        "starts_at": "2026-03-02T10:00:00+01:00",
        "duration_minutes": 60,
        "participants": 5,
        "new_participants": 1,
        "place": "Tromsø",
        "in_person": True,
        "in_norway": True,
    },
    "items": [{"mentor_id": "5e4d7a34-95a4-4a3c-9f55-6f4a4b8f3a10", "overrides": {"participants": 7}}],
}


class BatchCreate(BulkRequest):
    """The body that starts a batch."""

    model_config = ConfigDict(json_schema_extra={"examples": [_BATCH_EXAMPLE]})

    validate_only: bool = Field(default=False, description="Answer with every item's verdict, and write nothing.")

    @property
    def request(self) -> BulkRequest:
        return BulkRequest.model_construct(**{name: getattr(self, name) for name in BulkRequest.model_fields})


class BatchCreateQuery(FrozenModel):
    """What a CSV file cannot say itself."""

    org_id: OrgId | None = Field(None, description="Of a body in CSV; the caller's own, unless it is said.")
    label: Label | None = Field(None, description="Of a body in CSV.")
    validate_only: bool = False


class BatchListQuery(ListQuery):
    """Which batches a list shows."""

    status: BulkStatus | None = None


class ItemListQuery(FrozenModel):
    """Which items of a batch are wanted."""

    status: ItemStatus | None = None
    page_size: int = Field(50, ge=1, le=200)
    page_token: str | None = Field(None, max_length=MAX_TOKEN_LENGTH)


class BatchError(Resource):
    code: str
    message: str
    retryable: bool


class BatchSummary(Resource):
    """A batch as lists show it: everything but its items."""

    id: UUID
    org_id: str
    requested_by: UUID
    label: str | None
    activity: dict[str, Any] | None
    status: BulkStatus
    attempt: int
    counts: BulkCounts
    error: BatchError | None
    created_at: AwareDatetime
    updated_at: AwareDatetime
    completed_at: AwareDatetime | None

    @classmethod
    def from_row(cls, batch: BulkBatch, caller: Caller, **extra: object) -> Self:
        """An operator sees how a batch stands, and nothing that somebody wrote in it."""
        shown = batch.model_dump() | {"counts": counts_from_row(batch)} | extra
        hidden = {"label": None, "activity": None} if caller.is_operator else {}
        return cls.model_validate(shown | hidden)


class BatchResource(BatchSummary):
    """A batch with its first 200 items."""

    items: tuple[ItemOutcome, ...]

    @classmethod
    def from_details(cls, details: BatchDetails, caller: Caller) -> Self:
        return cls.from_row(details.batch, caller, items=details.items)


class BatchPage(Resource):
    """One page of a list, newest first."""

    items: tuple[BatchSummary, ...]
    next_page_token: str | None = None


class ItemPage(Resource):
    """One page of a batch's items, in the order of the submission."""

    items: tuple[ItemOutcome, ...]
    next_page_token: str | None = None


class BatchValidationResource(Resource):
    """What would become of every item of a batch; nothing was written."""

    org_id: str
    validate_only: bool = True
    counts: BulkCounts
    items: tuple[ItemOutcome, ...]

    @classmethod
    def from_result(cls, org_id: str, result: ValidationResult) -> Self:
        return cls(org_id=org_id, counts=result.counts, items=tuple(result.items))


class ActivityListQuery(ListQuery):
    """Which activities a list shows; a period has both its ends in it."""

    batch_id: UUID | None = None
    mentor_id: UUID | None = None
    period_start: DayOrInstant | None = Field(None, description="Those that begin then, on that day in Oslo, or later.")
    period_end: DayOrInstant | None = Field(None, description="Those that begin then, on that day in Oslo, or earlier.")

    @property
    def filter_args(self) -> dict[str, Any]:
        start, end = self.period_start, self.period_end
        instants = {"period_start": start and to_first_instant(start), "period_end": end and to_last_instant(end)}
        return super().filter_args | instants


class ActivityResource(Resource):
    """An activity; notes stay where they are."""

    id: UUID
    org_id: str
    mentor_id: UUID
    activity_type: ActivityType
    starts_at: AwareDatetime
    ends_at: AwareDatetime
    duration_minutes: int
    participants: int
    new_participants: int
    place: str
    in_person: bool
    in_norway: bool
    is_proxy: bool
    registered_by: UUID | None
    batch_id: UUID | None
    created_at: AwareDatetime

    @classmethod
    def from_row(cls, activity: Activity) -> Self:
        minutes = (activity.ends_at - activity.starts_at).total_seconds() // 60
        more = {"duration_minutes": minutes, "is_proxy": activity.registered_by is not None}
        return cls.model_validate(activity.model_dump() | more)


class ActivityPage(Resource):
    """One page of a list, the latest first."""

    items: tuple[ActivityResource, ...]
    next_page_token: str | None = None
