"""One activity for many mentors: a window of stretches of chunks over the items, whose outcomes are in PostgreSQL."""

import asyncio
from collections.abc import Iterator

from temporalio import workflow
from temporalio.exceptions import ActivityError, ApplicationError

with workflow.unsafe.imports_passed_through():
    from activities.bulk import ProxyRegistrationActivities
    from stafett.domain.bulk import BulkCounts
    from stafett.domain.bulk_job import BulkJob, BulkOutcome, BulkPlan, BulkProgress, ChunkRange
    from stafett.domain.bulk_status import BulkStatus
    from stafett.domain.job import JobKind
    from stafett.temporal.client import JOB_STATUS
    from workflows.cancellation import Stoppable, is_stale
    from workflows.notifications import tell_of_end
    from workflows.policies import for_a_while, patiently, to_its_end
    from workflows.run_details import details_of_batch

_AT_ONCE = 4
_CHUNKS_A_STRETCH = 5  # whatever is cancelled, a stretch ends with the chunk that it is at
_CHUNKS_A_RUN = 20  # so few that no history grows long, whatever becomes of each of them


@workflow.defn(name=JobKind.BULK_REGISTRATION.value)
class BulkRegistration(Stoppable[BulkOutcome | BulkPlan]):
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
            end = await self._worked(self._register(self._job, job.remaining))
        except (ActivityError, asyncio.CancelledError) as error:
            end = await to_its_end(self._ended_early(self._job, error))
        if isinstance(end, BulkPlan):
            workflow.continue_as_new(self._job.continued_with(end))
        self._show(end.status, end.counts)
        await to_its_end(tell_of_end(self._job))
        if end.status is BulkStatus.CANCELLED:
            self._close_as_asked()
        return end

    @workflow.query
    def progress(self) -> BulkProgress:
        """How the batch stands, as of the last stretch that is done."""
        return BulkProgress(status=self._status, attempt=self._job.attempt, counts=self._counts)

    async def _register(self, job: BulkJob, plan: BulkPlan | None) -> BulkOutcome | BulkPlan:
        """The end, or what is left for the next run."""
        self._go_on()
        if plan is None:
            plan = await patiently(ProxyRegistrationActivities.begin_batch, job, "what there is to do")
        self._show(BulkStatus.RUNNING, plan.counts)
        await self._all_of(plan.pending_chunks[:_CHUNKS_A_RUN])
        self._go_on()
        if left := plan.pending_chunks[_CHUNKS_A_RUN:]:
            return BulkPlan(pending_chunks=left, counts=self._counts)
        return await patiently(ProxyRegistrationActivities.finish_batch, job, "say how it ended")

    async def _all_of(self, chunks: tuple[int, ...]) -> None:
        """A few stretches at a time; whoever is done takes the next."""
        waiting = iter(_stretches(chunks))
        walkers = [asyncio.create_task(self._walk(waiting)) for _ in range(_AT_ONCE)]
        try:
            await asyncio.gather(*walkers)
        finally:
            for walker in walkers:
                walker.cancel()

    async def _walk(self, waiting: Iterator[tuple[int, ...]]) -> None:
        for numbers in waiting:
            self._go_on()
            counts = await self._stretch(ChunkRange(job=self._job, numbers=numbers))
            if counts.pending < self._counts.pending:  # answers may overtake one another
                self._show(BulkStatus.RUNNING, counts)

    async def _stretch(self, stretch: ChunkRange) -> BulkCounts:
        summary = f"chunks from {stretch.numbers[0] + 1} to {stretch.numbers[-1] + 1}"
        register = ProxyRegistrationActivities.register_stretch
        try:
            return await for_a_while(register, stretch, summary, rows=self._job.total)
        except ActivityError as error:
            if self._stops or not isinstance(error.__cause__, ApplicationError) or is_stale(error):
                raise
        give_up = ProxyRegistrationActivities.give_up_stretch
        return await patiently(give_up, stretch, f"{summary} could not be reached")

    async def _ended_early(self, job: BulkJob, error: BaseException) -> BulkOutcome:
        """Cancelled, by us or behind our back; ended by somebody else; or failed, which the sweeper writes down."""
        if not self._stops:
            if not is_stale(error):
                raise error
            end = await patiently(ProxyRegistrationActivities.read_batch, job, "somebody else ended it")
            if end.status is not BulkStatus.CANCELLING:
                return end
        self._show(BulkStatus.CANCELLING, self._counts)
        return await patiently(ProxyRegistrationActivities.cancel_batch, job, "begin no further items")

    def _show(self, status: BulkStatus, counts: BulkCounts) -> None:
        if status is not self._status:
            workflow.upsert_search_attributes([JOB_STATUS.value_set(status)])
        self._status, self._counts = status, counts
        workflow.set_current_details(details_of_batch(self._job, status, counts, workflow.info().namespace))


def _stretches(chunks: tuple[int, ...]) -> Iterator[tuple[int, ...]]:
    """Shared out evenly, in their order."""
    length = min(_CHUNKS_A_STRETCH, -(-len(chunks) // _AT_ONCE))
    return (chunks[first : first + length] for first in range(0, len(chunks), length or 1))
