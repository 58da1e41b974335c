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
    is_finished: bool
    etag: str
    build_body: Callable[[], Body]
    """Made only if it is sent: handing out a link is written down."""
    has_link: bool = False
    progress: dict[str, Any] | None = field(default=None)


LoadView = Callable[[], JobView[Body]]
"""Look at the job anew, as this caller may see it; ``NotFoundError`` if they may not."""


async def respond(load_view: LoadView[Body], response: Response, status: HTTPStatus | None = None) -> Body:
    """The job as it is now."""
    view = await run_in_threadpool(load_view)
    return await _send(view, response, status)


async def respond_if_changed(load_view: LoadView[Body], response: Response, if_none_match: str | None) -> Body | None:
    """The job as it is now, or 304 for somebody who has it already."""
    view = await run_in_threadpool(load_view)
    if is_unchanged(view.etag, if_none_match):
        _set_headers(view, response)
        response.status_code = HTTPStatus.NOT_MODIFIED
        return None
    return await _send(view, response, None)


async def respond_when_finished(
    load_view: LoadView[Body], services: Services, response: Response, wait_seconds: int | None
) -> Body:
    """202 with the job, or what the client prefers: wait for the end as long as it says, and then 200."""
    view = await run_in_threadpool(load_view)
    if wait_seconds is None:
        return await _send(view, response, HTTPStatus.ACCEPTED)
    response.headers["Preference-Applied"] = f"wait={wait_seconds}"
    view = await _wait(load_view, view, services, wait_seconds)
    return await _send(view, response, HTTPStatus.OK if view.is_finished else HTTPStatus.ACCEPTED)


async def _wait(load_view: LoadView[Body], view: JobView[Body], services: Services, seconds: int) -> JobView[Body]:
    patience = time.monotonic() + seconds
    with services.job_notifier.subscribe(view.job_id) as watch:
        while (
            not view.is_finished and not services.job_notifier.is_closing and (left := patience - time.monotonic()) > 0
        ):
            view = await run_in_threadpool(load_view)
            if not view.is_finished:
                await watch.wait_for_change(left)
    return view


async def _send(view: JobView[Body], response: Response, status: HTTPStatus | None) -> Body:
    _set_headers(view, response)
    if status is not None:
        response.status_code = status
    return await run_in_threadpool(view.build_body)


def _set_headers(view: JobView[Any], response: Response) -> None:
    response.headers["ETag"] = view.etag
    if not view.is_finished:
        response.headers["Retry-After"] = POLL_SECONDS
    if view.has_link:
        response.headers["Cache-Control"] = "no-store"
