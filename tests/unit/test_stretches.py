"""A stretch of chunks: each by itself, whatever becomes of the one before."""

from uuid import uuid4

import pytest

from activities.bulk import BulkRegistrationActivities
from stafett.bulk.registration import ProxyRegistration
from stafett.domain.bulk import BulkCounts
from stafett.domain.bulk_job import BulkJob, Chunk, ChunkRange
from stafett.domain.errors import ServiceUnavailableError, StaleAttemptError

JOB = BulkJob(batch_id=uuid4(), org_id="nhf", attempt=1, total=4)
STRETCH = ChunkRange(job=JOB, numbers=(3, 4, 5, 6))


class PlayedRegistration(ProxyRegistration):
    """Registers what it can reach."""

    def __init__(self, *, away: int | None = None, over_at: int | None = None) -> None:
        self.registered: list[int] = []
        self.away = away
        self.over_at = over_at

    def register_chunk(self, chunk: Chunk) -> BulkCounts:
        if chunk.number == self.away:
            raise ServiceUnavailableError("PostgreSQL")
        if chunk.number == self.over_at:
            raise StaleAttemptError("This attempt at the batch is over.")
        self.registered.append(chunk.number)
        done = len(self.registered)
        return BulkCounts(total=4, pending=4 - done, registered=done, failed=0, cancelled=0)


def test_a_stretch_is_registered_chunk_by_chunk() -> None:
    played = PlayedRegistration()
    assert BulkRegistrationActivities(played).register_chunks(STRETCH).registered == 4
    assert played.registered == [3, 4, 5, 6]


def test_a_chunk_that_cannot_be_reached_holds_up_no_other_and_is_tried_again() -> None:
    played = PlayedRegistration(away=4)
    with pytest.raises(ServiceUnavailableError):
        BulkRegistrationActivities(played).register_chunks(STRETCH)
    assert played.registered == [3, 5, 6]


def test_an_attempt_that_is_over_registers_nothing_more() -> None:
    played = PlayedRegistration(over_at=4)
    with pytest.raises(StaleAttemptError):
        BulkRegistrationActivities(played).register_chunks(STRETCH)
    assert played.registered == [3]
