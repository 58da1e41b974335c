"""The batches that have not ended, as the maintenance role sees them."""

from collections.abc import Iterator
from functools import partial

from sqlmodel import col, select

from stafett.bulk.row import job_of
from stafett.database.session import Database
from stafett.database.tables import BulkRegistration
from stafett.domain.bulk_status import BulkStatus
from stafett.proxy_registration import ProxyRegistration
from stafett.unfinished import Unfinished, oldest_first


class UnfinishedBatches:
    """One whose run was ended from outside has failed, and can be tried again."""

    def __init__(self, maintenance: Database, registration: ProxyRegistration) -> None:
        self._maintenance = maintenance
        self._registration = registration

    def __call__(self) -> Iterator[Unfinished]:
        unended = select(BulkRegistration).where(col(BulkRegistration.completed_at).is_(None))
        for batch in oldest_first(self._maintenance, BulkRegistration, unended):
            job = job_of(batch)
            yield Unfinished(job, batch.status is BulkStatus.CANCELLING, partial(self._registration.close, job))
