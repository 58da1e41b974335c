"""Limits on what one user and one organisation occupy at the same time, in the memory of this process."""

import asyncio
import random
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager, nullcontext
from contextvars import ContextVar
from enum import StrEnum
from functools import wraps
from typing import ParamSpec, TypeVar
from uuid import UUID
from weakref import WeakValueDictionary

import fastapi.concurrency
from fastapi import Depends, Request, params

from api.rate_limit import TooManyRequestsError
from stafett.domain.membership import Caller
from stafett.settings import ConcurrencySettings

Params = ParamSpec("Params")
Result = TypeVar("Result")
_RETRY_SECONDS = (5, 20)
_RETRY_SECONDS_OF_STREAMS = (30, 90)  # a stream is open for minutes, so a place becomes free rarely
_PAUSE_PER_COMPUTING_TIME = 9
_PAUSE_BEYOND_A_LIMIT = 39
_SLOWED_SECONDS = 10.0
"""How long a user's pauses are longer after a request beyond one of the user's limits."""
_ACTIVE_SECONDS = 1.0
"""How long after its last request another user counts as active."""
_DEFAULT_PAGE_SIZE = 50


class OccupyingUse(StrEnum):
    """A use of the API that occupies it for long. The values are part of the settings' names."""

    EVENT_STREAMS = "event_streams"
    WAITS = "waits"
    PREVIEWS = "previews"
    VALIDATIONS = "validations"
    LARGE_LISTS = "large_lists"
    LARGE_BODIES = "large_bodies"


_NOUNS = {
    OccupyingUse.EVENT_STREAMS: "open event streams",
    OccupyingUse.WAITS: "requests with `Prefer: wait`",
    OccupyingUse.PREVIEWS: "previews",
    OccupyingUse.VALIDATIONS: "validations",
    OccupyingUse.LARGE_LISTS: "large lists",
    OccupyingUse.LARGE_BODIES: "large request bodies",
}


class ConcurrencyLimiter:
    """Counts the uses in progress. It is used on the event loop only, so it needs no lock."""

    def __init__(self, settings: ConcurrencySettings) -> None:
        self._per_user: dict[OccupyingUse, int] = {use: getattr(settings, f"{use}_per_user") for use in OccupyingUse}
        self._per_organisation: dict[OccupyingUse, int] = {
            use: getattr(settings, f"{use}_per_organisation") for use in OccupyingUse
        }
        self._in_progress: Counter[tuple[OccupyingUse, UUID | str]] = Counter()

    @contextmanager
    def occupy(self, use: OccupyingUse, caller: Caller) -> Iterator[None]:
        """Count a use during the block; raise ``TooManyRequestsError`` if the user or organisation has the maximum."""
        self.check(use, caller)
        keys: list[tuple[OccupyingUse, UUID | str]] = [(use, caller.user_id)]
        if caller.org_id is not None:
            keys.append((use, caller.org_id))
        self._in_progress.update(keys)
        try:
            yield
        finally:
            self._in_progress.subtract(keys)
            for key in keys:
                if not self._in_progress[key]:
                    del self._in_progress[key]

    def check(self, use: OccupyingUse, caller: Caller) -> None:
        """Raise ``TooManyRequestsError`` if the user or organisation has the maximum."""
        if self._in_progress[use, caller.user_id] >= self._per_user[use]:
            if (share := _current_share.get()) is not None:
                share.slow_down()
            raise _too_many(use, "You have", self._per_user[use])
        if caller.org_id is not None and self._in_progress[use, caller.org_id] >= self._per_organisation[use]:
            raise _too_many(use, "Your organisation has", self._per_organisation[use])

    def count(self, use: OccupyingUse, key: UUID | str) -> int:
        """Count the uses in progress of a user or an organisation."""
        return self._in_progress[use, key]


def _too_many(use: OccupyingUse, subject: str, maximum: int) -> TooManyRequestsError:
    # Refused clients come back at different times, because hundreds at once would delay all other requests.
    limits = _RETRY_SECONDS_OF_STREAMS if use is OccupyingUse.EVENT_STREAMS else _RETRY_SECONDS
    seconds = random.randint(*limits)  # noqa: S311 - no secret
    return TooManyRequestsError(seconds, f"{subject} the maximum number of {_NOUNS[use]} ({maximum}).")


class ConcurrencyLimit:
    """A dependency that counts the request as a use until its response has been sent.

    ``GuardedRoute`` checks the limit before anything else, because many refusals must cost little.
    """

    def __init__(self, use: OccupyingUse) -> None:
        self.use = use

    async def __call__(self, request: Request) -> AsyncIterator[None]:
        with request.app.state.services.concurrency.occupy(self.use, request.state.caller):
            yield


