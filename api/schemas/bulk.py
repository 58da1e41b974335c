"""Requests and responses for bulk registrations and activities."""

from typing import Any, Self
from uuid import UUID

from pydantic import AwareDatetime, ConfigDict, Field

from api.schemas.exports import NextPageToken, Resource
from stafett.bulk.activities import ActivityDetails
from stafett.bulk.service import BatchDetails, ValidationResult
from stafett.database.tables import BulkBatch
from stafett.domain.activity import ActivityType
from stafett.domain.bulk import BatchWarning, BulkCounts, BulkRequest, ItemOutcome, Label
from stafett.domain.bulk_status import BulkStatus
from stafett.domain.export import Locale, OrgId
from stafett.domain.frozen import FrozenModel
from stafett.domain.membership import Caller

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
    """The JSON body of `POST /bulk-registrations`."""

    model_config = ConfigDict(json_schema_extra={"examples": [_BATCH_EXAMPLE]})

    validate_only: bool = Field(
        default=False, description="Only validate: answer with the outcome of each item and write nothing."
    )

    @property
    def request(self) -> BulkRequest:
        return BulkRequest.model_construct(**{name: getattr(self, name) for name in BulkRequest.model_fields})


class BatchCreateQuery(FrozenModel):
    """Query parameters of `POST /bulk-registrations`: what a CSV body cannot contain."""

    org_id: OrgId | None = Field(
        None, description="For a CSV body: id of the organisation. The default is the caller's own."
    )
    label: Label | None = Field(None, description="For a CSV body: label of the batch.")
    corrects: UUID | None = Field(
        None, description="For a CSV body: id of the ended batch whose failed items this batch corrects."
    )
    validate_only: bool = Field(
        default=False, description="Only validate: answer with the outcome of each item and write nothing."
    )


class FailedItemsQuery(FrozenModel):
    """Query parameters of `GET /bulk-registrations/{batch_id}/failed.csv`."""

    locale: Locale = Field("en", description="Language of the column `error_message`.")


class BatchError(Resource):
    """The reason why a batch failed as a whole."""

    code: str = Field(description="Stable code of the error.")
    message: str = Field(description="Explanation for people.")
    retryable: bool = Field(description="Whether a retry can succeed without any correction.")


class BatchSummary(Resource):
    """A batch without its items."""

    id: UUID
    org_id: str
    requested_by: UUID = Field(description="Id of the user who submitted the batch.")
    label: str | None = Field(description="The batch's label; null for operators.")
    activity: dict[str, Any] | None = Field(
        description="The fields that all items share, as submitted; null for operators."
    )
    status: BulkStatus
    attempt: int = Field(description="Number of the current attempt. A retry adds an attempt.")
    counts: BulkCounts
    retried: BulkCounts | None = Field(
        description="Counts of the items that the current attempt tries again; null for the first attempt."
    )
    corrects: UUID | None = Field(description="Id of the batch whose failed items this batch corrects, if any.")
    error: BatchError | None = Field(description="Why the batch failed as a whole; null otherwise.")
    created_at: AwareDatetime
    updated_at: AwareDatetime
    completed_at: AwareDatetime | None = Field(description="When the batch reached a final status.")

    @classmethod
    def from_row(cls, batch: BulkBatch, caller: Caller, **extra: object) -> Self:
        """Build the summary; an operator gets the status and the counts, but no text that a user wrote."""
        values = batch.model_dump() | {"counts": batch.counts, "retried": batch.retried_counts} | extra
        hidden = {"label": None, "activity": None} if caller.is_operator else {}
        return cls.model_validate(values | hidden)


class BatchResource(BatchSummary):
    """A batch with its first 200 items."""

    corrected_by: tuple[UUID, ...] = Field(
        description="Ids of the batches that correct failed items of this one, oldest first."
    )
    warnings: tuple[BatchWarning, ...] = Field(description="What to consider about the batch, as it was submitted.")
    items: tuple[ItemOutcome, ...] = Field(description="The first 200 items, in the order of the submission.")

    @classmethod
    def from_details(cls, details: BatchDetails, caller: Caller) -> Self:
        extra = {"items": details.items, "corrected_by": details.corrected_by, "warnings": details.warnings}
        return cls.from_row(details.batch, caller, **extra)


class BatchPage(Resource):
    """A page of batches, newest first."""

    items: tuple[BatchSummary, ...]
    next_page_token: NextPageToken = None


class ItemPage(Resource):
    """A page of a batch's items, in the order of the submission."""

    items: tuple[ItemOutcome, ...]
    next_page_token: NextPageToken = None


class BatchValidationResource(Resource):
    """The result of a validation; nothing was written."""

    org_id: str
    validate_only: bool = Field(default=True, description="Always true.")
    counts: BulkCounts
    items: tuple[ItemOutcome, ...] = Field(description="The outcome that each item would have.")
    warnings: tuple[BatchWarning, ...] = Field(description="What to consider before the registration.")

    @classmethod
    def from_result(cls, org_id: str, result: ValidationResult) -> Self:
        return cls(org_id=org_id, counts=result.counts, items=tuple(result.items), warnings=tuple(result.warnings))


class ActivityResource(Resource):
    """An activity without its note, which the API never returns."""

    id: UUID
    org_id: str
    mentor_id: UUID
    mentor_name: str = Field(description="Name of the peer mentor.")
    activity_type: ActivityType
    starts_at: AwareDatetime
    ends_at: AwareDatetime
    duration_minutes: int
    participants: int
    new_participants: int = Field(description="Participants who took part for the first time.")
    place: str
    in_person: bool
    in_norway: bool
    is_proxy: bool = Field(description="Whether a coordinator registered the activity for the mentor.")
    registered_by: UUID | None = Field(
        description="Id of the user who registered it for the mentor; null if the mentor did."
    )
    batch_id: UUID | None = Field(description="Id of the batch that registered it, if any.")
    event_id: UUID | None = Field(
        description="Id of the event; the activities of all peer mentors who were there have the same."
    )
    created_at: AwareDatetime

    @classmethod
    def from_details(cls, details: ActivityDetails) -> Self:
        activity = details.activity
        minutes = (activity.ends_at - activity.starts_at).total_seconds() // 60
        derived = {"duration_minutes": minutes, "is_proxy": activity.registered_by is not None}
        return cls.model_validate(activity.model_dump() | derived | {"mentor_name": details.mentor_name})


class ActivityPage(Resource):
    """A page of activities, latest start first."""

    items: tuple[ActivityResource, ...]
    next_page_token: NextPageToken = None
