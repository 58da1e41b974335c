"""A job as every kind of job answers: its tag, when to ask again, no copies of links, and waiting on request."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, Generic, TypeVar
from uuid import UUID

from fastapi import Response
from fastapi.concurrency import run_in_threadpool

from api.dependencies import Services
from api.etags import is_unchanged

Body = TypeVar("Body")
POLL_SECONDS = "1"


@dataclass(frozen=True)
class JobView(Generic[Body]):
    """A job as one caller sees it at one moment."""

    job_id: UUID
    org_id: str
    is_over: bool
    etag: str
    make_body: Callable[[], Body]
    """Made only if it is sent: handing out a link is written down."""
    holds_link: bool = False
    progress: dict[str, Any] | None = field(default=None)


See = Callable[[], JobView[Body]]
"""Look at the job anew, as this caller may see it; ``NotFoundError`` if they may not."""


async def answered(see: See[Body], response: Response, status: HTTPStatus | None = None) -> Body:
    """The job as it is now."""
    view = await run_in_threadpool(see)
    return await _sent(view, response, status)


async def answered_unless_known(see: See[Body], response: Response, if_none_match: str | None) -> Body | None:
    """The job as it is now, or 304 for somebody who has it already."""
    view = await run_in_threadpool(see)
    if is_unchanged(view.etag, if_none_match):
        _head(view, response)
        response.status_code = HTTPStatus.NOT_MODIFIED
        return None
    return await _sent(view, response, None)


async def answered_when_over(see: See[Body], given: Services, response: Response, wait: int | None) -> Body:
    """202 with the job, or what the client prefers: wait for the end as long as it says, and then 200."""
    view = await run_in_threadpool(see)
    if wait is None:
        return await _sent(view, response, HTTPStatus.ACCEPTED)
    response.headers["Preference-Applied"] = f"wait={wait}"
    view = await _waited(see, view, given, wait)
    return await _sent(view, response, HTTPStatus.OK if view.is_over else HTTPStatus.ACCEPTED)


async def _waited(see: See[Body], view: JobView[Body], given: Services, seconds: int) -> JobView[Body]:
    patience = time.monotonic() + seconds
    with given.changes.subscribe(view.job_id) as watch:
        while not view.is_over and not given.changes.is_closing and (left := patience - time.monotonic()) > 0:
            view = await run_in_threadpool(see)
            if not view.is_over:
                await watch.wait_for_change(left)
    return view


async def _sent(view: JobView[Body], response: Response, status: HTTPStatus | None) -> Body:
    _head(view, response)
    if status is not None:
        response.status_code = status
    return await run_in_threadpool(view.make_body)


def _head(view: JobView[Any], response: Response) -> None:
    response.headers["ETag"] = view.etag
    if not view.is_over:
        response.headers["Retry-After"] = POLL_SECONDS
    if view.holds_link:
        response.headers["Cache-Control"] = "no-store"
