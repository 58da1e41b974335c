"""Ranges of chunks: each chunk is registered independently of the others."""

from uuid import uuid4

import pytest
import structlog

from activities.bulk import BulkRegistrationActivities
from stafett.bulk.registration import BatchProcessor
from stafett.domain.bulk import BulkCounts
from stafett.domain.bulk_job import BulkJob, Chunk, ChunkRange
from stafett.domain.errors import ServiceUnavailableError, StaleAttemptError

JOB = BulkJob(batch_id=uuid4(), org_id="nhf", attempt=1, total=4)
CHUNK_RANGE = ChunkRange(job=JOB, numbers=(3, 4, 5, 6))


class FakeRegistration(BatchProcessor):
    """Registration that fails at the given chunks."""

    def __init__(
        self, *, unavailable_at: int | None = None, stale_at: int | None = None, broken_at: tuple[int, ...] = ()
    ) -> None:
        self.registered: list[int] = []
        self.unavailable_at = unavailable_at
        self.stale_at = stale_at
        self.broken_at = broken_at

    def register_chunk(self, chunk: Chunk) -> BulkCounts:
        if chunk.number == self.unavailable_at:
            raise ServiceUnavailableError("PostgreSQL")
        if chunk.number == self.stale_at:
            raise StaleAttemptError("This attempt at the batch is over.")
        if chunk.number in self.broken_at:
            raise RuntimeError("private text")
        self.registered.append(chunk.number)
        done = len(self.registered)
        return BulkCounts(total=4, pending=4 - done, registered=done, failed=0, cancelled=0)


def test_chunk_range_is_registered_chunk_by_chunk() -> None:
    registration = FakeRegistration()
    result = BulkRegistrationActivities(registration).register_chunks(CHUNK_RANGE)
    assert result.counts
    assert (result.counts.registered, result.failed_chunks) == (4, ())
    assert registration.registered == [3, 4, 5, 6]


def test_unavailable_chunk_fails_the_range_after_all_other_chunks() -> None:
    registration = FakeRegistration(unavailable_at=4)
    with pytest.raises(ServiceUnavailableError):
        BulkRegistrationActivities(registration).register_chunks(CHUNK_RANGE)
    assert registration.registered == [3, 5, 6]


def test_stale_attempt_registers_no_further_chunks() -> None:
    registration = FakeRegistration(stale_at=4)
    with pytest.raises(StaleAttemptError):
        BulkRegistrationActivities(registration).register_chunks(CHUNK_RANGE)
    assert registration.registered == [3]


def test_chunks_with_unexpected_errors_are_logged_and_returned() -> None:
    registration = FakeRegistration(broken_at=(3, 5))
    with structlog.testing.capture_logs() as logs:
        result = BulkRegistrationActivities(registration).register_chunks(CHUNK_RANGE)
    assert result.counts
    assert (result.counts.registered, result.failed_chunks) == (2, (3, 5))
    assert [(line["event"], line["chunk"], line["error"]) for line in logs] == [
        ("chunk_failed", 3, "RuntimeError"),
        ("chunk_failed", 5, "RuntimeError"),
    ]
    assert "private text" not in str(logs)


def test_range_of_broken_chunks_has_no_counts() -> None:
    result = BulkRegistrationActivities(FakeRegistration(broken_at=CHUNK_RANGE.numbers)).register_chunks(CHUNK_RANGE)
    assert (result.counts, result.failed_chunks) == (None, CHUNK_RANGE.numbers)


def test_unavailable_chunk_is_retried_with_the_chunks_that_have_unexpected_errors() -> None:
    registration = FakeRegistration(unavailable_at=4, broken_at=(3,))
    with pytest.raises(ServiceUnavailableError):
        BulkRegistrationActivities(registration).register_chunks(CHUNK_RANGE)
    assert registration.registered == [5, 6]
