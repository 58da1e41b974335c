import structlog
from temporalio import activity

from activities.interceptors import raise_if_cancelled
from stafett.bulk.registration import BatchProcessor
from stafett.domain.bulk import BulkCounts
from stafett.domain.bulk_job import BulkJob, BulkOutcome, BulkPlan, Chunk, ChunkRange, ChunkRangeResult
from stafett.domain.errors import ServiceUnavailableError, StafettError
from stafett.monitoring.logs import error_location

_log = structlog.get_logger("stafett.bulk")


class BulkRegistrationActivities:
    """The requirements' ``proxy-registration-service``, one chunk range at a time."""

    def __init__(self, registration: BatchProcessor) -> None:
        self._registration = registration

    @activity.defn(no_thread_cancel_exception=True)
    def start_batch(self, job: BulkJob) -> BulkPlan:
        return self._registration.start_attempt(job)

    @activity.defn(no_thread_cancel_exception=True)
    def register_chunks(self, chunk_range: ChunkRange) -> ChunkRangeResult:
        """Register chunk by chunk; a chunk that cannot be registered does not prevent the others.

        If PostgreSQL was unavailable, Temporal retries the range. Chunks with unexpected errors are returned, because
        the workflow limits their retries.
        """
        counts, unavailable, failed_chunks = None, None, list[int]()
        for chunk in chunk_range.chunks:
            raise_if_cancelled()
            try:
                counts = self._registration.register_chunk(chunk)
            except ServiceUnavailableError as error:
                unavailable = error
            except StafettError:
                raise
            except Exception as error:  # noqa: BLE001 - every unexpected error is logged and limited to its chunk
                failed_chunks.append(chunk.number)
                _log_failed_chunk(chunk, error)
        if unavailable is not None:
            raise unavailable
        return ChunkRangeResult(counts=counts, failed_chunks=tuple(failed_chunks))

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


def _log_failed_chunk(chunk: Chunk, error: Exception) -> None:
    """Log where the error was raised, without its text, which may quote rows."""
    _log.warning(
        "chunk_failed",
        batch_id=str(chunk.job.batch_id),
        chunk=chunk.number,
        error=type(error).__name__,
        location=error_location(error),
    )
