"""Responses for jobs of every kind: entity tag, `Retry-After`, `no-store` for links, and `Prefer: wait`."""

import time
from http import HTTPStatus
from typing import Any

from fastapi import Response

from api.concurrency import run_in_threadpool
from api.dependencies import Services
from api.etags import is_unchanged
from api.job_views import Body, JobView, LoadView
from api.polls import build_job_headers


async def respond(load_view: LoadView[Body], response: Response) -> Body:
    """Answer with the current state of the job."""
    return await _build_response(await run_in_threadpool(load_view), response)


async def respond_if_changed(load_view: LoadView[Body], response: Response, if_none_match: str | None) -> Body | None:
    """Answer with the current state of the job, or 304 if the client has it."""

    def load_if_changed() -> tuple[JobView[Body], Body | None]:
        view = load_view()
        return view, None if is_unchanged(view.etag, if_none_match) else view.build_body()

    view, body = await run_in_threadpool(load_if_changed)
    _set_headers(view, response)
    if body is None:
        response.status_code = HTTPStatus.NOT_MODIFIED
    return body


async def respond_or_wait(
    load_view: LoadView[Body],
    services: Services,
    response: Response,
    wait_seconds: int | None,
    view: JobView[Body] | None = None,
) -> Body:
    """Answer 202 at once; with ``wait_seconds`` wait for the job, and answer 200 if it finished, else 202.

    The caller passes the ``view`` of a job that it has just accepted, which is not read again.
    """
    if view is None:
        view = await run_in_threadpool(load_view)
    if wait_seconds is None:
        return await _build_response(view, response, HTTPStatus.ACCEPTED)
    response.headers["Preference-Applied"] = f"wait={wait_seconds}"
    if not view.is_finished:
        view = await _wait(load_view, view, services, wait_seconds)
    return await _build_response(view, response, HTTPStatus.OK if view.is_finished else HTTPStatus.ACCEPTED)


async def _wait(load_view: LoadView[Body], view: JobView[Body], services: Services, seconds: int) -> JobView[Body]:
    deadline = time.monotonic() + seconds
    with services.job_feeds.follow(view, load_view) as (feed, subscription):
        while not services.job_notifier.is_closing and (remaining := deadline - time.monotonic()) > 0:
            await feed.refresh()
            if feed.view.is_finished:
                break
            await subscription.wait_for_change(remaining)
    return await run_in_threadpool(load_view)


async def _build_response(view: JobView[Body], response: Response, status: HTTPStatus | None = None) -> Body:
    _set_headers(view, response)
    if status is not None:
        response.status_code = status
    return await run_in_threadpool(view.build_body)


def _set_headers(view: JobView[Any], response: Response) -> None:
    response.headers.update(
        build_job_headers(view.etag, view.updated_at, is_finished=view.is_finished, has_link=view.has_link)
    )
