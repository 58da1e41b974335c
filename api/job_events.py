"""Server-sent events of a job (``GET …/{id}/events``), the same for every kind of job.

Status events come from the audit trail, and their ids are positions in it: a client that resumes from the last id it
received misses no event and gets none twice. Progress events in between have no id.
"""

import asyncio
import json
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from http import HTTPStatus
from typing import Any, NamedTuple

from fastapi import Response
from fastapi.responses import StreamingResponse
from fastapi.sse import format_sse_event

from api.auth import Credential
from api.concurrency import run_in_threadpool
from api.dependencies import Services
from api.job_feeds import JobFeed
from api.job_views import JobView, LoadView
from stafett.audit.steps import JobStep
from stafett.database.job_changes import Subscription
from stafett.domain.errors import NotFoundError, PermissionDeniedError, ServiceUnavailableError, UnauthenticatedError

HEARTBEAT_SECONDS = 15.0
_MIN_HEARTBEAT_FRACTION = 0.6
_CLIENT_RETRY_MILLISECONDS = 2000
_UNAVAILABLE_RETRY_SECONDS = 1.0
_MIN_POLL_INTERVAL_SECONDS = 0.1  # changes within this interval are read by one query
_RESPONSE_HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
MEDIA_TYPE = "text/event-stream"
_EVENT_SCHEMA = {
    "type": "object",
    "description": "A server-sent event. Its data is a JSON object with the job's `id`.",
    "required": ["event", "data"],
    "properties": {
        "event": {
            "type": "string",
            "enum": ["status", "progress"],
            "description": "`status`: a recorded transition or edit. `progress`: an intermediate count.",
        },
        "id": {"type": "string", "description": "Only on `status` events: the value for `Last-Event-ID`."},
        "data": {
            "type": "string",
            "contentMediaType": "application/json",
            "description": "A JSON object: the job's `id` and the fields of the event.",
        },
    },
}
EVENT_STREAM_RESPONSES: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "`status` events with ids, and `progress` events in between. Ends after the final status.",
        "content": {MEDIA_TYPE: {"schema": _EVENT_SCHEMA}},
    },
    204: {"description": "The job has finished and there are no further events: stop reconnecting."},
}


Reauthorise = Callable[[], Awaitable[object]]
"""Checks again, while a stream is open, that its client may follow it; raises ``PermissionDeniedError`` if not."""


class _Authority(NamedTuple):
    """What lets a client follow a job: until when, and how that is checked again meanwhile."""

    credential: Credential
    reauthorise: Reauthorise


async def stream_job_events(
    load_view: LoadView[Any],
    services: Services,
    credential: Credential,
    last_event_id: int,
    reauthorise: Reauthorise | None = None,
) -> Response:
    """Stream the job's events, or answer 204 to a client that reconnects after the last one."""
    view = await run_in_threadpool(load_view)
    if (
        view.is_finished
        and last_event_id
        and not await run_in_threadpool(services.job_history.steps_after, view.org_id, view.job_id, last_event_id)
    ):
        return Response(status_code=HTTPStatus.NO_CONTENT)
    authority = _Authority(credential, reauthorise or partial(services.authenticator.load_caller, credential))
    stream = _JobEventStream(load_view, services, authority, view, last_event_id)
    return StreamingResponse(stream.iterate_events(), media_type=MEDIA_TYPE, headers=_RESPONSE_HEADERS)


class _JobEventStream:
    """One client's stream of one job."""

    def __init__(
        self,
        load_view: LoadView[Any],
        services: Services,
        authority: _Authority,
        view: JobView[Any],
        last_event_id: int,
    ) -> None:
        self._load_view = load_view
        self._services = services
        self._authority = authority
        self._view = view
        self._last_event_id = last_event_id
        self._progress: dict[str, Any] | None = None
        self._has_changed = True
        self._polled_at = 0.0

    async def iterate_events(self) -> AsyncIterator[bytes]:
        yield format_sse_event(retry=_CLIENT_RETRY_MILLISECONDS)
        credential = self._authority.credential
        client_ids = {credential.user_id, credential.client_id}
        with self._services.job_feeds.follow(self._view, self._load_view, *client_ids) as (feed, subscription):
            while True:
                self._polled_at = time.monotonic()
                try:
                    await feed.refresh()
                except NotFoundError:  # the job was deleted
                    return
                except ServiceUnavailableError:
                    await asyncio.sleep(_UNAVAILABLE_RETRY_SECONDS)
                else:
                    self._view = feed.view
                    for event in self._format_news(feed):
                        yield event
                if self._view.is_finished or not await self._wait_and_reauthorise(subscription):
                    return
                if not self._has_changed:
                    yield format_sse_event(comment="heartbeat")

    async def _wait_and_reauthorise(self, subscription: Subscription) -> bool:
        """Wait for a change or the next heartbeat; return whether the stream continues.

        The caller is loaded again at a heartbeat and after a change of the client's access, so that a removed
        membership or a revoked key ends the stream.
        """
        remaining_seconds = self._authority.credential.expires_at - time.time()
        # Hundreds of streams that were opened together would otherwise send all heartbeats at the same moment.
        heartbeat_seconds = HEARTBEAT_SECONDS * random.uniform(_MIN_HEARTBEAT_FRACTION, 1)  # noqa: S311 - no secret
        self._has_changed = await subscription.wait_for_change(max(0.0, min(heartbeat_seconds, remaining_seconds)))
        await asyncio.sleep(self._polled_at + _MIN_POLL_INTERVAL_SECONDS - time.monotonic())
        if self._services.job_notifier.is_closing or time.time() >= self._authority.credential.expires_at:
            return False
        if not self._has_changed or subscription.may_have_lost_access:
            subscription.may_have_lost_access = False
            try:
                await self._authority.reauthorise()
            except (PermissionDeniedError, UnauthenticatedError):
                return False
            except ServiceUnavailableError:
                return True
        return True

    def _format_news(self, feed: JobFeed) -> list[bytes]:
        events = [self._format_step(step) for step in feed.steps if step.seq > self._last_event_id]
        if self._view.progress != self._progress:
            self._progress = self._view.progress
            events += (
                [_format_event("progress", {"id": str(self._view.job_id), **self._progress})] if self._progress else []
            )
        return events

    def _format_step(self, step: JobStep) -> bytes:
        self._last_event_id = step.seq
        at = step.at.isoformat().replace("+00:00", "Z")
        data = {"id": str(self._view.job_id), "status": step.status, "at": at, "attempt": step.attempt}
        return _format_event("status", data, event_id=str(step.seq))


def _format_event(name: str, data: dict[str, Any], event_id: str | None = None) -> bytes:
    return format_sse_event(event=name, data_str=json.dumps(data, separators=(",", ":")), id=event_id)
