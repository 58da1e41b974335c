"""Counts of what users and organisations occupy, and each user's share of the threads."""

import asyncio
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from uuid import UUID, uuid4

import pytest

from api import concurrency
from api.concurrency import ConcurrencyLimiter, OccupyingUse, ThreadShares, run_in_threadpool
from api.rate_limit import TooManyRequestsError
from stafett.domain.membership import Caller, Role
from stafett.settings import ConcurrencySettings

_STREAMS, _WAITS = OccupyingUse.EVENT_STREAMS, OccupyingUse.WAITS


def create_limiter(per_user: int, per_organisation: int) -> ConcurrencyLimiter:
    settings = ConcurrencySettings(event_streams_per_user=per_user, event_streams_per_organisation=per_organisation)
    return ConcurrencyLimiter(settings)


def create_caller(org_id: str | None = "nhf") -> Caller:
    return Caller(user_id=uuid4(), org_id=org_id, role=Role.COORDINATOR if org_id else Role.OPERATOR)


def test_user_may_occupy_up_to_the_limit_and_again_afterwards() -> None:
    limiter, caller = create_limiter(2, 10), create_caller()
    for _ in range(3):
        with limiter.occupy(_STREAMS, caller), limiter.occupy(_STREAMS, caller):
            with pytest.raises(TooManyRequestsError, match=r"You have the maximum number of open event streams \(2\)"):
                limiter.occupy(_STREAMS, caller).__enter__()
            with limiter.occupy(_WAITS, caller):  # another use has a limit of its own
                pass
    assert limiter.count(_STREAMS, caller.user_id) == 0


def test_users_of_an_organisation_share_its_limit() -> None:
    limiter = create_limiter(2, 3)
    with ExitStack() as occupied:
        for _ in range(3):
            occupied.enter_context(limiter.occupy(_STREAMS, create_caller()))
        with pytest.raises(TooManyRequestsError, match="Your organisation has"):
            limiter.occupy(_STREAMS, create_caller()).__enter__()
        with limiter.occupy(_STREAMS, create_caller("hlf")), limiter.occupy(_STREAMS, create_caller(None)):
            pass


async def test_user_occupies_only_their_share_of_the_threads() -> None:
    shares, running, peak = ThreadShares(2), 0, 0
    lock, may_finish, have_started = threading.Lock(), threading.Event(), threading.Barrier(2 + 1)

    def work() -> None:
        nonlocal running, peak
        with lock:
            running += 1
            peak = max(peak, running)
        if not may_finish.is_set():
            have_started.wait(30)
        may_finish.wait(30)
        with lock:
            running -= 1

    async def request(user_id: UUID) -> None:
        shares.activate(user_id)
        await run_in_threadpool(work)

    async def request_of_other_user() -> str:
        shares.activate(uuid4())
        return await run_in_threadpool(lambda: "answered")

    user_id = uuid4()
    requests = [asyncio.create_task(request(user_id)) for _ in range(20)]
    await asyncio.to_thread(have_started.wait, 30)
    assert await asyncio.create_task(request_of_other_user()) == "answered"
    may_finish.set()
    await asyncio.gather(*requests)
    assert peak == 2


def compute() -> None:
    deadline = time.thread_time() + 0.1
    while time.thread_time() < deadline:
        pass


async def use_thread(shares: ThreadShares, user_id: UUID, work: Callable[[], object]) -> object:
    shares.activate(user_id)
    return await run_in_threadpool(work)


async def test_thread_that_computed_pauses_while_others_are_active(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(concurrency, "_PAUSE_PER_COMPUTING_TIME", 10_000)
    monkeypatch.setattr(concurrency, "_ACTIVE_SECONDS", 1000.0)
    shares, user_id, other_id = ThreadShares(1), uuid4(), uuid4()
    await asyncio.create_task(use_thread(shares, other_id, int))
    await asyncio.create_task(use_thread(shares, user_id, compute))
    next_work = asyncio.create_task(use_thread(shares, user_id, int))
    for _ in range(5):
        await asyncio.create_task(use_thread(shares, other_id, int))
    assert not next_work.done()
    next_work.cancel()


@pytest.mark.parametrize("per_user", [1, 2], ids=["beyond the limit", "within the limit"])
async def test_pause_is_longer_for_a_user_beyond_a_limit(per_user: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(concurrency, "_PAUSE_PER_COMPUTING_TIME", 0)
    monkeypatch.setattr(concurrency, "_PAUSE_BEYOND_A_LIMIT", 10_000)
    monkeypatch.setattr(concurrency, "_ACTIVE_SECONDS", 1000.0)
    monkeypatch.setattr(concurrency, "_SLOWED_SECONDS", 1000.0)
    shares, limiter, caller, other_id = ThreadShares(1), create_limiter(per_user, 10), create_caller(), uuid4()

    async def request_stream() -> None:
        shares.activate(caller.user_id)
        with suppress(TooManyRequestsError), limiter.occupy(_STREAMS, caller):
            await run_in_threadpool(compute)
        await run_in_threadpool(compute)

    await asyncio.create_task(use_thread(shares, other_id, int))
    with limiter.occupy(_STREAMS, caller):
        await asyncio.create_task(request_stream())
        next_work = asyncio.create_task(use_thread(shares, caller.user_id, int))
        for _ in range(5):
            await asyncio.create_task(use_thread(shares, other_id, int))
    if per_user == 1:
        assert not next_work.done()
        next_work.cancel()
    else:
        assert await next_work == 0


async def test_pause_of_a_thread_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(concurrency, "_PAUSE_PER_COMPUTING_TIME", 0.1)
    monkeypatch.setattr(concurrency, "_ACTIVE_SECONDS", 1000.0)
    shares, user_id = ThreadShares(1), uuid4()
    for _ in range(2):
        await asyncio.create_task(use_thread(shares, user_id, compute))


async def test_thread_that_computed_is_free_at_once_for_the_only_user(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(concurrency, "_PAUSE_PER_COMPUTING_TIME", 10_000)
    monkeypatch.setattr(concurrency, "_ACTIVE_SECONDS", 0.0)
    shares, user_id = ThreadShares(1), uuid4()
    for _ in range(2):
        await asyncio.create_task(use_thread(shares, user_id, compute))
