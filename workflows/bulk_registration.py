"""One activity for many mentors: a window of stretches of chunks over the items, whose outcomes are in PostgreSQL."""

import asyncio
from collections.abc import Iterator

from temporalio import workflow
from temporalio.exceptions import ActivityError, ApplicationError

with workflow.unsafe.imports_passed_through():
    from activities.bulk import BulkRegistrationActivities
    from stafett.domain.bulk import BulkCounts
    from stafett.domain.bulk_job import BulkJob, BulkOutcome, BulkPlan, BulkProgress, ChunkRange
    from stafett.domain.bulk_status import BulkStatus
    from stafett.domain.job import JobKind
    from stafett.temporal.client import JOB_STATUS
    from workflows.cancellation import CancellableWorkflow, is_stale_attempt
    from workflows.notifications import start_notifications
    from workflows.policies import finish_despite_cancellation, run_activity, run_activity_bounded
    from workflows.run_details import render_bulk_details

_WINDOW = 4
_CHUNKS_PER_ACTIVITY = 5  # whatever is cancelled, a stretch ends with the chunk that it is at
_CHUNKS_PER_RUN = 20  # so few that no history grows long, whatever becomes of each of them


@workflow.defn(name=JobKind.BULK_REGISTRATION.value)
class BulkRegistration(CancellableWorkflow[BulkOutcome | BulkPlan]):
    """One attempt at one batch; an item's problem is its outcome, and nothing that the run could fail of."""

    @workflow.init
    def __init__(self, job: BulkJob) -> None:
        pending = BulkCounts(total=job.total, pending=job.total, registered=0, failed=0, cancelled=0)
        self._job = job.for_activities()
        self._status = BulkStatus.RUNNING if job.remaining else BulkStatus.ACCEPTED
        self._counts = job.remaining.counts if job.remaining else pending

    @workflow.run
    async def run(self, job: BulkJob) -> BulkOutcome:
        try:
            end = await self._run_cancellable(self._process_batch(self._job, job.remaining))
        except (ActivityError, asyncio.CancelledError) as error:
            end = await finish_despite_cancellation(self._handle_failure(self._job, error))
        if isinstance(end, BulkPlan):
            workflow.continue_as_new(self._job.continued_with(end))
        self._publish_status(end.status, end.counts)
        await finish_despite_cancellation(start_notifications(self._job))
        if end.status is BulkStatus.CANCELLED:
            self._close_as_cancelled()
        return end

    @workflow.query
    def progress(self) -> BulkProgress:
        """How the batch stands, as of the last stretch that is done."""
        return BulkProgress(status=self._status, attempt=self._job.attempt, counts=self._counts)

    async def _process_batch(self, job: BulkJob, plan: BulkPlan | None) -> BulkOutcome | BulkPlan:
        """The end, or what is left for the next run."""
        self._raise_if_cancelled()
        if plan is None:
            plan = await run_activity(BulkRegistrationActivities.start_batch, job, "what there is to do")
        self._publish_status(BulkStatus.RUNNING, plan.counts)
        await self._process_window(plan.pending_chunks[:_CHUNKS_PER_RUN])
        self._raise_if_cancelled()
        if left := plan.pending_chunks[_CHUNKS_PER_RUN:]:
            return BulkPlan(pending_chunks=left, counts=self._counts)
        return await run_activity(BulkRegistrationActivities.finish_batch, job, "say how it ended")

    async def _process_window(self, chunks: tuple[int, ...]) -> None:
        """A few stretches at a time; whoever is done takes the next."""
        waiting = iter(_split_into_ranges(chunks))
        walkers = [asyncio.create_task(self._drain(waiting)) for _ in range(_WINDOW)]
        try:
            await asyncio.gather(*walkers)
        finally:
            for walker in walkers:
                walker.cancel()

    async def _drain(self, pending: Iterator[tuple[int, ...]]) -> None:
        for numbers in pending:
            self._raise_if_cancelled()
            counts = await self._register_chunks(ChunkRange(job=self._job, numbers=numbers))
            if counts.pending < self._counts.pending:  # answers may overtake one another
                self._publish_status(BulkStatus.RUNNING, counts)

    async def _register_chunks(self, chunk_range: ChunkRange) -> BulkCounts:
        summary = f"chunks from {chunk_range.numbers[0] + 1} to {chunk_range.numbers[-1] + 1}"
        register = BulkRegistrationActivities.register_chunks
        try:
            return await run_activity_bounded(register, chunk_range, summary, row_count=self._job.total)
        except ActivityError as error:
            if self._cancel_requested or not isinstance(error.__cause__, ApplicationError) or is_stale_attempt(error):
                raise
        give_up = BulkRegistrationActivities.fail_chunks
        return await run_activity(give_up, chunk_range, f"{summary} could not be reached")

    async def _handle_failure(self, job: BulkJob, error: BaseException) -> BulkOutcome:
        """Cancelled, by us or behind our back; ended by somebody else; or failed, which the sweeper writes down."""
        if not self._cancel_requested:
            if not is_stale_attempt(error):
                raise error
            end = await run_activity(BulkRegistrationActivities.read_batch_outcome, job, "somebody else ended it")
            if end.status is not BulkStatus.CANCELLING:
                return end
        self._publish_status(BulkStatus.CANCELLING, self._counts)
        return await run_activity(BulkRegistrationActivities.cancel_batch, job, "begin no further items")

    def _publish_status(self, status: BulkStatus, counts: BulkCounts) -> None:
        if status is not self._status:
            workflow.upsert_search_attributes([JOB_STATUS.value_set(status)])
        self._status, self._counts = status, counts
        workflow.set_current_details(render_bulk_details(self._job, status, counts, workflow.info().namespace))


def _split_into_ranges(chunks: tuple[int, ...]) -> Iterator[tuple[int, ...]]:
    """Shared out evenly, in their order."""
    length = min(_CHUNKS_PER_ACTIVITY, -(-len(chunks) // _WINDOW))
    return (chunks[first : first + length] for first in range(0, len(chunks), length or 1))
