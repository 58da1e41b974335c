"""Limits on what one user and one organisation occupy at the same time, in the memory of this process."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from enum import StrEnum
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
_RETRY_AFTER_SECONDS = 5
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
        keys: list[tuple[OccupyingUse, UUID | str]] = [(use, caller.user_id)]
        if self._in_progress[use, caller.user_id] >= self._per_user[use]:
            raise _too_many(use, "You have", self._per_user[use])
        if caller.org_id is not None:
            keys.append((use, caller.org_id))
            if self._in_progress[use, caller.org_id] >= self._per_organisation[use]:
                raise _too_many(use, "Your organisation has", self._per_organisation[use])
        self._in_progress.update(keys)
        try:
            yield
        finally:
            self._in_progress.subtract(keys)
            for key in keys:
                if not self._in_progress[key]:
                    del self._in_progress[key]

    def count(self, use: OccupyingUse, key: UUID | str) -> int:
        """Count the uses in progress of a user or an organisation."""
        return self._in_progress[use, key]


def _too_many(use: OccupyingUse, subject: str, maximum: int) -> TooManyRequestsError:
    return TooManyRequestsError(_RETRY_AFTER_SECONDS, f"{subject} the maximum number of {_NOUNS[use]} ({maximum}).")


class _ConcurrencyLimitDependency:
    """A dependency that counts the request as a use until its response has been sent."""

    def __init__(self, use: OccupyingUse) -> None:
        self._use = use

    async def __call__(self, request: Request) -> AsyncIterator[None]:
        with request.app.state.services.concurrency.occupy(self._use, request.state.caller):
            yield


async def _limit_large_list(request: Request) -> AsyncIterator[None]:
    """Count a list of more items than a page has by default; the query's own validation reports an invalid size."""
    size = request.query_params.get("page_size", "")
    if not size.isdecimal() or len(size) > 3 or int(size) <= _DEFAULT_PAGE_SIZE:  # noqa: PLR2004 - three digits
        yield
        return
    with request.app.state.services.concurrency.occupy(OccupyingUse.LARGE_LISTS, request.state.caller):
        yield


def limit_concurrency(use: OccupyingUse) -> params.Depends:
    """Declare that requests of a route count as a use, as an element of its ``dependencies``."""
    dependency: params.Depends = Depends(_ConcurrencyLimitDependency(use))
    return dependency


def limit_large_lists() -> params.Depends:
    """Declare that requests of a route count as large lists if they request more than a default page."""
    dependency: params.Depends = Depends(_limit_large_list)
    return dependency


class ThreadShares:
    """Each user's share of the threads: further work of the same user waits, so that others find a free thread."""

    def __init__(self, threads_per_user: int) -> None:
        self._threads_per_user = threads_per_user
        self._shares: WeakValueDictionary[UUID, asyncio.Semaphore] = WeakValueDictionary()

    def activate(self, user_id: UUID) -> asyncio.Semaphore:
        """Make ``run_in_threadpool`` use the user's share in this request's task, and return the share."""
        share = self._shares.get(user_id)
        if share is None:
            share = self._shares[user_id] = asyncio.Semaphore(self._threads_per_user)
        _current_share.set(share)
        return share


_current_share: ContextVar[asyncio.Semaphore | None] = ContextVar("thread_share", default=None)


def get_thread_share() -> AbstractAsyncContextManager[None]:
    """Return the share of the current request's user, to be entered for each use of a thread."""
    return _current_share.get() or nullcontext()


async def run_in_threadpool(function: Callable[Params, Result], *args: Params.args, **kwargs: Params.kwargs) -> Result:
    """Run blocking work in a thread of the current user's share."""
    async with get_thread_share():
        return await fastapi.concurrency.run_in_threadpool(function, *args, **kwargs)
