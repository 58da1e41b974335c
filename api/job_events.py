"""``/{id}/events``: a job's steps as server-sent events, for every kind of job.

Steps come out of the audit trail, each with its place there as its id: a client that comes back with the last id it
saw misses none and gets none twice. Between them comes the present progress, without an id.
"""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from http import HTTPStatus
from typing import Any

from fastapi import Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import StreamingResponse
from fastapi.sse import format_sse_event

from api.auth import VerifiedToken, load_caller
from api.dependencies import Services
from api.job_responses import JobView, LoadView
from stafett.audit.steps import JobStep
from stafett.database.job_changes import Subscription
from stafett.domain.errors import NotFoundError, PermissionDeniedError, ServiceUnavailableError

HEARTBEAT_SECONDS = 15.0
_CLIENT_RETRY_MILLISECONDS = 2000
_UNAVAILABLE_RETRY_SECONDS = 1.0
_MIN_POLL_INTERVAL_SECONDS = 0.1  # the first news is told at once; what follows within so long is read together
_RESPONSE_HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
MEDIA_TYPE = "text/event-stream"
_EVENT_SCHEMA = {
    "type": "object",
    "description": "Each event. What its data says is a JSON object that begins with the job's `id`.",
    "required": ["event", "data"],
    "properties": {
        "event": {"type": "string", "enum": ["status", "progress"]},
        "id": {"type": "string", "description": "Of a `status`: for `Last-Event-ID`."},
        "data": {"type": "string", "contentMediaType": "application/json"},
    },
}
EVENT_STREAM_RESPONSES: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "`status` events, each with an id; `progress` events in between. Ends after the last state.",
        "content": {MEDIA_TYPE: {"schema": _EVENT_SCHEMA}},
    },
    204: {"description": "The job has ended, and you have seen all of it: do not come back."},
}


async def stream_job_events(
    load_view: LoadView[Any], services: Services, token: VerifiedToken, last_event_id: int
) -> Response:
    """The stream, or 204 for somebody who came back after its end."""
    view = await run_in_threadpool(load_view)
    if (
        view.is_finished
        and last_event_id
        and not await run_in_threadpool(services.job_history.steps_after, view.org_id, view.job_id, last_event_id)
    ):
        return Response(status_code=HTTPStatus.NO_CONTENT)
    stream = _JobEventStream(load_view, services, token, view, last_event_id)
    return StreamingResponse(stream.iterate_events(), media_type=MEDIA_TYPE, headers=_RESPONSE_HEADERS)


class _JobEventStream:
    """One client's stream of one job."""

    def __init__(
        self, load_view: LoadView[Any], services: Services, token: VerifiedToken, view: JobView[Any], last_event_id: int
    ) -> None:
        self._load_view = load_view
        self._services = services
        self._token = token
        self._view = view
        self._last_event_id = last_event_id
        self._progress: dict[str, Any] | None = None
        self._has_news = True
        self._polled_at = 0.0

    async def iterate_events(self) -> AsyncIterator[bytes]:
        yield format_sse_event(retry=_CLIENT_RETRY_MILLISECONDS)
        with self._services.job_notifier.subscribe(self._view.job_id) as watch:
            while True:
                try:
                    for event in await run_in_threadpool(self._poll_events):
                        yield event
                except NotFoundError:  # deleted meanwhile
                    return
                except ServiceUnavailableError:
                    await asyncio.sleep(_UNAVAILABLE_RETRY_SECONDS)
                if self._view.is_finished or not await self._wait_and_reauthorise(watch):
                    return
                if not self._has_news:
                    yield format_sse_event(comment="heartbeat")

    async def _wait_and_reauthorise(self, subscription: Subscription) -> bool:
        """Wait for news; after a while without any, see whether the caller may still have them."""
        left = self._token.expires_at - time.time()
        self._has_news = await subscription.wait_for_change(max(0.0, min(HEARTBEAT_SECONDS, left)))
        await asyncio.sleep(self._polled_at + _MIN_POLL_INTERVAL_SECONDS - time.monotonic())
        if self._services.job_notifier.is_closing or time.time() >= self._token.expires_at:
            return False
        if not self._has_news:
            try:
                await run_in_threadpool(load_caller, self._services.database, self._token)
            except PermissionDeniedError:
                return False
            except ServiceUnavailableError:
                return True
        return True

    def _poll_events(self) -> list[bytes]:
        """The state is looked at before the steps: of one that is over, all steps are there."""
        self._polled_at = time.monotonic()
        self._view = self._load_view()
        steps = self._services.job_history.steps_after(self._view.org_id, self._view.job_id, self._last_event_id)
        events = [self._format_step(step) for step in steps]
        if self._view.progress != self._progress:
            self._progress = self._view.progress
            events += (
                [_format_event("progress", {"id": str(self._view.job_id), **self._progress})] if self._progress else []
            )
        return events

    def _format_step(self, step: JobStep) -> bytes:
        self._last_event_id = step.seq
        at = step.at.isoformat().replace("+00:00", "Z")
        said = {"id": str(self._view.job_id), "status": step.status, "at": at, "attempt": step.attempt}
        return _format_event("status", said, event_id=str(step.seq))


def _format_event(name: str, data: dict[str, Any], event_id: str | None = None) -> bytes:
    return format_sse_event(event=name, data_str=json.dumps(data, separators=(",", ":")), id=event_id)
