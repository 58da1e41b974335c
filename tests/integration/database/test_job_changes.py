"""The API's listener for changed jobs survives malformed notifications and unexpected errors."""

from collections.abc import AsyncIterator
from uuid import uuid4

import psycopg
import pytest
import pytest_asyncio
import structlog

from stafett.database.job_changes import JobNotifier, Subscription
from stafett.settings import Settings, require_setting
from stafett.testing import wait_until


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
