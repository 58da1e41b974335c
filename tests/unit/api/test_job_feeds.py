"""The state of a job, read once for all requests that wait for it."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, cast
from uuid import UUID, uuid4

from api.job_feeds import JobFeeds
from api.job_views import JobView
from stafett.audit.steps import JobHistory, JobStep
from stafett.database.job_changes import JobNotifier

_JOB_ID, _NOW = uuid4(), datetime.now(UTC)


class _History:
    """The transitions of one job, with the number of queries."""

    def __init__(self) -> None:
        self.queries = 0
        self.steps: list[JobStep] = []

    def add_step(self, status: str) -> None:
        self.steps.append(JobStep(len(self.steps) + 1, datetime.now(UTC), status, 1))

    def steps_after(self, _org_id: str, _job_id: UUID, after_seq: int) -> Sequence[JobStep]:
        self.queries += 1
        return [step for step in self.steps if step.seq > after_seq]


def load_view() -> JobView[Any]:
    return JobView(job_id=_JOB_ID, org_id="nhf", is_finished=False, etag="", updated_at=_NOW, build_body=dict)


async def test_change_is_read_once_for_all_followers() -> None:
    history, notifier = _History(), JobNotifier("postgresql://localhost/unused")
    feeds = JobFeeds(notifier, cast("JobHistory", history))
    followed = asyncio.Semaphore(0)

    async def follow() -> list[str]:
        with feeds.follow(load_view(), load_view) as (feed, subscription):
            followed.release()
            await subscription.wait_for_change(30)
            await feed.refresh()
            return [step.status for step in feed.steps]

    followers = [asyncio.create_task(follow()) for _ in range(100)]
    for _ in followers:
        await followed.acquire()
    history.add_step("initialised")
    notifier.close()  # it notifies all subscriptions
    assert await asyncio.gather(*followers) == [["initialised"]] * 100
    assert history.queries == 1


async def test_later_follower_gets_all_steps_and_later_reads_only_add() -> None:
    history, notifier = _History(), JobNotifier("postgresql://localhost/unused")
    feeds = JobFeeds(notifier, cast("JobHistory", history))
    with feeds.follow(load_view(), load_view) as (feed, _):
        history.add_step("initialised")
        await feed.refresh()
        history.add_step("querying_activities")
        with feeds.follow(load_view(), load_view) as (shared_feed, _):
            await shared_feed.refresh()
            assert shared_feed is feed
            assert [step.status for step in shared_feed.steps] == ["initialised", "querying_activities"]
