"""The state of jobs that requests wait for: one query per change of a job, shared by all of these requests."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from weakref import WeakValueDictionary

from api.concurrency import run_in_threadpool
from api.job_views import JobView, LoadView
from api.shared_reads import SharedRead
from stafett.audit.steps import JobHistory, JobStep
from stafett.database.job_changes import JobNotifier, Subscription

if TYPE_CHECKING:
    from uuid import UUID


class JobFeed:
    """One job's state and transitions. Its followers may view the job, so any one's query serves all of them."""

    def __init__(self, view: JobView[Any], load_view: LoadView[Any], history: JobHistory) -> None:
        self.view = view
        self.steps: tuple[JobStep, ...] = ()
        self._load_view = load_view
        self._history = history
        self._read = SharedRead(lambda: run_in_threadpool(self._load))

    async def refresh(self) -> None:
        """Read the job; raises ``NotFoundError`` if it was deleted."""
        await self._read.get()

    def _load(self) -> None:
        """Read the job before its steps: once the job is final, no step can be missing from the second query."""
        view = self._load_view()
        last_seq = self.steps[-1].seq if self.steps else 0
        self.steps += tuple(self._history.steps_after(view.org_id, view.job_id, last_seq))
        self.view = view


class JobFeeds:
    """The feeds of the jobs that are followed at present."""

    def __init__(self, notifier: JobNotifier, history: JobHistory) -> None:
        self._notifier = notifier
        self._history = history
        self._feeds: WeakValueDictionary[UUID, JobFeed] = WeakValueDictionary()

    @contextmanager
    def follow(
        self, view: JobView[Any], load_view: LoadView[Any], *client_ids: "UUID"
    ) -> Iterator[tuple[JobFeed, Subscription]]:
        """Follow the job of a view, and a client's access, during the block, within which no change is missed."""
        feed = self._feeds.get(view.job_id)
        if feed is None:
            feed = self._feeds[view.job_id] = JobFeed(view, load_view, self._history)
        with self._notifier.subscribe(view.job_id, *client_ids) as subscription:
            yield feed, subscription
