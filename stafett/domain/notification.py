"""Notifications about finished jobs: channels, delivery states and workflow arguments."""

from datetime import datetime
from enum import StrEnum
from typing import Self
from uuid import UUID

from stafett.domain.export import OrgId
from stafett.domain.frozen import PayloadModel
from stafett.domain.job import Job, JobKind


class Channel(StrEnum):
    """Delivery channels."""

    EMAIL = "email"
    WEBHOOK = "webhook"


class JobType(StrEnum):
    """Type of the job that a notification is about."""

    EXPORT = "export"
    REEXPORT = "reexport"
    BULK_REGISTRATION = "bulk_registration"


class JobOutcome(StrEnum):
    """Final status of a job of any type."""

    COMPLETED = "completed"
    COMPLETED_EMPTY = "completed_empty"
    COMPLETED_WITH_FAILURES = "completed_with_failures"
    FAILED = "failed"
    CANCELLED = "cancelled"


class DeliveryState(StrEnum):
    """State of a delivery. ``failed`` is retried; ``delivered`` and ``given_up`` are final."""

    PENDING = "pending"
    FAILED = "failed"
    DELIVERED = "delivered"
    GIVEN_UP = "given_up"


OPEN_DELIVERY_STATES = (DeliveryState.PENDING, DeliveryState.FAILED)


class NotificationJob(PayloadModel):
    """Argument of the workflow ``SendNotifications``: a finished attempt of a job, or the id of a webhook's test."""

    org_id: OrgId
    subject_id: UUID
    attempt: int = 1

    @classmethod
    def from_job(cls, job: Job) -> Self:
        """Create the argument for a finished attempt of a job."""
        return cls(org_id=job.org_id, subject_id=job.job_id, attempt=job.attempt)

    @property
    def kind(self) -> JobKind:
        return JobKind.SEND_NOTIFICATIONS

    @property
    def job_id(self) -> UUID:
        return self.subject_id

    @property
    def workflow_id(self) -> str:
        return f"notify/{self.subject_id}/{self.attempt}"

    @property
    def period(self) -> tuple[datetime, datetime] | None:
        return None

    @property
    def initial_status(self) -> None:
        return None

    @property
    def summary(self) -> str:
        return f"Notifications for {self.org_id}"


class DeliveryRef(PayloadModel):
    """A delivery by its id only, because payloads must not identify its recipient."""

    id: UUID
    org_id: OrgId
    channel: Channel
