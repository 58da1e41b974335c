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

from api.auth import Bearer, identify
from api.dependencies import Services
from api.job_responses import JobView, See
from stafett.audit.steps import JobStep
from stafett.database.job_changes import Subscription
from stafett.domain.errors import NotFoundError, PermissionDeniedError, ServiceUnavailableError

HEARTBEAT_SECONDS = 15.0
_RETRY_MILLISECONDS = 2000
_AWAY_SECONDS = 1.0
_BETWEEN_LOOKS = 0.1  # the first news is told at once; what follows within so long is read together
_HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
MEDIA_TYPE = "text/event-stream"
_EVENT = {
    "type": "object",
    "description": "Each event. What its data says is a JSON object that begins with the job's `id`.",
    "required": ["event", "data"],
    "properties": {
        "event": {"type": "string", "enum": ["status", "progress"]},
        "id": {"type": "string", "description": "Of a `status`: for `Last-Event-ID`."},
        "data": {"type": "string", "contentMediaType": "application/json"},
    },
}
DOCUMENTED: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "`status` events, each with an id; `progress` events in between. Ends after the last state.",
        "content": {MEDIA_TYPE: {"schema": _EVENT}},
    },
    204: {"description": "The job has ended, and you have seen all of it: do not come back."},
}


async def job_events(see: See[Any], given: Services, bearer: Bearer, last: int) -> Response:
    """The stream, or 204 for somebody who came back after its end."""
    view = await run_in_threadpool(see)
    if view.is_over and last and not await run_in_threadpool(given.story.steps_after, view.org_id, view.job_id, last):
        return Response(status_code=HTTPStatus.NO_CONTENT)
    stream = _Stream(see, given, bearer, view, last)
    return StreamingResponse(stream.events(), media_type=MEDIA_TYPE, headers=_HEADERS)


class _Stream:
    """One client's stream of one job."""

    def __init__(self, see: See[Any], given: Services, bearer: Bearer, view: JobView[Any], last: int) -> None:
        self._see = see
        self._given = given
        self._bearer = bearer
        self._view = view
        self._last = last
        self._progress: dict[str, Any] | None = None
        self._told = True
        self._looked = 0.0

    async def events(self) -> AsyncIterator[bytes]:
        yield format_sse_event(retry=_RETRY_MILLISECONDS)
        with self._given.changes.subscribe(self._view.job_id) as watch:
            while True:
                try:
                    for event in await run_in_threadpool(self._news):
                        yield event
                except NotFoundError:  # deleted meanwhile
                    return
                except ServiceUnavailableError:
                    await asyncio.sleep(_AWAY_SECONDS)
                if self._view.is_over or not await self._may_go_on(watch):
                    return
                if not self._told:
                    yield format_sse_event(comment="heartbeat")

    async def _may_go_on(self, watch: Subscription) -> bool:
        """Wait for news; after a while without any, see whether the caller may still have them."""
        left = self._bearer.expires_at - time.time()
        self._told = await watch.wait_for_change(max(0.0, min(HEARTBEAT_SECONDS, left)))
        await asyncio.sleep(self._looked + _BETWEEN_LOOKS - time.monotonic())
        if self._given.changes.is_closing or time.time() >= self._bearer.expires_at:
            return False
        if not self._told:
            try:
                await run_in_threadpool(identify, self._given.database, self._bearer)
            except PermissionDeniedError:
                return False
            except ServiceUnavailableError:
                return True
        return True

    def _news(self) -> list[bytes]:
        """The state is looked at before the steps: of one that is over, all steps are there."""
        self._looked = time.monotonic()
        self._view = self._see()
        steps = self._given.story.steps_after(self._view.org_id, self._view.job_id, self._last)
        events = [self._step(step) for step in steps]
        if self._view.progress != self._progress:
            self._progress = self._view.progress
            events += [_event("progress", {"id": str(self._view.job_id), **self._progress})] if self._progress else []
        return events

    def _step(self, step: JobStep) -> bytes:
        self._last = step.seq
        at = step.at.isoformat().replace("+00:00", "Z")
        said = {"id": str(self._view.job_id), "status": step.status, "at": at, "attempt": step.attempt}
        return _event("status", said, event_id=str(step.seq))


def _event(name: str, said: dict[str, Any], event_id: str | None = None) -> bytes:
    return format_sse_event(event=name, data_str=json.dumps(said, separators=(",", ":")), id=event_id)
