"""Register one activity for many mentors, a few chunk ranges at a time; the items' outcomes are in PostgreSQL."""

import asyncio
from collections.abc import Iterator
from datetime import timedelta

from temporalio import workflow
from temporalio.exceptions import ActivityError, ApplicationError, is_cancelled_exception

with workflow.unsafe.imports_passed_through():
    from activities.bulk import BulkRegistrationActivities
    from stafett.domain.bulk import BulkCounts
    from stafett.domain.bulk_job import (
        NOTHING_REGISTERED,
        BulkJob,
        BulkOutcome,
        BulkProgress,
        ChunkRange,
        ChunkRangeResult,
    )
    from stafett.domain.bulk_status import BulkStatus
    from stafett.domain.job import JobKind
    from stafett.temporal.client import JOB_STATUS
    from workflows.cancellation import CancellableWorkflow, is_stale_attempt
    from workflows.notifications import start_notifications
    from workflows.policies import (
        finish_despite_cancellation,
        run_activity,
        run_chunk_activity,
        run_outcome_activity,
    )
    from workflows.run_details import render_bulk_details

_WINDOW = 4
_CHUNKS_PER_ACTIVITY = 5  # after a cancellation, the activity still finishes its current chunk
_RETRY_DELAYS = tuple(timedelta(seconds=seconds) for seconds in (1, 4, 16, 64))
"""Delays before a chunk is tried again after an unexpected error. Unavailability uses up none of them."""


@workflow.defn(name=JobKind.BULK_REGISTRATION.value)
class BulkRegistration(CancellableWorkflow[BulkOutcome]):
    """One attempt at a batch. An item's error is its outcome; the run fails only if no item is registered."""

    @workflow.init
    def __init__(self, job: BulkJob) -> None:
        pending = BulkCounts(total=job.total, pending=job.total, registered=0, failed=0, cancelled=0)
        self._job, self._status, self._counts = job, BulkStatus.ACCEPTED, pending

    @workflow.run
    async def run(self, job: BulkJob) -> BulkOutcome:
        try:
            outcome = await self._run_cancellable(self._process_batch(job))
        except (ActivityError, asyncio.CancelledError) as error:
            outcome = await finish_despite_cancellation(self._handle_failure(job, error))
        self._publish_status(outcome.status, outcome.counts)
        if outcome.has_deliveries:
            await finish_despite_cancellation(start_notifications(job))
        if outcome.status is BulkStatus.CANCELLED:
            self._close_as_cancelled()
        if outcome.status is BulkStatus.FAILED:
            raise ApplicationError(
                "No item of the batch was registered.", outcome, type=NOTHING_REGISTERED, non_retryable=True
            )
        return outcome

    @workflow.query
    def progress(self) -> BulkProgress:
        """Return the status and the counts after the last finished chunk range."""
        return BulkProgress(status=self._status, attempt=self._job.attempt, counts=self._counts)

    async def _process_batch(self, job: BulkJob) -> BulkOutcome:
        self._raise_if_cancelled()
        plan = await run_activity(BulkRegistrationActivities.start_batch, job, "plan chunks")
        self._publish_status(BulkStatus.RUNNING, plan.counts)
        await self._process_window(plan.pending_chunks)
        self._raise_if_cancelled()
        return await run_outcome_activity(BulkRegistrationActivities.finish_batch, job, "record outcome")

    async def _process_window(self, chunks: tuple[int, ...]) -> None:
        """Process the chunk ranges with `_WINDOW` tasks; each task takes the next range when it is done."""
        pending = iter(_split_into_ranges(chunks))
        tasks = [asyncio.create_task(self._drain(pending)) for _ in range(_WINDOW)]
        try:
            await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()

    async def _drain(self, pending: Iterator[tuple[int, ...]]) -> None:
        for numbers in pending:
            self._raise_if_cancelled()
            await self._register_or_fail(ChunkRange(job=self._job, numbers=numbers))

    async def _register_or_fail(self, chunk_range: ChunkRange) -> None:
        """Register the range, try its chunks with unexpected errors again, and at last fail these chunks alone."""
        for delay in (*_RETRY_DELAYS, None):
            try:
                result = await self._register_chunks(chunk_range)
            except ActivityError as error:
                if self._cancel_requested or is_cancelled_exception(error) or is_stale_attempt(error):
                    raise
                break  # PostgreSQL or the workers were unavailable for days
            self._publish_counts(result.counts)
            if not result.failed_chunks:
                return
            self._raise_if_cancelled()
            chunk_range = ChunkRange(job=self._job, numbers=result.failed_chunks)
            if delay is not None:
                await workflow.sleep(delay, summary=f"retry {_describe_chunks(chunk_range)}")
        summary = f"fail {_describe_chunks(chunk_range)}"
        self._publish_counts(await run_activity(BulkRegistrationActivities.fail_chunks, chunk_range, summary))

    async def _register_chunks(self, chunk_range: ChunkRange) -> ChunkRangeResult:
        return await run_chunk_activity(
            BulkRegistrationActivities.register_chunks,
            chunk_range,
            f"register {_describe_chunks(chunk_range)}",
            item_count=self._job.total,
        )

    async def _handle_failure(self, job: BulkJob, error: BaseException) -> BulkOutcome:
        """Record why the run stopped (cancelled or superseded). Re-raises failures, which the sweep then records."""
        if not self._cancel_requested:
            if not is_stale_attempt(error):
                raise error
            outcome = await run_outcome_activity(BulkRegistrationActivities.read_batch_outcome, job, "read outcome")
            if outcome.status is not BulkStatus.CANCELLING:
                return outcome
        self._publish_status(BulkStatus.CANCELLING, self._counts)
        return await run_outcome_activity(BulkRegistrationActivities.cancel_batch, job, "cancel pending items")

    def _publish_counts(self, counts: BulkCounts | None) -> None:
        if counts is not None and counts.pending < self._counts.pending:  # results may arrive out of order
            self._publish_status(BulkStatus.RUNNING, counts)

    def _publish_status(self, status: BulkStatus, counts: BulkCounts) -> None:
        if status is not self._status:
            workflow.upsert_search_attributes([JOB_STATUS.value_set(status)])
        self._status, self._counts = status, counts
        workflow.set_current_details(render_bulk_details(self._job, status, counts, workflow.info().namespace))


def _split_into_ranges(chunks: tuple[int, ...]) -> Iterator[tuple[int, ...]]:
    """Split the chunks evenly and in order; a small batch gets short ranges, so that it too fills the window."""
    length = min(_CHUNKS_PER_ACTIVITY, -(-len(chunks) // _WINDOW))
    return (chunks[first : first + length] for first in range(0, len(chunks), length or 1))


def _describe_chunks(chunk_range: ChunkRange) -> str:
    """Name the chunks, numbered from 1."""
    return f"chunks {', '.join(str(number + 1) for number in chunk_range.numbers)}"
