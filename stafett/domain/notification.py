"""Telling people that something has ended: to whom, by which way, and how far each message has come."""

from datetime import datetime
from enum import StrEnum
from typing import Self
from uuid import UUID

from stafett.domain.export import OrgId
from stafett.domain.frozen import FrozenModel
from stafett.domain.job import Job, JobKind


class Channel(StrEnum):
    """The ways out of the house; the notification itself is read at the API."""

    EMAIL = "email"
    WEBHOOK = "webhook"


class JobType(StrEnum):
    """What somebody is told of: a kind of job, by the name it has in messages."""

    EXPORT = "export"
    REEXPORT = "reexport"
    BULK_REGISTRATION = "bulk_registration"


class JobOutcome(StrEnum):
    """How a job can end, of whatever kind it is."""

    COMPLETED = "completed"
    COMPLETED_EMPTY = "completed_empty"
    COMPLETED_WITH_FAILURES = "completed_with_failures"
    FAILED = "failed"
    CANCELLED = "cancelled"


class DeliveryState(StrEnum):
    """``failed`` is tried again; ``delivered`` and ``given_up`` are for good."""

    PENDING = "pending"
    FAILED = "failed"
    DELIVERED = "delivered"
    GIVEN_UP = "given_up"


OPEN_DELIVERY_STATES = (DeliveryState.PENDING, DeliveryState.FAILED)


class NotificationJob(FrozenModel):
    """What a run of ``TellOfEnd`` is given: an attempt that ended, or the id of a webhook's test."""

    org_id: OrgId
    subject_id: UUID
    attempt: int = 1

    @classmethod
    def from_job(cls, job: Job) -> Self:
        """Of how this attempt ended."""
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
    def summary(self) -> str:
        return f"Telling people of {self.org_id}"


class DeliveryRef(FrozenModel):
    """One message on its way: by its id alone, for who receives it is nobody's business on the way."""

    id: UUID
    org_id: OrgId
    channel: Channel