def is_large_list(request: Request) -> bool:
    """Return whether the request is for more items than a page has by default."""
    size = request.query_params.get("page_size", "")
    return size.isdecimal() and len(size) <= 3 and int(size) > _DEFAULT_PAGE_SIZE  # noqa: PLR2004 - three digits


async def _limit_large_list(request: Request) -> AsyncIterator[None]:
    """Count a large list; the query's own validation reports an invalid size."""
    if not is_large_list(request):
        yield
        return
    with request.app.state.services.concurrency.occupy(OccupyingUse.LARGE_LISTS, request.state.caller):
        yield


def limit_concurrency(use: OccupyingUse) -> params.Depends:
    """Declare that requests of a route count as a use, as an element of its ``dependencies``."""
    dependency: params.Depends = Depends(ConcurrencyLimit(use))
    return dependency


def limit_large_lists() -> params.Depends:
    """Declare that requests of a route count as large lists if they request more than a default page."""
    dependency: params.Depends = Depends(_limit_large_list)
    return dependency


class _ComputingTime:
    """The computing time of one use of a thread, which the thread itself measures."""

    def __init__(self) -> None:
        self.seconds = 0.0


class ThreadShare:
    """One user's share of the threads: further work of the user waits, so that others find a free thread.

    A thread that has computed is not reused by the same user for several times as long while others use the API too,
    because threads that compute delay each other and the event loop. The pause is longer for a user who sends requests
    beyond the limits.
    """

    def __init__(self, thread_count: int, are_others_active: Callable[[], bool]) -> None:
        self._free = asyncio.Semaphore(thread_count)
        self._are_others_active = are_others_active
        self._slowed_until = float("-inf")

    def slow_down(self) -> None:
        """Make the user's pauses longer for some seconds."""
        self._slowed_until = time.monotonic() + _SLOWED_SECONDS

    @asynccontextmanager
    async def occupy(self) -> AsyncIterator[None]:
        """Use one of the user's threads during the block."""
        await self._free.acquire()
        used = _ComputingTime()
        _computing_time.set(used)
        try:
            yield
        finally:
            if used.seconds and self._are_others_active():
                is_slowed = time.monotonic() < self._slowed_until
                pause = used.seconds * (_PAUSE_BEYOND_A_LIMIT if is_slowed else _PAUSE_PER_COMPUTING_TIME)
                asyncio.get_running_loop().call_later(pause, self._release)  # which keeps this share alive
            else:
                self._release()

    def _release(self) -> None:
        self._free.release()


class ThreadShares:
    """The threads' shares of all users."""

    def __init__(self, threads_per_user: int) -> None:
        self._threads_per_user = threads_per_user
        self._shares: WeakValueDictionary[UUID, ThreadShare] = WeakValueDictionary()
        self._last_user: UUID | None = None
        self._user_changed_at = float("-inf")

    def activate(self, user_id: UUID) -> ThreadShare:
        """Make ``run_in_threadpool`` use the user's share in this request's task, and return the share."""
        if user_id != self._last_user:
            self._last_user, self._user_changed_at = user_id, time.monotonic()
        share = self._shares.get(user_id)
        if share is None:
            share = self._shares[user_id] = ThreadShare(self._threads_per_user, self._are_several_users_active)
        _current_share.set(share)
        return share

    def _are_several_users_active(self) -> bool:
        return time.monotonic() - self._user_changed_at < _ACTIVE_SECONDS


_current_share: ContextVar[ThreadShare | None] = ContextVar("thread_share", default=None)
_computing_time: ContextVar[_ComputingTime | None] = ContextVar("computing_time", default=None)


def occupy_thread() -> AbstractAsyncContextManager[None]:
    """Return the use of a thread from the share of the current request's user."""
    share = _current_share.get()
    return share.occupy() if share else nullcontext()


def _run_measured(function: Callable[Params, Result], *args: Params.args, **kwargs: Params.kwargs) -> Result:
    started_at = time.thread_time()
    try:
        return function(*args, **kwargs)
    finally:
        if (used := _computing_time.get()) is not None:
            used.seconds += time.thread_time() - started_at


def measure_computing_time(function: Callable[Params, Result]) -> Callable[Params, Result]:
    """Wrap a function that runs in a thread, so that its computing time counts for the user's share."""

    @wraps(function)
    def measure(*args: Params.args, **kwargs: Params.kwargs) -> Result:
        return _run_measured(function, *args, **kwargs)

    return measure


async def run_in_threadpool(function: Callable[Params, Result], *args: Params.args, **kwargs: Params.kwargs) -> Result:
    """Run blocking work in a thread of the current user's share."""
    async with occupy_thread():
        return await fastapi.concurrency.run_in_threadpool(lambda: _run_measured(function, *args, **kwargs))
