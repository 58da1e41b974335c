"""The API's listener for changed jobs: what PostgreSQL notifies it of, what it reads, and which errors it survives."""

from collections.abc import AsyncIterator, Iterator
from uuid import UUID, uuid4

import psycopg
import pytest
import pytest_asyncio
import structlog

from stafett.database import job_changes
from stafett.database.job_changes import JobNotifier, Subscription
from stafett.settings import Settings, require_setting
from stafett.testing import ActivityFactory, ExportClient, wait_until
from tests.support.dev_stack import freeze_processes
from tests.support.fixture_types import RunWorker
from tests.support.reexports import ReexportClient, fetch_status_history

LAST_STATEMENT = "SELECT set_config('app.operator', 'on', false)"
"""The statement of a listener that has not looked for progress yet."""


@pytest_asyncio.fixture(loop_scope="session")
async def notifier(settings: Settings) -> AsyncIterator[JobNotifier]:
    notifier = JobNotifier(require_setting(settings.database.api_url, "api"))
    async with notifier.run():
        await wait_until_listening(notifier)
        yield notifier


async def wait_until_listening(notifier: JobNotifier) -> None:
    async def is_listening() -> bool:
        return notifier.is_listening

    await wait_until(is_listening, bool)


@pytest.fixture
def listener(owner_url: str) -> Iterator[psycopg.Connection]:
    """A connection that gets what PostgreSQL notifies the API of."""
    with psycopg.connect(owner_url, autocommit=True) as connection:
        connection.execute("LISTEN job_changed")
        yield connection


def count_notifications(listener: psycopg.Connection, job_id: str) -> int:
    """Count the notifications of a job up to now: those of earlier commits come before the last one."""
    end = str(uuid4())
    listener.execute("SELECT pg_notify('job_changed', %s)", [end])
    payloads = list[str]()
    for notification in listener.notifies():
        if notification.payload == end:
            break
        payloads.append(notification.payload)
    return payloads.count(job_id)


def update_progress(owner_url: str, export_id: str, done: int) -> None:
    with psycopg.connect(owner_url, autocommit=True) as connection:
        connection.execute(
            "UPDATE exports SET progress = jsonb_build_object('done', %s::int) WHERE id = %s", [done, export_id]
        )


def send(owner_url: str, *payloads: str) -> None:
    with psycopg.connect(owner_url, autocommit=True) as connection:
        for payload in payloads:
            connection.execute("SELECT pg_notify('job_changed', %s)", [payload])


async def test_malformed_notifications_are_ignored_with_one_log_line(notifier: JobNotifier, owner_url: str) -> None:
    job_id = uuid4()
    with structlog.testing.capture_logs() as logs, notifier.subscribe(job_id) as subscription:
        send(owner_url, "x", "", "{}", str(job_id))
        assert await subscription.wait_for_change(30)
        assert notifier.is_listening
    assert [(line["event"], line["log_level"]) for line in logs] == [("malformed_job_notifications", "warning")]


async def test_listener_starts_again_after_an_unexpected_error(
    notifier: JobNotifier, owner_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    notify, faults = Subscription.notify, iter([RuntimeError("private text")])

    def fail_once(subscription: Subscription) -> None:
        if fault := next(faults, None):
            raise fault
        notify(subscription)

    monkeypatch.setattr(Subscription, "notify", fail_once)
    job_id = uuid4()
    with structlog.testing.capture_logs() as logs, notifier.subscribe(job_id) as subscription:
        send(owner_url, str(job_id))
        assert await subscription.wait_for_change(30)  # the lost notification may have been of this job
        await wait_until_listening(notifier)
        await subscription.wait_for_change(0)
        send(owner_url, str(job_id))
        assert await subscription.wait_for_change(30)
        assert notifier.is_listening
    assert logs == [{"event": "job_listener_failed", "log_level": "error", "exc_info": True}]


async def test_export_notifies_of_transitions_only(
    listener: psycopg.Connection,
    owner_url: str,
    export_client: ExportClient,
    activity_factory: ActivityFactory,
    run_worker: RunWorker,
) -> None:
    activity_factory.create_activity(activity_factory.create_mentor())
    export_id = await export_client.start_export()
    async with run_worker():
        await export_client.wait_for_completion(export_id)
    initial, *transitions = fetch_status_history(owner_url, export_id)
    assert initial == "initialised"
    assert count_notifications(listener, export_id) == len(transitions)


async def test_progress_is_read_without_a_notification(
    notifier: JobNotifier, listener: psycopg.Connection, owner_url: str, export_client: ExportClient
) -> None:
    export_id = await export_client.start_export()
    with notifier.subscribe(UUID(export_id)) as subscription, notifier.subscribe(UUID(export_id)) as other:
        assert await subscription.wait_for_change(30)  # its state is read for the first time
        assert await other.wait_for_change(30)
        update_progress(owner_url, export_id, 1)
        assert await subscription.wait_for_change(30)
        assert await other.wait_for_change(30)
        assert not subscription.may_have_lost_access
    assert count_notifications(listener, export_id) == 0


async def test_unchanged_job_wakes_no_subscription(
    notifier: JobNotifier, owner_url: str, export_client: ExportClient
) -> None:
    """The other job's second change is read by a later statement than its first, and so twice for this job too."""
    job_ids = [await export_client.start_export() for _ in range(2)]
    with notifier.subscribe(UUID(job_ids[0])) as unchanged, notifier.subscribe(UUID(job_ids[1])) as changed:
        assert await unchanged.wait_for_change(30)
        for done in range(2):
            assert await changed.wait_for_change(30)
            update_progress(owner_url, job_ids[1], done)
        assert await changed.wait_for_change(30)
        assert not await unchanged.wait_for_change(0)


async def test_progress_of_the_child_export_reaches_those_who_follow_the_reexport(
    notifier: JobNotifier,
    owner_url: str,
    export_client: ExportClient,
    activity_factory: ActivityFactory,
    run_worker: RunWorker,
) -> None:
    client = ReexportClient(export_client)
    activity_factory.create_activity(activity_factory.create_mentor())
    async with run_worker():
        reexport = await client.complete_reexport(await client.create_report(), source="same_snapshot")
    with notifier.subscribe(UUID(reexport["id"])) as subscription:
        assert await subscription.wait_for_change(30)
        update_progress(owner_url, reexport["export_id"], 1)
        assert await subscription.wait_for_change(30)


async def test_listener_whose_backend_does_not_answer_connects_again(
    notifier: JobNotifier, owner_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(job_changes, "_RESPONSE_TIMEOUT", 0.5)
    job_id = uuid4()
    with psycopg.connect(owner_url, autocommit=True) as connection:
        rows = connection.execute("SELECT pid FROM pg_stat_activity WHERE query = %s", [LAST_STATEMENT]).fetchall()
    assert rows
    with (
        freeze_processes(*(pid for (pid,) in rows)),
        structlog.testing.capture_logs() as logs,
        notifier.subscribe(job_id) as subscription,
    ):
        while not logs:
            await subscription.wait_for_change(30)
        await wait_until_listening(notifier)
        await subscription.wait_for_change(0)
        send(owner_url, str(job_id))
        assert await subscription.wait_for_change(30)
    assert [line["event"] for line in logs] == ["listen_connection_lost"]
