"""What travels between the gateway, the workflow and its activities: ids, codes and counts, never items."""

from datetime import datetime
from typing import Self
from uuid import UUID

from pydantic import AwareDatetime

from stafett.domain.bulk import BulkCounts
from stafett.domain.bulk_status import BulkStatus
from stafett.domain.export import OrgId
from stafett.domain.frozen import FrozenModel
from stafett.domain.job import JobKind


class BulkPlan(FrozenModel):
    """What is to be done: the chunks in which something is pending."""

    pending_chunks: tuple[int, ...]
    counts: BulkCounts


class BulkJob(FrozenModel):
    """One attempt at one batch."""

    batch_id: UUID
    org_id: OrgId
    attempt: int
    total: int
    remaining: BulkPlan | None = None
    """What an earlier run of the attempt has left to do."""
    period_start: AwareDatetime | None = None
    period_end: AwareDatetime | None = None

    @property
    def kind(self) -> JobKind:
        return JobKind.BULK_REGISTRATION

    @property
    def job_id(self) -> UUID:
        return self.batch_id

    @property
    def workflow_id(self) -> str:
        return f"bulk-registration/{self.batch_id}"

    @property
    def period(self) -> tuple[datetime, datetime] | None:
        """When the first and the last of its activities begin."""
        return (self.period_start, self.period_end) if self.period_start and self.period_end else None

    def for_activities(self) -> Self:
        """As activities are given it."""
        return self.model_copy(update={"remaining": None})

    def continued_with(self, plan: BulkPlan) -> Self:
        return self.model_copy(update={"remaining": plan})

    @property
    def summary(self) -> str:
        return f"Bulk registration for {self.org_id}, {self.total:,} items"


class Chunk(FrozenModel):
    """Items of a batch that are registered together."""

    job: BulkJob
    number: int


class ChunkRange(FrozenModel):
    """Chunks that one activity takes, one after another, each committed by itself."""

    job: BulkJob
    numbers: tuple[int, ...]

    @property
    def chunks(self) -> tuple[Chunk, ...]:
        return tuple(Chunk(job=self.job, number=number) for number in self.numbers)


class BulkProgress(FrozenModel):
    """What the query ``progress`` answers."""

    status: BulkStatus
    attempt: int
    counts: BulkCounts


class BulkOutcome(FrozenModel):
    """How a run ended; what the workflow answers with."""

    status: BulkStatus
    counts: BulkCounts
