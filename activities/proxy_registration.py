from temporalio import activity

from stafett.domain.bulk import BulkCounts
from stafett.domain.bulk_job import BulkEnd, BulkJob, BulkPlan, Chunk
from stafett.proxy_registration import ProxyRegistration


class ProxyRegistrationActivities:
    """The requirements' ``proxy-registration-service``, a chunk of a batch at a time."""

    def __init__(self, registration: ProxyRegistration) -> None:
        self._registration = registration

    @activity.defn(no_thread_cancel_exception=True)
    def begin_batch(self, job: BulkJob) -> BulkPlan:
        return self._registration.begin(job)

    @activity.defn(no_thread_cancel_exception=True)
    def register_chunk(self, chunk: Chunk) -> BulkCounts:
        return self._registration.register(chunk)

    @activity.defn(no_thread_cancel_exception=True)
    def give_up_chunk(self, chunk: Chunk) -> BulkCounts:
        return self._registration.give_up(chunk)

    @activity.defn(no_thread_cancel_exception=True)
    def finish_batch(self, job: BulkJob) -> BulkEnd:
        return self._registration.finish(job)

    @activity.defn(no_thread_cancel_exception=True)
    def cancel_batch(self, job: BulkJob) -> BulkEnd:
        return self._registration.cancel(job)

    @activity.defn(no_thread_cancel_exception=True)
    def read_batch(self, job: BulkJob) -> BulkEnd:
        return self._registration.end_of(job)
