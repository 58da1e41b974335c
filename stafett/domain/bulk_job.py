"""Arguments and results of the bulk workflow and its activities: ids, codes and counts, never items."""

from datetime import datetime
from uuid import UUID

from pydantic import AwareDatetime

from stafett.domain.bulk import BulkCounts
from stafett.domain.bulk_status import BulkStatus
from stafett.domain.export import OrgId
from stafett.domain.frozen import PayloadModel
from stafett.domain.job import JobKind

NOTHING_REGISTERED = "nothing_registered"
"""Failure type of the run of a batch that has registered no item; its details are the outcome."""


class BulkPlan(PayloadModel):
    """The chunks with pending items, and the counts of the batch."""

    pending_chunks: tuple[int, ...]
    counts: BulkCounts


class BulkJob(PayloadModel):
    """One attempt at a batch."""

    batch_id: UUID
    org_id: OrgId
    attempt: int
    total: int
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
        """The start times of the first and the last activity."""
        return (self.period_start, self.period_end) if self.period_start and self.period_end else None

    @property
    def initial_status(self) -> str:
        return BulkStatus.ACCEPTED

    @property
    def summary(self) -> str:
        return f"Bulk registration for {self.org_id}, {self.total:,} items"


class Chunk(PayloadModel):
    """Items of a batch that are registered in one transaction."""

    job: BulkJob
    number: int


class ChunkRange(PayloadModel):
    """Chunks that one Temporal activity registers in sequence, each in its own transaction."""

    job: BulkJob
    numbers: tuple[int, ...]

    @property
    def chunks(self) -> tuple[Chunk, ...]:
        return tuple(Chunk(job=self.job, number=number) for number in self.numbers)


class ChunkRangeResult(PayloadModel):
    """The counts of the batch after a chunk range, and the chunks that unexpected errors left pending."""

    counts: BulkCounts | None
    failed_chunks: tuple[int, ...] = ()


class BulkProgress(PayloadModel):
    """Result of the query ``progress``."""

    status: BulkStatus
    attempt: int
    counts: BulkCounts


class BulkOutcome(PayloadModel):
    """Result of the workflow."""

    status: BulkStatus
    counts: BulkCounts
    has_deliveries: bool = True
    """Whether there may be notifications to deliver."""
