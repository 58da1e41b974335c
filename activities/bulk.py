from temporalio import activity

from activities.interceptors import raise_if_cancelled
from stafett.bulk.registration import BatchProcessor
from stafett.domain.bulk import BulkCounts
from stafett.domain.bulk_job import BulkJob, BulkOutcome, BulkPlan, ChunkRange
from stafett.domain.errors import ServiceUnavailableError, StaleAttemptError


class BulkRegistrationActivities:
    """The requirements' ``proxy-registration-service``, one chunk range at a time."""

    def __init__(self, registration: BatchProcessor) -> None:
        self._registration = registration

    @activity.defn(no_thread_cancel_exception=True)
    def start_batch(self, job: BulkJob) -> BulkPlan:
        return self._registration.start_attempt(job)

    @activity.defn(no_thread_cancel_exception=True)
    def register_chunks(self, chunk_range: ChunkRange) -> BulkCounts:
        """Register chunk by chunk; if one was unavailable, finish the others, then have Temporal retry the range."""
        counts, unavailable = None, None
        for chunk in chunk_range.chunks:
            raise_if_cancelled()
            try:
                counts = self._registration.register_chunk(chunk)
            except ServiceUnavailableError as error:
                unavailable = error
        if unavailable is not None or counts is None:
            raise unavailable or StaleAttemptError("The chunk range is empty.")
        return counts

    @activity.defn(no_thread_cancel_exception=True)
    def fail_chunks(self, chunk_range: ChunkRange) -> BulkCounts:
        return [self._registration.fail_chunk(chunk) for chunk in chunk_range.chunks][-1]

    @activity.defn(no_thread_cancel_exception=True)
    def finish_batch(self, job: BulkJob) -> BulkOutcome:
        return self._registration.finish(job)

    @activity.defn(no_thread_cancel_exception=True)
    def cancel_batch(self, job: BulkJob) -> BulkOutcome:
        return self._registration.finish_cancel(job)

    @activity.defn(no_thread_cancel_exception=True)
    def read_batch_outcome(self, job: BulkJob) -> BulkOutcome:
        return self._registration.load_outcome(job)
